"""DELETE /v1/users/{user_id}/tasks - move the completed tasks, or the tasks of a list, to the trash."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Cleared, ClearQuery


@operation()
def handler(request: Request[None, ClearQuery]) -> Response[Cleared]:
    """Move up to 500 tasks to the trash, and return their number. Repeat the request while `more` is true."""
    return ok(request.tasks.clear(request.query))
