"""POST /v1/users/{user_id}/tasks/{task_id}/restore - restore a task from the trash."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Task
from shared.store.marks import UserErased
from shared.tasks import NotDeleted, TaskNotFound, VersionMismatch


@operation(raises=[NotDeleted, TaskNotFound, VersionMismatch, UserErased])
def handler(request: Request) -> Response[Task]:
    """Restore the task from the trash, and return it."""
    return ok(request.tasks.restore(request.task_id, request.precondition))
