"""POST /v1/users/{user_id}/tasks/{task_id}/move - put a task at a place of a list."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Move, Task
from shared.positions import NoRoom
from shared.store.marks import UserErased
from shared.tasks import AnchorNotInList, InvalidTask, NoList, TaskNotFound, VersionMismatch


@operation(raises=[TaskNotFound, VersionMismatch, NoList, AnchorNotInList, NoRoom, InvalidTask, UserErased])
def handler(request: Request[Move]) -> Response[Task]:
    """Put the task after another task or before it, or at the beginning or end of a list, and return it."""
    return ok(request.tasks.move(request.task_id, request.body, request.precondition))
