"""`make openapi`: writes docs/openapi.json, the contract, out of what says each part of it anyway.

Routes and who may call them are template.yaml's, schemas the models', words the docstrings', and statuses, headers,
problems and examples are those of recorded answers (contract/recordings.py).
"""

import importlib
import inspect
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from contract.answers import DOCUMENT, PROBLEM, Contract
from contract.recordings import Recording, body_of, recorder
from contract.schemas import Schema, query_parameters, reference, schemas
from local import template as templates
from local import tokens
from local.template import Template
from shared import models
from shared.etags import ETAGS
from shared.http import bodies
from shared.http import operation as frame
from shared.http.errors import problem_of
from shared.http.identity import USER_ID
from shared.http.operation import Declaration
from shared.models import NoQuery
from shared.store.task_store import KeyMissing
from shared.tasks import NotDeleted

ROOT = Path(__file__).parent.parent

_JSON = bodies.JSON
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
_TAGS = {"tasks": "The tasks of a user.", "contract": "This document."}
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
            kind = problem_of(error(1)).kind  # the version of a VersionMismatch; the others ignore it
            if kind == "internal-error":
                raise TypeError(f"{self.name} raises {error.__name__}: say in shared/http/errors.py what it becomes")
            yield kind


def operations(template: Template) -> Iterator[Operation]:
    """Every route of the template."""
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
    """The contract, as an OpenAPI 3.1 document."""
    template = templates.load(ROOT / "template.yaml", {"JwtIssuer": tokens.ISSUER, "JwtAudience": tokens.AUDIENCE})
    every = list(operations(template))
    with recorder(template, {one.name: one.declared or one.module.handler for one in every}) as recordings:
        recorded = {one.name: recordings.answers(one.name, one.problems) for one in every}
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
            "description": "A task backend for many users. What is not said here: docs/http-api.md of the project.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "Where this document was fetched from."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas([one.declared for one in every if one.declared is not None]),
            "responses": shared,
            "parameters": {name: _parameter(name) for name in _PARAMETERS},
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
        "parameters": [*(_used(one, name) for name in one.parameters), *query_parameters(query)],
    }
    if body is not None:
        example = {"schema": reference(body.__name__), "example": body_of(one.name)}
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
    said["security"] = [] if one.declared is None else [{"Jwt": []}]
    return said


def _response(one: Operation, status: int, recorded: list[Recording], examples: Mapping[str, Any]) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    kinds = [answer.kind for answer in recorded if answer.kind]
    gateways = status in _GATEWAYS and (one.declared is not None or status != HTTPStatus.UNAUTHORIZED)
    named = f"{phrase}: {', '.join(f'`{kind}`' for kind in kinds)}." if kinds else f"{phrase}."
    content: dict[str, Any] = {}
    if kinds:
        content[PROBLEM] = {
            "schema": reference("Problem"),
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
            "schema": reference("Message"),
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
        "schema": reference(one.declared.result.__name__),
        "examples": {f"answer {n}": {"value": body} for n, body in enumerate(shown, 1)},
    }


def _headers(recorded: list[Recording], *, gateways: bool) -> dict[str, Any]:
    seen = {name for answer in recorded for name in answer.headers} - {"Content-Type"}
    unknown = seen - _HEADERS.keys()
    if unknown:
        raise ValueError(f"headers without words: {unknown}")
    always = {name for name in seen if all(name in answer.headers for answer in recorded)}
    # What API Gateway answers itself has none of our headers, but says that a token is needed.
    sure = {name for name in always if not gateways or name == "WWW-Authenticate"}
    return {
        name: {"description": text, "required": name in sure, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
        if name in seen or name == "Apigw-Requestid"
    }


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


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


def main(arguments: list[str]) -> int:
    """Write the contract, to docs/openapi.json or to where the argument says."""
    path = Path(arguments[0]) if arguments else DOCUMENT
    path.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
