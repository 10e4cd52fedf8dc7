"""GET /v1/users/{user_id}/changes - list what has changed since."""

from shared.models import ChangesQuery
from shared.operation import Request, Response, answered, operation


@operation
def handler(request: Request[None, ChangesQuery]) -> Response:
    """Answer with a page of the changes since the token."""
    return answered(request.tasks.changes(request.query))
