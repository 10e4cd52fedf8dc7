"""The rules of a task: what each operation does to its state. Pure functions, without DynamoDB and without HTTP.

A rule takes the state that was found (None where there is none) and the time in milliseconds since 1970. It returns
the new state, the same object where there is nothing to change, or raises what forbids the operation.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.models import DeletedTask, NewTask, Task

# How long a deleted task stays in the trash, in milliseconds.
RETENTION = 30 * 24 * 3600 * 1000


class TaskNotFound(Exception):
    """The user has no such task, or has it only in the trash."""


class TaskExists(Exception):
    """A task with this id is already there."""


class VersionMismatch(Exception):
    """The task is at a version that the precondition does not allow."""

    def __init__(self, version: int) -> None:
        super().__init__(f"at version {version}")
        self.version = version


class NotDeleted(Exception):
    """A task to restore is not in the trash."""


class NotCompleted(Exception):
    """A task to clear is not completed any more."""


class Precondition(NamedTuple):
    """Which versions of a task a request may write: one of `wanted` (any, where that is None), none of `unwanted`."""

    wanted: frozenset[int] | None = None
    unwanted: frozenset[int] = frozenset()

    def check(self, task: Task) -> None:
        """Raise VersionMismatch where the task's version is not allowed."""
        if (self.wanted is not None and task.version not in self.wanted) or task.version in self.unwanted:
            raise VersionMismatch(task.version)


ANY_VERSION = Precondition()


def create(found: Task | None, task_id: str, user_id: str, new: NewTask, now: int) -> Task:
    """Create a task. Raises TaskExists."""
    if found is not None:
        raise TaskExists
    completed_at = now if new.completed else None
    return Task(
        id=task_id,
        user_id=user_id,
        **new.model_dump(),
        completed_at=completed_at,
        created_at=now,
        updated_at=now,
        version=1,
    )


def get(found: Task | None) -> Task:
    """Show a task. Raises TaskNotFound."""
    if found is None or isinstance(found, DeletedTask):
        raise TaskNotFound
    return found


def change(found: Task | None, changes: Mapping[str, Any], precondition: Precondition, now: int) -> Task:
    """Set some fields of a task. Raises TaskNotFound and VersionMismatch."""
    task = _writable(found, precondition)
    changed = {name: value for name, value in changes.items() if getattr(task, name) != value}
    if not changed:
        return task
    if "completed" in changed:
        changed["completed_at"] = now if changed["completed"] else None
    return _next_version(task, now, changed)


def toggle(found: Task | None, precondition: Precondition, now: int) -> Task:
    """Complete an open task, or open a completed one. Raises TaskNotFound and VersionMismatch."""
    task = _writable(found, precondition)
    return change(task, {"completed": not task.completed}, ANY_VERSION, now)


def delete(found: Task | None, precondition: Precondition, now: int) -> DeletedTask:
    """Move a task to the trash; one that is there already stays as it is. Raises TaskNotFound and VersionMismatch."""
    trashed = _in_trash(found, now)
    if trashed is not None:
        return trashed
    task = _writable(found, precondition)
    # The table's TTL counts in whole seconds.
    purge_at = (now + RETENTION) // 1000 * 1000
    return DeletedTask(**vars(_next_version(task, now, {})), deleted_at=now, purge_at=purge_at)


def clear(found: Task | None, now: int) -> DeletedTask:
    """Move a completed task to the trash. Raises NotCompleted where it was opened or deleted in the meantime."""
    if found is None or isinstance(found, DeletedTask) or not found.completed:
        raise NotCompleted
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
    """Whether a task's time in the trash is over. TTL removes it later, by days at times; clients must not see it."""
    return isinstance(task, DeletedTask) and task.purge_at <= now


def _writable(found: Task | None, precondition: Precondition) -> Task:
    task = get(found)
    precondition.check(task)
    return task


def _in_trash(found: Task | None, now: int) -> DeletedTask | None:
    return found if isinstance(found, DeletedTask) and not is_expired(found, now) else None


def _next_version[State: Task](task: State, now: int, changed: Mapping[str, Any]) -> State:
    return task.model_copy(update={**changed, "updated_at": now, "version": task.version + 1})
