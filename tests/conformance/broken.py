"""Handlers that are broken on purpose: each is the real one with a changed event or response."""

import importlib
import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

type Event = dict[str, Any]
type Response = dict[str, Any]
type Handler = Callable[[Event, Any], Response]

_REAL = os.environ.get("REAL_HANDLER", "")


def handler(event: Event, context: Any) -> Response:
    """Run the breakage that the environment names."""
    real: Handler = importlib.import_module(_REAL).handler
    return BREAKAGES[os.environ["BREAKAGE"]](real, event, context)


def _etag_missing(real: Handler, event: Event, context: Any) -> Response:
    response = real(event, context)
    response["headers"].pop("ETag", None)
    return response


def _without(header: str) -> Callable[[Handler, Event, Any], Response]:
    def broken(real: Handler, event: Event, context: Any) -> Response:
        event["headers"].pop(header, None)
        return real(event, context)

    return broken


def _anybodys_tasks(real: Handler, event: Event, context: Any) -> Response:
    named = event.get("pathParameters", {}).get("user_id", "me")
    if named != "me":
        event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = named
    return real(event, context)


def _everybodys_list(real: Handler, event: Event, context: Any) -> Response:
    """Everybody is the same user."""
    if "pathParameters" in event:
        event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = "everybody"
    return real(event, context)


def _cursor_ignored(real: Handler, event: Event, context: Any) -> Response:
    event.get("queryStringParameters", {}).pop("cursor", None)
    return real(event, context)


def _repeated_parameters_joined(real: Handler, event: Event, context: Any) -> Response:
    event["rawQueryString"] = urlencode(event.get("queryStringParameters", {}))
    return real(event, context)


def _delete_forgotten(real: Handler, event: Event, context: Any) -> Response:
    if event["routeKey"].startswith("DELETE ") and "task_id" in event["pathParameters"]:
        return {"statusCode": 204, "headers": {"Cache-Control": "no-store"}}
    return real(event, context)


def _anchor_ignored(real: Handler, event: Event, context: Any) -> Response:
    """Every move goes to the beginning or the end."""
    if event["routeKey"].endswith("/move"):
        body = json.loads(event["body"])
        event["body"] = json.dumps({**body, **dict.fromkeys({"after", "before"} & set(body))})
    return real(event, context)


def _unknown_fields_pass(real: Handler, event: Event, context: Any) -> Response:
    if event["routeKey"] == "POST /v1/users/{user_id}/tasks":
        try:
            body = json.loads(event["body"])
            known = {name: body[name] for name in ("title", "description", "completed") if name in body}
            event["body"], event["isBase64Encoded"] = json.dumps(known), False
        except (KeyError, ValueError, TypeError):
            pass
    return real(event, context)


def _html_errors(real: Handler, event: Event, context: Any) -> Response:
    response = real(event, context)
    if response["statusCode"] >= 400:
        response |= {"headers": {"Content-Type": "text/html"}, "body": "<h1>Oops</h1>"}
    return response


def _head_refused(real: Handler, event: Event, context: Any) -> Response:
    if event["routeKey"].startswith("HEAD "):
        return {"statusCode": 405, "headers": {"Allow": "GET"}}
    return real(event, context)


def _always_down(_real: Handler, _event: Event, _context: Any) -> Response:
    return {"statusCode": 503, "headers": {}, "body": "{}"}


BREAKAGES: dict[str, Callable[[Handler, Event, Any], Response]] = {
    "ETag missing": _etag_missing,
    "If-Match ignored": _without("if-match"),
    "If-None-Match ignored": _without("if-none-match"),
    "Idempotency-Key ignored": _without("idempotency-key"),
    "the path's user is believed": _anybodys_tasks,
    "one list for everybody": _everybodys_list,
    "cursor ignored": _cursor_ignored,
    "repeated parameters joined": _repeated_parameters_joined,
    "delete forgotten": _delete_forgotten,
    "anchor ignored": _anchor_ignored,
    "unknown fields pass": _unknown_fields_pass,
    "errors in HTML": _html_errors,
    "HEAD refused": _head_refused,
    "always down": _always_down,
}
