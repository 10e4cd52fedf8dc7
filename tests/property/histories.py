"""Histories of operations on tasks, and their checker: compares the responses to clients with the applied writes.

The wire records each applied write. Each write makes a version, so the writes of a task have one order, and
the state at each version is known. The checker compares every response with this order, and the order with time:
an operation that began after the end of another one comes after it (Herlihy and Wing, "Linearizability", 1990).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

type Outcome = Literal["done", "refused", "absent", "unavailable", "unknown", "killed"]

WRITES = {"create", "update", "toggle", "delete", "restore"}


@dataclass(frozen=True)
class State:
    """The visible state of a task."""

    title: str
    completed: bool
    deleted: bool


@dataclass(frozen=True)
class Event:
    """An operation on a task as its client saw it: the times of request and response (s), and the outcome.

    `version` is the version in the response; None for a response without one, as of a delete.
    """

    operation: object
    task: str
    kind: str
    outcome: Outcome
    began: float
    ended: float
    version: int | None = None
    state: State | None = None
    title: str = ""


@dataclass(frozen=True)
class Write:
    """An applied write of a task: the times between which it was applied (s), its version and its state."""

    operation: object
    task: str
    began: float
    ended: float
    version: int
    state: State


def faults(events: Iterable[Event], writes: Iterable[Write]) -> list[str]:
    """Return the errors of a history; none if every response is true and the history is linearizable."""
    history: defaultdict[str, list[Event]] = defaultdict(list)
    applied: defaultdict[str, list[Write]] = defaultdict(list)
    for event in events:
        history[event.task].append(event)
    for write in writes:
        applied[write.task].append(write)
    return [
        f"{task}: {fault}"
        for task in history.keys() | applied.keys()
        for fault in _of_a_task(history[task], applied[task])
    ]


def _of_a_task(history: list[Event], applied: list[Write]) -> list[str]:
    writes = sorted(applied, key=lambda write: write.version)
    if [write.version for write in writes] != list(range(1, len(writes) + 1)):
        doubled = [version for version, count in Counter(write.version for write in writes).items() if count > 1]
        return [f"two writes made version {version}: one was lost" for version in doubled] or ["versions have gaps"]
    asked = {event.operation: event for event in history}
    found = [
        f"{operation} was applied {count} times"
        for operation, count in Counter(write.operation for write in writes).items()
        if count > 1
    ]
    for write in writes:
        found += _of_a_write(write, writes[write.version - 2].state if write.version > 1 else None, asked)
    made = {write.operation: write for write in writes}
    for event in history:
        found += _of_an_event(event, writes, made)
    return found + _against_time(history, writes)


def _of_a_write(write: Write, before: State | None, asked: dict[object, Event]) -> list[str]:
    """An applied write belongs to an operation that was not refused, and does what the client requested."""
    event = asked.get(write.operation)
    if event is None or event.kind not in WRITES:
        return [f"version {write.version} was made by {write.operation}, which asked for no write"]
    found = []
    if event.outcome not in {"done", "unknown", "killed"}:
        found.append(f"version {write.version} was made by a {event.kind} with the outcome {event.outcome}")
    if before is None:
        return found
    changes = {
        "update": {"title": event.title},
        "toggle": {"completed": not before.completed},
        "delete": {"deleted": True},
        "restore": {"deleted": False},
    }
    expected = replace(before, **changes.get(event.kind, {}))  # type: ignore[arg-type]  # each names fields of State
    if write.state != expected or before.deleted != (event.kind == "restore"):
        found.append(f"version {write.version}, {write.state}, is a {event.kind} of {before}")
    return found


def _of_an_event(event: Event, writes: list[Write], made: dict[object, Write]) -> list[str]:
    """The response to a client is true, or was true at some moment between request and response."""
    write = made.get(event.operation)
    if event.outcome == "absent" or (event.outcome, event.kind, write) == ("done", "delete", None):
        return [] if _was_in_trash(event, writes) else [f"{event.kind}: the task was not in the trash then"]
    if (
        event.outcome == "done"
        and event.kind in WRITES - {"delete"}
        and (write is None or write.version != event.version)
    ):
        return [f"a {event.kind} that was acknowledged as version {event.version} is not there: it was lost"]
    if event.version is None:
        return []
    if event.version > len(writes):
        return [f"{event.kind} saw version {event.version}, which no operation made"]
    state = writes[event.version - 1].state
    if event.state not in {None, state}:
        return [f"version {event.version} was seen as {event.state}, and is {state}"]
    return []


def _was_in_trash(event: Event, writes: list[Write]) -> bool:
    ends = [*(write.ended for write in writes[1:]), float("inf")]
    return any(
        write.state.deleted and write.began <= event.ended and event.began <= end
        for write, end in zip(writes, ends, strict=True)
    )


def _against_time(history: list[Event], writes: list[Write]) -> list[str]:
    """An operation that began after a version was acknowledged or read comes after this version."""
    placed = [(one.began, one.ended, one.version, "a write", True) for one in writes]
    placed += [
        (one.began, one.ended, one.version, one.kind, one.outcome == "done" and one.kind in WRITES)
        for one in history
        if one.version is not None
    ]
    found = []
    ended = sorted(placed, key=lambda one: one[1])
    newest, place = 0, 0
    for began, _, version, kind, makes in sorted(placed, key=lambda one: one[0]):
        while place < len(ended) and ended[place][1] < began:
            newest = max(newest, ended[place][2])
            place += 1
        if version < newest + makes:
            found.append(f"{kind} came to version {version} after version {newest} had been acknowledged")
    return found
