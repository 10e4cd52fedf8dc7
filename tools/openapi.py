"""`make openapi`: writes docs/openapi.json, the contract, out of what says each part of it anyway.

Routes and who may call them are template.yaml's, schemas the models', words the docstrings', and statuses, headers,
problems and examples are those of recorded answers (tools/recordings.py).
"""

import ast
import importlib
import inspect
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from local import template as templates
from local import tokens
from local.template import Template
from shared import batches, bodies, models, problems
from shared import operation as frame
from shared.identity import USER_ID
from shared.models import NoQuery
from shared.preconditions import ETAGS
from tools.recordings import Recording, body_of, recorder

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "openapi.json"

type Schema = dict[str, Any]

_JSON, _PROBLEM = bodies.JSON, "application/problem+json"
# What an operation answers with where that is not a task.
_RESULTS: Mapping[str, type[BaseModel] | None] = {
    "list_tasks": models.TaskPage,
    "clear_tasks": models.Cleared,
    "batch_tasks": models.BatchResults,
    "list_changes": models.Changes,
    "delete_task": None,
}
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
        "schema": {"type": "string", "pattern": f"^{models.UUID}$"},
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
    "Accept-Patch": "The content types that a patch may have.",
    "Apigw-Requestid": "API Gateway's id of the request.",
}


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the title of a field, which says its name once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


@dataclass(frozen=True)
class Operation:
    """A route of the template, with what its function says of itself."""

    name: str
    method: str
    path: str
    public: bool
    module: ModuleType

    @property
    def handle(self) -> Callable[..., Any]:
        """The handler, without its frame."""
        handle: Callable[..., Any] = self.module.handler
        return handle

    @property
    def body(self) -> type[BaseModel] | None:
        """The model of its body."""
        return None if self.public else frame.models_of(self.handle)[0]

    @property
    def query(self) -> type[NoQuery]:
        """The model of its query."""
        return NoQuery if self.public else frame.models_of(self.handle)[1]

    @property
    def on_a_task(self) -> bool:
        """Whether it addresses one task."""
        return "{task_id}" in self.path

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.method != "GET"

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters in path and headers."""
        if self.public:
            return ["If-None-Match"]
        conditional = ["If-None-Match"] if self.on_a_task else []
        conditional += ["If-Match"] if self.on_a_task and self.writes else []
        key = ["Idempotency-Key"] if self.method == "POST" else []
        return ["user_id", *(["task_id"] if self.on_a_task else []), *conditional, *key, "X-Correlation-Id"]

    @property
    def problems(self) -> Iterator[str]:
        """The kinds of problem that it may end in."""
        if self.public:
            return
        yield from ("bad-query", "bad-user-id", "no-identity", "forbidden", "body-too-large", "internal-error")
        yield from ("database-throttled", "database-unavailable")
        if self.writes:
            yield from ("contended", "outcome-unknown", "storage-full")
        if self.on_a_task:
            yield from ("bad-task-id", "bad-etag", "task-not-found")
            if self.writes:
                yield "precondition-failed"
        if self.body is not None:
            yield from ("bad-json", "duplicate-key", "bad-encoding", "unsupported-media-type", "invalid-body")
        if self.method == "POST":
            yield from ("bad-idempotency-key", "idempotency-key-reused")
        yield from {
            "list_tasks": ["bad-cursor"],
            "list_changes": ["bad-cursor", "sync-token-expired"],
            "restore_task": ["not-deleted"],
            "batch_tasks": ["idempotency-key-required", "task-not-found", "not-deleted", "precondition-failed"],
        }.get(self.name, [])


def operations(template: Template) -> Iterator[Operation]:
    """Every route of the template."""
    for function in template.functions:
        module_name = function.handler.rpartition(".")[0]
        with patch.object(frame, "operation", lambda handle: handle):
            module = importlib.import_module(module_name)
        for route in function.routes:
            yield Operation(module_name.split(".")[1], route.method, route.path, route.public, module)


def document() -> dict[str, Any]:
    """The contract, as an OpenAPI 3.1 document."""
    template = templates.load(ROOT / "template.yaml", {"JwtIssuer": tokens.ISSUER, "JwtAudience": tokens.AUDIENCE})
    every = list(operations(template))
    with recorder(template, {one.name: one.handle for one in every}) as recordings:
        recorded = {one.name: recordings.answers(one.name, one.problems) for one in every}
    kinds: dict[str, Any] = {}
    for answer in itertools.chain.from_iterable(recorded.values()):
        if answer.kind:
            kinds.setdefault(answer.kind, answer.body)
    paths: dict[str, dict[str, Any]] = {}
    for one in every:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, recorded[one.name], every, kinds)
    shared = _share([operation["responses"] for path in paths.values() for operation in path.values()])
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Tasks",
            "version": every[0].path.split("/")[1].removeprefix("v"),
            "description": "A task backend for many users. What is not said here: docs/http-api.md of the project.",
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


def _operation(
    one: Operation, recorded: list[Recording], every: list[Operation], examples: Mapping[str, Any]
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": one.name,
        "tags": ["contract" if one.public else "tasks"],
        "summary": _first_line(one.module).partition(" - ")[2].removesuffix(".").capitalize(),
        "description": inspect.getdoc(one.handle),
        "parameters": [*(_used(one, name) for name in one.parameters), *_query(one.query)],
    }
    if one.body is not None:
        example = {"schema": _ref(one.body), "example": body_of(one.name)}
        said["requestBody"] = {
            "required": True,
            "content": dict.fromkeys(bodies.accepted(one.body), example),
        }
    statuses = {answer.status for answer in recorded} | {
        status for status in _GATEWAYS if not (one.public and status == HTTPStatus.UNAUTHORIZED)
    }
    said["responses"] = {
        str(status): _response(one, status, [answer for answer in recorded if answer.status == status], examples)
        for status in sorted(statuses)
    }
    _link(one, said["responses"], every)
    if not one.public:
        said["security"] = [{"Jwt": []}]
    return said


def _response(one: Operation, status: int, recorded: list[Recording], examples: Mapping[str, Any]) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    kinds = [answer.kind for answer in recorded if answer.kind]
    gateways = status in _GATEWAYS and not (one.public and status == HTTPStatus.UNAUTHORIZED)
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
    if one.public:
        return {"schema": {"type": "object", "description": "This document."}}
    result = _RESULTS.get(one.name, models.Task)
    if result is None:
        raise ValueError(f"{one.name} answered, though it has nothing to say")
    shown: list[Any] = []
    for answer in recorded:
        if answer.body is not None and answer.body not in shown:
            shown.append(answer.body)
    return {"schema": _ref(result), "examples": {f"answer {n}": {"value": body} for n, body in enumerate(shown, 1)}}


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
    user = {"user_id": "$request.path.user_id"}
    if one.name == "create_task":
        made = {**user, "task_id": "$response.body#/id"}
        responses["201"]["links"] = {
            other.name: {
                "operationId": other.name,
                "description": f"The id of the new task is the `task_id` of {other.name}.",
                "parameters": {
                    **made,
                    **({"If-Match": "$response.header.ETag"} if other.name == "replace_task" else {}),
                },
            }
            for other in every
            if other.on_a_task and other.name != "restore_task"
        }
    elif one.name == "delete_task":
        trashed = {**user, "task_id": "$request.path.task_id"}
        responses["204"]["links"] = {
            "restore_task": {
                "operationId": "restore_task",
                "description": "What was deleted can be restored.",
                "parameters": trashed,
            }
        }
    elif cursor := {"list_tasks": ("cursor", "next_cursor"), "list_changes": ("since", "next_since")}.get(one.name):
        responses["200"]["links"] = {
            "next_page": {
                "operationId": one.name,
                "description": f"`{cursor[1]}` of a page is the `{cursor[0]}` of the next.",
                "parameters": {**user, cursor[0]: f"$response.body#/{cursor[1]}"},
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
    if one.public:
        # What is no ETag is no version that a client could have.
        words = "ETags that the client has, or `*`: 304 where the contract has one of them."
        return {**_parameter(name), "description": words, "schema": {"type": "string"}}
    if one.name == "batch_tasks" and name == "Idempotency-Key":
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
    sent = {one.body for one in every if one.body is not None}
    shown = {one for one in (*_RESULTS.values(), models.Task) if one is not None}
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


def main(arguments: list[str]) -> int:
    """Write the contract, to docs/openapi.json or to where the argument says."""
    path = Path(arguments[0]) if arguments else DOCUMENT
    path.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
