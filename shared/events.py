"""Events: what a write did to a task, from the state before and after it, and the end of an erasure. Pure functions.

Every version of a task is one event, and the end of a task is one more. So the versions in the events of a task are
1, 2, 3 and so on: a version that comes twice is a duplicate, and one that never comes is a gap.
"""

import json
from typing import Any, NamedTuple

from shared.fields import rfc3339
from shared.models import DeletedTask, Task

SOURCE = "tasks"
# All types, the strongest first: an event has the strongest type that fits.
TYPES = ("purged", "deleted", "restored", "created", "completed", "reopened", "moved", "updated")

# Every write changes these.
_ALWAYS = frozenset({"updated_at", "version"})
_PLACE = frozenset({"list", "position"})


class TaskEvent(NamedTuple):
    """What happened to a task."""

    type: str
    user_id: str
    task_id: str
    version: int
    # The fields that a write changed, or None where that is not known. Empty where the task came or went as a whole.
    changed: list[str] | None
    # The task as this version shows it. None for a purged task: what a user has deleted for good is not sent again.
    task: Task | None

    @property
    def detail_type(self) -> str:
        """The type as EventBridge has it."""
        return f"task.{self.type}"

    def detail(self, tenant: str, *, full: bool) -> dict[str, Any]:
        """The detail of the event, for JSON; with the task if it is `full`."""
        shown = {
            "tenant": tenant or None,
            "user_id": self.user_id,
            "task_id": self.task_id,
            "version": self.version,
            "changed": self.changed,
        }
        if full:
            shown["task"] = None if self.task is None else json.loads(self.task.model_dump_json())
        return shown


class UserErased(NamedTuple):
    """The erasure of a user has ended."""

    user_id: str
    # In milliseconds since 1970.
    completed_at: int

    @property
    def detail_type(self) -> str:
        """The type as EventBridge has it."""
        return "user.erased"

    def detail(self, tenant: str, *, full: bool) -> dict[str, Any]:  # noqa: ARG002 - as of a task
        """The detail of the event, for JSON."""
        return {"tenant": tenant or None, "user_id": self.user_id, "completed_at": rfc3339(self.completed_at)}


type Event = TaskEvent | UserErased


def happened(before: Task | None, after: Task | None) -> TaskEvent | None:
    """What a write did to a task. None if it made no new version, as upgrades of stored items do."""
    if after is None:
        if before is None:
            return None
        # No task has this version: it is the one after the last.
        return TaskEvent("purged", before.user_id, before.id, before.version + 1, [], None)
    if before is not None and before.version == after.version:
        return None
    changed = _changed(before, after) if before is not None else set()
    return TaskEvent(_type(before, after, changed), after.user_id, after.id, after.version, sorted(changed), after)


def replayed(task: Task) -> TaskEvent:
    """The event of the last write of a task, as far as the task shows it."""
    if isinstance(task, DeletedTask):
        kind = "deleted"
    elif task.version == 1:
        kind = "created"
    else:
        kind = "completed" if task.completed_at == task.updated_at else "updated"
    return TaskEvent(kind, task.user_id, task.id, task.version, None, task)


def _changed(before: Task, after: Task) -> set[str]:
    # A deleted task has two fields more.
    old, new = vars(before), vars(after)
    return {name for name in {*old, *new} - _ALWAYS if old.get(name) != new.get(name)}


def _type(before: Task | None, after: Task, changed: set[str]) -> str:
    if isinstance(after, DeletedTask):
        return "deleted"
    if before is None:
        # A task that was lost comes back from a backup with a higher version (ops/restore.py).
        return "created" if after.version == 1 else "restored"
    if isinstance(before, DeletedTask):
        return "restored"
    if "completed" in changed:
        return "completed" if after.completed else "reopened"
    return "moved" if changed & _PLACE else "updated"
