"""Handlers that the gateway's tests let it run."""

import os
import time
from typing import Any


def echo(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the event, and what the context and the environment say."""
    return {
        "event": event,
        "process": os.getpid(),
        "name": context.function_name,
        "left": context.get_remaining_time_in_millis(),
        "own": os.environ["OWN"],
    }


def misbehave(event: dict[str, Any], _: Any) -> Any:
    """Do what the path asks for."""
    how = event["pathParameters"]["how"]
    if how == "raise":
        raise RuntimeError("on purpose")
    if how == "exit":
        os._exit(1)
    time.sleep({"hang": 60, "sleep": 0.5}.get(how, 0))
    return _ANSWERS.get(how, {"statusCode": 200, "body": str(os.getpid())})


_ANSWERS = {
    "unserializable": {"statusCode": 200, "body": object()},
    "malformed": {"statusCode": "many", "body": ""},
    "large": {"statusCode": 200, "body": "x" * 7_000_000},
    "cors": {
        "statusCode": 201,
        "headers": {"Access-Control-Allow-Origin": "https://elsewhere", "X-Own": "1"},
        "cookies": ["a=1", "b=2"],
        "body": "aGk=",
        "isBase64Encoded": True,
    },
    "plain": {"plain": True},
    "empty": {"statusCode": 204},
}
