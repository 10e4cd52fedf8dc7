"""PUT /v1/users/{user_id}/tasks/{task_id} - replace a task."""

from shared.models import TaskReplacement
from shared.operation import Request, Response, found, operation


@operation
def handler(request: Request[TaskReplacement]) -> Response:
    """Set every mutable field and answer with the task."""
    return found(request.tasks.update(request.task_id, request.body.changes(), request.precondition))
