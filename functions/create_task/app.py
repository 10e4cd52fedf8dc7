"""POST /v1/users/{user_id}/tasks - create a task."""

from shared.models import NewTask
from shared.operation import Request, Response, created, operation


@operation
def handler(request: Request[NewTask]) -> Response:
    """Create a task and answer with it and its place."""
    return created(request.tasks.create(request.body), request)
