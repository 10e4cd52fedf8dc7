"""POST /v1/users/{user_id}/tasks/batch: up to 25 operations, all or none."""

import json
import uuid
from typing import Any

import pytest

from shared.models import BATCH_LIMIT
from tests.api import Api, Backend, Task, new_id
from tests.contract.shapes import is_problem, is_task

NOWHERE = "018f3a5c-0000-7000-8000-000000000000"


@pytest.fixture
def tasks(api: Api) -> list[Task]:
    """Three live tasks and one in the trash."""
    tasks = [api.made(title=title) for title in ("one", "two", "three", "gone")]
    api.delete(tasks[3]["id"])
    return tasks


def test_a_batch_does_every_kind_of_operation(api: Api, tasks: list[Task]) -> None:
    one, two, three, gone = (task["id"] for task in tasks)
    response = api.batch(
        {"op": "create", "task": {"title": "new", "completed": True}},
        {
            "op": "update",
            "id": one,
            "patch": {"title": "ONE", "description": "d", "completed": True},
            "if_match": '"1-1"',
        },
        {"op": "toggle", "id": two},
        {"op": "delete", "id": three, "if_match": "*"},
        {"op": "restore", "id": gone},
    )
    assert response.status == 200
    results = response.json["results"]
    assert [result["op"] for result in results] == ["create", "update", "toggle", "delete", "restore"]
    assert [result["id"] for result in results[1:]] == [one, two, three, gone]
    new, updated, toggled, deleted, restored = (result["task"] for result in results)
    assert deleted is None
    assert is_task(new, api.caller, title="new", completed=True, version=1, id=results[0]["id"])
    assert is_task(updated, api.caller, title="ONE", description="d", completed=True, version=2)
    assert is_task(toggled, api.caller, title="two", completed=True, version=2)
    assert is_task(restored, api.caller, title="gone", version=3)
    assert {task["id"]: task for task in api.walk()} == {task["id"]: task for task in (new, updated, toggled, restored)}
    assert [task["id"] for task in api.walk(status="deleted")] == [three]


def test_an_operation_without_effect_keeps_the_version(api: Api, tasks: list[Task]) -> None:
    one, gone = tasks[0], tasks[3]
    response = api.batch(
        {"op": "update", "id": one["id"], "patch": {"title": "one", "completed": False}},
        {"op": "delete", "id": gone["id"]},
        {"op": "update", "id": tasks[1]["id"], "patch": {}},
    )
    assert [result["task"] for result in response.json["results"]] == [one, None, tasks[1]]
    assert api.get(one["id"]).json == one


@pytest.mark.parametrize(
    ("bad", "status", "kind"),
    [
        ({"op": "update", "id": NOWHERE, "patch": {"title": "x"}}, 404, "task-not-found"),
        ({"op": "toggle", "id": "{gone}"}, 404, "task-not-found"),
        ({"op": "delete", "id": NOWHERE}, 404, "task-not-found"),
        ({"op": "restore", "id": NOWHERE}, 404, "task-not-found"),
        ({"op": "restore", "id": "{two}"}, 409, "not-deleted"),
        ({"op": "toggle", "id": "{two}", "if_match": '"2-1"'}, 412, "precondition-failed"),
        ({"op": "update", "id": "{two}", "patch": {}, "if_match": '"2-1"'}, 412, "precondition-failed"),
        ({"op": "delete", "id": "{two}", "if_match": 'W/"1-1"'}, 412, "precondition-failed"),
        ({"op": "restore", "id": "{gone}", "if_match": '"1-1"'}, 412, "precondition-failed"),
    ],
)
def test_an_impossible_operation_is_named_and_nothing_is_applied(
    backend: Backend, api: Api, tasks: list[Task], bad: dict[str, Any], status: int, kind: str
) -> None:
    before = backend.stored(api.caller)
    filled = {**bad, "id": bad["id"].format(two=tasks[1]["id"], gone=tasks[3]["id"])}
    response = api.batch({"op": "create", "task": {"title": "new"}}, {"op": "toggle", "id": tasks[0]["id"]}, filled)
    assert is_problem(response, status, kind, ["/operations/2"])
    assert backend.stored(api.caller) == before


@pytest.mark.parametrize(
    ("operations", "pointers"),
    [
        ([], ["/operations"]),
        ([{"op": "create", "task": {"title": "x"}}] * 26, ["/operations"]),
        ([{"op": "update", "id": NOWHERE, "patch": {"title": 5}}], ["/operations/0/patch/title"]),
        ([{"op": "create", "task": {"title": " ", "x": 1}}], ["/operations/0/task/title", "/operations/0/task/x"]),
        ([{"op": "create"}], ["/operations/0/task"]),
        ([{"op": "update", "id": NOWHERE, "patch": {"title": None}}], ["/operations/0/patch/title"]),
        ([{"op": "toggle", "id": "X"}, {"op": "delete", "id": 5}], ["/operations/0/id", "/operations/1/id"]),
        ([{"op": "toggle", "id": NOWHERE, "if_match": "1-1"}], ["/operations/0/if_match"]),
        ([{"op": "toggle", "id": NOWHERE, "task": {}}], ["/operations/0/task"]),
        ([{"op": "purge", "id": NOWHERE}], ["/operations/0"]),
        ([{"id": NOWHERE}, 5, None], ["/operations/0", "/operations/1", "/operations/2"]),
        ([{"op": "toggle", "id": NOWHERE}, {"op": "delete", "id": NOWHERE}], ["/operations"]),
    ],
)
def test_every_error_of_a_batch_has_a_pointer_into_the_request(
    backend: Backend, api: Api, operations: list[Any], pointers: list[str]
) -> None:
    assert is_problem(api.batch(*operations), 422, "invalid-body", pointers)
    assert backend.stored(api.caller) == []


def test_a_batch_too_large_to_store_is_rejected_and_nothing_is_applied(backend: Backend, api: Api) -> None:
    """A request with a few bytes is enough, since the tasks already exist."""
    ids = [result["id"] for result in api.batch(*[{"op": "create", "task": {"title": "x"}}] * 3).json["results"]]
    for one in backend.stored(api.caller):
        if one["sk"]["S"].startswith("TASK#"):
            text = {"S": "x" * 150_000}
            backend.table.client.put_item(TableName=backend.table.name, Item={**one, "description": text})
    before = backend.stored(api.caller)
    toggles = [{"op": "toggle", "id": one} for one in ids]
    response = api.batch(*toggles)
    assert is_problem(response, 422, "batch-too-large")
    assert backend.stored(api.caller) == before
    assert api.batch(*toggles[:2]).status == 200


def test_without_a_key_it_is_400(backend: Backend, api: Api) -> None:
    response = api.send("POST", f"{api.tasks}/batch", {"operations": [{"op": "create", "task": {"title": "x"}}]})
    assert is_problem(response, 400, "idempotency-key-required")
    assert backend.stored(api.caller) == []


def test_the_largest_batch_on_existing_tasks_is_accepted(api: Api) -> None:
    tasks = api.batch(*[{"op": "create", "task": {"title": "x"}}] * BATCH_LIMIT).json["results"]
    response = api.batch(*({"op": "toggle", "id": task["id"]} for task in tasks))
    assert response.status == 200
    assert [result["task"]["version"] for result in response.json["results"]] == [2] * BATCH_LIMIT


@pytest.mark.parametrize("escaped", [False, True])
def test_the_largest_batch_of_new_tasks_is_accepted(api: Api, escaped: bool) -> None:
    task = {
        "title": "\U0001f600" * 255,
        "description": "\U0001f600" * 1000,
    }  # each character is 4 bytes, or 12 bytes when escaped
    body = json.dumps({"operations": [{"op": "create", "task": task}] * 25}, ensure_ascii=escaped).encode()
    headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
    response, again = (api.send("POST", f"{api.tasks}/batch", body, headers) for _ in range(2))
    assert response.status == 200
    assert (again.content, again.headers["Idempotency-Replayed"]) == (response.content, "true")
    assert [shown["description"] for shown in api.walk()] == [task["description"]] * 25


def test_creates_with_an_id_can_be_repeated(api: Api) -> None:
    task_id = new_id()
    create = {"op": "create", "id": task_id, "task": {"title": "x", "due": "2026-12-24"}}
    first = api.batch(create)
    assert (first.status, first.json["results"][0]["id"]) == (200, task_id)
    again = api.batch(create)
    assert (again.status, again.json) == (200, first.json)
    taken = api.batch({**create, "task": {"title": "y"}})
    assert is_problem(taken, 412, "precondition-failed", ["/operations/0"])
    old = api.batch({"op": "create", "task": {"title": "x"}}, {**create, "id": new_id(30)})
    assert is_problem(old, 422, "unusable-id", ["/operations/1"])
    twice = api.batch(create, {"op": "toggle", "id": task_id})
    assert is_problem(twice, 422, "invalid-body", ["/operations"])
    zone = api.batch({"op": "update", "id": task_id, "patch": {"time_zone": "UTC"}})
    assert is_problem(zone, 422, "invalid-body", ["/operations/0/patch/time_zone"])
    assert [task["title"] for task in api.walk()] == ["x"]
