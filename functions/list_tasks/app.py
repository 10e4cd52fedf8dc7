"""GET /v1/users/{user_id}/tasks - list tasks in pages."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, page
from shared.models import TaskPage, TaskQuery
from shared.store.cursors import InvalidCursor


@operation(raises=[InvalidCursor])
def handler(request: Request[None, TaskQuery]) -> Response[TaskPage]:
    """Return a page of the tasks that match the query."""
    return page(request.tasks.list(request.query), request)
