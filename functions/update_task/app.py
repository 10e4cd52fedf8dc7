"""PATCH /v1/users/{user_id}/tasks/{task_id} - change some fields of a task."""

from shared.models import TaskPatch
from shared.operation import Request, Response, found, operation


@operation
def handler(request: Request[TaskPatch]) -> Response:
    """Set the fields that the patch names and answer with the task."""
    return found(request.tasks.update(request.task_id, request.body.changes(), request.precondition))
