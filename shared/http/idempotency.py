"""Parses the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) and fingerprints the request."""

import hashlib
import json
import re
from collections.abc import Mapping

from shared.http import problems
from shared.store.items import IdempotencyKey

# A key has 1 to 255 printable ASCII characters, bare or as a quoted string (RFC 8941, section 3.3.3).
_BARE = re.compile(r"[!#-~](?:[ -~]{0,253}[!-~])?")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
# 255 characters in quotes, each of them escaped.
_LONGEST = 2 * 255 + 2
_HEADER = "idempotency-key"


def parse_idempotency_key(
    headers: Mapping[str, str], hours: int, actor: str, body: bytes, *parts: str
) -> IdempotencyKey | None:
    """Return the idempotency key of a request, or None.

    The key belongs to the actor: two members of a space can use the same key. Its record is kept for `hours`. The
    fingerprint covers the body, `parts` and the precondition headers: a request with the same key and another
    fingerprint is rejected. Raises a 400 problem for a malformed key.
    """
    value = headers.get(_HEADER)
    if value is None:
        return None
    value = value.strip(" \t")[: _LONGEST + 1]  # what is longer has no valid form
    if quoted := _QUOTED.fullmatch(value):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    elif _BARE.fullmatch(value):
        key = value
    else:
        detail = "Idempotency-Key must have 1 to 255 printable ASCII characters, bare or quoted."
        raise problems.bad_request("bad-idempotency-key", detail)
    conditions = [headers.get(name) for name in ("if-match", "if-none-match")]
    fingerprinted = json.dumps([*parts, *conditions]).encode() + b"\n" + body
    return IdempotencyKey(
        hashlib.sha256(f"{actor}\t{key}".encode()).hexdigest(), hashlib.sha256(fingerprinted).hexdigest(), hours * 3600
    )
