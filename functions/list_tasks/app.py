"""GET /v1/users/{user_id}/tasks - list tasks, page by page."""

from shared.models import TaskQuery
from shared.operation import Request, Response, listed, operation


@operation
def handler(request: Request[None, TaskQuery]) -> Response:
    """Answer with a page of the tasks asked for."""
    return listed(request.tasks.list(request.query), request)
