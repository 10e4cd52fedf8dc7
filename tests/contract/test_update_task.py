"""PATCH /v1/users/{user_id}/tasks/{task_id}: a JSON merge patch (RFC 7396)."""

import pytest

from tests.api import JSON, MERGE_PATCH, Api, Backend, Task
from tests.contract.shapes import is_problem, shows_task

CHANGES: dict[str, dict[str, object]] = {
    "a title": {"title": "new"},
    "a description": {"description": "new"},
    "no description": {"description": None},
    "completion": {"completed": True},
    "everything": {"title": "new", "description": None, "completed": True},
}
SAME: dict[str, dict[str, object]] = {
    "nothing": {},
    "the title": {"title": "old"},
    "the description": {"description": "old"},
    "the status": {"completed": False},
    "everything": {"title": "old", "description": "old", "completed": False},
}


@pytest.fixture
def task(api: Api) -> Task:
    return api.made(title="old", description="old")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_patch_changes_only_the_fields_that_it_names(api: Api, task: Task, change: dict[str, object]) -> None:
    response = api.update(task["id"], change)
    new = response.json
    moved = {"version": 2} | {name: new[name] for name in ("updated_at", "etag", "completed_at")}
    assert shows_task(response, api.caller, **{**task, **moved, **change})
    assert new["updated_at"] > task["updated_at"]
    assert new["etag"] != task["etag"]
    assert new["completed_at"] == (new["updated_at"] if "completed" in change else None)
    assert api.get(task["id"]).json == new


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_a_patch_without_effect_keeps_the_version(
    backend: Backend, api: Api, task: Task, change: dict[str, object]
) -> None:
    before = backend.stored(api.caller)
    assert shows_task(api.update(task["id"], change), api.caller, **task)
    assert backend.stored(api.caller) == before


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
@pytest.mark.parametrize("headers", [{"if_match": '"7-1"'}, {"if_none_match": "*"}], ids=["If-Match", "If-None-Match"])
def test_a_patch_without_effect_must_meet_its_condition(
    api: Api, task: Task, change: dict[str, object], headers: dict[str, str]
) -> None:
    assert is_problem(api.update(task["id"], change, **headers), 412, "precondition-failed")


@pytest.mark.parametrize(
    "change", [*SAME.values(), *CHANGES.values()], ids=[*SAME, *(f"new {name}" for name in CHANGES)]
)
def test_a_deleted_task_is_404_and_stays_deleted(
    backend: Backend, api: Api, task: Task, change: dict[str, object]
) -> None:
    api.delete(task["id"])
    before = backend.stored(api.caller)
    assert is_problem(api.update(task["id"], change), 404, "task-not-found")
    assert backend.stored(api.caller) == before


@pytest.mark.parametrize("was", [False, True])
@pytest.mark.parametrize("becomes", [False, True])
@pytest.mark.parametrize("others", [{}, {"title": "new"}, {"title": "old"}], ids=["alone", "new title", "same title"])
def test_a_patch_sets_the_status(api: Api, was: bool, becomes: bool, others: dict[str, str]) -> None:
    task = api.made(title="old", completed=was)
    response = api.update(task["id"], {"completed": becomes, **others})
    changes = was != becomes or others == {"title": "new"}
    assert shows_task(response, api.caller, completed=becomes, version=2 if changes else 1, **others)
    if was == becomes:
        assert response.json["completed_at"] == task["completed_at"]
    assert api.walk(status="completed" if becomes else "open") == [response.json]
    assert api.walk(status="open" if becomes else "completed") == []


@pytest.mark.parametrize("content_type", [JSON, MERGE_PATCH, f"{MERGE_PATCH}; charset=UTF-8", "APPLICATION/JSON"])
def test_a_patch_is_json_or_a_merge_patch(api: Api, task: Task, content_type: str) -> None:
    assert shows_task(api.update(task["id"], {"title": "new"}, content_type=content_type), api.caller, title="new")


def test_an_empty_description_is_not_null(api: Api, task: Task) -> None:
    assert shows_task(api.update(task["id"], {"description": ""}), api.caller, description="")


def test_metadata_is_merged_by_key(api: Api) -> None:
    task = api.made(metadata={"a": "1", "b": "2"})
    assert api.update(task["id"], {"metadata": {"a": None, "c": "3"}}).json["metadata"] == {"b": "2", "c": "3"}
    assert api.update(task["id"], {"metadata": None}).json["metadata"] == {}


def test_a_patch_removes_a_time_zone_with_its_time(api: Api) -> None:
    task = api.made(due="2026-12-24T17:00", time_zone="Europe/Berlin")
    assert shows_task(api.update(task["id"], {"due": "2026-12-24"}), api.caller, due="2026-12-24", time_zone=None)
    response = api.update(task["id"], {"time_zone": "Europe/Berlin"})
    assert is_problem(response, 422, "invalid-body", ["/time_zone"])
