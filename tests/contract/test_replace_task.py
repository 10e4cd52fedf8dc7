"""PUT /v1/users/{user_id}/tasks/{task_id}: replaces a task, or creates it under the client's id."""

import time
import uuid
from datetime import UTC, datetime

import pytest

from tests.api import MERGE_PATCH, Api, Backend, Task, new_id
from tests.contract.conftest import Kept
from tests.contract.shapes import is_problem, shows_task
from tests.inputs import READ_ONLY

OTHER = {"title": "new", "description": "other", "completed": True}


@pytest.fixture
def task(api: Api) -> Task:
    return api.made(title="old", description="old")


def test_every_field_is_replaced(api: Api, task: Task) -> None:
    response = api.replace(task["id"], OTHER)
    assert shows_task(response, api.caller, **OTHER, version=2, created_at=task["created_at"], id=task["id"])
    assert response.json["completed_at"] == response.json["updated_at"] > task["updated_at"]
    assert response.json["etag"] != task["etag"]
    assert api.get(task["id"]).json == response.json


def test_null_clears_the_description(api: Api, task: Task) -> None:
    response = api.replace(task["id"], {**OTHER, "description": None})
    assert shows_task(response, api.caller, description=None)


def test_a_completed_task_can_be_opened(api: Api) -> None:
    task = api.made(completed=True)
    response = api.replace(task["id"], {**OTHER, "completed": False})
    assert shows_task(response, api.caller, completed=False, completed_at=None)
    assert (api.walk(status="open"), api.walk(status="completed")) == ([response.json], [])


def test_a_fetched_task_can_be_put_unchanged_and_keeps_its_version(api: Api, task: Task) -> None:
    response = api.replace(task["id"], api.get(task["id"]).json)
    assert shows_task(response, api.caller, **task)


def test_a_fetched_task_can_be_put_with_a_change(api: Api, task: Task) -> None:
    response = api.replace(task["id"], {**api.get(task["id"]).json, "title": "new"}, if_match=task["etag"])
    assert shows_task(response, api.caller, **{**task, **changed(response.json), "title": "new", "version": 2})


def test_a_task_listed_in_the_trash_can_be_put_after_its_restore(api: Api, task: Task) -> None:
    api.delete(task["id"])
    (shown,) = api.walk(status="deleted")
    restored = api.restore(task["id"]).json
    assert shows_task(api.replace(task["id"], shown), api.caller, **restored)


def changed(task: Task) -> Task:
    return {name: task[name] for name in ("updated_at", "etag")}


@pytest.mark.parametrize("name", READ_ONLY)
def test_fields_that_only_the_server_sets_are_ignored(api: Api, task: Task, name: str) -> None:
    response = api.replace(task["id"], {**OTHER, name: READ_ONLY[name]})
    assert shows_task(response, api.caller, **OTHER, version=2, id=task["id"], created_at=task["created_at"])


def test_a_put_without_a_change_keeps_the_version(api: Api, task: Task) -> None:
    first = api.replace(task["id"], OTHER).json
    assert api.replace(task["id"], OTHER).json == first


def test_a_put_without_a_change_under_a_stale_condition_is_412(api: Api, task: Task) -> None:
    response = api.replace(task["id"], OTHER)
    again = api.replace(task["id"], OTHER, if_match=task["etag"])
    assert is_problem(again, 412, "precondition-failed")
    assert api.get(task["id"]).json == response.json


@pytest.mark.parametrize("name", OTHER)
def test_every_mutable_field_is_required(kept: Kept, name: str) -> None:
    response = kept.api.replace(kept.task["id"], {key: value for key, value in OTHER.items() if key != name})
    assert is_problem(response, 422, "invalid-body", [f"/{name}"])


def test_an_empty_put_lacks_every_field(kept: Kept) -> None:
    assert is_problem(kept.api.replace(kept.task["id"], {}), 422, "invalid-body", [f"/{name}" for name in OTHER])


def test_a_put_does_not_accept_a_merge_patch(kept: Kept) -> None:
    response = kept.api.replace(kept.task["id"], OTHER, content_type=MERGE_PATCH)
    assert is_problem(response, 415, "unsupported-media-type")
    assert "Accept-Patch" not in response.headers


def test_the_same_text_in_another_normal_form_changes_nothing(api: Api) -> None:
    task = api.made(title="Caf\u00e9")
    response = api.replace(task["id"], {"title": "Cafe\u0301", "description": None, "completed": False})
    assert response.json == task


WHOLE = {"title": "Buy milk", "description": None, "completed": False, "due": "2026-12-24", "tags": ["shop"]}


def test_a_put_creates_under_the_id_of_the_client_and_can_be_repeated(backend: Backend, api: Api) -> None:
    task_id = new_id()
    first = api.replace(task_id, WHOLE, if_none_match="*")
    assert shows_task(first, api.caller, 201, id=task_id, version=1, **WHOLE)
    assert first.location == f"{api.tasks}/{task_id}"
    again = api.replace(task_id, WHOLE, if_none_match="*")
    assert (again.status, again.json) == (201, first.json)
    assert len(backend.stored(api.caller)) == 1
    assert is_problem(api.replace(task_id, {**WHOLE, "title": "x"}, if_none_match="*"), 412, "precondition-failed")
    api.toggle(task_id)
    assert is_problem(api.replace(task_id, WHOLE, if_none_match="*"), 412, "precondition-failed")
    api.delete(task_id)
    assert is_problem(api.replace(task_id, WHOLE, if_none_match="*"), 412, "precondition-failed")


@pytest.mark.parametrize("days_ago", [29.1, -1.1])
def test_an_id_from_another_time_is_rejected(backend: Backend, api: Api, days_ago: float) -> None:
    response = api.replace(new_id(days_ago), WHOLE, if_none_match="*")
    assert is_problem(response, 422, "unusable-id")
    assert backend.stored(api.caller) == []


SERVICE = {"scope": "tasks/service"}


@pytest.mark.parametrize("days_ago", [29.1, 3000])
def test_a_service_imports_a_task_of_any_age(api: Api, days_ago: float) -> None:
    task_id, service = new_id(days_ago), Api(api.url, "service", api.caller, claims=SERVICE)
    path = f"{api.tasks}/{task_id}?import=true"
    assert is_problem(api.send("PUT", path, WHOLE, {"If-None-Match": "*"}), 403, "forbidden")
    assert api.get(task_id).status == 404
    response = service.send("PUT", path, WHOLE, {"If-None-Match": "*"})
    created_at = datetime.fromtimestamp(int(task_id[:13].replace("-", ""), 16) / 1000, UTC)
    shown = f"{created_at:%Y-%m-%dT%H:%M:%S}.{created_at.microsecond // 1000:03}Z"
    version = response.json["version"]
    assert shows_task(response, api.caller, 201, id=task_id, version=version, created_at=shown, **WHOLE)
    # It begins at the time in ms, above every version of an earlier task with this id.
    assert 0 <= time.time() * 1000 - version < 600_000
    assert response.json["updated_at"] > created_at.isoformat()
    assert service.send("PUT", path, WHOLE, {"If-None-Match": "*"}).json == response.json
    service.toggle(task_id)
    assert is_problem(service.send("PUT", path, WHOLE, {"If-None-Match": "*"}), 412, "precondition-failed")


def test_an_imported_task_is_not_from_the_future(api: Api) -> None:
    service = Api(api.url, "service", api.caller, claims=SERVICE)
    for days_ago, status in ((-0.5, 201), (-1.1, 422)):
        path = f"{api.tasks}/{new_id(days_ago)}?import=true"
        response = service.send("PUT", path, WHOLE, {"If-None-Match": "*"})
        assert response.status == status
        if status == 201:
            assert response.json["created_at"] == response.json["updated_at"]


@pytest.mark.parametrize(("query", "headers"), [("import=true", {}), ("import=yes", {"If-None-Match": "*"})])
def test_only_a_create_can_be_an_import(kept: Kept, query: str, headers: dict[str, str]) -> None:
    service = Api(kept.api.url, "service", kept.api.caller, claims=SERVICE)
    response = service.send("PUT", f"{kept.api.tasks}/{kept.task['id']}?{query}", OTHER, headers)
    assert is_problem(response, 400, "bad-query")


def test_an_id_of_another_uuid_version_is_rejected(api: Api) -> None:
    assert is_problem(api.replace(str(uuid.uuid4()), WHOLE, if_none_match="*"), 422, "unusable-id")


def test_an_id_of_another_user_may_be_used_and_is_another_task(api: Api) -> None:
    task_id = new_id()
    other = Api(api.url, f"other-{api.caller}")
    for one in (api, other):
        assert shows_task(one.replace(task_id, WHOLE, if_none_match="*"), one.caller, 201, id=task_id)
    api.delete(task_id)
    assert other.get(task_id).status == 200


def test_fields_that_it_leaves_out_keep_their_values(api: Api) -> None:
    details = {
        "due": "2026-12-24T17:00:00",
        "time_zone": "Europe/Berlin",
        "priority": 1,
        "tags": ["a"],
        "metadata": {"k": "v"},
    }
    task = api.made(**details)
    assert shows_task(api.replace(task["id"], OTHER), api.caller, **OTHER, **details)
    assert shows_task(api.replace(task["id"], {**OTHER, "tags": [], "metadata": {}}), api.caller, tags=[], metadata={})
