"""POST /v1/users/{user_id}/tasks/{task_id}/toggle: open becomes completed, and completed open."""

import pytest

from tests.api import Api
from tests.contract.shapes import shows_task


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
    expected = [(version % 2 == 0, version) for version in range(2, 8)]
    assert [(task["completed"], task["version"]) for task in tasks] == expected


@pytest.mark.parametrize("body", [b"", b"{}", b'{"completed": false}', b"not json"])
def test_a_body_is_not_read(api: Api, body: bytes) -> None:
    task = api.made()
    response = api.send("POST", f"{api.tasks}/{task['id']}/toggle", body)
    assert shows_task(response, api.caller, completed=True)
