"""PUT /v1/users/{user_id}/tasks/{task_id} - replace a task."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Task, TaskReplacement
from shared.tasks import TaskNotFound, VersionMismatch


@operation(raises=[TaskNotFound, VersionMismatch])
def handler(request: Request[TaskReplacement]) -> Response[Task]:
    """Set every field that a client can set, and return the task."""
    return ok(request.tasks.update(request.task_id, request.body.changes(), request.precondition))
