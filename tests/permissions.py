"""Moto's DynamoDB with the permissions of template.yaml: requests that the role of a function does not allow fail."""

import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from local import dynamodb
from local import template as templates

# An action on a table, or on one of its indexes: ("PutItem", "TaskTable"), ("Query", "TaskTable/index/by_status").
type Permission = tuple[str, str]
type WSGI = Callable[..., Iterable[bytes]]


class Permissions:
    """The permissions of each function by its role, and those that it used."""

    def __init__(self, template: Path) -> None:
        document = templates.read(template)
        resources: Mapping[str, Any] = document["Resources"]
        self.allowed = {
            name: frozenset(_allowed(resources[resources[name]["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]))
            for name in templates.operations(document)
        }
        self.used: defaultdict[str, set[Permission]] = defaultdict(set)

    def before(self, app: WSGI) -> WSGI:
        """Wrap a DynamoDB with these permissions. Callers that are not functions may do everything."""

        def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            sys.settrace(None)  # coverage need not trace the lines of moto
            caller = re.search("Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
            if caller is None or caller[1] not in self.allowed:
                return app(environ, start_response)
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(body)
            asked = set(_asked(environ["HTTP_X_AMZ_TARGET"].rpartition(".")[2], json.loads(body)))
            self.used[caller[1]] |= asked
            if asked <= self.allowed[caller[1]]:
                return app(environ, start_response)
            start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.0")])
            return [json.dumps({"__type": "x#AccessDeniedException", "message": str(asked)}).encode()]

        return guarded


@contextmanager
def moto_with_permissions(permissions: Permissions) -> Iterator[str]:
    """Run moto's server with these permissions, and yield its URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            dynamodb,
            "make_server",
            lambda host, port, app, **options: make_server(host, port, permissions.before(app), **options),
        )
        with dynamodb.moto() as url:
            yield url


def _allowed(role: Mapping[str, Any]) -> Iterator[Permission]:
    for policy in role.get("Policies", ()):
        for statement in policy["PolicyDocument"]["Statement"]:
            for action in _many(statement["Action"]):
                for resource in _many(statement["Resource"]):
                    yield action.removeprefix("dynamodb:"), _name(resource)


def _name(resource: Any) -> str:
    match resource:
        case {"Fn::GetAtt": [table, "Arn"]} | {"Fn::GetAtt": str(table)}:
            return str(table).removesuffix(".Arn")
        case {"Fn::Sub": str(arn)}:
            return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", arn)
    raise AssertionError(f"neither a table nor an index: {resource}")


def _asked(action: str, body: Mapping[str, Any]) -> Iterator[Permission]:
    # IAM has no permissions for transactions: a transaction needs the permissions of its parts.
    for item in body.get("TransactItems", ()):
        for kind, part in item.items():
            yield from _asked(kind if kind == "ConditionCheck" else f"{kind}Item", part)
    if "RequestItems" in body:
        yield from ((action, table) for table in body["RequestItems"])
    elif "TransactItems" not in body:
        index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
        yield ("ConditionCheckItem" if action == "ConditionCheck" else action), body["TableName"] + index


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
