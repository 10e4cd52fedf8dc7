"""DELETE /v1/users/{user_id}/tasks/{task_id} - move a task to the trash."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, deleted
from shared.store.marks import UserErased
from shared.tasks import TaskNotFound, VersionMismatch


@operation(raises=[TaskNotFound, VersionMismatch, UserErased])
def handler(request: Request) -> Response[None]:
    """Move the task to the trash. If it is already in the trash, nothing changes."""
    return deleted(request.tasks.delete(request.task_id, request.precondition))
