"""POST /v1/users/{user_id}/tasks - create a task."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, created
from shared.models import NewTask, Task
from shared.store.marks import UserErased
from shared.tasks import InvalidTask


@operation(raises=[InvalidTask, UserErased])
def handler(request: Request[NewTask]) -> Response[Task]:
    """Create a task, and return the task and its path."""
    return created(request.tasks.create(request.body), request)
