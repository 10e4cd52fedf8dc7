"""Batches: up to 25 operations on different tasks of one user. All are applied, or none."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from shared import etags, tasks
from shared.etags import ETAGS
from shared.fields import TaskId
from shared.models import BATCH_LIMIT, Input, Move, NewTask, Task, TaskPatch
from shared.tasks import ANY_VERSION, Precondition


def _etags(text: str) -> str:
    try:
        etags.if_match(text)
    except ValueError as error:
        raise PydanticCustomError("etag", "{error}", {"error": str(error)}) from None
    return text


class CreateOperation(Input):
    """Create a task."""

    op: Literal["create"]
    task: NewTask
    id: TaskId | None = None
    """The client's id of the task: a UUID of version 7 that was made within the last 29 days."""


class _OnTask(Input):
    id: TaskId
    if_match: Annotated[str, AfterValidator(_etags), Field(json_schema_extra={"pattern": ETAGS})] | None = None
    """As the header If-Match: * or a list of ETags, one of which the task must have."""

    @property
    def precondition(self) -> Precondition:
        """The versions at which the operation is allowed."""
        return ANY_VERSION if self.if_match is None else etags.if_match(self.if_match)


class UpdateOperation(_OnTask):
    """Change some fields of a task."""

    op: Literal["update"]
    patch: TaskPatch

    def decide(self, found: Task | None, now: int) -> Task:
        """The new state of the task."""
        return tasks.change(found, self.patch.changes(), self.precondition, now)


class ToggleOperation(_OnTask):
    """Flip a task between open and completed."""

    op: Literal["toggle"]

    def decide(self, found: Task | None, now: int) -> Task:
        """The new state of the task."""
        return tasks.toggle(found, self.precondition, now)


class DeleteOperation(_OnTask):
    """Move a task to the trash."""

    op: Literal["delete"]

    def decide(self, found: Task | None, now: int) -> Task:
        """The new state of the task."""
        return tasks.delete(found, self.precondition, now)


class RestoreOperation(_OnTask):
    """Bring a task back from the trash."""

    op: Literal["restore"]

    def decide(self, found: Task | None, now: int) -> Task:
        """The new state of the task."""
        return tasks.restore(found, self.precondition, now)


class MoveOperation(_OnTask, Move):
    """Move a task to another place or list. The other task may have been moved by an earlier operation."""

    op: Literal["move"]


type BatchOperation = Annotated[
    CreateOperation | UpdateOperation | ToggleOperation | DeleteOperation | RestoreOperation | MoveOperation,
    Field(discriminator="op"),
]


def _on_different_tasks(operations: list[BatchOperation]) -> list[BatchOperation]:
    places: dict[str, int] = {}
    for place, operation in enumerate(operations):
        if operation.id is not None and places.setdefault(operation.id, place) != place:
            message = "Operations {first} and {second} are for the same task. Use each task once"
            raise PydanticCustomError("same_task", message, {"first": places[operation.id], "second": place})
    return operations


class Batch(Input):
    """Operations that are applied together or not at all."""

    operations: Annotated[
        list[BatchOperation], Field(min_length=1, max_length=BATCH_LIMIT), AfterValidator(_on_different_tasks)
    ]
