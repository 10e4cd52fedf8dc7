"""POST /v1/users/{user_id}/tasks/{task_id}/restore: a deleted task returns unchanged, to its old place."""

import uuid

import pytest

from tests.api import Api, Backend, Task
from tests.contract.shapes import is_problem, shows_task


@pytest.mark.parametrize("completed", [False, True])
def test_a_restored_task_is_as_it_was(backend: Backend, api: Api, completed: bool) -> None:
    tasks = [api.made(title=title, description="2 l", completed=completed) for title in ("one", "two", "three")]
    (before,) = [item for item in backend.stored(api.caller) if item["sk"]["S"].endswith(tasks[1]["id"])]
    api.delete(tasks[1]["id"])
    response = api.restore(tasks[1]["id"])
    moved = {name: response.json[name] for name in ("updated_at", "etag")}
    assert shows_task(response, api.caller, **{**tasks[1], **moved, "version": 3})
    assert [task["title"] for task in api.walk()] == ["one", "two", "three"]
    assert [task["title"] for task in api.walk(status="completed" if completed else "open")] == ["one", "two", "three"]
    assert api.walk(status="deleted") == []
    (after,) = [item for item in backend.stored(api.caller) if item["sk"]["S"].endswith(tasks[1]["id"])]
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"updated_at", "version", "by_change", "write_tokens"}


def test_the_trash_says_when_it_was_deleted_and_when_it_is_purged(api: Api, task: Task) -> None:
    api.delete(task["id"])
    (shown,) = api.walk(status="deleted")
    assert shown["deleted_at"] == shown["updated_at"]
    assert shown["purge_at"] > shown["deleted_at"]
    assert {**shown, "version": 1, "etag": task["etag"], "updated_at": task["updated_at"]} == {
        **task,
        "deleted_at": shown["deleted_at"],
        "purge_at": shown["purge_at"],
    }


def test_a_task_that_is_not_deleted_is_409(backend: Backend, api: Api, task: Task) -> None:
    before = backend.stored(api.caller)
    for headers in ({}, {"if_match": '"9-1"'}, {"idempotency_key": "k"}):
        assert is_problem(api.restore(task["id"], **headers), 409, "not-deleted")
    assert backend.stored(api.caller) == before


@pytest.mark.parametrize("headers", [{}, {"idempotency_key": "k"}])
def test_an_unknown_task_cannot_be_restored(backend: Backend, api: Api, headers: dict[str, str]) -> None:
    assert is_problem(api.restore(str(uuid.uuid4()), **headers), 404, "task-not-found")
    assert backend.stored(api.caller) == []


@pytest.mark.parametrize("keyed", [False, True])
def test_an_expired_task_is_404_before_ttl_removes_it(backend: Backend, api: Api, task: Task, keyed: bool) -> None:
    api.delete(task["id"])
    backend.expire(api.caller, task["id"])
    before = backend.stored(api.caller)
    response = api.restore(task["id"], **({"idempotency_key": "k"} if keyed else {}))
    assert is_problem(response, 404, "task-not-found")
    assert api.walk(status="deleted") == []
    assert backend.stored(api.caller) == before


@pytest.mark.parametrize("keyed", [{}, {"idempotency_key": "k"}], ids=["bare", "keyed"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_match": '"2-1"'}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": '"1-1"'}, 412),
        ({"if_none_match": "*"}, 412),
        ({"if_none_match": '"2-1"'}, 412),
        ({"if_match": "x"}, 400),
    ],
)
def test_conditions(api: Api, task: Task, headers: dict[str, str], status: int, keyed: dict[str, str]) -> None:
    api.delete(task["id"])
    assert api.restore(task["id"], **headers, **keyed).status == status
    assert len(api.walk()) == (status == 200)
