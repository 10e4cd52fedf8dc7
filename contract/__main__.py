"""`make openapi`: writes docs/openapi.json, the contract, out of what says each part of it anyway.

Routes and who may call them are template.yaml's, schemas the models', words the docstrings', and statuses, headers,
problems and examples are those of recorded answers (contract/recordings.py).
"""

import ast
import importlib
import inspect
import itertools
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from contract.answers import DOCUMENT, Contract
from contract.recordings import Recording, body_of, recorder
from local import template as templates
from local import tokens
from local.template import Template
from shared import batches, models
from shared.etags import ETAGS
from shared.fields import UUID
from shared.http import bodies, problems
from shared.http import operation as frame
from shared.http.errors import problem_of
from shared.http.identity import USER_ID
from shared.http.operation import Declaration
from shared.models import NoQuery
from shared.store.task_store import KeyMissing
from shared.tasks import NotDeleted

ROOT = Path(__file__).parent.parent
TIME_ZONES = ROOT / "shared" / "time_zones.py"

type Schema = dict[str, Any]

_JSON, _PROBLEM = bodies.JSON, "application/problem+json"
# What API Gateway answers itself, where no function is reached or one fails; 401 where a token is needed.
_GATEWAYS = {
    401: "Unauthorized",
    404: "Not Found",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_KEY = r'^([!#-~]([ -~]{0,253}[!-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$'
_PARAMETERS: Mapping[str, Schema] = {
    "user_id": {
        "in": "path",
        "description": "Whose tasks: `me`, or the caller's own id. Another user's is 403, but for a trusted backend.",
        "schema": {"type": "string", "pattern": f"^{USER_ID.pattern}$"},
        "example": "me",
    },
    "task_id": {
        "in": "path",
        "description": "The id of a task.",
        "schema": {"type": "string", "pattern": f"^{UUID}$"},
    },
    "If-Match": {
        "description": "ETags, one of which the task must have, or `*`; else 412.",
        "schema": {"type": "string", "pattern": ETAGS},
    },
    "If-None-Match": {
        "description": "ETags that the client has, or `*`: 304 where the task has one of them; on a write, 412.",
        "schema": {"type": "string", "pattern": ETAGS},
    },
    "Idempotency-Key": {
        "description": "Makes the request safe to send again: it is done once, and answered as it was the first time.",
        "schema": {"type": "string", "pattern": _KEY},
    },
    "X-Correlation-Id": {
        "description": "Taken over into the log and the answer: 1 to 128 of letters, digits and `. _ : / + = @ -`.",
        "schema": {"type": "string"},
    },
}
_HEADERS: Mapping[str, str] = {
    "ETag": "The version of what is shown, to send as If-Match or If-None-Match.",
    "Location": "The path of the new task.",
    "Link": 'The path of the next page, as `<path>; rel="next"`; absent on the last.',
    "Cache-Control": "Whether the answer may be kept.",
    "X-Correlation-Id": "The correlation id of the request, or its request id.",
    "Idempotency-Replayed": "`true` where the answer is that of an earlier request with the same Idempotency-Key.",
    "Retry-After": "After how many seconds to try again.",
    "WWW-Authenticate": "`Bearer`: send a token.",
    "Accept-Encoding": "`identity`: send the body without a content coding.",
    "Accept-Patch": "The content types that a patch may have.",
    "Apigw-Requestid": "API Gateway's id of the request.",
}


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the title of a field, which says its name once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


@dataclass(frozen=True)
class Operation:
    """A route of the template, with what its handler declares; `declared` is None for a route without a frame."""

    name: str
    method: str
    path: str
    module: ModuleType
    declared: Declaration | None

    @property
    def on_a_task(self) -> bool:
        """Whether it addresses one task."""
        return "{task_id}" in self.path

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.method != "GET"

    @property
    def needs_key(self) -> bool:
        """Whether it needs an Idempotency-Key."""
        return self.declared is not None and KeyMissing in self.declared.raises

    @property
    def restores(self) -> bool:
        """Whether it takes a task out of the trash."""
        return self.on_a_task and self.declared is not None and NotDeleted in self.declared.raises

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters in path and headers."""
        if self.declared is None:
            return ["If-None-Match"]
        conditional = ["If-None-Match"] if self.on_a_task else []
        conditional += ["If-Match"] if self.on_a_task and self.writes else []
        key = ["Idempotency-Key"] if self.method == "POST" else []
        return ["user_id", *(["task_id"] if self.on_a_task else []), *conditional, *key, "X-Correlation-Id"]

    @property
    def problems(self) -> Iterator[str]:
        """The kinds of problem that it may end in: those that its route and its body imply, and those it declares."""
        if self.declared is None:
            return
        yield from ("bad-query", "bad-user-id", "no-identity", "forbidden", "body-too-large", "internal-error")
        yield from ("database-throttled", "database-unavailable")
        if self.writes:
            yield from ("contended", "outcome-unknown", "storage-full")
        if self.on_a_task:
            yield from ("bad-task-id", "bad-etag")
        if self.declared.body is not None:
            yield from ("bad-json", "duplicate-key", "bad-encoding", "unsupported-media-type", "invalid-body")
        if self.method == "POST":
            yield from ("bad-idempotency-key", "idempotency-key-reused")
        for error in self.declared.raises:
            yield _kind_of(error)


def _kind_of(error: type[Exception]) -> str:
    """The kind of the problem that an error becomes."""
    parameters = inspect.signature(error.__init__).parameters.values()
    needed = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    kind = problem_of(error(*("x" for _ in needed[1:]))).kind
    if kind == "internal-error":
        raise TypeError(f"{error.__name__} has no problem: add a case to shared/http/errors.py")
    return kind


def operations(template: Template) -> Iterator[Operation]:
    """Every route of the template."""
    for function in template.functions:
        module_name = function.handler.rpartition(".")[0]
        with patch.object(frame, "framed", lambda declaration: declaration):
            module = importlib.import_module(module_name)
        declared = module.handler if isinstance(module.handler, Declaration) else None
        gets, heads = ({route for route in function.routes if route.method == one} for one in ("GET", "HEAD"))
        if {replace(route, method="HEAD") for route in gets} != heads:
            raise TypeError(f"{module_name}: give each GET route of template.yaml a HEAD route, and no other route")
        # HEAD is no operation of the contract: generated clients would have each read twice.
        for route in (route for route in function.routes if route not in heads):
            if (declared is None) is not route.public:
                raise TypeError(f"{module_name}: decorate the handler with @operation(raises=[...])")
            yield Operation(module_name.split(".")[1], route.method, route.path, module, declared)


def document() -> dict[str, Any]:
    """The contract, as an OpenAPI 3.1 document."""
    template = templates.load(ROOT / "template.yaml", {"JwtIssuer": tokens.ISSUER, "JwtAudience": tokens.AUDIENCE})
    every = list(operations(template))
    with recorder(template, {one.name: one.declared or one.module.handler for one in every}) as recordings:
        recorded = {one.name: recordings.answers(one.name, dict.fromkeys(one.problems)) for one in every}
    kinds: dict[str, Any] = {}
    for answer in itertools.chain.from_iterable(recorded.values()):
        if answer.kind:
            kinds.setdefault(answer.kind, answer.body)
    paths: dict[str, dict[str, Any]] = {}
    for one in every:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, recorded[one.name], every, kinds)
    shared = _share([operation["responses"] for path in paths.values() for operation in path.values()])
    made: dict[str, Any] = {
        "openapi": "3.1.1",
        "info": {
            "title": "Tasks",
            "version": every[0].path.split("/")[1].removeprefix("v"),
            "description": "A task backend for many users. What is not said here: docs/http-api.md of the project. "
            "Every path that answers GET answers HEAD, too: with the same status and headers, and without the body.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "Where this document was fetched from."}],
        "paths": paths,
        "components": {
            "schemas": _schemas(every),
            "responses": shared,
            "parameters": {name: _parameter(name) for name in _PARAMETERS},
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
            "examples": {kind: {"value": body} for kind, body in sorted(kinds.items())},
            "securitySchemes": {
                "Jwt": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token of the issuer that the deployment trusts; the caller is its `sub`.",
                }
            },
        },
    }
    checker = Contract(made)
    for one in every:
        for answer in recorded[one.name]:
            checker.check(one.method, one.path, answer.status, answer.headers, answer.content)
    return made


def _operation(
    one: Operation, recorded: list[Recording], every: list[Operation], examples: Mapping[str, Any]
) -> dict[str, Any]:
    body = one.declared.body if one.declared else None
    query = one.declared.query if one.declared else NoQuery
    said: dict[str, Any] = {
        "operationId": one.name,
        "tags": ["contract" if one.declared is None else "tasks"],
        "summary": _first_line(one.module).partition(" - ")[2].removesuffix(".").capitalize(),
        "description": inspect.getdoc(one.declared.handle if one.declared else one.module.handler),
        "parameters": [*(_used(one, name) for name in one.parameters), *_query(query)],
    }
    if body is not None:
        example = {"schema": _ref(body), "example": body_of(one.name)}
        said["requestBody"] = {
            "required": True,
            "content": dict.fromkeys(bodies.accepted(body), example),
        }
    statuses = {answer.status for answer in recorded} | {
        status for status in _GATEWAYS if one.declared is not None or status != HTTPStatus.UNAUTHORIZED
    }
    said["responses"] = {
        str(status): _response(one, status, [answer for answer in recorded if answer.status == status], examples)
        for status in sorted(statuses)
    }
    _link(one, said["responses"], every)
    if one.declared is not None:
        said["security"] = [{"Jwt": []}]
    return said


def _response(one: Operation, status: int, recorded: list[Recording], examples: Mapping[str, Any]) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    kinds = list(dict.fromkeys(answer.kind for answer in recorded if answer.kind))
    gateways = status in _GATEWAYS and (one.declared is not None or status != HTTPStatus.UNAUTHORIZED)
    named = f"{phrase}: {', '.join(f'`{kind}`' for kind in kinds)}." if kinds else f"{phrase}."
    content: dict[str, Any] = {}
    if kinds:
        types = [f"urn:problem:tasks:{kind}" for kind in kinds]
        content[_PROBLEM] = {
            "schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"type": {"enum": types}}}]},
            # What another operation answers alike is said once; a batch, for one, names what cannot be done in errors.
            "examples": {
                answer.kind: {"$ref": f"#/components/examples/{answer.kind}"}
                if answer.body == examples[answer.kind]
                else {"value": answer.body}
                for answer in recorded
                if answer.is_example
            },
        }
    if gateways:
        content[_JSON] = {
            "schema": {"$ref": "#/components/schemas/Message"},
            "examples": {"gateway": {"summary": "API Gateway's own", "value": {"message": _GATEWAYS[status]}}},
        }
    elif not kinds and any(answer.body is not None for answer in recorded):
        content[_JSON] = _success(one, recorded)
    if status == HTTPStatus.UNAUTHORIZED:
        # Behind an authorizer it is always the gateway's: generated clients read the first of the two.
        content = dict(reversed(content.items()))
    return {
        "description": named + (" Or the answer of API Gateway itself." if kinds and gateways else ""),
        "headers": _headers(recorded, gateways=gateways),
        **({"content": content} if content else {}),
    }


def _success(one: Operation, recorded: list[Recording]) -> dict[str, Any]:
    if one.declared is None:
        return {"schema": {"type": "object", "description": "This document."}}
    if one.declared.result is None:
        raise TypeError(f"{one.name} answers with a body, but declares Response[None]")
    shown: list[Any] = []
    for answer in recorded:
        if answer.is_example and answer.content and answer.body not in shown:
            shown.append(answer.body)
    return {
        "schema": _ref(one.declared.result),
        "examples": {f"answer {n}": {"value": body} for n, body in enumerate(shown, 1)},
    }


def _headers(recorded: list[Recording], *, gateways: bool) -> dict[str, Any]:
    seen = {name for answer in recorded for name in answer.headers} - {"Content-Type"}
    unknown = seen - _HEADERS.keys()
    if unknown:
        raise ValueError(f"headers without words: {unknown}")
    always = {name for name in seen if all(name in answer.headers for answer in recorded)}
    headers: dict[str, Any] = {}
    for name in (name for name in _HEADERS if name in seen):
        # What API Gateway answers itself has none of our headers, but says that a token is needed.
        sure = name in always and (not gateways or name == "WWW-Authenticate")
        said = {"description": _HEADERS[name], "required": True, "schema": {"type": "string"}}
        headers[name] = said if sure else {"$ref": f"#/components/headers/{name}"}
    return {**headers, "Apigw-Requestid": {"$ref": "#/components/headers/Apigw-Requestid"}}


def _link(one: Operation, responses: dict[str, Any], every: list[Operation]) -> None:
    """Say what of an answer goes into which other request: the id of a task, and the place in a list."""
    user = {"user_id": "$request.path.user_id"}
    for status, task_id in (("201", "$response.body#/id"), ("204", "$request.path.task_id")):
        if status in responses:
            responses[status]["links"] = {
                other.name: {
                    "operationId": other.name,
                    "description": f"{other.name} takes this task.",
                    "parameters": {
                        **user,
                        "task_id": task_id,
                        **({"If-Match": "$response.header.ETag"} if other.method == "PUT" else {}),
                    },
                }
                for other in every
                if other.on_a_task and other.restores is (status == "204")
            }
    if one.declared is None or one.declared.result is None:
        return
    for name in one.declared.query.model_fields:
        if f"next_{name}" in one.declared.result.model_fields:
            responses["200"]["links"] = {
                "next_page": {
                    "operationId": one.name,
                    "description": f"`next_{name}` of a page is the `{name}` of the next.",
                    "parameters": {**user, name: f"$response.body#/next_{name}"},
                }
            }


def _share(every: list[dict[str, Any]]) -> dict[str, Any]:
    """Put references where several operations have the same response; returns what they refer to."""
    shared: dict[str, Any] = {}
    counts = Counter((status, json.dumps(response)) for responses in every for status, response in responses.items())
    for responses in every:
        for status, response in responses.items():
            if counts[status, json.dumps(response)] > 1:
                phrase = HTTPStatus(int(status)).phrase.title().replace(" ", "").replace("-", "")
                names = (f"{phrase}{number}" for number in ("", *range(2, len(every))))
                name = next(name for name in names if shared.setdefault(name, response) == response)
                responses[status] = {"$ref": f"#/components/responses/{name}"}
    return dict(sorted(shared.items()))


def _used(one: Operation, name: str) -> dict[str, Any]:
    """A parameter where an operation uses it: a reference, unless the operation takes it in another way."""
    if one.declared is None:
        # What is no ETag is no version that a client could have.
        words = "ETags that the client has, or `*`: 304 where the contract has one of them."
        return {**_parameter(name), "description": words, "schema": {"type": "string"}}
    if one.needs_key and name == "Idempotency-Key":
        return {**_parameter(name), "required": True}
    return {"$ref": f"#/components/parameters/{name}"}


def _parameter(name: str) -> dict[str, Any]:
    known = _PARAMETERS[name]
    return {"name": name, "in": "header", "required": known.get("in") == "path", **known}


def _query(model: type[NoQuery]) -> Iterator[dict[str, Any]]:
    schema = model.model_json_schema(schema_generator=_WithoutTitles)
    words = _words(model)
    for name, of in schema.get("properties", {}).items():
        # A parameter is there or not; none is null.
        plain: Schema = next((one for one in of.pop("anyOf", ()) if one != {"type": "null"}), {})
        if of.get("default", "") is None:
            del of["default"]
        required = name in schema.get("required", ())
        text = {"description": words[name]} if name in words else {}
        # So that the page /docs fills it in.
        example = {"example": of["const"]} if "const" in of else {}
        yield {"name": name, "in": "query", **text, "required": required, "schema": {**of, **plain}, **example}


def _schemas(every: Iterable[Operation]) -> dict[str, Any]:
    declared = [one.declared for one in every if one.declared is not None]
    sent = {one.body for one in declared if one.body is not None}
    shown = {one.result for one in declared if one.result is not None}
    inputs: list[Any] = [(model, "validation") for model in sent] + [(model, "serialization") for model in shown]
    template = "#/components/schemas/{model}"
    _, definitions = models_json_schema(
        sorted(inputs, key=lambda pair: pair[0].__name__), ref_template=template, schema_generator=_WithoutTitles
    )
    problem = TypeAdapter(problems.ProblemBody).json_schema(ref_template=template, schema_generator=_WithoutTitles)
    schemas: dict[str, Any] = definitions["$defs"] | problem.pop("$defs") | {"Problem": problem}
    problem["title"] = "Problem"
    for name, schema in schemas.items():
        of: Any = problems.ProblemBody if name == "Problem" else _named(name)
        words = _words(of)
        fields: dict[str, FieldInfo] = getattr(of, "model_fields", {})
        for field, said in schema.get("properties", {}).items():
            if field in words:
                said["description"] = words[field]
            if field in fields and fields[field].exclude:
                said["description"] = "Ignored: only the server sets it."
                said.pop("default", None)
            if of is models.TaskPatch:
                said.pop("default", None)  # what is absent stays as it is
            # Generated clients take the first that fits, and a deleted task fits a task: who asks for more is first.
            said.get("items", {}).get("anyOf", []).sort(key=lambda one: -len(schemas[_name(one)]["required"]))
    schemas["Message"] = {
        "title": "Message",
        "description": "What API Gateway answers itself.",
        "type": "object",
        "properties": {"message": {"type": "string"}},
        "required": ["message"],
    }
    return dict(sorted(schemas.items()))


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _named(name: str) -> Any:
    return next((vars(module)[name] for module in (batches, models, problems) if name in vars(module)), None)


def _words(of: Any) -> dict[str, str]:
    """The docstrings of the fields of a class and of those that it is made from; they cost a function nothing."""
    said: dict[str, str] = {}
    for one in reversed(getattr(of, "__mro__", ())):
        if one.__module__.startswith("shared."):
            (parsed,) = ast.parse(inspect.getsource(one)).body
            body = parsed.body if isinstance(parsed, ast.ClassDef) else []
            for field, words in itertools.pairwise(body):
                match field, words:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        said[name] = inspect.cleandoc(text)
    return said


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def time_zones() -> str:
    """The source of shared/time_zones.py: the names of the IANA time zones that the package tzdata has."""
    names = resources.files("tzdata").joinpath("zones").read_text().split()
    lines = textwrap.fill(" ".join(sorted(names)), 112, break_on_hyphens=False)
    return f'''"""The names of the IANA time zones of tzdata {version("tzdata")}. `make openapi` writes this file."""

TIME_ZONES = frozenset(
    """
{textwrap.indent(lines, "    ")}
    """.split()  # noqa: SIM905 - shorter than a list
)
'''


def main(arguments: list[str]) -> int:
    """Write the contract, to docs/openapi.json or to where the argument says."""
    path = Path(arguments[0]) if arguments else DOCUMENT
    if not arguments:
        TIME_ZONES.write_text(time_zones())
    path.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
