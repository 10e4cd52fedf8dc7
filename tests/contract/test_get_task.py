"""GET /v1/users/{user_id}/tasks/{task_id}: 200, 304 and 404."""

import pytest

from tests.api import Api, Headers
from tests.contract.shapes import REVALIDATE, is_problem, shows_task

# {etag} is the ETag of the task.
KNOWN: dict[str, Headers] = {
    "its ETag": {"If-None-Match": "{etag}"},
    "its ETag as a weak one": {"If-None-Match": "W/{etag}"},
    "among others": {"If-None-Match": '"x", W/"y,z" ,{etag}'},
    "in a second line": {"If-None-Match": ['"x"', "{etag}"]},
    "a star": {"If-None-Match": "*"},
}


def filled(headers: Headers, etag: str) -> Headers:
    return {
        name: value.format(etag=etag) if isinstance(value, str) else [line.format(etag=etag) for line in value or ()]
        for name, value in headers.items()
    }


def test_a_task_is_fetched_as_it_was_created(api: Api) -> None:
    task = api.made(title="Buy milk", description="2 l")
    response = api.get(task["id"])
    assert shows_task(response, api.caller, 200, REVALIDATE)
    assert response.json == task


def test_a_task_is_fetched_as_it_was_last_written(api: Api) -> None:
    task = api.toggle(api.made()["id"]).json
    assert api.get(task["id"]).json == task


@pytest.mark.parametrize("headers", KNOWN.values(), ids=KNOWN)
def test_a_client_that_has_the_task_gets_304(api: Api, headers: Headers) -> None:
    task = api.made()
    response = api.send("GET", f"{api.tasks}/{task['id']}", headers=filled(headers, task["etag"]))
    assert (response.status, response.content) == (304, b"")
    assert (response.headers["ETag"], response.headers["Cache-Control"]) == (task["etag"], REVALIDATE)


@pytest.mark.parametrize("headers", [{"If-None-Match": '"7-1"'}, {"If-Match": '"7-1"'}])  # a GET ignores If-Match
def test_a_client_that_does_not_have_it_gets_200(api: Api, headers: Headers) -> None:
    task = api.made()
    response = api.send("GET", f"{api.tasks}/{task['id']}", headers=headers)
    assert shows_task(response, api.caller, 200, REVALIDATE, **task)


def test_a_client_that_has_an_older_version_gets_200(api: Api) -> None:
    task = api.made()
    newer = api.toggle(task["id"]).json
    assert newer["etag"] != task["etag"]
    assert api.get(task["id"], if_none_match=task["etag"]).json == newer


def test_a_malformed_condition_is_400(api: Api) -> None:
    assert is_problem(api.get(api.made()["id"], if_none_match="1-1"), 400, "bad-etag")


def test_a_deleted_task_is_404_even_for_a_client_that_has_it(api: Api) -> None:
    task = api.made()
    api.delete(task["id"])
    assert is_problem(api.get(task["id"]), 404, "task-not-found")
    assert is_problem(api.get(task["id"], if_none_match=task["etag"]), 404, "task-not-found")
    assert is_problem(api.get(task["id"], if_none_match="*"), 404, "task-not-found")
