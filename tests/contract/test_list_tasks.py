"""GET /v1/users/{user_id}/tasks: filters, orders, pages, cursors, links."""

import uuid
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest

from conformance.checks import MEMBERS, TIME
from shared.models import TaskQuery
from shared.store import cursors
from tests import guard
from tests.api import JSON, Api, Backend, Response, Task
from tests.contract.shapes import NO_STORE, is_problem, is_task

STATUSES = ["all", "open", "completed", "deleted"]
# tests/unit/test_models.py has more.
BAD_QUERIES = {
    "a limit with a sign": "limit=%2B5",
    "a limit in other digits": "limit=%EF%BC%95",
    "a limit of 5000 digits": "limit=" + "9" * 5000,
    "two limits": "limit=5&limit=5",
    "an unknown status": "status=done",
    "two statuses": "status=open&status=completed",
    "an unknown order": "order=up",
    "a cursor of 600 characters": "cursor=" + "A" * 600,
    "an unknown parameter": "colour=red",
    "a parameter in capitals": "Limit=5",
    "another user": "user_id=someone",
    "a hidden parameter": "page_size=5",
}
# tests/unit/test_queries.py has more.
BAD_POSITIONS = {
    "another list": "open#9999-12-31T23:59:59Z#018f3a5c-0000-7000-8000-000000000000",
    "another user": "USER#someone-018f3a5c-0000-7000-8000-000000000000",
}


@pytest.fixture(scope="module")
def reader(backend: Backend) -> Api:
    """A user whose tasks are not changed by any test."""
    return Api(backend.url, f"reader-{uuid.uuid4()}")


@pytest.fixture(scope="module")
def tasks(reader: Api) -> dict[str, list[Task]]:
    """The tasks of the reader by list; `deleted` is in the order of deletion."""
    made = [reader.made(title=f"task {number}", completed=number % 2 == 1) for number in range(9)]
    for task in made[8], made[0], made[5]:
        assert reader.delete(task["id"]).status == 204
    kept = [task for task in made if task not in (made[0], made[5], made[8])]
    return {
        "all": kept,
        "open": [task for task in kept if not task["completed"]],
        "completed": [task for task in kept if task["completed"]],
        "deleted": [made[8], made[0], made[5]],
    }


def ids(tasks: list[Task]) -> list[str]:
    return [task["id"] for task in tasks]


def test_without_tasks_a_list_is_empty(api: Api) -> None:
    response = api.page()
    assert (response.status, response.json) == (200, {"items": [], "next_cursor": None})
    assert (response.headers["Content-Type"], response.headers["Cache-Control"]) == (JSON, NO_STORE)
    assert response.next_path is None


def test_by_default_live_tasks_are_shown_from_the_oldest(reader: Api, tasks: dict[str, list[Task]]) -> None:
    assert reader.page().json == {"items": tasks["all"], "next_cursor": None}
    assert all(is_task(task, reader.caller) for task in reader.page().json["items"])


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_list_shows_the_tasks_of_its_status_in_its_order(
    reader: Api, tasks: dict[str, list[Task]], status: str, order: str
) -> None:
    expected = ids(tasks[status])
    shown = reader.page(status=status, order=order).json["items"]
    assert ids(shown) == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 6])
def test_the_links_reach_every_task_once(
    reader: Api, tasks: dict[str, list[Task]], status: str, order: str, limit: int
) -> None:
    walked = reader.walk(status=status, order=order, limit=limit)
    assert ids(walked) == ids(tasks[status])[:: 1 if order == "asc" else -1]


def test_the_link_has_the_query_and_the_next_cursor(reader: Api, tasks: dict[str, list[Task]]) -> None:
    response = reader.page(status="open", order="desc", limit=1)
    assert len(response.json["items"]) == 1 < len(tasks["open"])
    link = urlsplit(str(response.next_path))
    assert (link.scheme, link.netloc, link.path) == ("", "", reader.tasks)
    expected = {"status": ["open"], "order": ["desc"], "limit": ["1"], "cursor": [response.json["next_cursor"]]}
    assert parse_qs(link.query) == expected


def test_the_last_page_has_no_link(reader: Api, tasks: dict[str, list[Task]]) -> None:
    response = reader.page(limit=len(tasks["all"]) + 1)
    assert response.json["next_cursor"] is None
    assert "Link" not in response.headers


def test_the_link_of_a_user_whose_id_needs_quoting_can_be_followed(backend: Backend) -> None:
    api = Api(backend.url, f"auth0|{uuid.uuid4()}")
    expected = [api.made()["id"] for _ in range(3)]
    assert ids(api.walk(limit=1)) == expected


def test_a_task_in_the_trash_shows_its_deletion_and_its_purge(api: Api) -> None:
    task = api.made(title="old", completed=True)
    api.delete(task["id"])
    (deleted,) = api.page(status="deleted").json["items"]
    assert set(deleted) == MEMBERS | {"deleted_at", "purge_at"}
    kept = ("id", "user_id", "title", "description", "completed", "completed_at", "created_at")
    assert {name: deleted[name] for name in kept} == {name: task[name] for name in kept}
    assert deleted["version"] == task["version"] + 1
    assert deleted["etag"] != task["etag"]
    assert deleted["updated_at"] == deleted["deleted_at"] >= task["updated_at"]
    assert TIME.fullmatch(deleted["purge_at"])
    lies = datetime.fromisoformat(deleted["purge_at"]) - datetime.fromisoformat(deleted["deleted_at"])
    assert timedelta(days=30, seconds=-1) < lies <= timedelta(days=30, seconds=1)


def test_a_task_whose_time_in_the_trash_is_over_is_not_listed(backend: Backend, api: Api) -> None:
    task = api.made()
    api.delete(task["id"])
    backend.expire(api.caller, task["id"])
    assert len(backend.stored(api.caller)) == 1
    assert api.walk(status="deleted") == []


def test_a_page_has_50_tasks_by_default_and_100_at_most(backend: Backend, api: Api) -> None:
    backend.fill(api.caller, 101)
    assert len(api.page().json["items"]) == 50
    assert len(api.page(limit=100).json["items"]) == 100
    assert len(api.page(limit=101).json["items"]) == 100
    assert len(api.page(limit=10**18).json["items"]) == 100
    assert len(api.walk(limit=1000)) == 101


@pytest.mark.parametrize("query", BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_a_bad_query_is_400(api: Api, query: str) -> None:
    assert is_problem(api.send("GET", f"{api.tasks}?{query}"), 400, "bad-query")


def test_every_bad_parameter_is_named(api: Api) -> None:
    response = api.send("GET", f"{api.tasks}?limit=0&status=x&order=y&z=1")
    assert is_problem(response, 400, "bad-query")
    assert all(f"{name}:" in response.json["detail"] for name in ("limit", "status", "order", "z"))


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("tag=a&tag=b", "tag"),
        ("tag=a,b&tag=a,b", "tag"),
        ("status=open&&tag=a&limit=5&ta%67=", "tag"),
        ("a+b=1&a%20b=2", "a b"),
    ],
)
def test_a_repeated_parameter_is_400(api: Api, query: str, name: str) -> None:
    response = api.send("GET", f"{api.tasks}?{query}")
    assert is_problem(response, 400, "bad-query")
    assert response.json["detail"] == f"Query parameters are not valid: {name}: Must be given only once."


@pytest.mark.parametrize("query", ["tag=a,b", "tag=a%2Cb&limit=5", "&tag=a%2cb&&status=open&"])
def test_a_tag_may_contain_a_comma_and_a_query_empty_parts(api: Api, query: str) -> None:
    for tags in (["a", "b"], ["a,b"]):
        task = api.made(tags=tags)
    assert api.send("GET", f"{api.tasks}?{query}").json["items"] == [task]


def test_a_cursor_is_valid_only_for_its_user_status_and_order(backend: Backend, api: Api) -> None:
    users = api, Api(backend.url, f"{api.caller}-2")
    for who in users:
        for number in range(6):
            task = who.made(completed=number % 3 == 1)
            if number % 3 == 2:
                who.delete(task["id"])
    lists = [(who, status, order) for who in users for status in STATUSES for order in ("asc", "desc")]
    for mine in lists:
        cursor = cursor_of(*mine)
        assert all(page_at(cursor, *theirs).status == (200 if theirs == mine else 400) for theirs in lists)


def page_at(cursor: str, api: Api, status: str, order: str) -> Response:
    response = api.page(status=status, order=order, cursor=cursor)
    assert response.status == 200 or is_problem(response, 400, "bad-cursor")
    return response


def cursor_of(api: Api, status: str, order: str) -> str:
    return str(api.page(status=status, order=order, limit=1).json["next_cursor"])


def test_a_cursor_may_be_used_with_another_limit(reader: Api, tasks: dict[str, list[Task]]) -> None:
    cursor = cursor_of(reader, "all", "asc")
    assert ids(reader.page(status="all", order="asc", limit=2, cursor=cursor).json["items"]) == ids(tasks["all"])[1:3]
    assert ids(reader.page(cursor=cursor).json["items"]) == ids(tasks["all"])[1:]


def test_a_cursor_stays_valid_after_its_task_is_deleted(api: Api) -> None:
    first, *others = [api.made()["id"] for _ in range(3)]
    cursor = cursor_of(api, "all", "asc")
    api.delete(first)
    assert ids(api.page(cursor=cursor).json["items"]) == others


# tests/unit/test_cursors.py has more.
@pytest.mark.parametrize("garble", ["x", "%00", "%C3%A9", "{0}A", "{0}%3D", "{0}%0A", "{0},{0}"])
def test_a_broken_cursor_is_400(reader: Api, tasks: dict[str, list[Task]], garble: str) -> None:  # noqa: ARG001
    response = reader.send("GET", f"{reader.tasks}?cursor={garble.format(cursor_of(reader, 'all', 'asc'))}")
    assert is_problem(response, 400, "bad-cursor")


@pytest.mark.parametrize("position", BAD_POSITIONS.values(), ids=BAD_POSITIONS)
def test_a_forged_cursor_reaches_nothing_outside_its_list(api: Api, position: str) -> None:
    api.made()
    cursor = cursors.encode(position, guard.partition_of(api.caller), *TaskQuery().scope)
    assert is_problem(api.page(cursor=cursor), 400, "bad-cursor")


def test_a_list_shows_a_write_at_once(api: Api) -> None:
    task = api.made()
    updated = api.update(task["id"], {"title": "new"}).json
    assert api.walk() == [updated]
    toggled = api.toggle(task["id"]).json
    assert api.walk() == [toggled]
    assert (api.walk(status="open"), ids(api.walk(status="completed"))) == ([], [task["id"]])


def test_tasks_appear_in_the_order_in_which_they_were_created(api: Api) -> None:
    expected = [api.made()["id"] for _ in range(12)]
    assert ids(api.walk()) == expected == sorted(expected)
    assert all(one < two for one, two in pairwise(expected))


def test_at_most_50_errors_of_a_query_are_listed(api: Api) -> None:
    names = [f"name-{number}-{'x' * 300}" for number in range(100)]
    response = api.page(**dict.fromkeys(names, "1"))
    assert is_problem(response, 400, "bad-query")
    assert response.json["detail"].count("name-") == 50
    assert response.json["detail"].endswith("; and 50 more.")
    assert len(response.content) < 50 * 250


def test_open_tasks_are_listed_by_due_date(api: Api) -> None:
    dues = [None, "2026-12-25", "2026-12-24T17:00:00", "2026-12-24", "2026-12-24T00:00:00", None]
    made = [api.made(due=due, title=str(number)) for number, due in enumerate(dues)]
    expected = [dues[4], dues[2], dues[3], dues[1], None, None]
    assert [task["due"] for task in api.walk(status="open", limit=2)] == expected
    assert [task["title"] for task in api.walk(status="open", order="desc")] == ["5", "0", "1", "3", "2", "4"]
    assert [task["title"] for task in api.walk()] == [task["title"] for task in made]
    week = api.walk(status="open", due_after="2026-12-23", due_before="2026-12-25", limit=1)
    assert [task["title"] for task in week] == ["4", "2", "3"]
    api.toggle(made[2]["id"])
    api.update(made[0]["id"], {"due": "2026-12-24T12:00"})
    week = api.walk(status="open", due_after="2026-12-23", due_before="2026-12-25")
    assert [task["title"] for task in week] == ["4", "0", "3"]


def test_filters_select_tasks(api: Api) -> None:
    for number in range(6):
        api.made(
            title=str(number), priority=number % 3, tags=["even"] if number % 2 == 0 else ["odd", "caf\u00e9, \u2615"]
        )
    assert [task["title"] for task in api.walk(tag="even", limit=1)] == ["0", "2", "4"]
    assert [task["title"] for task in api.walk(tag="caf\u00e9, \u2615")] == ["1", "3", "5"]
    assert [task["title"] for task in api.walk(priority_max=1, status="open")] == ["1", "4"]
    assert [task["title"] for task in api.walk(priority_max=2, tag="odd", order="desc", limit=1)] == ["5", "1"]
    assert api.page(tag="eve").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "other",
    [{"tag": "b"}, {"priority_max": "3"}, {"due_before": "2026-12-25"}, {"due_after": "2026-12-22"}, {"order": "desc"}],
)
def test_a_cursor_is_valid_only_for_its_filters(api: Api, other: dict[str, str]) -> None:
    query = {"status": "open", "tag": "a", "due_after": "2026-12-23", "due_before": "2026-12-31"}
    for _ in range(2):
        api.made(due="2026-12-24", tags=["a", "b"], priority=1)
    cursor = api.page(**query, limit=1).json["next_cursor"]
    assert len(api.page(**query, cursor=cursor).json["items"]) == 1
    assert is_problem(api.page(**{**query, **other}, cursor=cursor), 400, "bad-cursor")
