"""GET /v1/users/{user_id}/changes - list what has changed since."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Changes, ChangesQuery
from shared.store.cursors import InvalidCursor
from shared.store.task_store import SyncTokenExpired


@operation(raises=[InvalidCursor, SyncTokenExpired])
def handler(request: Request[None, ChangesQuery]) -> Response[Changes]:
    """Answer with a page of the changes since the token."""
    return ok(request.tasks.changes(request.query))
