"""HEAD: the decorator of the handlers removes the body, and so does get_openapi, which has no decorator."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from functions.get_openapi import app as get_openapi
from shared.http import operation, telemetry
from shared.http.operation import Handler
from shared.http.requests import Request
from shared.http.responses import Response
from shared.http.settings import settings
from shared.models import Cleared, NoQuery
from shared.store import dynamodb
from shared.tasks import TaskNotFound


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dynamodb, "client", lambda: None)
    monkeypatch.setattr(telemetry, "report", lambda _: None)
    monkeypatch.setenv("TABLE_NAME", "TaskTable")
    settings.cache_clear()
    yield
    settings.cache_clear()


def found(_: Request) -> Response[Cleared]:
    return Response(200, Cleared(cleared=3, more=False), {"ETag": '"1-1"'})


def missing(_: Request) -> Response[Cleared]:
    raise TaskNotFound


def responses(handle: operation.Handle) -> list[dict[str, Any]]:
    declaration = operation.Declaration(handle, "get_task", None, NoQuery, Cleared, [])
    handler: Handler = operation.framed(declaration)
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000)
    return [handler(event(method), context) for method in ("GET", "HEAD")]


def event(method: str) -> dict[str, Any]:
    return {
        "routeKey": f"{method} /v1/users/{{user_id}}/tasks",
        "rawQueryString": "",
        "headers": {},
        "pathParameters": {"user_id": "me"},
        "requestContext": {"requestId": "r", "authorizer": {"jwt": {"claims": {"sub": "alice"}}}},
    }


@pytest.mark.parametrize(("handle", "status"), [(found, 200), (missing, 404)])
def test_the_response_to_head_is_that_to_get_without_its_body(handle: operation.Handle, status: int) -> None:
    get, head = responses(handle)
    assert get["statusCode"] == status
    assert get["body"]
    assert head == {**get, "body": ""}


@pytest.mark.parametrize("headers", [{}, {"if-none-match": "*"}])
def test_the_response_of_the_contract_to_head_has_no_body(headers: dict[str, str]) -> None:
    get, head = (
        get_openapi.handler({"routeKey": f"{method} /v1/openapi.json", "headers": headers}, None)
        for method in ("GET", "HEAD")
    )
    assert head == {**get, "body": ""} if "body" in get else head == get
