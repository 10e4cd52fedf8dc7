"""DELETE /v1/users/{user_id}/tasks?status=completed: completed tasks go to the trash, by exactly that query."""

import pytest

from tests.api import Api, Backend
from tests.contract.shapes import is_problem


def test_completed_tasks_go_to_the_trash_and_open_ones_stay(api: Api) -> None:
    done = [api.made(completed=True)["id"] for _ in range(3)]
    kept = api.made()["id"]
    response = api.clear()
    assert (response.status, response.json) == (200, {"cleared": 3, "more": False})
    assert response.headers["Cache-Control"] == "no-store"
    assert [task["id"] for task in api.walk()] == [kept]
    assert {task["id"] for task in api.walk(status="deleted")} == set(done)
    assert api.restore(done[0]).json["completed"] is True


def test_a_second_clear_deletes_nothing(api: Api) -> None:
    api.made(completed=True)
    assert [api.clear().json for _ in range(2)] == [{"cleared": 1, "more": False}, {"cleared": 0, "more": False}]


@pytest.mark.parametrize(
    "query",
    [
        *("", "?", "?status=", "?status=open", "?status=all", "?status=deleted", "?status=Completed"),
        *(
            "?status=completed&status=completed",
            "?status=completed,open",
            "?status=completed&limit=1",
            "?Status=completed",
        ),
    ],
)
def test_without_exactly_that_query_nothing_is_cleared(backend: Backend, api: Api, query: str) -> None:
    api.made(completed=True)
    before = backend.stored(api.caller)
    assert is_problem(api.clear(query), 400, "bad-query")
    assert backend.stored(api.caller) == before
