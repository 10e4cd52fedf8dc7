"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): which key a request carries, and what it stands for."""

import hashlib
import json
import re
from collections.abc import Mapping

from shared import problems
from shared.items import Once

# A key is 1 to 255 printable characters of ASCII, bare or as a string of structured fields (RFC 8941, section 3.3.3).
_BARE = re.compile(r"[!#-~](?:[ -~]{0,253}[!-~])?")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
_HEADER = "idempotency-key"


def once_of(headers: Mapping[str, str], hours: int, body: bytes, *parts: str) -> Once | None:
    """What makes a request happen once: its key, and all that it asks for; None where it carries no key.

    `hours` is how long the key holds, and `parts` say, with the body, all that is asked: a request with the same key
    and another part is another request. Raises a 400 problem for a malformed key.
    """
    value = headers.get(_HEADER)
    if value is None:
        return None
    value = value.strip(" \t")
    if quoted := _QUOTED.fullmatch(value):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    elif _BARE.fullmatch(value):
        key = value
    else:
        detail = "Idempotency-Key must have 1 to 255 printable ASCII characters, bare or quoted."
        raise problems.bad_request("bad-idempotency-key", detail)
    conditions = [headers.get(name) for name in ("if-match", "if-none-match")]
    asked = json.dumps([*parts, *conditions]).encode() + b"\n" + body
    return Once(hashlib.sha256(key.encode()).hexdigest(), hashlib.sha256(asked).hexdigest(), hours * 3600)
