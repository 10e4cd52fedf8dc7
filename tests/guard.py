"""Fails a test that sends a DynamoDB request to a partition other than that of the addressed user.

The guard takes the addressed user from outside the code under test: from the event of a handler, and from the
arguments of a store.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any, cast

from botocore.awsrequest import AWSPreparedRequest
from botocore.endpoint import Endpoint

from shared.store.task_store import TaskStore

# Other actions of DynamoDB (Scan, PartiQL) can reach more than one partition.
_ON_ONE_KEY = {"GetItem", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"}
_TRANSACTIONS = {"TransactGetItems", "TransactWriteItems"}
_NOBODY = "\0"


class ForeignPartition(BaseException):
    """A request named the partition of another user. No handler catches this, and no test expects it."""


class _Addressed(threading.local):
    def __init__(self) -> None:
        self.partitions: list[str] = []


_addressed = _Addressed()


@contextmanager
def addressing(user: str, tenant: str = "") -> Iterator[None]:
    """Allow only the partition of this user in this thread."""
    _addressed.partitions.append(partition_of(user, tenant))
    try:
        yield
    finally:
        _addressed.partitions.pop()


def partition_of(user: str, tenant: str = "") -> str:
    """Return the partition key of a user by docs/data-model.md, without the code under test."""
    names = [tenant, user] if tenant else [user]
    return "USER#" + "#".join(name.replace("%", "%25").replace("#", "%23") for name in names)


def check(request: AWSPreparedRequest) -> None:
    """Raise ForeignPartition if a request for a user names another partition."""
    partitions = set(_addressed.partitions)
    if not partitions:
        return
    name, body = action_of(request)
    found = named(name, body)
    if len(partitions) != 1 or found != partitions:
        raise ForeignPartition(f"{name} names {sorted(found)}, and {sorted(partitions)} is addressed")


def action_of(request: AWSPreparedRequest) -> tuple[str, dict[str, Any]]:
    """Return the action and the body of a request."""
    target = request.headers["X-Amz-Target"]
    name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
    return name, json.loads(cast("bytes", request.body))


def named(name: str, body: Mapping[str, Any]) -> set[str]:
    """Return the partitions that a request names. Raises ForeignPartition for actions that can reach others."""
    if name in _TRANSACTIONS:
        parts = [(kind, part) for item in body["TransactItems"] for kind, part in item.items()]
        return {partition for kind, part in parts for partition in named(f"{kind}Item", part)}
    if name in _ON_ONE_KEY:
        return {body[part]["pk"]["S"] for part in ("Key", "Item") if part in body}
    if name == "BatchWriteItem":
        changed = [part for table in body["RequestItems"].values() for one in table for part in one.values()]
        return {part[place]["pk"]["S"] for part in changed for place in ("Key", "Item") if place in part}
    if name == "BatchGetItem":
        return {key["pk"]["S"] for table in body["RequestItems"].values() for key in table["Keys"]}
    if name != "Query":
        raise ForeignPartition(f"{name} may reach every partition")
    condition, *others = body["KeyConditionExpression"].split(" AND ")
    place, _, value = condition.partition(" = ")
    if body.get("ExpressionAttributeNames", {}).get(place, place) != "pk" or " OR " in " ".join(others):
        raise ForeignPartition(f"{body['KeyConditionExpression']} may reach every partition")
    start = {body["ExclusiveStartKey"]["pk"]["S"]} if "ExclusiveStartKey" in body else set()
    return {body["ExpressionAttributeValues"][value]["S"]} | start


type Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def guarded(handler: Handler) -> Handler:
    """A handler that may reach only the partition of the user whom its event addresses."""

    @wraps(handler)
    def guarded_handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        claims = event["requestContext"].get("authorizer", {}).get("jwt", {}).get("claims") or {}
        user = (event.get("pathParameters") or {}).get("user_id", _NOBODY)
        claim = os.environ.get("TENANT_CLAIM")
        tenant = claims.get(claim, "") if claim else ""
        with addressing(claims.get("sub", _NOBODY) if user == "me" else user, tenant):
            return handler(event, context)

    return guarded_handler


def install() -> None:
    """Let every store of this process, and every request, pass the guard."""
    endpoint: Any = Endpoint
    if hasattr(endpoint, "guarded"):
        return
    endpoint.guarded = True
    send, init = endpoint._do_get_response, TaskStore.__init__

    def sent(self: Any, request: AWSPreparedRequest, *arguments: Any) -> Any:
        check(request)
        return send(self, request, *arguments)

    @wraps(init)
    def made(self: TaskStore, table: Any, user_id: str, *arguments: Any, **named: Any) -> None:
        init(self, table, user_id, *arguments, **named)
        self.addressed = user_id, named.get("tenant", "")  # type: ignore[attr-defined]

    endpoint._do_get_response = sent
    TaskStore.__init__ = made  # type: ignore[method-assign]
    for name, method in list(vars(TaskStore).items()):
        if callable(method) and not name.startswith("_"):
            setattr(TaskStore, name, _for_its_user(method))


def _for_its_user(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def guarded_method(self: Any, *arguments: Any, **named: Any) -> Any:
        with addressing(*self.addressed):
            return method(self, *arguments, **named)

    return guarded_method


def __getattr__(operation: str) -> Handler:
    """Return the guarded handler of an operation, as in `tests.guard.create_task`. The gateways of tests run it."""
    if operation.startswith("_"):
        raise AttributeError(operation)
    install()
    return guarded(import_module(f"functions.{operation}.app").handler)
