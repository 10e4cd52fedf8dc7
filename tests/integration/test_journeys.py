"""The life of tasks in lists, and large lists, on every engine. tests/property tests random lives of tasks."""

from shared.models import ClearQuery, Move, NewTask, Task, TaskQuery
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION, Precondition
from tests.conftest import SCALE, deadline_in, table_at


def at_version(*versions: int) -> Precondition:
    return Precondition(frozenset(versions))


def walk(store: TaskStore, query: TaskQuery) -> list[Task]:
    """A complete list, page by page."""
    tasks: list[Task] = []
    while True:
        page = store.list(query)
        tasks += page.items
        if page.next_cursor is None:
            return tasks
        query = query.following(page.next_cursor)


def ids(tasks: list[Task]) -> list[str]:
    return [task.id for task in tasks]


def test_a_task_goes_through_lists(store: TaskStore) -> None:
    """It is moved, completed, reopened, deleted, restored and moved to another list, and keeps its id."""
    first, second, third = (store.create(NewTask(title=title, list="home")).id for title in "abc")
    store.move(third, Move(before=second), ANY_VERSION)
    assert ids(walk(store, TaskQuery(list="home", limit=1))) == [first, third, second]
    store.toggle(third, ANY_VERSION)
    assert ids(walk(store, TaskQuery(list="home", limit=1))) == [first, second, third]
    store.toggle(third, ANY_VERSION)
    assert ids(walk(store, TaskQuery(list="home"))) == [first, third, second]
    store.delete(third, ANY_VERSION)
    assert ids(walk(store, TaskQuery(list="home"))) == [first, second]
    store.restore(third, ANY_VERSION)
    assert ids(walk(store, TaskQuery(list="home"))) == [first, third, second]
    moved = store.move(third, Move(list="work", after=None), at_version(6))
    assert (moved.list, moved.version) == ("work", 7)
    assert ids(walk(store, TaskQuery(list="work"))) == [third]
    assert ids(walk(store, TaskQuery())) == [first, second, third]
    assert store.clear(ClearQuery(list="home")).cleared == 2
    assert ids(walk(store, TaskQuery())) == [third]
    out = store.update(third, {"list": None}, ANY_VERSION)
    assert (out.list, out.position) == (None, None)
    assert walk(store, TaskQuery(list="work")) == []


def test_a_cursor_stays_valid_when_its_task_changes_or_is_deleted(store: TaskStore) -> None:
    created = [store.create(NewTask(title=f"task {number}")).id for number in range(6)]
    first = store.list(TaskQuery(status="open", limit=3))
    store.toggle(created[2], ANY_VERSION)
    store.delete(created[1], ANY_VERSION)
    assert first.next_cursor is not None
    rest = store.list(TaskQuery(status="open", limit=3, cursor=first.next_cursor))
    assert ids(rest.items) == created[3:]


def test_many_tasks_stay_in_order(dynamodb_local_url: str, user: str) -> None:
    store = TaskStore(table_at(dynamodb_local_url), user, deadline_in(600))
    created = [store.create(NewTask(title=f"task {number}")).id for number in range(10_000 if SCALE > 1 else 400)]
    assert ids(walk(store, TaskQuery(limit=100))) == created
