"""PUT /v1/users/{user_id}/tasks/{task_id} - replace a task, or create it under the client's id."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, created, ok
from shared.models import Task, TaskReplacement
from shared.tasks import InvalidTask, TaskNotFound, UnusableId, VersionMismatch


@operation(raises=[TaskNotFound, VersionMismatch, UnusableId, InvalidTask])
def handler(request: Request[TaskReplacement]) -> Response[Task]:
    """Set every field that the request names, and return the task. With `If-None-Match: *`, create the task."""
    if request.must_create:
        return created(request.tasks.create(request.body.new_task(), request.task_id), request)
    return ok(request.tasks.update(request.task_id, request.body.changes(), request.precondition))
