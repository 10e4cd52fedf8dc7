"""Histories of operations on tasks, and what makes them linearizable: judged by versions.

Every acknowledged write has a version of its own, so the writes of a task have one order, and the state at each version
is known. What is left to show is that this order agrees with time: an operation that began after another had ended
comes after it (Herlihy and Wing, "Linearizability", 1990).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class State:
    """What can be seen of a task."""

    title: str
    completed: bool
    deleted: bool


@dataclass(frozen=True)
class Event:
    """An operation on a task that was acknowledged: when it began and ended (s), and what it saw or made.

    `version` is the one after a write, and the one that a read or a refusal saw; None where a task was not found.
    """

    task: str
    kind: str
    began: float
    ended: float
    version: int | None
    state: State | None = None
    title: str = ""

    @property
    def writes(self) -> bool:
        """Whether it made its version."""
        return self.kind in {"create", "update", "toggle", "delete", "restore"}


def faults(events: Iterable[Event]) -> list[str]:
    """What is wrong with a history; nothing if it is linearizable."""
    found: list[str] = []
    tasks: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        tasks[event.task].append(event)
    for task, history in tasks.items():
        found += [f"{task}: {fault}" for fault in _of_a_task(history)]
    return found


def _of_a_task(history: list[Event]) -> list[str]:
    writes: dict[int, Event] = {}
    found = [
        f"two writes made version {event.version}: one was lost"
        for event in history
        if event.writes and event.version is not None and writes.setdefault(event.version, event) is not event
    ]
    if sorted(writes) != list(range(1, len(writes) + 1)):
        return [*found, f"versions {sorted(writes)} were acknowledged, with gaps"]
    states = _states(writes, found)
    placed: list[tuple[float, float, int, Event]] = []
    for event in history:
        if event.version is None:
            found += _not_found(event, states, writes)
            continue
        if event.version not in states:
            found.append(f"{event.kind} saw version {event.version}, which nobody made")
            continue
        if event.state is not None and event.state != states[event.version]:
            found.append(f"version {event.version} was seen as {event.state}, and is {states[event.version]}")
        placed.append((event.began, event.ended, event.version, event))
    return found + _against_time(placed)


def _states(writes: dict[int, Event], found: list[str]) -> dict[int, State]:
    """The state at every version, each made of the one before."""
    states: dict[int, State] = {}
    for version in sorted(writes):
        write, before = writes[version], states.get(version - 1)
        if before is None:
            states[version] = write.state or State(write.title, False, False)
            continue
        if (write.kind == "restore") != before.deleted:
            found.append(f"version {version} is a {write.kind} of {before}")
        states[version] = {
            "update": replace(before, title=write.title),
            "toggle": replace(before, completed=not before.completed),
            "delete": replace(before, deleted=True),
            "restore": replace(before, deleted=False),
        }[write.kind]
    return states


def _not_found(event: Event, states: dict[int, State], writes: dict[int, Event]) -> list[str]:
    """A task that was not found was in the trash at some moment between the request and the answer."""
    for version, state in states.items():
        ends = writes[version + 1].ended if version + 1 in writes else float("inf")
        if state.deleted and writes[version].began <= event.ended and event.began <= ends:
            return []
    return [f"{event.kind} did not find the task, which was never in the trash then"]


def _against_time(placed: list[tuple[float, float, int, Event]]) -> list[str]:
    """Whoever began after a version was acknowledged comes after it."""
    found = []
    ended = sorted(placed, key=lambda one: one[1])
    newest, place = 0, 0
    for began, _, version, event in sorted(placed, key=lambda one: one[0]):
        while place < len(ended) and ended[place][1] < began:
            newest = max(newest, ended[place][2])
            place += 1
        if version < newest + event.writes:
            found.append(f"{event.kind} came to version {version} after version {newest} had been acknowledged")
    return found
