"""DELETE /v1/users/{user_id}/tasks?status=completed - move completed tasks to the trash."""

from shared.models import ClearQuery
from shared.operation import Request, Response, answered, operation


@operation
def handler(request: Request[None, ClearQuery]) -> Response:
    """Clear as many completed tasks as one call can, and answer with their number."""
    return answered(request.tasks.clear_completed())
