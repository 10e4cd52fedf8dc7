"""GET /v1/users/{user_id}/changes: all changes since a token, including deletions."""

import json
import shutil
import subprocess
import time
from typing import Any

import pytest

from local.tokens import make_token
from shared.store import cursors
from tests import guard
from tests.api import Api, Backend, Task
from tests.contract.shapes import is_problem
from tests.markdown import code

DAY = 24 * 3600 * 1000
PLACE = "01a20720-1d65-7ec7-a429-721882d38931"


def token(user: str, *times: object) -> str:
    text = ".".join(f"{one:015}" if isinstance(one, int) else str(one) for one in times)
    return cursors.encode(text, guard.partition_of(user), "changes")


def now() -> int:
    return time.time_ns() // 1_000_000


def age(backend: Backend, api: Api, task: Task, by: int = 60_000) -> None:
    """Move the stored time of the last write of a task back by a minute, or by this many milliseconds."""
    (item,) = [item for item in backend.stored(api.caller) if item["sk"]["S"].endswith(task["id"])]
    written = int(item["by_change"]["S"][:15]) - by
    aged = {**item, "by_change": {"S": f"{written:015}#task#{task['id']}"}}
    backend.table.client.put_item(TableName=backend.table.name, Item=aged)


def test_without_a_token_a_client_gets_everything_and_a_token(api: Api) -> None:
    live, gone = api.made(title="live"), api.made(title="gone")
    api.delete(gone["id"])
    response = api.changes()
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    assert set(response.json) == {"items", "next_since", "has_more"}
    assert response.json["has_more"] is False
    tombstone, task = response.json["items"]
    assert task == live
    assert set(tombstone) == {"id", "deleted", "version", "deleted_at"}
    assert (tombstone["id"], tombstone["deleted"], tombstone["version"]) == (gone["id"], True, 2)


def test_a_user_without_tasks_has_no_changes(api: Api) -> None:
    first = api.changes().json
    assert (first["items"], first["has_more"]) == ([], False)
    assert api.changes(since=first["next_since"]).json["items"] == []


def test_only_changed_tasks_are_returned(backend: Backend, api: Api) -> None:
    old, new = api.made(title="old"), api.made(title="new")
    age(backend, api, old)
    since = token(api.caller, now() - 30_000)
    assert api.changes(since=since).json["items"] == [new]
    toggled = api.toggle(old["id"]).json
    assert api.changes(since=since).json["items"] == [toggled, new]
    api.delete(new["id"])
    api.restore(new["id"])
    assert [item["version"] for item in api.changes(since=since).json["items"]] == [3, 2]


@pytest.mark.parametrize("aged", [0, 4, 7])
def test_changes_are_read_page_by_page(backend: Backend, api: Api, aged: int) -> None:
    made = [api.made(title=f"{number}") for number in range(7)]
    for task in made[:aged]:  # written a minute ago, before the watermark of the next walk
        age(backend, api, task)
    pages = [api.changes(limit=3).json]
    while pages[-1]["has_more"]:
        assert len(pages) <= len(made), "the walk does not end"
        pages.append(api.changes(limit=3, since=pages[-1]["next_since"]).json)
    assert max(len(page["items"]) for page in pages) == 3
    assert [item for page in pages for item in page["items"]] == made[::-1]


def test_a_task_written_during_a_walk_is_in_it_or_in_the_next(api: Api) -> None:
    made = [api.made() for _ in range(4)]
    page = api.changes(limit=2).json
    newest = api.update(made[0]["id"], {"title": "newest"}).json
    seen = list(page["items"])
    for _ in range(10):
        page = api.changes(limit=2, since=page["next_since"]).json
        seen += page["items"]
        if not page["has_more"] and newest in seen:
            break
    latest: dict[str, Task] = {}
    for task in seen:
        if task["id"] not in latest or task["version"] > latest[task["id"]]["version"]:
            latest[task["id"]] = task
    assert latest == {task["id"]: task for task in [newest, *made[1:]]}


def test_the_client_that_the_documentation_shows(api: Api) -> None:
    names: dict[str, Any] = {}
    exec(code("docs/http-api.md", "python"), names)  # noqa: S102 - it is our own
    tasks: dict[str, Task] = {}

    def get(query: dict[str, str]) -> Any:
        return api.changes(limit=2, **query).json

    kept, gone = api.made(title="kept"), [api.made(title=f"{number}") for number in range(4)]
    since = names["sync"](get, tasks)
    assert tasks == {task["id"]: task for task in [kept, *gone]}
    api.batch(*({"op": "delete", "id": task["id"]} for task in gone))
    kept = api.toggle(kept["id"]).json
    names["sync"](get, tasks, since)
    assert [task for task in tasks.values() if "deleted" not in task] == [kept]


def test_a_library_that_pulls_until_a_page_is_short_needs_the_pull_that_the_documentation_shows(
    backend: Backend, api: Api
) -> None:
    """The pages of the overlap are full. The times are ahead, so that the overlap does not end during this test."""
    if not shutil.which("node"):
        pytest.fail("node is not on the PATH")
    for task in [api.made() for _ in range(4)]:
        age(backend, api, task, -60_000)
    since: dict[str, str] = {}
    for _ in range(10):
        page = api.changes(limit=2, **since).json
        assert len(page["items"]) == 2
        since = {"since": page["next_since"]}
    script = f"""{code("docs/clients.md", "js")}
    const [url, token] = process.argv.slice(1), copy = new Map();
    let requests = 0, pulled = {{}};
    const get = async (query) => {{
      requests += 1;
      const headers = {{ Authorization: `Bearer ${{token}}` }};
      return (await fetch(`${{url}}?${{new URLSearchParams({{ limit: 2, ...query }})}}`, {{ headers }})).json();
    }};
    do {{
      pulled = await pull(get, (id) => copy.get(id)?.version ?? 0, pulled.since);
      for (const item of pulled.items) copy.set(item.id, item);
    }} while (pulled.items.length >= 2);
    console.log(JSON.stringify([requests, copy.size]));"""
    arguments = (script, f"{backend.url}/v1/users/me/changes", make_token(api.caller))
    ran = subprocess.run(
        ["node", "--input-type=module", "--eval", *arguments], check=True, capture_output=True, text=True
    )
    assert json.loads(ran.stdout) == [4, 4]  # two pulls of two pages


def test_a_task_stamped_in_the_future_is_in_every_walk(backend: Backend, api: Api) -> None:
    """A clock was an hour ahead, and was corrected: its tasks are in every walk until that time."""
    ahead, other = api.made(title="ahead"), api.made(title="other")
    age(backend, api, ahead, -3_660_000)
    response = api.changes().json
    assert response["items"] == [ahead, other]
    assert ahead in api.changes(since=response["next_since"]).json["items"]
    toggled = api.toggle(ahead["id"]).json
    assert api.changes(since=response["next_since"]).json["items"] == [toggled, other]
    pages = [api.changes(limit=1).json]
    while pages[-1]["has_more"]:
        pages.append(api.changes(limit=1, since=pages[-1]["next_since"]).json)
    assert [item for page in pages for item in page["items"]] == [toggled, other]


@pytest.mark.parametrize("limit", [500, 501, 10**12])
def test_a_limit_that_is_too_high_means_the_maximum(api: Api, limit: int) -> None:
    assert api.changes(limit=limit).status == 200


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", ""])
def test_bad_limits(api: Api, limit: str) -> None:
    assert is_problem(api.changes(limit=limit), 400, "bad-query")


def test_an_unusable_token_is_410_with_the_advice_to_start_again(api: Api) -> None:
    """It is too old, or from a clock that was ahead: it may have missed changes."""
    assert api.changes(since=token(api.caller, now() - 30 * DAY + 60_000)).status == 200
    for old in (
        token(api.caller, now() - 30 * DAY - 1000),
        token(api.caller, now() + 60_000),
        token(api.caller, now() - 31 * DAY, now() - DAY, f"{now() - DAY:015}#task#{PLACE}"),
        token(api.caller, 0, now() - 31 * DAY, f"{now() - 32 * DAY:015}#task#{PLACE}"),
    ):
        assert is_problem(api.changes(since=old), 410, "sync-token-expired")


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(lambda at: [at - 5000, at - 6000, f"{at - 4500:015}#task#{PLACE}"], id="the next before it"),
        pytest.param(lambda at: [at - 5000, at - 4000, f"{at - 6000:015}#task#{PLACE}"], id="a place before it"),
        pytest.param(lambda at: [at - 5000, at - 4000, f"{at - 4500:015}#{PLACE}"], id="a place of no entity"),
        pytest.param(lambda at: [at - 5000, at - 4000, f"{at - 4500:015}#task#x"], id="no place"),
        pytest.param(lambda at: [at - 5000, at - 4000], id="no place at all"),
        pytest.param(lambda at: [at, at, at, at], id="too much"),
        pytest.param(lambda at: [str(at)], id="too short"),
        pytest.param(lambda _: ["x" * 15], id="no time"),
        pytest.param(lambda _: ["\u0661" * 15], id="digits of another script"),
    ],
)
def test_a_forged_token_is_400(backend: Backend, api: Api, times: object) -> None:
    assert callable(times)
    assert is_problem(api.changes(since=token(api.caller, *times(now()))), 400, "bad-cursor")
    for garbled in ("x", "", "a" * 600, token("someone-else", now() - 1000), api.changes().json["next_since"][:-2]):
        assert api.changes(since=garbled).status == 400
    assert backend.stored(api.caller) == []


def test_a_cursor_is_not_a_token_and_a_token_not_a_cursor(api: Api) -> None:
    for _ in range(2):
        api.made()
    assert is_problem(api.changes(since=api.page(limit=1).json["next_cursor"]), 400, "bad-cursor")
    assert is_problem(api.page(cursor=api.changes().json["next_since"]), 400, "bad-cursor")
