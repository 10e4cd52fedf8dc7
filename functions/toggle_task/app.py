"""POST /v1/users/{user_id}/tasks/{task_id}/toggle - switch a task between open and completed."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Task
from shared.store.marks import UserErased
from shared.tasks import TaskNotFound, VersionMismatch


@operation(raises=[TaskNotFound, VersionMismatch, UserErased])
def handler(request: Request) -> Response[Task]:
    """Complete the task if it is open, or reopen it if it is completed, and return it."""
    return ok(request.tasks.toggle(request.task_id, request.precondition))
