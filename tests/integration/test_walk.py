"""Lists read page by page over HTTP while others write: unchanged tasks appear exactly once."""

import random
import threading
from collections.abc import Iterator

import pytest

from shared.models import Move, NewTask, Task, TaskQuery
from shared.store import queries
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.api import Api, Backend, serving
from tests.conftest import SCALE, deadline_in, sized, table_at

TASKS = 10_000 if SCALE > 1 else 250


@pytest.fixture(scope="module")
def backend(dynamodb_local_url: str) -> Iterator[Backend]:
    with serving(dynamodb_local_url, dynamodb_local_url) as running:
        yield running


@pytest.mark.parametrize(
    ("count", "query"),
    [
        (TASKS, {}),
        (100, {"order": "desc"}),
        (100, {"status": "open"}),
        (100, {"list": "home"}),
        (100, {"list": "home", "status": "open", "order": "desc"}),
        (100, {"tag": "even", "priority_max": "5"}),
        (100, {"list": "home", "tag": "even"}),
        (100, {"status": "open", "tag": "even", "due_after": "2026-12-03", "due_before": "2026-12-20"}),
    ],
    ids=str,
)
def test_untouched_tasks_of_two_users_appear_exactly_once_in_a_busy_list(
    backend: Backend, dynamodb_local_url: str, user: str, count: int, query: dict[str, str]
) -> None:
    users = (user, f"{user}-2")
    untouched: dict[str, list[str]] = {}
    touched: dict[str, list[str]] = {}
    anchors: dict[str, str] = {}
    for name in users:
        store = TaskStore(backend.table, name, deadline_in(60 * SCALE))
        created = [store.create(new_task(number)) for number in range(count)]
        touched[name] = [task.id for task in created[::5]]
        anchors[name] = created[1].id
        kept = [task for place, task in enumerate(created) if place % 5 and matches(task, query)]
        if query.get("status") == "open" and "list" not in query:
            kept.sort(key=lambda task: (task.due, task.id))
        untouched[name] = [task.id for task in kept]

    stop = threading.Event()

    def churn() -> None:
        """Create, toggle, move and delete without pause."""
        dice = random.Random(0)  # noqa: S311 - no secret
        stores = {name: TaskStore(table_at(dynamodb_local_url, "churn"), name, deadline_in(600)) for name in users}
        while not stop.is_set():
            name = dice.choice(users)
            store, task_id = stores[name], dice.choice(touched[name])
            match dice.randrange(7):
                case 0:
                    store.create(NewTask(title="new"))
                case 1 if len(touched[name]) > 10:
                    store.delete(task_id, ANY_VERSION)
                    touched[name].remove(task_id)
                case 2:
                    due = f"2026-12-{dice.randrange(1, 29):02}"
                    store.update(task_id, {"due": due, "tags": dice.choice([[], ["even"]])}, ANY_VERSION)
                case 3 | 4:
                    anchor = dice.choice([None, anchors[name]])
                    store.move(task_id, Move.model_validate({dice.choice(["after", "before"]): anchor}), ANY_VERSION)
                case _:
                    store.toggle(task_id, ANY_VERSION)

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for name in users:
            seen = Api(backend.url, name).walk(limit=11, **query)
            assert {task["user_id"] for task in seen} == {name}
            fixed = set(untouched[name])
            walked = [task["id"] for task in seen if task["id"] in fixed]
            assert walked == (untouched[name][::-1] if query.get("order") == "desc" else untouched[name])
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_a_filtered_list_is_complete_over_several_queries(
    store: TaskStore, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "FILTERED", 4)
    rare = {0, 1, 2, 3, 13, 19}
    created = [store.create(NewTask(title="x", tags=["rare"] if place in rare else [])) for place in range(20)]
    page = store.list(query := TaskQuery(tag="rare", limit=limit))
    found, sizes = [*page.items], [len(page.items)]
    while page.next_cursor is not None:
        page = store.list(query.following(page.next_cursor))
        found += page.items
        sizes.append(len(page.items))
    assert found == [created[place] for place in sorted(rare)]
    assert (min(sizes), max(sizes) <= limit) == (0, True)


def new_task(number: int) -> NewTask:
    tags = ["even"] if number % 2 == 0 else []
    name = "work" if number % 10 == 3 else "home"
    return NewTask(
        title=str(number), list=name, due=f"2026-12-{1 + number * 7 % 28:02}", priority=number % 9, tags=tags
    )


def matches(task: Task, query: dict[str, str]) -> bool:
    """Whether a task matches a query, by the documentation."""
    assert task.due is not None
    return (
        query.get("list", task.list) == task.list
        and query.get("tag", "even") in (*task.tags, *([] if "tag" in query else ["even"]))
        and ("priority_max" not in query or 1 <= task.priority <= int(query["priority_max"]))
        and query.get("due_after", "") < task.due < query.get("due_before", "9")
    )


def test_tombstones_do_not_slow_a_list_down(dynamodb_local_url: str, user: str) -> None:
    """One request reads the first page, even if many tasks before it are in the trash."""
    table = table_at(dynamodb_local_url, "counted")
    store = TaskStore(table, user, deadline_in(60 * SCALE))
    for _ in range(sized(100, 100, 10_000)):
        store.delete(store.create(NewTask(title="gone", list="home")).id, ANY_VERSION)
    kept = [store.create(NewTask(title="kept", list="home")) for _ in range(3)]
    requests: list[object] = []
    table.client.meta.events.register("before-send.dynamodb", lambda request, **_: requests.append(request))
    for query in ({}, {"status": "open"}, {"list": "home"}):
        requests.clear()
        page = store.list(TaskQuery.model_validate({**query, "limit": 2}))
        assert (page.items, len(requests)) == (kept[:2], 1)
