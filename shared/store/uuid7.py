"""Task ids that sort by time: UUID version 7 (RFC 9562, section 5.7). Python 3.14 adds them to its standard library."""

import secrets
from uuid import UUID

_MILLISECOND = 1_000_000


def uuid7(now: int) -> UUID:
    """Make an id for the time `now`, in nanoseconds since 1970.

    The 12 bits after the milliseconds hold the fraction of the millisecond (RFC 9562, section 6.2, method 3), so that
    tasks that a client creates one after the other sort in that order. The other 62 bits are random.
    """
    milliseconds, rest = divmod(now, _MILLISECOND)
    fraction = (rest << 12) // _MILLISECOND
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62))
