"""`make openapi`: generates the contract, docs/openapi.json, from the code.

Routes and authorization come from template.yaml, schemas from the models, descriptions from docstrings. Status codes,
headers, problems and examples come from recorded responses (contract/recordings.py).
"""

import ast
import importlib
import inspect
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
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
from shared.http import bodies, problems
from shared.http import operation as frame
from shared.http.errors import problem_of
from shared.http.identity import USER_ID
from shared.http.operation import Declaration
from shared.models import NoQuery
from shared.store.task_store import KeyMissing
from shared.tasks import NotDeleted

ROOT = Path(__file__).parent.parent

type Schema = dict[str, Any]

_JSON, _PROBLEM = bodies.JSON, "application/problem+json"
# Responses of API Gateway itself, if it reaches no function or the function fails; 401 if a route needs a token.
_GATEWAY_MESSAGES = {
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
        "description": "The owner of the tasks: `me` or the caller's id. Only a trusted backend may use another id.",
        "schema": {"type": "string", "pattern": f"^{USER_ID.pattern}$"},
        "example": "me",
    },
    "task_id": {
        "in": "path",
        "description": "The id of a task.",
        "schema": {"type": "string", "pattern": f"^{models.UUID}$"},
    },
    "If-Match": {
        "description": "One or more ETags, or `*`. If the ETag of the task is not among them: 412.",
        "schema": {"type": "string", "pattern": ETAGS},
    },
    "If-None-Match": {
        "description": "One or more ETags, or `*`. If the ETag of the task is among them: 304, or 412 for a write.",
        "schema": {"type": "string", "pattern": ETAGS},
    },
    "Idempotency-Key": {
        "description": "Makes the request safe to retry: it is applied once, and a retry gets the first response.",
        "schema": {"type": "string", "pattern": _KEY},
    },
    "X-Correlation-Id": {
        "description": "Copied into log and response: 1 to 128 letters, digits or characters of `. _ : / + = @ -`.",
        "schema": {"type": "string"},
    },
}
_HEADERS: Mapping[str, str] = {
    "ETag": "The version of the representation. Send it as If-Match or If-None-Match.",
    "Location": "The path of the new task.",
    "Link": 'The path of the next page, as `<path>; rel="next"`; absent on the last page.',
    "Cache-Control": "Whether the response may be cached.",
    "X-Correlation-Id": "The correlation id of the request, or its request id.",
    "Idempotency-Replayed": "`true` if this is the response to an earlier request with the same Idempotency-Key.",
    "Retry-After": "Retry after this number of seconds.",
    "WWW-Authenticate": "`Bearer`: send a token.",
    "Accept-Patch": "The content types that PATCH accepts.",
    "Apigw-Requestid": "API Gateway's id of the request.",
}


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the titles of fields, which only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


@dataclass(frozen=True)
class Operation:
    """A route of the template and the declaration of its handler, which is None for a handler without `@operation`."""

    name: str
    method: str
    path: str
    module: ModuleType
    declared: Declaration | None

    @property
    def on_a_task(self) -> bool:
        """Whether the path contains a task id."""
        return "{task_id}" in self.path

    @property
    def writes(self) -> bool:
        """Whether it can change data."""
        return self.method != "GET"

    @property
    def needs_key(self) -> bool:
        """Whether it requires an Idempotency-Key."""
        return self.declared is not None and KeyMissing in self.declared.raises

    @property
    def restores(self) -> bool:
        """Whether it restores a task from the trash."""
        return self.on_a_task and self.declared is not None and NotDeleted in self.declared.raises

    @property
    def parameters(self) -> list[str]:
        """The names of its path and header parameters."""
        if self.declared is None:
            return ["If-None-Match"]
        conditional = ["If-None-Match"] if self.on_a_task else []
        conditional += ["If-Match"] if self.on_a_task and self.writes else []
        key = ["Idempotency-Key"] if self.method == "POST" else []
        return ["user_id", *(["task_id"] if self.on_a_task else []), *conditional, *key, "X-Correlation-Id"]

    @property
    def problems(self) -> Iterator[str]:
        """The kinds of problem that it may return: those that follow from its route and body, and the declared ones."""
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
            kind = problem_of(error(1)).kind  # 1 is the version of a VersionMismatch; other exceptions ignore it
            if kind == "internal-error":
                raise TypeError(f"{self.name} raises {error.__name__}, but shared/http/errors.py has no problem for it")
            yield kind


def operations(template: Template) -> Iterator[Operation]:
    """Yield every route of the template."""
    for function in template.functions:
        module_name = function.handler.rpartition(".")[0]
        with patch.object(frame, "framed", lambda declaration: declaration):
            module = importlib.import_module(module_name)
        declared = module.handler if isinstance(module.handler, Declaration) else None
        for route in function.routes:
            if (declared is None) is not route.public:
                raise TypeError(f"{module_name}: decorate the handler with @operation(raises=[...])")
            yield Operation(module_name.split(".")[1], route.method, route.path, module, declared)


def document() -> dict[str, Any]:
    """Return the contract, an OpenAPI 3.1 document."""
    template = templates.load(ROOT / "template.yaml", {"JwtIssuer": tokens.ISSUER, "JwtAudience": tokens.AUDIENCE})
    every = list(operations(template))
    with recorder(template, {one.name: one.declared or one.module.handler for one in every}) as recordings:
        recorded = {one.name: recordings.responses(one.name, one.problems) for one in every}
    kinds: dict[str, Any] = {}
    for recording in itertools.chain.from_iterable(recorded.values()):
        if recording.kind:
            kinds.setdefault(recording.kind, recording.body)
    paths: dict[str, dict[str, Any]] = {}
    for one in every:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, recorded[one.name], every, kinds)
    shared = _share([operation["responses"] for path in paths.values() for operation in path.values()])
    document: dict[str, Any] = {
        "openapi": "3.1.1",
        "info": {
            "title": "Tasks",
            "version": every[0].path.split("/")[1].removeprefix("v"),
            "description": "A task backend for many users. The reference is docs/http-api.md of the project.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The host that served this document."}],
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
                    "description": "An access token of the issuer that the deployment trusts. Its `sub` is the caller.",
                }
            },
        },
    }
    checker = Contract(document)
    for one in every:
        for recording in recorded[one.name]:
            checker.check(one.method, one.path, recording.status, recording.headers, recording.content)
    return document


def _operation(
    one: Operation, recorded: list[Recording], every: list[Operation], examples: Mapping[str, Any]
) -> dict[str, Any]:
    body = one.declared.body if one.declared else None
    query = one.declared.query if one.declared else NoQuery
    described: dict[str, Any] = {
        "operationId": one.name,
        "tags": ["contract" if one.declared is None else "tasks"],
        "summary": _first_line(one.module).partition(" - ")[2].removesuffix(".").capitalize(),
        "description": inspect.getdoc(one.declared.handle if one.declared else one.module.handler),
        "parameters": [*(_used(one, name) for name in one.parameters), *_query(query)],
    }
    if body is not None:
        example = {"schema": _ref(body), "example": body_of(one.name)}
        described["requestBody"] = {
            "required": True,
            "content": dict.fromkeys(bodies.accepted(body), example),
        }
    statuses = {recording.status for recording in recorded} | {
        status for status in _GATEWAY_MESSAGES if one.declared is not None or status != HTTPStatus.UNAUTHORIZED
    }
    described["responses"] = {
        str(status): _response(
            one, status, [recording for recording in recorded if recording.status == status], examples
        )
        for status in sorted(statuses)
    }
    _link(one, described["responses"], every)
    if one.declared is not None:
        described["security"] = [{"Jwt": []}]
    return described


def _response(one: Operation, status: int, recorded: list[Recording], examples: Mapping[str, Any]) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    kinds = [recording.kind for recording in recorded if recording.kind]
    from_gateway = status in _GATEWAY_MESSAGES and (one.declared is not None or status != HTTPStatus.UNAUTHORIZED)
    named = f"{phrase}: {', '.join(f'`{kind}`' for kind in kinds)}." if kinds else f"{phrase}."
    content: dict[str, Any] = {}
    if kinds:
        types = [f"urn:problem:tasks:{kind}" for kind in kinds]
        content[_PROBLEM] = {
            "schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"type": {"enum": types}}}]},
            # Operations share an example if their responses are equal. That of a batch differs: it has `errors`.
            "examples": {
                recording.kind: {"$ref": f"#/components/examples/{recording.kind}"}
                if recording.body == examples[recording.kind]
                else {"value": recording.body}
                for recording in recorded
            },
        }
    if from_gateway:
        content[_JSON] = {
            "schema": {"$ref": "#/components/schemas/Message"},
            "examples": {
                "gateway": {"summary": "Response of API Gateway", "value": {"message": _GATEWAY_MESSAGES[status]}}
            },
        }
    elif not kinds and any(recording.body is not None for recording in recorded):
        content[_JSON] = _success(one, recorded)
    if status == HTTPStatus.UNAUTHORIZED:
        # Generated clients use the first content type. Behind an authorizer, a 401 comes from API Gateway.
        content = dict(reversed(content.items()))
    return {
        "description": named + (" Or a response of API Gateway itself." if kinds and from_gateway else ""),
        "headers": _headers(recorded, from_gateway=from_gateway),
        **({"content": content} if content else {}),
    }


def _success(one: Operation, recorded: list[Recording]) -> dict[str, Any]:
    if one.declared is None:
        return {"schema": {"type": "object", "description": "This document."}}
    if one.declared.result is None:
        raise TypeError(f"{one.name} returns a body, but declares Response[None]")
    shown: list[Any] = []
    for recording in recorded:
        if recording.is_example and recording.content and recording.body not in shown:
            shown.append(recording.body)
    return {
        "schema": _ref(one.declared.result),
        "examples": {f"response {n}": {"value": body} for n, body in enumerate(shown, 1)},
    }


def _headers(recorded: list[Recording], *, from_gateway: bool) -> dict[str, Any]:
    seen = {name for recording in recorded for name in recording.headers} - {"Content-Type"}
    unknown = seen - _HEADERS.keys()
    if unknown:
        raise ValueError(f"headers without a description: {unknown}")
    always = {name for name in seen if all(name in recording.headers for recording in recorded)}
    headers: dict[str, Any] = {}
    for name in (name for name in _HEADERS if name in seen):
        # Responses of API Gateway itself do not have our headers, except WWW-Authenticate.
        sure = name in always and (not from_gateway or name == "WWW-Authenticate")
        header = {"description": _HEADERS[name], "required": True, "schema": {"type": "string"}}
        headers[name] = header if sure else {"$ref": f"#/components/headers/{name}"}
    return {**headers, "Apigw-Requestid": {"$ref": "#/components/headers/Apigw-Requestid"}}


def _link(one: Operation, responses: dict[str, Any], every: list[Operation]) -> None:
    """Add links from a response to the requests that use its task id, its cursor or its sync token."""
    user = {"user_id": "$request.path.user_id"}
    for status, task_id in (("201", "$response.body#/id"), ("204", "$request.path.task_id")):
        if status in responses:
            responses[status]["links"] = {
                other.name: {
                    "operationId": other.name,
                    "description": f"Use the id of this task with {other.name}.",
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
                    "description": f"Send `next_{name}` as `{name}` to get the next page.",
                    "parameters": {**user, name: f"$response.body#/next_{name}"},
                }
            }


def _share(every: list[dict[str, Any]]) -> dict[str, Any]:
    """Replace responses that several operations share by references, and return the shared responses."""
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
    """Return a reference to a shared parameter, or the parameter itself if it is different for this operation."""
    if one.declared is None:
        # This handler has no 400: an invalid value simply does not match.
        text = "One or more ETags, or `*`. If the ETag of the contract is among them: 304."
        return {**_parameter(name), "description": text, "schema": {"type": "string"}}
    if one.needs_key and name == "Idempotency-Key":
        return {**_parameter(name), "required": True}
    return {"$ref": f"#/components/parameters/{name}"}


def _parameter(name: str) -> dict[str, Any]:
    known = _PARAMETERS[name]
    return {"name": name, "in": "header", "required": known.get("in") == "path", **known}


def _query(model: type[NoQuery]) -> Iterator[dict[str, Any]]:
    schema = model.model_json_schema(schema_generator=_WithoutTitles)
    descriptions = _descriptions(model)
    for name, of in schema.get("properties", {}).items():
        # A query parameter is never null: it is absent instead.
        plain: Schema = next((one for one in of.pop("anyOf", ()) if one != {"type": "null"}), {})
        if of.get("default", "") is None:
            del of["default"]
        required = name in schema.get("required", ())
        text = {"description": descriptions[name]} if name in descriptions else {}
        # The page /docs fills in this example.
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
        descriptions = _descriptions(of)
        fields: dict[str, FieldInfo] = getattr(of, "model_fields", {})
        for field, member in schema.get("properties", {}).items():
            if field in descriptions:
                member["description"] = descriptions[field]
            if field in fields and fields[field].exclude:
                member["description"] = "Ignored: only the server sets it."
                member.pop("default", None)
            if of is models.TaskPatch:
                member.pop("default", None)  # an absent field keeps its value
            # Generated clients use the first schema that matches. A deleted task also matches Task, so it is first.
            member.get("items", {}).get("anyOf", []).sort(key=lambda one: -len(schemas[_name(one)]["required"]))
    schemas["Message"] = {
        "title": "Message",
        "description": "An error response of API Gateway itself.",
        "type": "object",
        "properties": {"message": {"type": "string"}},
        "required": ["message"],
    }
    return dict(sorted(schemas.items()))


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _named(name: str) -> Any:
    return next((vars(module)[name] for module in (batches, models, problems) if name in vars(module)), None)


def _descriptions(of: Any) -> dict[str, str]:
    """Return the docstrings of the fields of a class and its bases. In the source, they cost a function no memory."""
    found: dict[str, str] = {}
    for one in reversed(getattr(of, "__mro__", ())):
        if one.__module__.startswith("shared."):
            (parsed,) = ast.parse(inspect.getsource(one)).body
            body = parsed.body if isinstance(parsed, ast.ClassDef) else []
            for field, docstring in itertools.pairwise(body):
                match field, docstring:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = inspect.cleandoc(text)
    return found


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def main(arguments: list[str]) -> int:
    """Write the contract to docs/openapi.json, or to the path in the arguments."""
    path = Path(arguments[0]) if arguments else DOCUMENT
    path.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
