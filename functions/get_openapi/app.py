"""GET /v1/openapi.json - get this contract."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8")
_ETAG = f'"{hashlib.sha256(_DOCUMENT.encode()).hexdigest()[:32]}"'
# For 5 minutes after a release, caches may return the contract of the previous release. This does no harm.
_CACHED = {"Cache-Control": "public, max-age=300", "ETag": _ETAG}


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Return the OpenAPI description of all operations, or 304 if If-None-Match names its ETag."""
    known = event.get("headers", {}).get("if-none-match", "")
    # The comparison is weak (RFC 9110, section 13.1.2). Splitting at commas is safe: our ETag contains no comma.
    if known.strip() == "*" or _ETAG in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return {"statusCode": 304, "headers": _CACHED}
    body = "" if event["routeKey"].startswith("HEAD ") else _DOCUMENT
    return {"statusCode": 200, "headers": {"Content-Type": "application/json", **_CACHED}, "body": body}
