"""Holds answers against docs/openapi.json: tests/api.py does so with every answer that any suite gets."""

import json
import re
from collections.abc import Mapping
from email.message import Message
from functools import cache
from typing import Any

import jsonschema_rs

from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "openapi.json"
# What belongs to the connection, and what CORS adds.
_TRANSPORT = re.compile(r"connection|content-length|content-type|date|server|access-control-.*", re.IGNORECASE)


class OutsideContract(AssertionError):
    """An answer that the contract does not know."""


@cache
def contract() -> dict[str, Any]:
    """The contract. What it says of an object is all that an answer may hold, though clients must not rely on that."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text())
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return document


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the contract, or what it refers to."""
    for name in part.get("$ref", "#").split("/")[1:]:
        part = contract() if name == "components" else part
        part = part[name]
    return part


def operation_at(method: str, path: str) -> dict[str, Any] | None:
    """The operation that a request addresses; None where there is no such route."""
    given = path.partition("?")[0].split("/")
    # A literal segment wins over a parameter.
    for template, operations in sorted(contract()["paths"].items(), key=lambda one: one[0].replace("{", "\U0010ffff")):
        wanted = template.split("/")
        if len(given) != len(wanted) or method.lower() not in operations:
            continue
        if all(want == got or (want[:1] == "{" and got) for want, got in zip(wanted, given, strict=True)):
            found: dict[str, Any] = operations[method.lower()]
            return found
    return None


def hold(method: str, path: str, status: int, headers: Message, content: bytes) -> None:
    """Raise OutsideContract for an answer whose status, headers, type or body the contract does not allow."""
    operation = operation_at(method, path)
    if operation is None:
        return
    name, said = operation["operationId"], operation["responses"].get(str(status))
    if said is None:
        raise OutsideContract(f"{name} does not answer {status}")
    response = resolved(said)
    _hold_headers(f"{name} {status}", response["headers"], headers)
    if not content:
        if "content" in response:
            raise OutsideContract(f"{name} {status} has no body")
        return
    media_type = headers["Content-Type"]
    if media_type not in response.get("content", {}):
        raise OutsideContract(f"{name} {status} is no {media_type}")
    for error in _validator(name, status, media_type).iter_errors(json.loads(content)):
        raise OutsideContract(f"{name} {status} at /{'/'.join(map(str, error.instance_path))}: {error.message}")


def _hold_headers(what: str, allowed: Mapping[str, Any], headers: Message) -> None:
    missing = [name for name, header in allowed.items() if resolved(header).get("required") and name not in headers]
    known = {name.lower() for name in allowed}
    unknown = [name for name in headers if name.lower() not in known and not _TRANSPORT.fullmatch(name)]
    if missing or unknown:
        raise OutsideContract(f"{what} lacks the headers {missing}, or should not have {unknown}")


@cache
def _validator(operation_id: str, status: int, media_type: str) -> Any:
    operations = [one for path in contract()["paths"].values() for one in path.values()]
    (operation,) = (one for one in operations if one["operationId"] == operation_id)
    schema = resolved(operation["responses"][str(status)])["content"][media_type]["schema"]
    return jsonschema_rs.Draft202012Validator({**schema, "components": contract()["components"]}, validate_formats=True)
