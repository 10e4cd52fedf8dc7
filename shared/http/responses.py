"""The responses of operations: a status, headers, and a result that becomes the JSON body.

Location and Link are relative to the URL of the request. Payload format 2.0 does not show the path of an API mapping,
so only the client knows this URL:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from pydantic import BaseModel

from shared.http import preconditions
from shared.http.requests import Request
from shared.models import Erased, Task, TaskPage, TaskQuery


class Response[Result: BaseModel | None](NamedTuple):
    """A response. Its body is empty if there is no result."""

    status: int
    result: Result | None = None
    headers: Mapping[str, str] = {}


def created(task: Task, request: Request[Any, Any]) -> Response[Task]:
    """201, with the new task, its ETag and its URL."""
    at_the_task = bool(request.task_id)
    return Response(201, task, {"ETag": task.etag, "Location": task.id if at_the_task else f"tasks/{task.id}"})


def ok[Result: BaseModel](result: Result) -> Response[Result]:
    """200, with a result. A task also gets its ETag."""
    return Response(200, result, {"ETag": result.etag} if isinstance(result, Task) else {})


def ok_or_not_modified(task: Task, request: Request) -> Response[Task]:
    """200 with a task, or 304 if If-None-Match names its version."""
    headers = {"ETag": task.etag, "Cache-Control": "private, no-cache"}
    if preconditions.not_modified(request.headers, task.version):
        return Response(304, headers=headers)
    return Response(200, task, headers)


def page(tasks: TaskPage, request: Request[None, TaskQuery]) -> Response[TaskPage]:
    """200, with a page of a list, and a link to the next page if there is one."""
    headers = {}
    if tasks.next_cursor is not None:
        query = request.query.following(tasks.next_cursor).model_dump(exclude_unset=True)
        headers["Link"] = f'<?{urlencode(query)}>; rel="next"'
    return Response(200, tasks, headers)


def erasure(result: Erased) -> Response[Erased]:
    """200, and when to repeat the request if there was nothing to remove, but the erasure has to wait."""
    waits = result.more and not result.erased
    return Response(200, result, {"Retry-After": "10"} if waits else {})


def deleted(task: Task) -> Response[None]:
    """204, with the ETag of the task in the trash."""
    return Response(204, headers={"ETag": task.etag})
