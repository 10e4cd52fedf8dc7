"""The responses of operations: a status, a result that is sent as JSON, and headers."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from pydantic import BaseModel

from shared.http import preconditions
from shared.http.requests import Request
from shared.models import Task, TaskPage, TaskQuery


class Response[Result: BaseModel | None](NamedTuple):
    """An answer; without a result its body is empty."""

    status: int
    result: Result | None = None
    headers: Mapping[str, str] = {}


def created(task: Task, request: Request[Any]) -> Response[Task]:
    """201, with the path of the new task."""
    return Response(201, task, {"ETag": task.etag, "Location": f"{request.tasks_path}/{task.id}"})


def ok[Result: BaseModel](result: Result) -> Response[Result]:
    """200, with a task and its ETag, or with any other result."""
    return Response(200, result, {"ETag": result.etag} if isinstance(result, Task) else {})


def ok_or_not_modified(task: Task, request: Request) -> Response[Task]:
    """200 with a task, or 304 where If-None-Match names its version."""
    headers = {"ETag": task.etag, "Cache-Control": "private, no-cache"}
    if preconditions.not_modified(request.headers, task.version):
        return Response(304, headers=headers)
    return Response(200, task, headers)


def page(tasks: TaskPage, request: Request[None, TaskQuery]) -> Response[TaskPage]:
    """200, with a page of a list and a link to the next page."""
    headers = {}
    if tasks.next_cursor is not None:
        query = request.query.following(tasks.next_cursor).model_dump(exclude_unset=True)
        headers["Link"] = f'<{request.tasks_path}?{urlencode(query)}>; rel="next"'
    return Response(200, tasks, headers)


def no_content() -> Response[None]:
    """204."""
    return Response(204)
