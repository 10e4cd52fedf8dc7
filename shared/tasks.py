"""The rules of tasks: how each operation changes a task. Pure functions, without DynamoDB and HTTP.

A rule takes the current state (None if there is no task) and the time in milliseconds since 1970. It returns
the new state, or the same object if nothing changes. It raises an error if the operation is not allowed.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shared import positions
from shared.fields import metadata_fault
from shared.models import ClearQuery, DeletedTask, Merge, NewTask, Task

_DAY = 24 * 3600 * 1000
# The time of a deleted task in the trash, in milliseconds.
RETENTION = 30 * _DAY
# The maximum age of the id of a new task, in milliseconds. It is less than RETENTION: while an id can be used, an
# earlier task with this id is still in the trash, so no id is used twice.
OLDEST_ID = 29 * _DAY
# The maximum time by which the clock of a client may be ahead.
NEWEST_ID = _DAY
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class TaskNotFound(Exception):
    """The user has no task with this id, or it is in the trash."""


class UnusableId(Exception):
    """The id of a new task is not a UUID of version 7, or its time is too old or in the future."""


class InvalidTask(Exception):
    """A field does not fit to the other fields of the task, or is too large."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class VersionMismatch(Exception):
    """The precondition does not allow the current version of the task."""

    def __init__(self, version: int) -> None:
        super().__init__(f"at version {version}")
        self.version = version


class NotDeleted(Exception):
    """A task to restore is not in the trash."""


class NotMatching(Exception):
    """A task to clear no longer matches the query."""


class NoList(Exception):
    """A task to move is not in a list, and the request names none."""


class AnchorNotInList(Exception):
    """The anchor of a move is not in the list."""


class Precondition(NamedTuple):
    """The versions that a request may change: one of `wanted` (None means any), and none of `unwanted`."""

    wanted: frozenset[int] | None = None
    unwanted: frozenset[int] = frozenset()

    def check(self, task: Task) -> None:
        """Raise VersionMismatch if the version of the task is not allowed."""
        if (self.wanted is not None and task.version not in self.wanted) or task.version in self.unwanted:
            raise VersionMismatch(task.version)


ANY_VERSION = Precondition()


def create(  # noqa: PLR0913 - the parts of a new task
    found: Task | None, task_id: str, user_id: str, new: NewTask, now: int, *, importing: bool = False
) -> Task:
    """Create a task. If it already exists with the same content and is unchanged, return it.

    An imported task may have an id of any age, and its creation time is the time in its id. Raises UnusableId,
    InvalidTask, and VersionMismatch if another task has this id.
    """
    fields = vars(new)
    if found is not None:
        if found.version == 1 and all(getattr(found, name) == value for name, value in fields.items()):
            return found
        raise VersionMismatch(found.version)
    if not _UUID7.fullmatch(task_id):
        raise UnusableId
    age = now - _time_of(task_id)
    if age < -NEWEST_ID or (age > OLDEST_ID and not importing):
        raise UnusableId
    completed_at = now if new.completed else None
    task = Task(
        id=task_id,
        user_id=user_id,
        **fields,
        position=_first_position(task_id, new.list),
        completed_at=completed_at,
        created_at=now - max(age, 0) if importing else now,
        updated_at=now,
        version=1,
    )
    _check(task)
    return task


def get(found: Task | None) -> Task:
    """Return a task. Raises TaskNotFound."""
    if found is None or isinstance(found, DeletedTask):
        raise TaskNotFound
    return found


def change(found: Task | None, changes: Mapping[str, Any], precondition: Precondition, now: int) -> Task:
    """Set some fields of a task. A Merge changes some members of a field.

    Without a due time, the time zone is removed, unless the changes name it. Raises TaskNotFound, VersionMismatch and
    InvalidTask.
    """
    task = _writable(found, precondition)
    values: dict[str, Any] = {
        name: _merged(getattr(task, name), value) if isinstance(value, Merge) else value
        for name, value in changes.items()
    }
    if "due" in values and not _has_time(values["due"]):
        values.setdefault("time_zone", None)
    changed = {name: value for name, value in values.items() if getattr(task, name) != value}
    if not changed:
        return task
    if "completed" in changed:
        changed["completed_at"] = now if changed["completed"] else None
    if "list" in changed:
        changed["position"] = _first_position(task.id, changed["list"])
    changed_task = _next_version(task, now, changed)
    _check(changed_task)
    return changed_task


def toggle(found: Task | None, precondition: Precondition, now: int) -> Task:
    """Complete an open task, or open a completed one. Raises TaskNotFound and VersionMismatch."""
    task = _writable(found, precondition)
    return change(task, {"completed": not task.completed}, ANY_VERSION, now)


def move(
    found: Task | None, to_list: str | None, place: Callable[[Task, str], str], precondition: Precondition, now: int
) -> Task:
    """Put a task at a place of `to_list`, or of its current list.

    `place` returns the position for a task in a list. Raises TaskNotFound, VersionMismatch, NoList, and the errors of
    raises.
    """
    task = _writable(found, precondition)
    name = to_list or task.list
    if name is None:
        raise NoList
    position = place(task, name)
    if (name, position) == (task.list, task.position):
        return task
    return _next_version(task, now, {"list": name, "position": position})


def delete(found: Task | None, precondition: Precondition, now: int) -> DeletedTask:
    """Move a task to the trash. If it is already there, nothing changes. Raises TaskNotFound and VersionMismatch."""
    trashed = _in_trash(found, now)
    if trashed is not None:
        return trashed
    task = _writable(found, precondition)
    # The TTL of the table counts whole seconds.
    purge_at = (now + RETENTION) // 1000 * 1000
    return DeletedTask(**vars(_next_version(task, now, {})), deleted_at=now, purge_at=purge_at)


def clear(found: Task | None, query: ClearQuery, now: int) -> DeletedTask:
    """Move a task to the trash if it still matches the query. Raises NotMatching if it was changed or deleted."""
    if found is None or isinstance(found, DeletedTask) or not query.matches(found):
        raise NotMatching
    return delete(found, ANY_VERSION, now)


def restore(found: Task | None, precondition: Precondition, now: int) -> Task:
    """Bring a task back from the trash. Raises TaskNotFound, NotDeleted and VersionMismatch."""
    trashed = _in_trash(found, now)
    if trashed is None:
        get(found)
        raise NotDeleted
    precondition.check(trashed)
    fields = vars(_next_version(trashed, now, {}))
    return Task(**{name: value for name, value in fields.items() if name not in {"deleted_at", "purge_at"}})


def is_expired(task: Task, now: int) -> bool:
    """Whether the time of a task in the trash is over. TTL can remove it days later, but clients must not see it."""
    return isinstance(task, DeletedTask) and task.purge_at <= now


def _first_position(task_id: str, name: str | None) -> str | None:
    """The position of a task that is added to a list without a move."""
    return None if name is None else positions.of_id(task_id)


def _merged(members: Mapping[str, str], changes: Merge) -> dict[str, str]:
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def _time_of(uuid7: str) -> int:
    """Return the time in a UUID of version 7, in milliseconds since 1970."""
    return int(uuid7[:13].replace("-", ""), 16)


def _has_time(due: str | None) -> bool:
    return due is not None and "T" in due


def _check(task: Task) -> None:
    """Raise InvalidTask if the fields do not fit together."""
    if task.time_zone is not None and not _has_time(task.due):
        raise InvalidTask("time_zone", "Must be null unless due has a time")
    if task.metadata and (fault := metadata_fault(task.metadata)):
        raise InvalidTask("metadata", fault)


def _writable(found: Task | None, precondition: Precondition) -> Task:
    task = get(found)
    precondition.check(task)
    return task


def _in_trash(found: Task | None, now: int) -> DeletedTask | None:
    return found if isinstance(found, DeletedTask) and not is_expired(found, now) else None


def _next_version[State: Task](task: State, now: int, changed: Mapping[str, Any]) -> State:
    return task.model_copy(update={**changed, "updated_at": now, "version": task.version + 1})
