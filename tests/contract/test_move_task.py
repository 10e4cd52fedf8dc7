"""POST /v1/users/{user_id}/tasks/{task_id}/move: moves a task to a place of a list, and changes nothing else."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.api import Api, Task
from tests.contract.shapes import is_problem, shows_task

NOBODYS = "018f3a5c-0000-7000-8000-000000000000"


@pytest.fixture
def tasks(api: Api) -> dict[str, Task]:
    """Four tasks of the list `home`, by their titles."""
    return {title: api.made(title=title, list="home") for title in "abcd"}


def order(api: Api, name: str = "home", **query: object) -> str:
    """The titles of a list, in its order."""
    return "".join(task["title"] for task in api.walk(list=name, limit=3, **query))


@pytest.mark.parametrize(
    ("title", "side", "anchor", "expected"),
    [
        ("a", "after", "c", "bcad"),
        ("a", "before", "c", "bacd"),
        ("d", "after", "a", "adbc"),
        ("d", "before", "a", "dabc"),
        ("c", "after", None, "cabd"),
        ("b", "before", None, "acdb"),
        ("b", "after", "d", "acdb"),
    ],
)
def test_a_task_moves_to_the_requested_place(
    api: Api, tasks: Mapping[str, Task], title: str, side: str, anchor: str | None, expected: str
) -> None:
    task = tasks[title]
    response = api.move(task["id"], {side: anchor and tasks[anchor]["id"]})
    new = {name: response.json[name] for name in ("position", "updated_at", "etag")}
    assert shows_task(response, api.caller, **{**task, **new, "version": 2})
    assert order(api) == expected
    assert order(api, order="desc") == expected[::-1]
    others = [one for one in tasks.values() if one != task]
    assert [api.get(one["id"]).json for one in others] == others


@pytest.mark.parametrize(
    ("title", "side", "anchor"),
    [("b", "after", "a"), ("b", "before", "c"), ("a", "after", None), ("d", "before", None)],
)
def test_a_move_to_its_own_place_changes_nothing(
    api: Api, tasks: Mapping[str, Task], title: str, side: str, anchor: str | None
) -> None:
    assert api.move(tasks[title]["id"], {side: anchor and tasks[anchor]["id"]}).json == tasks[title]


def test_a_task_keeps_its_id_in_another_list(api: Api, tasks: Mapping[str, Task]) -> None:
    other = api.made(title="x", list="work")
    moved = api.move(tasks["b"]["id"], {"list": "work", "before": other["id"]})
    assert shows_task(moved, api.caller, id=tasks["b"]["id"], list="work", version=2)
    assert (order(api), order(api, "work")) == ("acd", "bx")
    alone = api.made(title="y")
    assert api.move(alone["id"], {"list": "task:1", "after": None}).json["list"] == "task:1"


def test_open_tasks_come_before_completed_ones(api: Api, tasks: Mapping[str, Task]) -> None:
    for title in "ac":
        api.toggle(tasks[title]["id"])
    assert order(api) == "bdac"
    # The anchor is completed, so the task moves to that side of the open tasks.
    assert api.move(tasks["b"]["id"], {"after": tasks["c"]["id"]}).status == 200
    assert order(api) == "bdac"
    assert api.move(tasks["a"]["id"], {"before": None}).status == 200
    assert order(api) == "bdca"
    assert (order(api, status="open"), order(api, status="completed")) == ("bd", "ca")


def test_a_task_added_to_a_list_is_sorted_by_its_creation(api: Api, tasks: Mapping[str, Task]) -> None:
    api.move(tasks["a"]["id"], {"before": None})
    assert order(api) == "bcda"
    assert api.update(tasks["a"]["id"], {"list": None}).json["position"] is None
    assert api.update(tasks["a"]["id"], {"list": "home"}).json["position"] == tasks["a"]["position"]
    assert order(api) == "abcd"
    whole = {"title": "a", "description": None, "completed": False}
    assert api.replace(tasks["a"]["id"], {**whole, "list": "work"}).json["list"] == "work"
    assert api.replace(tasks["a"]["id"], whole).json["list"] == "work"  # PUT keeps the fields that it does not name


def test_a_restored_task_comes_back_to_its_place(api: Api, tasks: Mapping[str, Task]) -> None:
    api.move(tasks["a"]["id"], {"after": tasks["c"]["id"]})
    api.delete(tasks["a"]["id"])
    assert order(api) == "bcd"
    assert [task["title"] for task in api.walk(list="home", status="deleted")] == ["a"]
    assert api.walk(list="work", status="deleted") == []
    api.restore(tasks["a"]["id"])
    assert order(api) == "bcad"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"after": NOBODYS, "list": "home"}, 409, "anchor-not-in-list"),
        ({"before": "{deleted}"}, 409, "anchor-not-in-list"),
        ({"before": "{other}"}, 409, "anchor-not-in-list"),
        ({"before": "{other}", "list": "work"}, 200, ""),
        ({"before": "{foreign}"}, 409, "anchor-not-in-list"),
    ],
)
def test_the_anchor_must_be_a_task_of_the_list(
    api: Api, tasks: Mapping[str, Task], body: dict[str, Any], status: int, kind: str
) -> None:
    api.delete(tasks["d"]["id"])
    ids = {
        "{deleted}": tasks["d"]["id"],
        "{other}": api.made(list="work")["id"],
        "{foreign}": replace(api, caller=f"{api.caller}-2").made(list="home")["id"],
    }
    response = api.move(tasks["a"]["id"], {name: ids.get(value, value) for name, value in body.items()})
    assert response.status == 200 if status == 200 else is_problem(response, status, kind)


def test_a_task_without_a_list_needs_one(api: Api) -> None:
    assert is_problem(api.move(api.made()["id"], {"after": None}), 409, "no-list")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, [""]),
        ({"list": "home"}, [""]),
        ({"after": None, "before": None}, [""]),
        ({"after": "x"}, ["/after"]),
        ({"after": 5}, ["/after"]),
        ({"after": None, "list": None}, ["/list"]),
        ({"after": None, "list": ""}, ["/list"]),
        ({"after": None, "list": "a b"}, ["/list"]),
        ({"after": None, "list": "x" * 65}, ["/list"]),
        ({"after": None, "position": "x"}, ["/position"]),
        ({"after": "{own}"}, ["/after"]),
        ({"before": "{own}"}, ["/before"]),
    ],
)
def test_a_bad_body_changes_nothing(
    api: Api, tasks: Mapping[str, Task], body: dict[str, Any], pointers: list[str]
) -> None:
    own = tasks["a"]["id"]
    response = api.move(own, {name: own if value == "{own}" else value for name, value in body.items()})
    assert is_problem(response, 422, "invalid-body", pointers)
    assert api.get(own).json == tasks["a"]


def test_a_repeated_key_moves_once(api: Api, tasks: Mapping[str, Task]) -> None:
    body, key = {"after": tasks["c"]["id"]}, "one move"
    first = api.move(tasks["a"]["id"], body, idempotency_key=key)
    api.delete(tasks["c"]["id"])
    again = api.move(tasks["a"]["id"], body, idempotency_key=key)
    assert (again.status, again.json) == (200, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert is_problem(api.move(tasks["a"]["id"], {"after": None}, idempotency_key=key), 422, "idempotency-key-reused")


def test_a_batch_moves_several_tasks_or_none(api: Api, tasks: Mapping[str, Task]) -> None:
    ids = {title: task["id"] for title, task in tasks.items()}
    drag = [{"op": "move", "id": ids["a"], "after": ids["c"]}, {"op": "move", "id": ids["b"], "after": ids["a"]}]
    response = api.batch(*drag)
    assert [result["task"]["title"] for result in response.json["results"]] == ["a", "b"]
    assert order(api) == "cabd"
    wrong = api.batch({"op": "move", "id": ids["d"], "after": None}, {"op": "move", "id": ids["a"], "after": ids["a"]})
    assert is_problem(wrong, 422, "invalid-body", ["/operations/1/after"])
    gone = api.batch({"op": "delete", "id": ids["d"]}, {"op": "move", "id": ids["a"], "before": ids["d"]})
    assert is_problem(gone, 409, "anchor-not-in-list", ["/operations/1"])
    assert order(api) == "cabd"


def test_an_anchor_can_be_created_in_the_same_batch(api: Api, tasks: Mapping[str, Task]) -> None:
    ids = {title: task["id"] for title, task in tasks.items()}
    stranger = api.made(title="x")
    api.delete(ids["c"])
    done = api.batch(
        {"op": "restore", "id": ids["c"]},
        {"op": "update", "id": stranger["id"], "patch": {"list": "home"}},
        {"op": "move", "id": ids["a"], "after": ids["c"]},
        {"op": "move", "id": ids["b"], "before": stranger["id"]},
    )
    assert done.status == 200, done
    assert order(api) == "cadbx"


def test_an_anchor_restored_in_the_batch_is_at_its_old_place(api: Api) -> None:
    tasks = [{"op": "create", "task": {"title": title, "list": "home"}} for title in "abcd"]
    a, _, c, d = (result["id"] for result in api.batch(*tasks).json["results"])
    api.move(d, {"after": a})
    api.delete(d)
    api.batch({"op": "restore", "id": d}, {"op": "move", "id": c, "after": d})
    assert order(api) == "adcb"


def test_the_first_task_of_a_list_has_the_position_of_its_creation(api: Api) -> None:
    """There are positions on both sides of it, however often tasks are moved to the beginning."""
    made = {title: api.made(title=title) for title in "abc"}
    moved = api.move(made["b"]["id"], {"list": "home", "after": None}).json
    for title in "ac":
        api.update(made[title]["id"], {"list": "home"})
    assert order(api) == "abc"
    assert api.update(made["b"]["id"], {"list": "work"}).json["position"] == moved["position"]


def test_concurrent_moves_to_one_place_all_succeed(api: Api, tasks: Mapping[str, Task]) -> None:
    more = [api.made(title=title, list="home")["id"] for title in "efghijkl"]
    with ThreadPoolExecutor(len(more)) as pool:
        responses = list(pool.map(lambda one: api.move(one, {"after": tasks["a"]["id"]}), more))
    assert len({response.json["position"] for response in responses}) == len(more)
    assert order(api)[0] == "a"
    assert sorted(order(api)[1:9]) == list("efghijkl")
    assert order(api)[9:] == "bcd"


def test_a_list_is_cleared_and_nothing_else(api: Api, tasks: Mapping[str, Task]) -> None:
    other = api.made(title="x", list="work")
    alone = api.made(title="y", completed=True)
    api.toggle(tasks["a"]["id"])
    assert api.clear("?list=home&status=completed").json == {"cleared": 1, "more": False}
    assert order(api) == "bcd"
    assert api.clear("?list=home").json == {"cleared": 3, "more": False}
    assert (order(api), order(api, "work")) == ("", "x")
    assert api.get(alone["id"]).json == alone
    assert api.get(other["id"]).json == other
    assert is_problem(api.clear("?list=home&status=open"), 400, "bad-query")
    assert is_problem(api.clear(""), 400, "bad-query")


@pytest.mark.parametrize("query", ["list=a%20b", "list=", "list=home&due_after=2026-12-24&status=open"])
def test_a_bad_list_parameter_is_refused(api: Api, query: str) -> None:
    assert is_problem(api.send("GET", f"{api.tasks}?{query}"), 400, "bad-query")


def test_a_cursor_is_valid_only_for_its_list(api: Api, tasks: Mapping[str, Task]) -> None:
    api.made(title="x", list="work")
    cursor = api.page(list="home", limit=1).json["next_cursor"]
    assert api.page(list="home", limit=1, cursor=cursor).json["items"] == [tasks["b"]]
    for other in ({"list": "work"}, {}, {"list": "home", "status": "open"}):
        assert is_problem(api.page(**other, cursor=cursor), 400, "bad-cursor")
