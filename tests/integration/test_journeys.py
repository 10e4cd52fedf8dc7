"""The life of tasks on every engine: create, retrieve, update, toggle, delete."""

from collections.abc import Callable

import pytest

from shared.models import ClearQuery, DeletedTask, Move, NewTask, Task, TaskQuery
from shared.store.dynamodb import Table
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION, RETENTION, Precondition, TaskNotFound, VersionMismatch
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


def test_a_created_task_is_visible_immediately(store: TaskStore, user: str) -> None:
    task = store.create(NewTask(title="Buy milk", description="Two bottles"))
    assert (task.user_id, task.title, task.description) == (user, "Buy milk", "Two bottles")
    assert (task.completed, task.completed_at, task.version) == (False, None, 1)
    assert task.created_at == task.updated_at
    assert store.get(task.id) == task
    assert store.list(TaskQuery()).items == [task]
    assert store.list(TaskQuery(status="open")).items == [task]
    assert store.list(TaskQuery(status="completed")).items == []


def test_a_task_created_as_completed_is_listed_as_completed(store: TaskStore) -> None:
    task = store.create(NewTask(title="Done already", completed=True))
    assert task.completed_at == task.created_at
    assert store.list(TaskQuery(status="completed")).items == [task]
    assert store.toggle(task.id, ANY_VERSION).completed is False
    assert store.list(TaskQuery(status="completed")).items == []


def test_lists_are_in_order_of_creation_or_reversed(store: TaskStore) -> None:
    created = [store.create(NewTask(title=f"task {number}")).id for number in range(7)]
    for status in ("all", "open"):
        assert ids(walk(store, TaskQuery(status=status, limit=3))) == created
        assert ids(walk(store, TaskQuery(status=status, limit=3, order="desc"))) == created[::-1]
        assert ids(walk(store, TaskQuery(status=status, limit=7))) == created


def test_an_update_changes_only_the_fields_that_it_names(store: TaskStore) -> None:
    task = store.create(NewTask(title="Buy milk", description="Two bottles"))
    renamed = store.update(task.id, {"title": "Buy oat milk"}, ANY_VERSION)
    assert (renamed.title, renamed.description, renamed.version) == ("Buy oat milk", "Two bottles", 2)
    assert renamed.created_at == task.created_at
    cleared = store.update(task.id, {"description": None}, ANY_VERSION)
    assert (cleared.title, cleared.description, cleared.version) == ("Buy oat milk", None, 3)
    assert store.get(task.id) == cleared


@pytest.mark.parametrize("completed", [False, True])
@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("others", [{}, {"title": "new"}, {"title": "new", "description": None}])
def test_an_update_of_the_status_moves_the_task_to_another_list(
    store: TaskStore, completed: bool, wanted: bool, others: dict[str, str | None]
) -> None:
    task = store.create(NewTask(title="old", description="x", completed=completed))
    changed = store.update(task.id, {**others, "completed": wanted}, ANY_VERSION)
    assert changed.completed is wanted
    assert (changed.completed_at is None) is not wanted
    assert changed.version == (1 if wanted is completed and not others else 2)
    if completed and wanted:
        assert changed.completed_at == task.completed_at, "a task that stays completed keeps its time"
    assert store.list(TaskQuery(status="completed" if wanted else "open")).items == [changed]
    assert store.list(TaskQuery(status="open" if wanted else "completed")).items == []
    assert store.list(TaskQuery()).items == [changed]


@pytest.mark.parametrize(
    "changes",
    [{}, {"title": "same"}, {"description": "same"}, {"completed": False}, {"title": "same", "completed": False}],
    ids=str,
)
def test_an_update_without_effect_keeps_the_version(store: TaskStore, changes: dict[str, str | bool]) -> None:
    task = store.create(NewTask(title="same", description="same"))
    assert store.update(task.id, changes, ANY_VERSION) == task
    assert store.update(task.id, changes, at_version(1)) == task
    with pytest.raises(VersionMismatch):
        store.update(task.id, changes, at_version(2))
    assert store.get(task.id) == task


def test_two_toggles_restore_the_status(store: TaskStore) -> None:
    task = store.create(NewTask(title="flip"))
    once = store.toggle(task.id, at_version(1))
    assert (once.completed, once.version) == (True, 2)
    assert once.completed_at == once.updated_at
    twice = store.toggle(task.id, at_version(2, 9))
    assert (twice.completed, twice.completed_at, twice.version) == (False, None, 3)
    assert store.list(TaskQuery(status="open")).items == [twice]


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


def test_a_deleted_task_is_only_in_the_trash(store: TaskStore) -> None:
    task = store.create(NewTask(title="delete me", completed=True))
    kept = store.create(NewTask(title="keep me"))
    store.delete(task.id, at_version(1))
    acts: list[Callable[[], object]] = [
        lambda: store.get(task.id),
        lambda: store.toggle(task.id, ANY_VERSION),
        lambda: store.update(task.id, {"title": "x"}, ANY_VERSION),
        lambda: store.update(task.id, {}, ANY_VERSION),
    ]
    for act in acts:
        with pytest.raises(TaskNotFound):
            act()
    assert store.list(TaskQuery()).items == [kept]
    assert store.list(TaskQuery(status="completed")).items == []
    (trashed,) = store.list(TaskQuery(status="deleted")).items
    assert isinstance(trashed, DeletedTask)
    assert (trashed.id, trashed.title, trashed.completed, trashed.version) == (task.id, "delete me", True, 2)
    assert trashed.purge_at == trashed.deleted_at // 1000 * 1000 + RETENTION


def test_deleting_again_changes_nothing_while_the_task_is_in_the_trash(store: TaskStore) -> None:
    task = store.create(NewTask(title="delete me"))
    store.delete(task.id, ANY_VERSION)
    before = store.list(TaskQuery(status="deleted")).items
    store.delete(task.id, ANY_VERSION)
    store.delete(task.id, at_version(1))
    assert store.list(TaskQuery(status="deleted")).items == before


def test_an_expired_task_is_gone_before_ttl_removes_it(table: Table, store: TaskStore, user: str) -> None:
    task = store.create(NewTask(title="delete me"))
    store.delete(task.id, ANY_VERSION)
    (trashed,) = store.list(TaskQuery(status="deleted")).items
    assert isinstance(trashed, DeletedTask)

    def at(milliseconds: int) -> TaskStore:
        return TaskStore(table, user, deadline_in(10), lambda: milliseconds * 1_000_000)

    at(trashed.purge_at - 1).delete(task.id, ANY_VERSION)
    assert len(at(trashed.purge_at - 1).list(TaskQuery(status="deleted")).items) == 1
    assert at(trashed.purge_at).list(TaskQuery(status="deleted")).items == []
    with pytest.raises(TaskNotFound):
        at(trashed.purge_at).delete(task.id, ANY_VERSION)


def test_an_unknown_task_is_not_found(store: TaskStore) -> None:
    nowhere = "00000000-0000-7000-8000-000000000000"
    acts: list[Callable[[], object]] = [
        lambda: store.get(nowhere),
        lambda: store.toggle(nowhere, ANY_VERSION),
        lambda: store.toggle(nowhere, at_version(1)),
        lambda: store.update(nowhere, {"title": "x"}, ANY_VERSION),
        lambda: store.update(nowhere, {"completed": True}, ANY_VERSION),
        lambda: store.delete(nowhere, ANY_VERSION),
    ]
    for act in acts:
        with pytest.raises(TaskNotFound):
            act()
    assert store.list(TaskQuery()).items == []


def test_a_precondition_with_a_foreign_etag_never_holds(store: TaskStore) -> None:
    task = store.create(NewTask(title="x"))
    for precondition in (at_version(), at_version(2), Precondition(unwanted=frozenset({1, 7}))):
        with pytest.raises(VersionMismatch):
            store.toggle(task.id, precondition)
        with pytest.raises(VersionMismatch):
            store.delete(task.id, precondition)
    assert store.toggle(task.id, Precondition(unwanted=frozenset({2}))).version == 2
    assert store.toggle(task.id, at_version(*range(1, 101))).version == 3


def test_a_cursor_stays_valid_when_its_task_changes_or_is_deleted(store: TaskStore) -> None:
    created = [store.create(NewTask(title=f"task {number}")).id for number in range(6)]
    first = store.list(TaskQuery(status="open", limit=3))
    store.toggle(created[2], ANY_VERSION)
    store.delete(created[1], ANY_VERSION)
    assert first.next_cursor is not None
    rest = store.list(TaskQuery(status="open", limit=3, cursor=first.next_cursor))
    assert ids(rest.items) == created[3:]


def test_the_largest_page_of_the_largest_tasks_fits(store: TaskStore) -> None:
    for _ in range(100):
        store.create(NewTask(title="\U0001f600" * 255, description="\U0001f600" * 1000))
    page = store.list(TaskQuery(limit=1000))
    assert len(page.items) == 100
    assert len(page.model_dump_json().encode()) < 6_000_000


def test_users_do_not_see_each_others_tasks(table: Table, user: str) -> None:
    mine, theirs = (TaskStore(table, name, deadline_in(10)) for name in (user, f"{user}x"))
    task = mine.create(NewTask(title="mine"))
    assert theirs.list(TaskQuery()).items == []
    with pytest.raises(TaskNotFound):
        theirs.get(task.id)
    with pytest.raises(TaskNotFound):
        theirs.toggle(task.id, ANY_VERSION)
    assert mine.get(task.id) == task


def test_many_tasks_stay_in_order(dynamodb_local_url: str, user: str) -> None:
    store = TaskStore(table_at(dynamodb_local_url), user, deadline_in(600))
    created = [store.create(NewTask(title=f"task {number}")).id for number in range(10_000 if SCALE > 1 else 400)]
    assert ids(walk(store, TaskQuery(limit=100))) == created
