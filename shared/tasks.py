"""The rules of tasks: how each operation changes a task. Pure functions, without DynamoDB and HTTP.

A rule takes the current state (None if there is no task) and the time in milliseconds since 1970. It returns
the new state, or the same object if nothing changes. It raises an error if the operation is not allowed.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared import positions
from shared.fields import USER_ID, metadata_fault, milliseconds
from shared.models import ClearQuery, DeletedTask, ImportedTask, Merge, Move, NewTask, Task
from shared.positions import Place

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


def create(found: Task | None, task_id: str, user_id: str, new: NewTask, now: int) -> Task:
    """Create a task. If it already exists with the same content and is unchanged, return it.

    Raises UnusableId, InvalidTask, and VersionMismatch if another task has this id.
    """
    if found is not None:
        return _repeated(found, new, {})
    if now - _checked_time(task_id, now) > OLDEST_ID:
        raise UnusableId
    return _new_task(task_id, user_id, new, now, {"created_at": now, "version": 1})


def import_task(found: Task | None, task_id: str, user_id: str, imported: ImportedTask, now: int) -> Task:
    """Create a task of an export. If it already exists with the same content and is unchanged, return it.

    Its id may have any age, and it was created at the time in its id. An earlier task may have had the same id, so the
    first version is the time in milliseconds, which is above every version of that task: no ETag, event or replica
    takes one for the other. With `deleted_at`, the task is in the trash. Raises as `create` does.
    """
    new = imported.new
    completed_at = _imported_time("completed_at", imported.completed_at, now)
    deleted_at = _imported_time("deleted_at", imported.deleted_at, now)
    if completed_at is not None and not new.completed:
        raise InvalidTask("completed_at", "Must be null unless completed is true")
    given: dict[str, Any] = {"updated_by": _imported_user(imported.updated_by)}
    if completed_at is not None:
        given["completed_at"] = completed_at
    if found is not None:
        return _repeated(found, new, given if deleted_at is None else {**given, "deleted_at": deleted_at})
    life = {"created_at": min(_checked_time(task_id, now), now), "version": now, "first_version": now}
    task = _new_task(task_id, user_id, new, now, {**life, **given})
    if deleted_at is None:
        return task
    trashed = _deleted(task, deleted_at)
    if is_expired(trashed, now):
        raise InvalidTask("deleted_at", "Must be at most 30 days ago")
    return trashed


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
    name = values.get("list", task.list)
    if name != task.list or "position" in values:
        values["position"] = _position_of(task.id, task.created_at, name, values.get("position"))
    changed = {name: value for name, value in values.items() if getattr(task, name) != value}
    if not changed:
        return task
    if "completed" in changed:
        changed["completed_at"] = now if changed["completed"] else None
    changed_task = _next_version(task, now, changed)
    _check(changed_task)
    return changed_task


def toggle(found: Task | None, precondition: Precondition, now: int) -> Task:
    """Complete an open task, or open a completed one. Raises TaskNotFound and VersionMismatch."""
    task = _writable(found, precondition)
    return change(task, {"completed": not task.completed}, ANY_VERSION, now)


class Target(NamedTuple):
    """The requested place of a move: next to an edge, among the tasks of a list that are open, or completed."""

    task: Task
    list: str
    # The place of the anchor. None is the beginning or the end of the list.
    edge: Place | None
    is_after: bool


def target_of(found: Task | None, move: Move, anchor: Task | None, precondition: Precondition) -> Target:
    """Return the requested place of a move. `anchor` is the task that the move names, if there is one.

    Raises TaskNotFound, VersionMismatch, NoList, AnchorNotInList, and InvalidTask if the anchor is the task itself.
    """
    task = _writable(found, precondition)
    name = move.list or task.list
    if name is None:
        raise NoList
    if move.anchor is None:
        return Target(task, name, None, move.is_after)
    if move.anchor == task.id:
        raise InvalidTask("after" if move.is_after else "before", "Must be the id of another task")
    edge = place_in(name, anchor)
    if edge is None:
        raise AnchorNotInList
    return Target(task, name, edge, move.is_after)


def place_in(name: str, task: Task | None) -> Place | None:
    """Return the place of a task in a list, or None if it is not there."""
    if task is None or isinstance(task, DeletedTask) or task.list != name or task.position is None:
        return None
    return Place(task.position, task.id)


def move(target: Target, nearest: Place | None, chance: int, now: int) -> Task:
    """Put a task between the edge of its target and the nearest task behind that, which can be the end of the list.

    `chance` is a random number for positions.choose. Raises NoRoom.
    """
    task = target.task
    low, high = (target.edge, nearest) if target.is_after else (nearest, target.edge)
    initial = positions.first(task.id, task.created_at)
    position = positions.choose(place_in(target.list, task), low, high, initial, chance)
    if (target.list, position) == (task.list, task.position):
        return task
    return _next_version(task, now, {"list": target.list, "position": position})


def delete(found: Task | None, precondition: Precondition, now: int) -> DeletedTask:
    """Move a task to the trash. If it is already there, nothing changes. Raises TaskNotFound and VersionMismatch."""
    trashed = _in_trash(found, now)
    if trashed is not None:
        return trashed
    return _deleted(_next_version(_writable(found, precondition), now, {}), now)


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


def written_by(actor: str | None, task: Task, found: Task | None) -> Task:
    """Return the new state of a task with its actor. None is the owner. A task that does not change keeps its actor."""
    if task is found or task.updated_by == actor:
        return task
    return task.model_copy(update={"updated_by": actor})


def is_expired(task: Task, now: int) -> bool:
    """Whether the time of a task in the trash is over. TTL can remove it days later, but clients must not see it."""
    return isinstance(task, DeletedTask) and task.purge_at <= now


def _repeated(found: Task, new: NewTask, given: Mapping[str, Any]) -> Task:
    """Return the task that an earlier attempt has created, or raise VersionMismatch if it is another one."""
    wanted = {**vars(new), **given}
    if wanted["position"] is None:  # the server chose it
        del wanted["position"]
    is_same = all(getattr(found, name, None) == value for name, value in wanted.items())
    if is_same and found.version == found.first_version and isinstance(found, DeletedTask) == ("deleted_at" in given):
        return found
    raise VersionMismatch(found.version)


def _new_task(task_id: str, user_id: str, new: NewTask, now: int, values: Mapping[str, Any]) -> Task:
    """Return a new task. `values` are those that the server sets. Raises InvalidTask."""
    fields = {**vars(new), "position": _position_of(task_id, values["created_at"], new.list, new.position)}
    stamps = {"updated_at": now, "updated_by": None, "completed_at": now if new.completed else None}
    task = Task(**{"id": task_id, "user_id": user_id, **fields, **stamps, **values})
    _check(task)
    return task


def _deleted(task: Task, at: int) -> DeletedTask:
    # The TTL of the table counts whole seconds.
    return DeletedTask(**vars(task), deleted_at=at, purge_at=(at + RETENTION) // 1000 * 1000)


def _position_of(task_id: str, created_at: int, name: str | None, given: str | None) -> str | None:
    """Return the position of a task in a list: the given one, or that of its creation. Raises InvalidTask."""
    if name is not None:
        return given or positions.first(task_id, created_at)
    if given is not None:
        raise InvalidTask("position", "Must be null unless the task is in a list")
    return None


def _checked_time(task_id: str, now: int) -> int:
    """Return the time in the id of a new task. Raises UnusableId if the id is malformed, or too far in the future."""
    if not _UUID7.fullmatch(task_id) or (time := _time_of(task_id)) - now > NEWEST_ID:
        raise UnusableId
    return time


def _imported_time(field: str, time: object, now: int) -> int | None:
    """Return a time of an imported task in milliseconds since 1970. Raises InvalidTask if it is no time of the past."""
    if time is None:
        return None
    found = milliseconds(time)
    # The clock of the deployment that made the export may have been ahead.
    if found is None or found - now > NEWEST_ID:
        raise InvalidTask(field, "Must be null, or a time of the past such as 2026-12-24T17:00:00.000Z")
    return found


def _imported_user(user_id: object) -> str | None:
    """Return the actor of an imported task. Raises InvalidTask if it is no user id."""
    if user_id is None or (isinstance(user_id, str) and USER_ID.fullmatch(user_id)):
        return user_id
    raise InvalidTask("updated_by", "Must be null, or 1 to 255 printable ASCII characters")


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
