"""DELETE /v1/users/{user_id} - erase a user."""

from shared.http import problems
from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, erasure
from shared.http.settings import settings
from shared.models import Erased, EraseQuery


@operation()
def handler(request: Request[None, EraseQuery]) -> Response[Erased]:
    """Remove all that is stored of the user. Repeat the request while `more` is true, after Retry-After seconds."""
    request.require_service()
    if request.query.confirm != request.user_id:
        raise problems.bad_request("bad-query", "confirm must be the id of the user to erase.")
    return erasure(request.tasks.erase(settings().erasure_mark_days))
