"""Histories of operations on tasks, and their checker: compares the responses to clients with the applied writes.

The wire records each applied write. Each write makes a version, so the writes of a task have one order, and
the state at each version is known. The checker compares every response with this order, and the order with time:
an operation that began after the end of another one comes after it (Herlihy and Wing, "Linearizability", 1990).

A task that is removed from the table can be imported again: this begins a new life. Versions count up by one in a
life, and a later life begins above every version of the earlier ones, so the versions order the writes of all lives.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from shared.models import Move

type Outcome = Literal[
    "done", "refused", "absent", "not deleted", "anchor elsewhere", "unavailable", "unknown", "killed"
]

BEGINNINGS = {"create", "import"}
WRITES = {*BEGINNINGS, "update", "toggle", "move", "delete", "restore"}
# These can succeed without a write: the task is already as requested.
REPEATABLE = {"delete", "import", "move"}
NEVER, ALWAYS = float("-inf"), float("inf")


@dataclass(frozen=True)
class State:
    """The visible state of a task. `life` has the time of creation and the first version."""

    title: str
    completed: bool
    deleted: bool
    list: str | None = None
    position: str | None = None
    life: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class Asked:
    """What a client asks for: the fields that a write shall set, and the place of a move."""

    task: str
    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    move: Move | None = None


@dataclass(frozen=True)
class Event:
    """An operation on a task as its client saw it: the times of request and response (s), and the outcome.

    `version` is the version in the response; None for a response without one, as of a delete. A batch has one event
    for each of its operations, in their order.
    """

    operation: object
    asked: Asked
    outcome: Outcome
    began: float
    ended: float
    version: int | None = None
    state: State | None = None

    @property
    def task(self) -> str:
        return self.asked.task

    @property
    def kind(self) -> str:
        return self.asked.kind


@dataclass(frozen=True)
class Write:
    """An applied write of a task: the times between which it was applied (s), its version and its state.

    All writes of one request have the same token. The removal of a task has the last version, and no state.
    """

    operation: object
    task: str
    began: float
    ended: float
    version: int
    state: State | None
    token: str = ""


class Moment(NamedTuple):
    """A state of a task, None if there is no task: its version, and the times (s) of its write and of the next one."""

    version: int
    state: State | None
    write: Write | None = None
    began: float = NEVER
    ended: float = NEVER
    next_began: float = ALWAYS
    next_ended: float = ALWAYS

    def touches(self, began: float, ended: float) -> bool:
        """Whether the task can have had this state at some time between the two."""
        return self.began <= ended and began <= self.next_ended

    def spans(self, began: float, ended: float) -> bool:
        """Whether the task had this state all the time between the two."""
        return self.ended <= began and ended <= self.next_began


class Line:
    """The states of a task in their order: no task first, and then one state for each write.

    `places` has the place of each version, and `made` that of the write of each operation.
    """

    def __init__(self, writes: Iterable[Write]) -> None:
        ordered = sorted(writes, key=lambda write: (write.version, write.state is None))
        found = [Moment(0, None), *(Moment(one.version, one.state, one, one.began, one.ended) for one in ordered)]
        self.moments = [
            moment._replace(next_began=following.began, next_ended=following.ended)
            for moment, following in pairwise(found)
        ] + found[-1:]
        self.places = {one.version: place for place, one in enumerate(self.moments) if one.state is not None}
        self.made = {one.write.operation: place for place, one in enumerate(self.moments) if one.write is not None}

    def during(self, event: Event) -> list[Moment]:
        """The states that the task can have had during an operation."""
        return [moment for moment in self.moments if moment.touches(event.began, event.ended)]


def faults(events: Iterable[Event], writes: Iterable[Write]) -> list[str]:
    """Return the errors of a history; none if every response is true and the history is linearizable."""
    history: defaultdict[str, list[Event]] = defaultdict(list)
    operations: defaultdict[object, list[Event]] = defaultdict(list)
    applied: defaultdict[str, list[Write]] = defaultdict(list)
    for event in events:
        history[event.task].append(event)
        operations[event.operation].append(event)
    for write in writes:
        applied[write.task].append(write)
    lines = {task: Line(applied[task]) for task in history.keys() | applied.keys()}
    return [
        *(f"{task}: {fault}" for task, line in lines.items() for fault in _of_a_task(history[task], line)),
        *(f"{operation}: {fault}" for operation, of in operations.items() for fault in _of_a_batch(of, lines)),
        *_of_moves(operations.values(), lines),
    ]


def _of_a_task(history: Sequence[Event], line: Line) -> list[str]:
    found = [*_of_versions(line.moments)]
    if found:
        return found  # without an order of the writes, the rest says nothing
    found = [
        f"{operation} was applied {count} times"
        for operation, count in Counter(one.write.operation for one in line.moments if one.write is not None).items()
        if count > 1
    ]
    asked = {event.operation: event for event in history}
    for before, after in pairwise(line.moments):
        if after.write is not None and after.state is not None:
            found += _of_a_write(asked.get(after.write.operation), before.state, after.state, after.write)
    for event in history:
        found += _of_an_event(event, line)
    return found + _against_time(history, line)


def _of_versions(moments: Sequence[Moment]) -> Iterator[str]:
    """Versions count up by one from the first version of their life. A later life begins above the earlier ones."""
    for version, count in Counter(one.version for one in moments if one.state is not None).items():
        if count > 1:
            yield f"two writes made version {version}: one was lost"
    for before, after in pairwise(moments):
        if after.state is None:
            if after.version != before.version or before.state is None:
                yield f"version {after.version} was removed, which no operation made"
        elif before.state is None:
            if after.version != after.state.life[1]:
                yield f"a life begins at version {after.version}: {after.state}"
        elif after.version != before.version + 1:
            yield f"versions have gaps: {after.version} follows {before.version}"


def _of_a_write(event: Event | None, before: State | None, after: State, write: Write) -> Iterator[str]:
    """An applied write belongs to an operation that was not refused, and does what the client requested."""
    if event is None or event.kind not in WRITES:
        yield f"version {write.version} was made by {write.operation}, which asked for no write"
        return
    if event.outcome not in {"done", "unknown", "killed"}:
        yield f"version {write.version} was made by a {event.kind} with the outcome {event.outcome}"
    fields = dict(event.asked.fields)
    if before is None or event.kind in BEGINNINGS:
        # The server chooses the position, and what belongs to the life.
        is_right = before is None and event.kind in BEGINNINGS and after == replace(after, **fields)
    else:
        if event.kind == "toggle":
            fields["completed"] = not before.completed
        if event.kind == "move":
            fields["position"] = after.position  # _of_a_move checks it
        is_right = before.deleted == (event.kind == "restore") and after == replace(before, **fields)
    if not is_right:
        yield f"version {write.version}, {after}, is a {event.kind} of {before}"


def _of_an_event(event: Event, line: Line) -> Iterator[str]:
    """The response to a client is true, or was true at some moment between request and response."""
    made = line.made.get(event.operation)
    is_done, is_write = event.outcome == "done", event.kind in WRITES
    if event.outcome in {"absent", "not deleted"} or (is_done and event.kind == "delete" and made is None):
        if not any(_is_true(event, moment.state) for moment in line.during(event)):
            yield f"{event.kind}: {event.outcome} was never true"
        return
    if is_done and is_write and event.kind != "delete":
        is_lost = event.kind not in REPEATABLE if made is None else line.moments[made].version != event.version
        if is_lost:
            yield f"a {event.kind} that was acknowledged as version {event.version} is not there: it was lost"
            return
    if event.version is None:
        return
    if event.version not in line.places:
        yield f"{event.kind} saw version {event.version}, which no operation made"
        return
    state = line.moments[line.places[event.version]].state
    if event.state not in {None, state}:
        yield f"version {event.version} was seen as {event.state}, and is {state}"
    if is_done and event.kind == "import" and made is None and not _is_repeat(event, state):
        yield f"an import was recognized as a repeat, at version {event.version}: {state}"


def _is_repeat(event: Event, state: State | None) -> bool:
    """Whether an earlier import had the same content, and its task has not changed since."""
    return state is not None and event.version == state.life[1] and state == replace(state, **event.asked.fields)


def _is_true(event: Event, state: State | None) -> bool:
    """Whether a response without a version is true for a state."""
    if event.outcome == "not deleted":
        return state is not None and not state.deleted
    if event.outcome == "absent":
        return state is None or (state.deleted and event.kind != "restore")
    return state is not None and state.deleted  # a delete that wrote nothing


def _against_time(history: Iterable[Event], line: Line) -> list[str]:
    """An operation that began after a version was acknowledged or read comes after this version."""
    placed = [(one.began, one.ended, place, "a write", True) for place, one in enumerate(line.moments[1:], 1)]
    placed += [
        (one.began, one.ended, line.places[one.version], one.kind, one.outcome == "done" and one.operation in line.made)
        for one in history
        if one.version in line.places
    ]
    found = []
    ended = sorted(placed, key=lambda one: one[1])
    newest, index = 0, 0
    for began, _, place, kind, makes in sorted(placed, key=lambda one: one[0]):
        while index < len(ended) and ended[index][1] < began:
            newest = max(newest, ended[index][2])
            index += 1
        if place < newest + makes:
            later = line.moments[newest]
            what = f"version {later.version}" if later.state is not None else f"the removal of version {later.version}"
            found.append(f"{kind} came to version {line.moments[place].version} after {what} had been acknowledged")
    return found


def _of_a_batch(operations: Sequence[Event], lines: Mapping[str, Line]) -> Iterator[str]:
    """All writes of a batch are in one request. An operation without a write changes nothing."""
    made = {
        one.task: lines[one.task].moments[lines[one.task].made[one.operation]]
        for one in operations
        if one.operation in lines[one.task].made
    }
    writes = [moment.write for moment in made.values() if moment.write is not None]
    if len({write.token for write in writes}) > 1:
        yield "its writes were in several requests"
    for one in operations:
        if writes and one.task not in made and not _changes_nothing(one, lines[one.task], writes[0]):
            yield f"was applied without its {one.kind} of {one.task}"


def _changes_nothing(event: Event, line: Line, write: Write) -> bool:
    """Whether a task was already as an operation requests it, when another task of the batch was written."""
    fields = {"deleted": event.kind == "delete", **event.asked.fields}
    return event.kind in REPEATABLE and any(
        moment.state is not None and moment.state == replace(moment.state, **fields)
        for moment in line.moments
        if moment.touches(write.began, write.ended)
    )


def _of_moves(operations: Iterable[Sequence[Event]], lines: Mapping[str, Line]) -> Iterator[str]:
    by_list: defaultdict[tuple[str | None, bool], list[tuple[str, Moment]]] = defaultdict(list)
    for task, line in lines.items():
        for moment in line.moments:
            if moment.state is not None and not moment.state.deleted:
                by_list[moment.state.list, moment.state.completed].append((task, moment))
    for batch in operations:
        for event in batch:
            move, line = event.asked.move, lines[event.task]
            if move is None:
                continue
            if event.outcome == "anchor elsewhere":
                yield from _of_a_refused_move(event, move, batch, lines)
            place = line.made.get(event.operation)
            if place is None and event.outcome == "done" and event.version is not None:
                place = line.places.get(event.version)
            state = None if place is None else line.moments[place].state
            if state is not None:
                yield from _of_a_move(event, move, state, batch, lines, by_list[state.list, state.completed])


def _of_a_refused_move(event: Event, move: Move, batch: Sequence[Event], lines: Mapping[str, Line]) -> Iterator[str]:
    """The anchor of a move that was refused for it was elsewhere at some moment."""
    if move.anchor is None or move.anchor in {one.task for one in batch}:
        return  # an earlier operation of the batch can put the anchor elsewhere, and is not applied
    own = {moment.state.list for moment in lines[event.task].during(event) if moment.state is not None}
    names = {event.asked.fields["list"]} if "list" in event.asked.fields else own
    states = [moment.state for moment in _line(move.anchor, lines).during(event)]
    if all(_is_in(name, state) for name in names for state in states):
        yield f"{event} was refused, and its anchor was in the list"


def _of_a_move(
    event: Event,
    move: Move,
    state: State,
    batch: Sequence[Event],
    lines: Mapping[str, Line],
    same_list: Iterable[tuple[str, Moment]],
) -> Iterator[str]:
    """A moved task is on the requested side of its anchor, and no task that stayed during the move is between them.

    `same_list` has the states of all tasks with the list and the status of the moved task.
    """
    together = _states_in_batch(event, batch, lines)
    own = (str(state.position), event.task)
    edge = ("", "") if move.is_after else ("~", "")
    if move.anchor is not None:
        known = [together[move.anchor]] if move.anchor in together else None
        states = known or [moment.state for moment in _line(move.anchor, lines).during(event)]
        edges = [(str(one.position), move.anchor) for one in states if one is not None and _is_in(state.list, one)]
        edges = [one for one in edges if (one < own) == move.is_after]
        if not edges:
            yield f"{event}: at {own}, it is not on its side of its anchor"
            return
        edge = max(edges) if move.is_after else min(edges)
    low, high = sorted([edge, own])
    stayed = [
        (task, moment.state)
        for task, moment in same_list
        if moment.spans(event.began, event.ended) and task not in {event.task, *together}
    ]
    for task, other in [*stayed, *together.items()]:
        if other is None or not _is_in(state.list, other) or other.completed != state.completed:
            continue
        if low < (str(other.position), task) < high:
            yield f"{event}: at {own}, it went past {task} at {other.position}"


def _states_in_batch(event: Event, batch: Sequence[Event], lines: Mapping[str, Line]) -> dict[str, State | None]:
    """The states of the other tasks of a batch when an operation of it was applied: earlier ones had been applied."""
    states, difference = dict[str, State | None](), 0
    for one in batch:
        line = lines[one.task]
        if one is event:
            difference = -1
        elif one.operation in line.made:
            states[one.task] = line.moments[line.made[one.operation] + difference].state
    return states


def _line(task: str, lines: Mapping[str, Line]) -> Line:
    """The states of a task, which may never have existed."""
    return lines.get(task) or Line([])


def _is_in(name: str | None, state: State | None) -> bool:
    return state is not None and not state.deleted and state.list == name
