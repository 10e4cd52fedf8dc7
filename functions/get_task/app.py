"""GET /v1/users/{user_id}/tasks/{task_id} - get a task."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok_or_not_modified
from shared.models import Task
from shared.tasks import TaskNotFound


@operation(raises=[TaskNotFound])
def handler(request: Request) -> Response[Task]:
    """Return the task, or 304 if If-None-Match names its current ETag."""
    return ok_or_not_modified(request.tasks.get(request.task_id), request)
