"""GET /v1/openapi.json - fetch this contract."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8")
_ETAG = f'"{hashlib.sha256(_DOCUMENT.encode()).hexdigest()[:32]}"'
# Until a release is a few minutes old, a cache may show the contract of the one before.
_CACHED = {"Cache-Control": "public, max-age=300", "ETag": _ETAG}


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Answer with the OpenAPI description of all operations, unless the client has it already."""
    known = event.get("headers", {}).get("if-none-match", "")
    # RFC 9110, 13.1.2: the comparison is weak. No comma is in a tag of ours.
    if known.strip() == "*" or _ETAG in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return {"statusCode": 304, "headers": _CACHED}
    body = "" if event["routeKey"].startswith("HEAD ") else _DOCUMENT
    return {"statusCode": 200, "headers": {"Content-Type": "application/json", **_CACHED}, "body": body}
