"""PATCH /v1/users/{user_id}/tasks/{task_id} - change some fields of a task."""

from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, ok
from shared.models import Task, TaskPatch
from shared.store.marks import UserErased
from shared.tasks import InvalidTask, TaskNotFound, VersionMismatch


@operation(raises=[TaskNotFound, VersionMismatch, InvalidTask, UserErased])
def handler(request: Request[TaskPatch]) -> Response[Task]:
    """Set the fields that are in the patch, and return the task. The other fields keep their values."""
    return ok(request.tasks.update(request.task_id, request.body.changes(), request.precondition))
