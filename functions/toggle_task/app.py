"""POST /v1/users/{user_id}/tasks/{task_id}/toggle - flip a task between open and completed."""

from shared.operation import Request, Response, found, operation


@operation
def handler(request: Request) -> Response:
    """Flip the task and answer with it."""
    return found(request.tasks.toggle(request.task_id, request.precondition))
