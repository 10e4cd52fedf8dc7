"""POST /v1/users/{user_id}/tasks/batch - apply several operations, all or none."""

from shared.batches import Batch
from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import BatchResults
from shared.positions import NoRoom
from shared.store.engine import BatchTooLarge
from shared.store.marks import UserErased
from shared.store.task_store import KeyMissing
from shared.tasks import (
    AnchorNotInList,
    InvalidTask,
    NoList,
    NotDeleted,
    TaskNotFound,
    UnusableId,
    VersionMismatch,
)


@operation(
    raises=[
        BatchTooLarge,
        KeyMissing,
        NotDeleted,
        TaskNotFound,
        VersionMismatch,
        UnusableId,
        InvalidTask,
        NoList,
        AnchorNotInList,
        NoRoom,
        UserErased,
    ]
)
def handler(request: Request[Batch]) -> Response[BatchResults]:
    """Apply all operations of the batch, or none, and return their results."""
    return ok(request.tasks.batch(request.body.operations))
