"""Checks responses against the contract: `make openapi` checks its recordings, and tests check every response."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from email.message import Message
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

PROBLEM = "application/problem+json"
DOCUMENT = Path(__file__).parent.parent / "docs" / "openapi.json"
# Headers of the connection, and those that CORS adds.
_TRANSPORT = re.compile(r"connection|content-length|content-type|date|server|access-control-.*", re.IGNORECASE)


type Headers = Mapping[str, str] | Message


class OutsideContract(AssertionError):
    """A response that the contract does not allow."""


class Contract:
    """An OpenAPI document. Objects in responses may only have the members that the document names.

    Clients must not rely on this: a later release may add members.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = deepcopy(document)
        for schema in self.document["components"]["schemas"].values():
            if "properties" in schema:
                schema["additionalProperties"] = False
        self._validators: dict[tuple[str, int, str], Any] = {}

    @property
    def operations(self) -> list[dict[str, Any]]:
        """Every operation."""
        return [operation for path in self.document["paths"].values() for operation in path.values()]

    def resolved(self, part: dict[str, Any]) -> dict[str, Any]:
        """Return this part of the contract, or the part that its $ref points to."""
        for name in part.get("$ref", "#").split("/")[1:]:
            part = self.document if name == "components" else part
            part = part[name]
        return part

    def operation_at(self, method: str, path: str) -> dict[str, Any] | None:
        """Return the operation of a request, or None if there is no such route."""
        given = path.partition("?")[0].split("/")
        paths: dict[str, Any] = self.document["paths"]
        # A literal segment wins over a parameter.
        for template, operations in sorted(paths.items(), key=lambda one: one[0].replace("{", "\U0010ffff")):
            wanted = template.split("/")
            if len(given) != len(wanted) or method.lower() not in operations:
                continue
            if all(want == got or (want[:1] == "{" and got) for want, got in zip(wanted, given, strict=True)):
                found: dict[str, Any] = operations[method.lower()]
                return found
        return None

    def check(self, method: str, path: str, status: int, headers: Headers, content: bytes) -> None:
        """Raise OutsideContract for a response whose status, headers, type or body the contract does not allow.

        `headers` are looked up by the names in the contract. The response to HEAD is that of GET without the body.
        """
        operation = self.operation_at("GET" if method == "HEAD" else method, path)
        if operation is None:
            return
        name, declared = operation["operationId"], operation["responses"].get(str(status))
        if declared is None:
            raise OutsideContract(f"{name} does not return {status}")
        response = self.resolved(declared)
        self._check_headers(f"{name} {status}", response["headers"], headers)
        if method == "HEAD":
            if content:
                raise OutsideContract(f"{name} {status} has a body, though the request is a HEAD")
            return
        if not content:
            if "content" in response:
                raise OutsideContract(f"{name} {status} has no body")
            return
        self._check_body(name, status, response, headers["Content-Type"], content)

    def _check_body(self, name: str, status: int, response: dict[str, Any], media_type: str, content: bytes) -> None:
        if media_type not in response.get("content", {}):
            raise OutsideContract(f"{name} {status} is no {media_type}")
        validator = self._validators.get((name, status, media_type))
        if validator is None:
            schema = {**response["content"][media_type]["schema"], "components": self.document["components"]}
            validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
            self._validators[name, status, media_type] = validator
        body = json.loads(content)
        for error in validator.iter_errors(body):
            raise OutsideContract(f"{name} {status} at /{'/'.join(map(str, error.instance_path))}: {error.message}")
        # The schema of a problem is open to new types. The examples name those of this release.
        if media_type == PROBLEM and body["type"].rpartition(":")[2] not in response["content"][media_type]["examples"]:
            raise OutsideContract(f"{name} {status} does not name {body['type']}")

    def _check_headers(self, what: str, allowed: Mapping[str, Any], headers: Headers) -> None:
        missing = [
            name for name, header in allowed.items() if self.resolved(header).get("required") and name not in headers
        ]
        known = {name.lower() for name in allowed}
        unknown = [name for name in headers if name.lower() not in known and not _TRANSPORT.fullmatch(name)]
        if missing or unknown:
            raise OutsideContract(f"{what} lacks the headers {missing}, or should not have {unknown}")


@cache
def contract() -> Contract:
    """Return the contract of this release."""
    return Contract(json.loads(DOCUMENT.read_text()))
