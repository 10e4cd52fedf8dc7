"""DELETE /v1/users/{user_id}/tasks?status=completed - move completed tasks to the trash."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Cleared, ClearQuery


@operation()
def handler(request: Request[None, ClearQuery]) -> Response[Cleared]:
    """Move up to 500 completed tasks to the trash, and return their number. Repeat the request while `more` is true."""
    return ok(request.tasks.clear_completed())
