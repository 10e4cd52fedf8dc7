"""POST /v1/users/{user_id}/tasks/{task_id}/restore - bring a task back from the trash."""

from shared.operation import Request, Response, found, operation


@operation
def handler(request: Request) -> Response:
    """Restore the task and answer with it."""
    return found(request.tasks.restore(request.task_id, request.precondition))
