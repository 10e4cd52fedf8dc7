"""Positions: strings that order the tasks of a list. There is another position between any two.

A position is a fraction between 0 and 1 in base 36, without trailing zeros: byte by byte, positions sort like
their numbers. This technique is known as fractional indexing.
"""

from collections.abc import Callable

LONGEST = 250
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE = len(_DIGITS)
# The first digits of the position of a new task count milliseconds since 1970, the others order tasks of a millisecond.
_TIME_LENGTH = 9
_REST = _BASE**5
_LENGTH = _TIME_LENGTH + 5


class NoRoom(Exception):
    """A position between these two would be longer than LONGEST."""


def of_id(uuid7: str) -> str:
    """Return the position of a new task, which follows the time in its id."""
    time, random = uuid7[:13].replace("-", ""), uuid7[15:22].replace("-", "")
    return _text(int(time, 16) * _REST + int(random, 16), _LENGTH)


def between(low: str | None, high: str | None, randbelow: Callable[[int], int]) -> str:
    """Return a position between two others, near the middle. None is the beginning or the end of the list.

    A part of it is random, so that two clients that request the same place get different positions: `randbelow` is like
    that of the module `secrets`. Raises NoRoom.
    """
    for length in range(_LENGTH, LONGEST + 1):
        # At an end of the list, the step is one millisecond, like between two new tasks.
        if high is None:
            below = _number(low or "", length)
            above = below + 2 * _REST
        else:
            above = _number(high, length)
            below = max(above - 2 * _REST, 0) if low is None else _number(low, length)
        gap = above - below
        if gap >= _REST:
            return _text(below + gap * 7 // 16 + randbelow(gap // 8), length)
    raise NoRoom


def _number(position: str, length: int) -> int:
    return int(position[:length].ljust(length, "0"), _BASE)


def _text(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, _BASE)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits)).rstrip("0")
