"""Runs the real handlers in this process, on one table, with a clock that a test can move."""

import base64
import importlib.util
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

import shared.http.requests
from shared.store import dynamodb
from shared.store.dynamodb import Table
from shared.store.task_store import TaskStore
from tests import guard
from tests.api import FOR_SERVICES, OPERATIONS
from tests.conftest import ROOT


@dataclass(frozen=True)
class Reply:
    """A response of a handler."""

    response: Mapping[str, Any]

    @property
    def status(self) -> int:
        return int(self.response["statusCode"])

    @property
    def headers(self) -> Mapping[str, str]:
        headers: Mapping[str, str] = self.response["headers"]
        return headers

    @property
    def body(self) -> str:
        return str(self.response["body"])

    @property
    def json(self) -> Any:
        """The body, read as JSON; None without a body."""
        return json.loads(self.body) if self.body else None

    @property
    def kind(self) -> str:
        """The kind of the problem; empty if it is not a problem."""
        return str(self.json["type"]).removeprefix("urn:problem:tasks:") if self.status >= 400 else ""


@dataclass
class Functions:
    """Calls the handler of an operation with an event in the format of API Gateway."""

    handlers: Mapping[str, guard.Handler]
    # A process of Lambda runs one request at a time: Powertools keeps a request's metrics in globals.
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def __call__(
        self,
        name: str,
        caller: str,
        task_id: str = "",
        *,
        path_user: str = "me",
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        scope: str = "",
        seconds: float = 10,
    ) -> Reply:
        operation = (OPERATIONS | FOR_SERVICES)[name]
        event = {
            "version": "2.0",
            "routeKey": f"{operation.method} {operation.path}",
            "rawQueryString": urlencode(query or {}, errors="replace"),
            "headers": {"content-type": "application/json", **(headers or {})},
            "pathParameters": {"user_id": path_user, **({"task_id": task_id} if operation.on_a_task else {})},
            "queryStringParameters": query or None,
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "authorizer": {"jwt": {"claims": {"sub": caller, "scope": scope, "token_use": "access"}}},
            },
            "body": _encoded(body),
            "isBase64Encoded": isinstance(body, bytes),
        }
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: int(seconds * 1000))
        with self.one_at_a_time:
            response = self.handlers[name](event, context)
        return Reply(response)


@contextmanager
def functions(table: Table, clock: Callable[[], int] = time.time_ns) -> Iterator[Functions]:
    """Load all handlers with this table. `clock` returns the time of their stores in nanoseconds since 1970."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamodb, "client", lambda: table.client)
        patch.setattr(shared.http.requests, "TaskStore", partial(TaskStore, clock=clock))
        yield Functions({name: _load(name) for name in OPERATIONS | FOR_SERVICES})


def _encoded(body: object) -> str | None:
    """Return the body of an event: text unchanged, bytes as Base64, anything else as JSON."""
    if isinstance(body, bytes):
        return base64.b64encode(body).decode()
    return body if body is None or isinstance(body, str) else json.dumps(body)


def _load(name: str) -> guard.Handler:
    spec = importlib.util.spec_from_file_location(f"functions.{name}.app", ROOT / "functions" / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return guard.guarded(module.handler)
