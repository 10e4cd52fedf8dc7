"""Events: the effect of a write on a task, from the states before and after it, and the end of an erasure.

Every version of a task is one event, and its removal is another one. So the versions in the events of a task are
1, 2, 3 and so on: a repeated version is a duplicate, and a missing one is a gap.
"""

import json
from typing import Any, NamedTuple

from shared.fields import rfc3339
from shared.models import DeletedTask, Task

SOURCE = "tasks"
USER_ERASED = "user.erased"
# All types, the most specific first: an event has the first type that fits.
TYPES = ("purged", "deleted", "restored", "created", "completed", "reopened", "moved", "updated")

# Every write changes these.
_ALWAYS = frozenset({"updated_at", "updated_by", "version"})
_PLACE = frozenset({"list", "position"})


class TaskEvent(NamedTuple):
    """One change of a task."""

    type: str
    user_id: str
    task_id: str
    version: int
    # The changed fields. None if they are not known, and empty if the task was created or removed.
    changed: list[str] | None
    # The task at this version. None for a purged task: its content is not sent again.
    task: Task | None

    @property
    def detail_type(self) -> str:
        """The value of `detail-type` in EventBridge."""
        return f"task.{self.type}"

    @property
    def actor(self) -> str:
        """Who made this version. The empty string is nobody: TTL or an erasure removed the task."""
        return "" if self.task is None else self.task.updated_by or self.user_id

    def detail(self, tenant: str, actor: str, *, full: bool) -> dict[str, Any]:
        """The value of `detail`, for JSON. `actor` is the pseudonym of the actor. With `full` it contains the task."""
        shown = {
            "tenant": tenant or None,
            "user_id": self.user_id,
            "actor": actor or None,
            "task_id": self.task_id,
            "version": self.version,
            "changed": self.changed,
        }
        if full:
            shown["task"] = None if self.task is None else json.loads(self.task.model_dump_json())
        return shown


class ErasureEvent(NamedTuple):
    """The erasure of a user has ended."""

    user_id: str
    # In milliseconds since 1970.
    completed_at: int

    @property
    def detail_type(self) -> str:
        """The value of `detail-type` in EventBridge."""
        return USER_ERASED

    @property
    def actor(self) -> str:
        """Nobody: the service itself notes that nothing is left."""
        return ""

    def detail(self, tenant: str, actor: str, *, full: bool) -> dict[str, Any]:  # noqa: ARG002 - as of a task
        """The value of `detail`, for JSON."""
        return {"tenant": tenant or None, "user_id": self.user_id, "completed_at": rfc3339(self.completed_at)}


type Event = TaskEvent | ErasureEvent


def happened(before: Task | None, after: Task | None) -> TaskEvent | None:
    """Return the event of a write. None if it made no new version, like an upgrade of a stored item."""
    if after is None:
        if before is None:
            return None
        # No task has this version: it follows the last one.
        return TaskEvent("purged", before.user_id, before.id, before.version + 1, [], None)
    if before is not None and before.version == after.version:
        return None
    changed = _changed(before, after) if before is not None else set()
    return TaskEvent(_type(before, after, changed), after.user_id, after.id, after.version, sorted(changed), after)


def replayed(task: Task) -> TaskEvent:
    """Return the event of the last write of a task, as far as the task itself shows it."""
    if isinstance(task, DeletedTask):
        kind = "deleted"
    elif task.version == task.first_version:
        kind = "created"
    else:
        kind = "completed" if task.completed_at == task.updated_at else "updated"
    return TaskEvent(kind, task.user_id, task.id, task.version, None, task)


def _changed(before: Task, after: Task) -> set[str]:
    # A deleted task has two additional fields.
    old, new = vars(before), vars(after)
    return {name for name in {*old, *new} - _ALWAYS if old.get(name) != new.get(name)}


def _type(before: Task | None, after: Task, changed: set[str]) -> str:
    if isinstance(after, DeletedTask):
        return "deleted"
    if before is None:
        # A lost task is restored from a backup with a higher version (ops/restore.py).
        return "created" if after.version == after.first_version else "restored"
    if isinstance(before, DeletedTask):
        return "restored"
    if "completed" in changed:
        return "completed" if after.completed else "reopened"
    return "moved" if changed & _PLACE else "updated"
