"""POST /v1/users/{user_id}/tasks/{task_id}/toggle: open becomes completed, and completed open."""

import pytest

from tests.api import Api, Backend
from tests.contract.shapes import is_problem, shows_task


def test_an_open_task_becomes_completed(api: Api) -> None:
    task = api.made(title="Buy milk", description="2 l")
    response = api.toggle(task["id"])
    new = response.json
    moved = {name: new[name] for name in ("completed_at", "updated_at", "etag")}
    assert shows_task(response, api.caller, **{**task, **moved, "completed": True, "version": 2})
    assert new["completed_at"] == new["updated_at"] > task["updated_at"]
    assert new["etag"] != task["etag"]
    assert (api.walk(status="open"), api.walk(status="completed"), api.walk()) == ([], [new], [new])


def test_a_completed_task_becomes_open(api: Api) -> None:
    response = api.toggle(api.made(completed=True)["id"])
    assert shows_task(response, api.caller, completed=False, completed_at=None, version=2)
    assert (api.walk(status="open"), api.walk(status="completed")) == ([response.json], [])


def test_each_toggle_counts(api: Api) -> None:
    task_id = api.made()["id"]
    tasks = [api.toggle(task_id).json for _ in range(6)]
    assert [(task["completed"], task["version"]) for task in tasks] == [
        (True, 2),
        (False, 3),
        (True, 4),
        (False, 5),
        (True, 6),
        (False, 7),
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"completed": false}', b"not json"])
def test_a_body_is_not_read(api: Api, body: bytes) -> None:
    task = api.made()
    response = api.send("POST", f"{api.tasks}/{task['id']}/toggle", body)
    assert shows_task(response, api.caller, completed=True)


def test_an_unknown_task_is_404_and_not_created(backend: Backend, api: Api) -> None:
    assert is_problem(api.toggle("018f3a5c-0000-7000-8000-000000000000"), 404, "task-not-found")
    assert backend.stored(api.caller) == []


def test_a_deleted_task_is_404_and_unchanged(backend: Backend, api: Api) -> None:
    task = api.made()
    api.delete(task["id"])
    before = backend.stored(api.caller)
    assert is_problem(api.toggle(task["id"]), 404, "task-not-found")
    assert backend.stored(api.caller) == before
