"""GET /v1/users/{user_id}/tasks/{task_id} - fetch a task."""

from shared.operation import Request, Response, found_unless_known, operation


@operation
def handler(request: Request) -> Response:
    """Answer with the task, unless the client has it already."""
    return found_unless_known(request.tasks.get(request.task_id), request)
