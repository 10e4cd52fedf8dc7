"""Wraps a handler in builds for `sam local`, and only there: converts events to those of API Gateway.

`sam local start-api` has no JWT authorizer and does not lower-case header names. This module lower-cases them and adds
the claims of the token to the event. It does not verify the token, so a deployed artifact must never contain it.
"""

import base64
import json
import os
from typing import Any

# `make dynamodb` listens on the host of the container. Its tables and its event bus are in this region.
if "AWS_ENDPOINT_URL_DYNAMODB" not in os.environ:
    for service in ("DYNAMODB", "EVENTBRIDGE"):
        os.environ[f"AWS_ENDPOINT_URL_{service}"] = "http://host.docker.internal:8002"
    os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"

from .claims import as_text  # type: ignore[import-not-found]
from .deployed import handler as deployed_handler  # type: ignore[import-not-found]


def handler(event: dict[str, Any], context: object) -> Any:
    """Call the deployed handler with the unverified claims of the token."""
    if "headers" not in event:  # it is no request: records of a stream
        return deployed_handler(event, context)
    event["headers"] = {name.lower(): value for name, value in event["headers"].items()}
    token = event["headers"].get("authorization", "").removeprefix("Bearer ")
    if "authorizer" not in event["requestContext"] and token.count(".") == 2:  # noqa: PLR2004 - the parts of a JWT
        payload = token.split(".")[1]
        try:
            claims = dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
        except (ValueError, TypeError):  # not a JWT: the function returns 401
            claims = {}
        texts = {name: as_text(value) for name, value in claims.items()}
        event["requestContext"]["authorizer"] = {"jwt": {"claims": texts, "scopes": None}}
    return deployed_handler(event, context)
