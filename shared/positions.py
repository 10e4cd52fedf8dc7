"""Positions: strings that order the tasks of a list, and the choice of one for a moved task.

A position is a fraction between 0 and 1 in base 36, without trailing zeros: byte by byte, positions sort like
their numbers, and there is another one between any two. This technique is known as fractional indexing. Tasks with the
same position are ordered by their ids.
"""

from typing import NamedTuple

LONGEST = 250
PATTERN = rf"[0-9a-z]{{0,{LONGEST - 1}}}[1-9a-z]"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE = len(_DIGITS)
# The first digits of a first position count milliseconds since 1970. In a chosen position, at least five more digits
# follow, a part of which is random.
_TIME_LENGTH = 12
_MILLISECOND = _BASE**5
_LENGTH = _TIME_LENGTH + 5
# The number of bits of the random number that a choice takes.
CHANCE_BITS = 32


class NoRoom(Exception):
    """There is no position between the two tasks: theirs are equal, or a new one would be longer than LONGEST."""


class Place(NamedTuple):
    """What orders a task in its list. Two tasks never have the same place."""

    position: str
    task_id: str


def first(task_id: str, created_at: int) -> str:
    """Return the position of a task that is added to a list without a move: tasks sort by creation.

    It is the id, so no two tasks share it. A clock that is ahead can make an id of the future: then the time of the
    creation, in milliseconds since 1970, comes first, so that later tasks and moves to the end do not land before it.
    """
    digits, time = task_id.replace("-", ""), f"{created_at:0{_TIME_LENGTH}x}"
    return (time + digits if digits[:_TIME_LENGTH] > time else digits).rstrip("0")


def choose(current: Place | None, low: Place | None, high: Place | None, initial: str, chance: int) -> str:
    """Return the position of a task between two neighbours; None is the beginning or the end of the list.

    A task that is already there keeps its `current` position, and a task that is alone gets its `initial` one. `chance`
    is a random number of CHANCE_BITS bits. Raises NoRoom.
    """
    if current is not None and (low is None or low < current) and (high is None or current < high):
        return current.position
    if low is None and high is None:
        return initial
    return between(None if low is None else low.position, None if high is None else high.position, chance)


def between(low: str | None, high: str | None, chance: int) -> str:
    """Return a position near the middle of two others. None is the beginning or the end of the list.

    `chance` is a random number of CHANCE_BITS bits, so that two clients that request the same place get different
    positions. Raises NoRoom.
    """
    for length in range(_LENGTH, LONGEST + 1):
        # At an end of the list, the step is one millisecond, like between two new tasks.
        if high is None:
            below = _number(low or "", length)
            above = min(below + 2 * _MILLISECOND, _BASE**length)
        else:
            above = _number(high, length)
            below = max(above - 2 * _MILLISECOND, 0) if low is None else _number(low, length)
        gap = above - below
        if gap >= _MILLISECOND:
            return _text(below + gap * 7 // 16 + (gap // 8 * chance >> CHANCE_BITS), length)
    raise NoRoom


def _number(position: str, length: int) -> int:
    return int(position[:length].ljust(length, "0"), _BASE)


def _text(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, _BASE)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits)).rstrip("0")
