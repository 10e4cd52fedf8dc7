"""The negative controls of the checker of histories: it detects every kind of bad history."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared.models import Move
from tests.property.histories import Asked, Event, Outcome, State, Write, faults

type Observed = tuple[list[Event], list[Write]]

BEGUN = State("a", False, False)
UPDATED = State("b", False, False)
TOGGLED = State("b", True, False)
TRASHED = State("b", True, True)
# The second life of a task.
IMPORTED = State("c", False, False, life=(0, 1000))
RENAMED = State("d", False, False, life=(0, 1000))


def event(
    operation: str,
    task: str,
    kind: str,
    outcome: Outcome,
    began: float,
    ended: float,
    version: int | None = None,
    state: State | None = None,
    fields: Mapping[str, Any] | None = None,
    move: Move | None = None,
) -> Event:
    return Event(operation, Asked(task, kind, fields or {}, move), outcome, began, ended, version, state)


def update(title: str) -> dict[str, Any]:
    return {"title": title}


def after(task: str) -> Move:
    return Move.model_construct(after=task)


def at(position: str, *, completed: bool = False, deleted: bool = False) -> State:
    return State("p", completed, deleted, "l", position)


def one_life() -> Observed:
    events = [
        event("1", "t", "create", "done", 0, 1, 1, BEGUN, update("a")),
        event("2", "t", "update", "done", 1, 2, 2, UPDATED, update("b")),
        event("3", "t", "toggle", "unknown", 3, 4),
        event("4", "t", "get", "done", 1.5, 3.5, 2, UPDATED),
        event("5", "t", "delete", "refused", 2, 3, 2),
        event("6", "t", "get", "done", 7, 8, 3, TOGGLED),
    ]
    writes = [
        Write("1", "t", 0.1, 0.9, 1, BEGUN),
        Write("2", "t", 1.1, 1.9, 2, UPDATED),
        Write("3", "t", 6, 6.5, 3, TOGGLED),  # after its operation had ended
    ]
    return events, writes


def two_lives() -> Observed:
    events = [
        event("1", "t", "create", "done", 0, 1, 1, BEGUN, update("a")),
        event("2", "t", "update", "unknown", 1, 5, fields=update("b")),  # the task was removed before the response
        event("3", "t", "restore", "absent", 4, 5),
        event("4", "t", "import", "done", 6, 7, 1000, IMPORTED, update("c")),
        event("5", "t", "import", "done", 7.1, 7.9, 1000, IMPORTED, update("c")),  # a repeat
        event("6", "t", "update", "done", 8, 9, 1001, RENAMED, update("d")),
        event("7", "t", "import", "refused", 10, 11, 1001),
    ]
    writes = [
        Write("1", "t", 0, 1, 1, BEGUN),
        Write("2", "t", 2, 2.5, 2, UPDATED),
        Write("removal", "t", 3, 3.5, 2, None),
        Write("4", "t", 6, 7, 1000, IMPORTED),
        Write("6", "t", 8, 9, 1001, RENAMED),
    ]
    return events, writes


def moves() -> Observed:
    """The list is a, c, e, x. x moves after a. A batch toggles a, and moves c to the end, e after c, and x nowhere."""
    positions = {"a": "1", "c": "3", "e": "5", "x": "7"}
    events = [
        event(f"1{task}", task, "create", "done", 0, 1, 1, at(position), {"list": "l"})
        for task, position in positions.items()
    ]
    writes = [Write(f"1{task}", task, 0, 1, 1, at(position)) for task, position in positions.items()]
    events += [
        event("2", "x", "move", "done", 2, 3, 2, at("2"), {"list": "l"}, after("a")),
        event("3", "a", "toggle", "done", 4, 5, 2, at("1", completed=True)),
        event("3", "c", "move", "done", 4, 5, 2, at("9"), {}, Move.model_construct(before=None)),
        event("3", "e", "move", "done", 4, 5, 2, at("91"), {}, after("c")),
        event("3", "x", "move", "done", 4, 5, 2, at("2"), {}, Move.model_construct(after=None)),  # it is there already
        event("4", "x", "move", "anchor elsewhere", 6, 7, fields={"list": "other"}, move=after("a")),
    ]
    writes += [
        Write("2", "x", 2, 3, 2, at("2")),
        Write("3", "a", 4, 5, 2, at("1", completed=True), "token"),
        Write("3", "c", 4, 5, 2, at("9"), "token"),
        Write("3", "e", 4, 5, 2, at("91"), "token"),
    ]
    return events, writes


def changed(
    base: Callable[[], Observed],
    *more: Event | Write,
    without: Sequence[int] = (),
    events: Mapping[int, Mapping[str, Any]] | None = None,
    writes: Mapping[int, Mapping[str, Any]] | None = None,
) -> Observed:
    """A good history with more events and writes, without the writes at some places, and with changed ones."""
    old_events, old_writes = base()
    new_events = [replace(one, **(events or {}).get(place, {})) for place, one in enumerate(old_events)]
    new_writes = [
        replace(one, **(writes or {}).get(place, {})) for place, one in enumerate(old_writes) if place not in without
    ]
    return (
        [*new_events, *(one for one in more if isinstance(one, Event))],
        [*new_writes, *(one for one in more if isinstance(one, Write))],
    )


def placed(place: int, position: str) -> Observed:
    """The history of moves, with another position after the move at a place of the events and writes."""
    state = {"state": at(position)}
    # Event 8 sees what event 4 made.
    return changed(moves, events={place: state, **({8: state} if place == 4 else {})}, writes={place: state})


UNANSWERED = {"outcome": "unknown", "version": None, "state": None}
LOWER = State("c", False, False, life=(0, 500))
NEW_TITLE = State("q", False, False, "l", "95")
TO_THE_END = Asked("x", "move", {}, Move.model_construct(before=None))

# A part of the fault that the checker has to find, and the history.
BAD_HISTORIES: dict[str, tuple[str, Observed]] = {
    "a version twice": ("one was lost", changed(one_life, Write("7", "t", 7, 8, 3, TOGGLED))),
    "a gap": ("versions have gaps", changed(one_life, without=[1])),
    "an acknowledged write that is lost": (
        "it was lost",
        changed(one_life, event("7", "t", "update", "done", 9, 10, 4, TOGGLED, update("c"))),
    ),
    "an acknowledged write of another version": ("it was lost", changed(one_life, events={1: {"version": 1}})),
    "an operation applied twice": ("applied 2 times", changed(one_life, Write("3", "t", 9, 10, 4, UPDATED))),
    "applied after it was refused": ("with the outcome", changed(one_life, events={2: {"outcome": "refused"}})),
    "applied after it was not found": ("with the outcome", changed(one_life, events={2: {"outcome": "absent"}})),
    "applied after unavailable": ("with the outcome", changed(one_life, events={2: {"outcome": "unavailable"}})),
    "applied without an operation": ("asked for no write", changed(one_life, Write("7", "t", 9, 10, 4, UPDATED))),
    "a write by a read": ("asked for no write", changed(one_life, Write("6", "t", 9, 10, 4, UPDATED))),
    "a toggle without effect": ("is a toggle of", changed(one_life, writes={2: {"state": UPDATED}})),
    "a stale read": ("get came to version 1", changed(one_life, event("7", "t", "get", "done", 5, 6, 1, BEGUN))),
    "a read of the future": ("which no operation made", changed(one_life, event("7", "t", "get", "done", 9, 10, 9))),
    "a read before the write": (
        "a write came to version 3",
        changed(one_life, event("7", "t", "get", "done", 4, 5, 3, TOGGLED)),
    ),
    "a read older than an earlier read": (
        "get came to version 2",
        changed(one_life, event("7", "t", "get", "done", 9, 10, 2, UPDATED)),
    ),
    "another state": ("was seen as", changed(one_life, event("7", "t", "get", "done", 9, 10, 3, UPDATED))),
    "not found but present": ("never true", changed(one_life, event("7", "t", "get", "absent", 9, 10))),
    "a delete without effect": ("never true", changed(one_life, event("7", "t", "delete", "done", 9, 10))),
    "a restore of a task that was not found in the trash": (
        "never true",
        changed(
            one_life,
            event("7", "t", "delete", "done", 9, 10, fields={"deleted": True}),
            event("8", "t", "restore", "absent", 11, 12),
            Write("7", "t", 9, 10, 4, TRASHED),
        ),
    ),
    "a restore of a task that was there, but was in the trash": (
        "never true",
        changed(
            one_life,
            event("7", "t", "delete", "done", 9, 10, fields={"deleted": True}),
            event("8", "t", "restore", "not deleted", 11, 12),
            Write("7", "t", 9, 10, 4, TRASHED),
        ),
    ),
    "an update in the trash": (
        "is a update of",
        changed(
            one_life,
            event("7", "t", "delete", "done", 9, 10, fields={"deleted": True}),
            event("8", "t", "update", "done", 11, 12, 5, TRASHED, update("b")),
            Write("7", "t", 9, 10, 4, TRASHED),
            Write("8", "t", 11, 12, 5, TRASHED),
        ),
    ),
    # Lives.
    "a new life that begins at 1": (
        "two writes made version 1",
        changed(
            two_lives,
            events={3: {"version": 1, "state": BEGUN}},
            writes={3: {"version": 1, "state": BEGUN}},
        ),
    ),
    "a new life below an old one": (
        "versions have gaps",
        changed(
            two_lives,
            event("8", "t", "import", "done", 14, 15, 500, LOWER, update("c")),
            Write("another removal", "t", 12, 13, 1001, None),
            Write("8", "t", 14, 15, 500, LOWER),
        ),
    ),
    "a new life without a removal": ("versions have gaps", changed(two_lives, without=[2])),
    "a new life that does not begin at its first version": (
        "a life begins at version 1000",
        changed(two_lives, writes={3: {"state": replace(IMPORTED, life=(0, 999))}}),
    ),
    "a new life by an update": (
        "is a update of None",
        changed(two_lives, events={3: {"asked": Asked("t", "update", update("c"))}}),
    ),
    "an import over a task": (
        "is a import of",
        changed(
            two_lives,
            event("8", "t", "import", "done", 12, 13, 1002, RENAMED, update("d")),
            Write("8", "t", 12, 13, 1002, RENAMED),
        ),
    ),
    "a version of an old life in a new one": (
        "a life begins at version 3",
        changed(
            two_lives,
            event("8", "t", "toggle", "done", 2.6, 10, 3, TOGGLED),
            Write("8", "t", 9, 10, 3, TOGGLED),
        ),
    ),
    "a write across lives": (
        "is a toggle of",
        changed(
            two_lives,
            event("8", "t", "toggle", "done", 2.6, 10, 1002, TOGGLED),
            Write("8", "t", 9, 10, 1002, TOGGLED),
        ),
    ),
    "a removal of a version that never was": (
        "version 5 was removed",
        changed(two_lives, writes={2: {"version": 5}}),
    ),
    "not found, although it was applied before the removal": (
        "with the outcome absent",
        changed(two_lives, events={1: {"outcome": "absent"}}),
    ),
    "a read of a removed task": (
        "get came to version 2 after the removal",
        changed(two_lives, event("8", "t", "get", "done", 4, 5, 2, UPDATED)),
    ),
    "a repeat of a changed task": (
        "recognized as a repeat",
        changed(two_lives, event("8", "t", "import", "done", 12, 13, 1001, RENAMED, update("d"))),
    ),
    "a repeat with another title": (
        "recognized as a repeat",
        changed(two_lives, event("8", "t", "import", "done", 7.1, 7.9, 1000, IMPORTED, update("z"))),
    ),
    # Moves and batches.
    "a move to the wrong side": ("not on its side", placed(4, "05")),
    "a move to the wrong side that got no response": (
        "not on its side",
        changed(lambda: placed(4, "05"), events={4: UNANSWERED}),
    ),
    "a move past a task": ("went past c", placed(4, "4")),
    "a move to the old place of its anchor in a batch": ("not on its side", placed(7, "4")),
    "a move past a task that moves later in the batch": ("went past e", placed(6, "4")),
    "a move without effect that is not at its place": ("went past", changed(moves, events={8: {"asked": TO_THE_END}})),
    "a move that was refused although its anchor was there": (
        "its anchor was in the list",
        changed(moves, events={9: {"asked": Asked("x", "move", {"list": "l"}, after("a"))}}),
    ),
    "a move that changes more": (
        "is a move of",
        changed(moves, writes={4: {"state": at("2", completed=True)}}),
    ),
    "an update that moves": (
        "is a update of",
        changed(
            moves,
            event("5", "c", "update", "done", 8, 9, 3, NEW_TITLE, update("q")),
            Write("5", "c", 8, 9, 3, NEW_TITLE),
        ),
    ),
    "a batch that was applied in part": (
        "without its toggle of a",
        changed(moves, without=[5], events=dict.fromkeys((5, 6, 7, 8), UNANSWERED)),
    ),
    "a batch that was applied without a delete": (
        "without its delete of x",
        changed(
            moves,
            event("5", "c", "toggle", "unknown", 8, 9),
            event("5", "x", "delete", "unknown", 8, 9, fields={"deleted": True}),
            Write("5", "c", 8, 9, 3, at("9", completed=True)),
        ),
    ),
    "a batch in two requests": ("several requests", changed(moves, writes={7: {"token": "other"}})),
    "a batch that was refused and applied": (
        "with the outcome refused",
        changed(moves, events={place: {**UNANSWERED, "outcome": "refused"} for place in (5, 6, 7, 8)}),
    ),
}


@pytest.mark.parametrize("good", [one_life, two_lives, moves])
def test_the_checker_accepts_good_histories(good: Callable[[], Observed]) -> None:
    assert faults(*good()) == []


@pytest.mark.parametrize(("fault", "bad"), BAD_HISTORIES.values(), ids=BAD_HISTORIES)
def test_the_checker_detects_bad_histories(fault: str, bad: Observed) -> None:
    found = faults(*bad)
    assert any(fault in one for one in found), found
