"""Records the operations of clients for histories: what they asked for, and what they got."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from shared.batches import BatchOperation
from shared.models import DeletedTask, NewTask, Task
from shared.positions import NoRoom
from shared.store import items
from shared.store.dynamodb import OutcomeUnknown, Unavailable
from shared.store.task_store import OperationRefused
from shared.tasks import AnchorNotInList, NotDeleted, TaskNotFound, VersionMismatch
from tests.property.histories import Asked, Event, Outcome, State, Write
from tests.wire import OPERATION, Applied, Crash

OUTCOMES: dict[type[BaseException], Outcome] = {
    AnchorNotInList: "anchor elsewhere",
    Crash: "killed",
    NoRoom: "refused",
    NotDeleted: "not deleted",
    OutcomeUnknown: "unknown",
    TaskNotFound: "absent",
    Unavailable: "unavailable",
    VersionMismatch: "refused",
}


class Recorded(NamedTuple):
    """An operation that has ended: its outcome, and an event for each task that it named or returned."""

    outcome: Outcome
    events: list[Event]
    tasks: list[Task]


def record(operation: object, asked: Sequence[Asked], call: Callable[[], Iterable[Task]]) -> Recorded:
    """Run an operation of a store, and record what its client sees."""
    OPERATION.set(operation)
    seen, error, refused = dict[str, Task](), None, None
    began = time.monotonic()
    try:
        seen = {task.id: task for task in call()}
    except OperationRefused as refusal:
        error, refused = refusal.__cause__, refusal.index
    except tuple(OUTCOMES) as raised:
        error = raised
    ended = time.monotonic()
    outcome = "done" if error is None else OUTCOMES[type(error)]
    events = []
    named = {one.task for one in asked}
    for index, one in enumerate([*asked, *(Asked(task_id, "list") for task_id in seen if task_id not in named)]):
        if one.task in seen:
            task = seen[one.task]
            events.append(Event(operation, one, outcome, began, ended, task.version, state_of(task)))
        elif refused in {None, index}:
            events.append(Event(operation, one, outcome, began, ended, getattr(error, "version", None)))
        else:  # the batch was refused because of another of its operations
            events.append(Event(operation, one, "refused", began, ended))
    return Recorded(outcome, events, [*seen.values()])


def asked_by(operation: BatchOperation) -> Asked:
    """What an operation of a batch asks for. A create has an id."""
    task_id = str(operation.id)
    match operation.op:
        case "create":
            return Asked(task_id, "create", fields_of(operation.task))
        case "update":
            return Asked(task_id, "update", operation.patch.changes())
        case "move":
            return Asked(task_id, "move", {"list": operation.list} if operation.list else {}, operation)
        case "delete" | "restore":
            return Asked(task_id, operation.op, {"deleted": operation.op == "delete"})
        case _:
            return Asked(task_id, operation.op)


def fields_of(new: NewTask, *, deleted: bool = False) -> dict[str, object]:
    """The fields of a state that a new task asks for."""
    return {"title": new.title, "completed": new.completed, "list": new.list, "deleted": deleted}


def state_of(task: Task) -> State:
    """The state of a task in a response or in an item."""
    life = (task.created_at, task.first_version)
    return State(task.title, task.completed, isinstance(task, DeletedTask), task.list, task.position, life)


def writes_of(applied: Applied) -> list[Write]:
    """The versions that a request made."""
    operation, token, written, began, ended = applied
    tasks = [items.from_item(item) for item in written]
    return [Write(operation, task.id, began, ended, task.version, state_of(task), token) for task in tasks]
