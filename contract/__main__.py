"""`make openapi`: writes the contract, docs/openapi.json, from the sources that define each part of it.

Routes and authorization come from template.yaml, schemas from the models (contract/schemas.py), descriptions from
docstrings. Statuses, headers, problems and examples come from recorded responses (contract/recordings.py).
"""

import importlib
import inspect
import itertools
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from contract import events, representation, requests
from contract.checker import DOCUMENT, PROBLEM, Contract
from contract.recordings import Recording, body_of, recorder
from contract.schemas import Schema, query_parameters, reference, schemas
from local import template as templates
from local import tokens
from local.template import Template
from shared.etags import ETAGS
from shared.fields import ANY_UUID, USER_ID
from shared.http import bodies
from shared.http import operation as frame
from shared.http.errors import problem_of
from shared.http.operation import Declaration
from shared.models import NoQuery
from shared.store.task_store import KeyMissing
from shared.tasks import NotDeleted

ROOT = Path(__file__).parent.parent
TIME_ZONES = ROOT / "shared" / "time_zones.py"

# Responses that API Gateway itself makes when no function is reached or one fails; 401 on routes that need a token.
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
        "description": "The user: `me`, or the caller's own id. Any other id needs the service scope, else 403.",
        "schema": {"type": "string", "pattern": f"^{USER_ID.pattern}$"},
        "example": "me",
    },
    "task_id": {
        "in": "path",
        "description": "The id of a task.",
        "schema": {"type": "string", "pattern": f"^{ANY_UUID}$"},
    },
    "If-Match": {
        "description": "`*`, or ETags: 412 if the task has none of them.",
        "schema": {"type": "string", "pattern": ETAGS},
    },
    "If-None-Match": {
        "description": "`*`, or ETags: if the task has one of them, a read returns 304, and a write 412.",
        "schema": {"type": "string", "pattern": ETAGS},
    },
    "Idempotency-Key": {
        "description": "Makes a retry safe: the request is applied once, and each attempt gets the same response.",
        "schema": {"type": "string", "pattern": _KEY},
    },
    "X-Correlation-Id": {
        "description": "Copied into the log and the response. 1 to 128 letters, digits and `. _ : / + = @ -`.",
        "schema": {"type": "string"},
    },
}
_HEADERS: Mapping[str, str] = {
    "ETag": "The version of the task or document, for If-Match and If-None-Match.",
    "Location": "The URL of the new task, relative to that of the request.",
    "Link": 'The URL of the next page, relative to that of the request, as `<?query>; rel="next"`; absent on the last.',
    "Cache-Control": "Whether caches may store the response.",
    "X-Correlation-Id": "The correlation id of the request, or its request id.",
    "Idempotency-Replayed": "`true` if this is the response to an earlier request with the same Idempotency-Key.",
    "Retry-After": "The number of seconds after which to try again.",
    "WWW-Authenticate": "`Bearer`: send a token.",
    "Accept-Encoding": "`identity`: send the body without a content coding.",
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
    def gateway_statuses(self) -> set[int]:
        """The statuses of responses that API Gateway itself makes."""
        return {status for status in _GATEWAYS if self.declared is not None or status != HTTPStatus.UNAUTHORIZED}

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
        yield from (
            "bad-query",
            "bad-user-id",
            "no-identity",
            "forbidden",
            "unnamed-service",
            "no-tenant",
            "body-too-large",
            "internal-error",
        )
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
        raise TypeError(f"{error.__name__} has no problem: add it to shared/http/errors.py")
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
    """The contract, as an OpenAPI 3.1 document.

    Raises ValueError if an operation is not successful for its sample event, or if the JSON of a task has changed
    without a new REPRESENTATION.
    """
    representation.check()
    template = templates.load(ROOT / "template.yaml", tokens.PARAMETERS)
    every = list(operations(template))
    with recorder(template, {one.name: one.declared or one.module.handler for one in every}) as recordings:
        recorded = {one.name: recordings.responses(one.name, dict.fromkeys(one.problems)) for one in every}
    kinds: dict[str, Any] = {}
    for response in itertools.chain.from_iterable(recorded.values()):
        if response.kind:
            kinds.setdefault(response.kind, response.body)
    paths: dict[str, dict[str, Any]] = {}
    for one in every:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, recorded[one.name], every, kinds)
    shared = _share([operation["responses"] for path in paths.values() for operation in path.values()])
    made: dict[str, Any] = {
        "openapi": "3.1.1",
        "info": {
            "title": "Tasks",
            "version": every[0].path.split("/")[1].removeprefix("v"),
            "description": "A task backend for many users. The reference is docs/http-api.md of the project. "
            "HEAD works on every path that has GET.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The origin of this document."}],
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
        for response in recorded[one.name]:
            checker.check(one.method, one.path, response.status, response.headers, response.content)
    return made


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
        "parameters": [*(_used(one, name) for name in one.parameters), *query_parameters(query)],
    }
    if body is not None:
        example = {"schema": reference(body.__name__), "example": body_of(one.name)}
        described["requestBody"] = {
            "required": True,
            "content": dict.fromkeys(bodies.accepted(body), example),
        }
    described["responses"] = {
        str(status): _response(one, status, [response for response in recorded if response.status == status], examples)
        for status in sorted({response.status for response in recorded} | one.gateway_statuses)
    }
    _link(one, described["responses"], every)
    described["security"] = [] if one.declared is None else [{"Jwt": []}]
    return described


def _response(one: Operation, status: int, recorded: list[Recording], examples: Mapping[str, Any]) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    kinds = list(dict.fromkeys(response.kind for response in recorded if response.kind))
    gateways = status in one.gateway_statuses
    named = f"{phrase}: {', '.join(f'`{kind}`' for kind in kinds)}." if kinds else f"{phrase}."
    content: dict[str, Any] = {}
    if kinds:
        content[PROBLEM] = {
            "schema": reference("Problem"),
            # Operations share an example, but some differ: a batch also names the operation that failed.
            "examples": {
                response.kind: {"$ref": f"#/components/examples/{response.kind}"}
                if response.body == examples[response.kind]
                else {"value": response.body}
                for response in recorded
                if response.is_example
            },
        }
    if gateways:
        content[bodies.JSON] = {
            "schema": reference("Message"),
            "examples": {"gateway": {"summary": "API Gateway's own", "value": {"message": _GATEWAYS[status]}}},
        }
    elif not kinds and any(response.body is not None for response in recorded):
        content[bodies.JSON] = _success(one, recorded)
    if status == HTTPStatus.UNAUTHORIZED:
        # Generated clients read the first of the two, and behind an authorizer every 401 comes from the gateway.
        content = dict(reversed(content.items()))
    return {
        "description": named + (" Or a response of API Gateway itself." if kinds and gateways else ""),
        "headers": _headers(recorded, gateways=gateways),
        **({"content": content} if content else {}),
    }


def _success(one: Operation, recorded: list[Recording]) -> dict[str, Any]:
    if one.declared is None:
        return {"schema": {"type": "object", "description": "This document."}}
    if one.declared.result is None:
        raise TypeError(f"{one.name} returns a body, but declares Response[None]")
    shown: list[Any] = []
    for response in recorded:
        if response.is_example and response.content and response.body not in shown:
            shown.append(response.body)
    return {
        "schema": reference(one.declared.result.__name__),
        "examples": {f"response {n}": {"value": body} for n, body in enumerate(shown, 1)},
    }


def _headers(recorded: list[Recording], *, gateways: bool) -> dict[str, Any]:
    seen = {name for response in recorded for name in response.headers} - {"Content-Type"}
    unknown = seen - _HEADERS.keys()
    if unknown:
        raise ValueError(f"Describe these headers in _HEADERS: {unknown}")
    always = {name for name in seen if all(name in response.headers for response in recorded)}
    # A response of API Gateway itself has none of our headers but the challenge.
    required = {name for name in always if not gateways or name == "WWW-Authenticate"}
    return {
        name: {"description": text, "required": name in required, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
        if name in seen or name == "Apigw-Requestid"
    }


def _link(one: Operation, responses: dict[str, Any], every: list[Operation]) -> None:
    """Add the links: which part of a response is a parameter of another request."""
    user = {"user_id": "$request.path.user_id"}
    for status, task_id in (("201", "$response.body#/id"), ("204", "$request.path.task_id")):
        if status in responses:
            responses[status]["links"] = {
                other.name: {
                    "operationId": other.name,
                    "description": f"{other.name} accepts the id of this task.",
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
    """Replace responses that several operations have by references; return the shared responses."""
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
    """A parameter of an operation: a reference, unless the operation uses it in its own way."""
    if one.declared is None:
        # This route ignores a malformed header.
        text = "`*`, or ETags: 304 if the contract has one of them."
        return {**_parameter(name), "description": text, "schema": {"type": "string"}}
    if one.needs_key and name == "Idempotency-Key":
        return {**_parameter(name), "required": True}
    return {"$ref": f"#/components/parameters/{name}"}


def _parameter(name: str) -> dict[str, Any]:
    known = _PARAMETERS[name]
    return {"name": name, "in": "header", "required": known.get("in") == "path", **known}


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


def time_zones() -> str:
    """The source of shared/time_zones.py: the names of the IANA time zones that the package tzdata has."""
    # Factory is the zone of a machine whose zone is not set.
    names = [name for name in resources.files("tzdata").joinpath("zones").read_text().split() if name != "Factory"]
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
        events.DOCUMENT.write_text(events.text(), encoding="utf-8")
    made = document()
    if not arguments:
        requests.DOCUMENT.write_text(requests.text(made), encoding="utf-8")
    path.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
