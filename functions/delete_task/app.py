"""DELETE /v1/users/{user_id}/tasks/{task_id} - move a task to the trash."""

from shared.operation import Request, Response, deleted, operation


@operation
def handler(request: Request) -> Response:
    """Move the task to the trash; one that lies there already stays there."""
    request.tasks.delete(request.task_id, request.precondition)
    return deleted()
