"""Assertions on the exact shape of tasks and problems in responses."""

import re
from collections.abc import Sequence

from conformance.checks import MEMBERS, TIME
from tests.api import JSON, Response, Task

TASK_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
STRONG_ETAG = re.compile(r'"[!#-~]+"')
NO_STORE = "no-store"
REVALIDATE = "private, no-cache"


def is_task(task: Task, user: str, **expected: object) -> bool:
    """Assert that this is a complete and valid task of the user, with the expected members."""
    assert set(task) == MEMBERS
    assert task["user_id"] == user
    assert TASK_ID.fullmatch(task["id"])
    assert STRONG_ETAG.fullmatch(task["etag"])
    assert all(TIME.fullmatch(task[name]) for name in ("created_at", "updated_at"))
    assert task["completed_at"] is None if task["completed"] is False else TIME.fullmatch(task["completed_at"])
    assert {name: task[name] for name in expected} == expected
    return True


def shows_task(response: Response, user: str, status: int = 200, cache: str = NO_STORE, /, **expected: object) -> bool:
    """Assert that the response is a task, with its headers."""
    assert response.status == status, response
    assert response.headers["Content-Type"] == JSON
    assert response.headers["Cache-Control"] == cache
    assert response.headers["ETag"] == response.json["etag"]
    assert ("Location" in response.headers) == (status == 201)
    return is_task(response.json, user, **expected)


def is_problem(response: Response, status: int, kind: str, pointers: Sequence[str] = ()) -> bool:
    """Assert that the response is this problem (RFC 9457), with errors at exactly these pointers."""
    assert response.status == status, response
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == NO_STORE
    assert "ETag" not in response.headers
    problem = response.json
    assert set(problem) == {"type", "title", "status", "detail", "instance"} | ({"errors"} if pointers else set())
    assert (problem["status"], problem["type"]) == (status, f"urn:problem:tasks:{kind}")
    assert all(problem[name].strip() for name in ("title", "detail", "instance"))
    faults = problem.get("errors", [])
    assert sorted(fault["pointer"] for fault in faults) == sorted(pointers), problem
    assert all(set(fault) == {"pointer", "detail"} and fault["detail"].strip() for fault in faults)
    assert ("Retry-After" in response.headers) == (status in (429, 503))
    return True


def is_gateways(response: Response, status: int, message: str) -> bool:
    """Assert that the response comes from API Gateway itself, without a call of a function."""
    assert response.status == status, response
    assert response.headers["Content-Type"] == JSON
    assert response.json == {"message": message}
    return True
