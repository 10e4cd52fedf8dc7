"""GET /v1/users/{user_id}/tasks/{task_id} - fetch a task."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok_or_not_modified
from shared.models import Task
from shared.tasks import TaskNotFound


@operation(raises=[TaskNotFound])
def handler(request: Request) -> Response[Task]:
    """Answer with the task, unless the client has it already."""
    return ok_or_not_modified(request.tasks.get(request.task_id), request)
