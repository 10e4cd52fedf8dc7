"""Stands before a handler in builds for `sam local`, and in no other: makes its events what API Gateway's are.

`sam local start-api` knows no JWT authorizer and leaves header names as they came, so they are lower-cased here, and
the claims of the token put into the event. They are not verified: nothing that is deployed may contain this.
"""

import base64
import json
import os
from typing import Any

# The machine that the container runs on, where `make dynamodb` listens; its tables are in this region.
if "AWS_ENDPOINT_URL_DYNAMODB" not in os.environ:
    os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = "http://host.docker.internal:8002"
    os.environ["AWS_DEFAULT_REGION"] = "eu-central-1"

from .deployed import handler as deployed_handler  # type: ignore[import-not-found]


def handler(event: dict[str, Any], context: object) -> Any:
    """Call the handler that is deployed, with the identity that the event's token claims."""
    event["headers"] = {name.lower(): value for name, value in event["headers"].items()}
    token = event["headers"].get("authorization", "").removeprefix("Bearer ")
    if "authorizer" not in event["requestContext"] and token.count(".") == 2:  # noqa: PLR2004 - the parts of a JWT
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        event["requestContext"]["authorizer"] = {"jwt": {"claims": claims, "scopes": None}}
    return deployed_handler(event, context)
