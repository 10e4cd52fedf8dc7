"""DELETE /v1/users/{user_id}/tasks/{task_id}: 204 with an ETag, and 204 again while the task is in the trash."""

from tests.api import Api, Backend, Response
from tests.contract.shapes import NO_STORE, is_problem


def is_done(response: Response) -> bool:
    assert (response.status, response.content) == (204, b"")
    assert response.headers["Cache-Control"] == NO_STORE
    assert all(name not in response.headers for name in ("Content-Type", "Location"))
    return True


def test_the_etag_is_the_version_in_the_trash(api: Api) -> None:
    task = api.made()
    etags = [api.delete(task["id"]).headers["ETag"] for _ in range(2)]
    assert set(etags) == {api.walk(status="deleted")[0]["etag"]} != {task["etag"]}
    assert is_problem(api.restore(task["id"], if_match=task["etag"]), 412, "precondition-failed")
    assert api.restore(task["id"], if_match=etags[0]).status == 200


def test_a_deleted_task_is_gone_from_every_list_but_the_trash(api: Api) -> None:
    task, other = api.made(), api.made()
    assert is_done(api.delete(task["id"]))
    assert api.walk() == api.walk(status="open") == [other]
    assert api.walk(status="completed") == []
    assert [deleted["id"] for deleted in api.walk(status="deleted")] == [task["id"]]


def test_a_completed_task_is_deleted_too(api: Api) -> None:
    task = api.made(completed=True)
    assert is_done(api.delete(task["id"]))
    assert (api.walk(), api.walk(status="completed")) == ([], [])
    assert [deleted["completed"] for deleted in api.walk(status="deleted")] == [True]


def test_deleting_again_is_204_and_changes_nothing(backend: Backend, api: Api) -> None:
    task = api.made()
    api.delete(task["id"])
    before = backend.stored(api.caller)
    assert is_done(api.delete(task["id"]))
    assert backend.stored(api.caller) == before


def test_deleting_again_under_the_same_condition_is_204(api: Api) -> None:
    task = api.made()
    assert is_done(api.delete(task["id"], if_match=task["etag"]))
    assert is_done(api.delete(task["id"], if_match=task["etag"]))


def test_a_task_whose_time_in_the_trash_is_over_is_404_before_ttl_removes_it(backend: Backend, api: Api) -> None:
    task = api.made()
    api.delete(task["id"])
    backend.expire(api.caller, task["id"])
    assert is_problem(api.delete(task["id"]), 404, "task-not-found")


def test_a_body_is_not_read(api: Api) -> None:
    assert is_done(api.send("DELETE", f"{api.tasks}/{api.made()['id']}", b"not json"))
