"""GET /v1/users/{user_id}/changes - list the changes since the last sync."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Changes, ChangesQuery
from shared.store.cursors import InvalidCursor
from shared.store.task_store import SyncTokenExpired


@operation(raises=[InvalidCursor, SyncTokenExpired])
def handler(request: Request[None, ChangesQuery]) -> Response[Changes]:
    """Return a page of the changes since the sync token, or of all tasks without a token."""
    return ok(request.tasks.changes(request.query))
