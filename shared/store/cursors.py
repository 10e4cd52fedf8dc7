"""Cursors: a position in a list, as a token. Only the same list of the same user accepts it.

A cursor contains the version of the format, a hash, and the index key of the last task of the page. The hash covers the
list and the position, so a damaged cursor is refused. A cursor needs no signature, because it gives access to nothing:
every query reads only the partition of the verified user.
"""

import base64
import binascii
import hashlib
import re

_FORMAT = "1"
_SHAPE = re.compile(rf"{_FORMAT}\n([A-Za-z0-9_-]{{22}})\n([^\n]+)")


class InvalidCursor(Exception):
    """A cursor from another list or user, or a damaged one."""


def encode(position: str, *scope: str) -> str:
    """Return the cursor of a position in the list that the scope (user, status, order ...) names."""
    return _base64("\n".join((_FORMAT, _digest(scope, position), position)).encode())


def decode(cursor: str, *scope: str) -> str:
    """Return the position in a cursor of this list. Raises InvalidCursor for anything else.

    The caller must check that the position is in the range of the list.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
    shape = _SHAPE.fullmatch(text)
    # Base64 has several spellings of the same bytes. Only the one that we make is accepted.
    if shape is None or shape[1] != _digest(scope, shape[2]) or _base64(text.encode()) != cursor:
        raise InvalidCursor
    return shape[2]


def _digest(scope: tuple[str, ...], position: str) -> str:
    return _base64(hashlib.sha256("\n".join((*scope, position)).encode()).digest()[:16])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
