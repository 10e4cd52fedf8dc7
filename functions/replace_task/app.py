"""PUT /v1/users/{user_id}/tasks/{task_id} - replace a task, or create it under the client's id."""

from shared.http import problems
from shared.http.operation import operation
from shared.http.requests import Request
from shared.http.responses import Response, created, ok
from shared.models import ReplaceQuery, Task, TaskReplacement
from shared.store.marks import UserErased
from shared.tasks import InvalidTask, TaskNotFound, UnusableId, VersionMismatch


@operation(raises=[TaskNotFound, VersionMismatch, UnusableId, InvalidTask, UserErased])
def handler(request: Request[TaskReplacement, ReplaceQuery]) -> Response[Task]:
    """Set every field that the request names, and return the task. With `If-None-Match: *`, create the task."""
    if request.query.importing is not None:
        request.require_service()
        if not request.must_create:
            raise problems.bad_request("bad-query", "import=true needs the header If-None-Match: *.")
        return created(request.tasks.import_task(request.task_id, request.body.imported_task()), request)
    if request.must_create:
        return created(request.tasks.create(request.body.new_task(), request.task_id), request)
    return ok(request.tasks.update(request.task_id, request.body.changes(), request.precondition))
