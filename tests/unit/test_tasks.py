"""The rules of a task, without any database."""

from collections.abc import Callable

import pytest

from shared import tasks
from shared.models import DeletedTask, NewTask, Task
from shared.tasks import (
    ANY_VERSION,
    RETENTION,
    NotCompleted,
    NotDeleted,
    Precondition,
    TaskExists,
    TaskNotFound,
    VersionMismatch,
)
from tests.unit.conftest import NOW, TASK_ID

OTHER = Precondition(frozenset({7}))


@pytest.fixture
def task() -> Task:
    return tasks.create(None, TASK_ID, "alice", NewTask(title="Buy milk", description="Two"), NOW)


@pytest.fixture
def trashed(task: Task) -> DeletedTask:
    return tasks.delete(task, ANY_VERSION, NOW + 1)


def test_a_new_task(task: Task) -> None:
    assert task == Task(
        id=TASK_ID,
        user_id="alice",
        title="Buy milk",
        description="Two",
        completed=False,
        completed_at=None,
        created_at=NOW,
        updated_at=NOW,
        version=1,
    )
    assert tasks.create(None, TASK_ID, "alice", NewTask(title="t", completed=True), NOW).completed_at == NOW
    with pytest.raises(TaskExists):
        tasks.create(task, TASK_ID, "alice", NewTask(title="t"), NOW)


def test_a_change_makes_the_next_version_of_what_differs(task: Task) -> None:
    changed = tasks.change(task, {"title": "Tea", "description": "Two"}, ANY_VERSION, NOW + 5)
    assert changed == task.model_copy(update={"title": "Tea", "updated_at": NOW + 5, "version": 2})
    assert tasks.change(task, {"description": None}, ANY_VERSION, NOW).description is None


@pytest.mark.parametrize("changes", [{}, {"title": "Buy milk"}, {"title": "Buy milk", "completed": False}])
def test_a_change_that_changes_nothing_returns_the_same_object(task: Task, changes: dict[str, object]) -> None:
    assert tasks.change(task, changes, ANY_VERSION, NOW + 5) is task


def test_completing_keeps_the_time_of_completion_until_the_task_is_opened(task: Task) -> None:
    done = tasks.change(task, {"completed": True}, ANY_VERSION, NOW + 5)
    assert (done.completed, done.completed_at) == (True, NOW + 5)
    assert tasks.change(done, {"completed": True, "title": "Tea"}, ANY_VERSION, NOW + 6).completed_at == NOW + 5
    opened = tasks.toggle(done, ANY_VERSION, NOW + 7)
    assert (opened.completed, opened.completed_at, opened.version) == (False, None, 3)


def test_the_trash(task: Task, trashed: DeletedTask) -> None:
    assert vars(trashed) == {
        **vars(task),
        "updated_at": NOW + 1,
        "version": 2,
        "deleted_at": NOW + 1,
        "purge_at": (NOW + 1 + RETENTION) // 1000 * 1000,
    }
    assert tasks.delete(trashed, OTHER, NOW + 2) is trashed
    restored = tasks.restore(trashed, ANY_VERSION, NOW + 2)
    assert type(restored) is Task
    assert vars(restored) == {**vars(task), "updated_at": NOW + 2, "version": 3}


def test_what_is_in_the_trash_is_not_found_and_what_is_not_cannot_be_restored(task: Task, trashed: DeletedTask) -> None:
    for found in (None, trashed):
        with pytest.raises(TaskNotFound):
            tasks.get(found)
        with pytest.raises(TaskNotFound):
            tasks.change(found, {}, ANY_VERSION, NOW)
        with pytest.raises(TaskNotFound):
            tasks.toggle(found, ANY_VERSION, NOW)
    with pytest.raises(TaskNotFound):
        tasks.delete(None, ANY_VERSION, NOW)
    with pytest.raises(TaskNotFound):
        tasks.restore(None, ANY_VERSION, NOW)
    with pytest.raises(NotDeleted):
        tasks.restore(task, ANY_VERSION, NOW)


def test_a_task_whose_time_in_the_trash_is_over_is_gone(trashed: DeletedTask) -> None:
    assert not tasks.is_expired(trashed, trashed.purge_at - 1)
    assert tasks.is_expired(trashed, trashed.purge_at)
    assert tasks.restore(trashed, ANY_VERSION, trashed.purge_at - 1).version == 3
    with pytest.raises(TaskNotFound):
        tasks.restore(trashed, ANY_VERSION, trashed.purge_at)
    with pytest.raises(TaskNotFound):
        tasks.delete(trashed, ANY_VERSION, trashed.purge_at)


def test_clearing_takes_completed_tasks_only(task: Task, trashed: DeletedTask) -> None:
    for found in (None, task, trashed):
        with pytest.raises(NotCompleted):
            tasks.clear(found, NOW)
    done = tasks.toggle(task, ANY_VERSION, NOW)
    assert tasks.clear(done, NOW + 1) == tasks.delete(done, ANY_VERSION, NOW + 1)


@pytest.mark.parametrize(
    ("precondition", "allowed"),
    [
        (ANY_VERSION, True),
        (Precondition(frozenset({1, 9})), True),
        (OTHER, False),
        (Precondition(frozenset()), False),
        (Precondition(unwanted=frozenset({1})), False),
        (Precondition(unwanted=frozenset({2})), True),
        (Precondition(frozenset({1}), frozenset({1})), False),
    ],
)
def test_preconditions(task: Task, precondition: Precondition, allowed: bool) -> None:
    done = task.model_copy(update={"completed": True})
    trashed = tasks.delete(task, ANY_VERSION, NOW).model_copy(update={"version": 1})
    writes: list[Callable[[], Task]] = [
        lambda: tasks.change(task, {"title": "Buy milk"}, precondition, NOW),
        lambda: tasks.toggle(done, precondition, NOW),
        lambda: tasks.delete(task, precondition, NOW),
        lambda: tasks.restore(trashed, precondition, NOW),
    ]
    for write in writes:
        if allowed:
            write()
        else:
            with pytest.raises(VersionMismatch) as mismatch:
                write()
            assert mismatch.value.version == 1
