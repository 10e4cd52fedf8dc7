"""Ids that sort by time: UUID version 7 (RFC 9562, section 5.7). The standard library has them from Python 3.14 on."""

import secrets
from uuid import UUID

_MILLISECOND = 1_000_000


def uuid7(now: int) -> UUID:
    """A new id for the time `now`, in nanoseconds since 1970.

    The 12 bits behind the milliseconds hold their fraction (RFC 9562, section 6.2, method 3), so that tasks which a
    client creates one after the other sort in that order; 62 bits are random.
    """
    milliseconds, rest = divmod(now, _MILLISECOND)
    fraction = (rest << 12) // _MILLISECOND
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62))
