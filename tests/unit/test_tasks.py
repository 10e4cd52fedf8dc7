"""The rules of a task, without any database."""

from collections.abc import Callable

import pytest

from shared import tasks
from shared.models import DeletedTask, Merge, NewTask, Task
from shared.tasks import (
    ANY_VERSION,
    RETENTION,
    InvalidTask,
    NotDeleted,
    NotMatching,
    Precondition,
    TaskNotFound,
    UnusableId,
    VersionMismatch,
)
from tests.conftest import COMPLETED
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
        updated_by=None,
        due=None,
        time_zone=None,
        priority=0,
        tags=[],
        metadata={},
        list=None,
        position=None,
        version=1,
    )
    assert tasks.create(None, TASK_ID, "alice", NewTask(title="t", completed=True), NOW).completed_at == NOW


def test_a_change_makes_the_next_version(task: Task) -> None:
    changed = tasks.change(task, {"title": "Tea", "description": "Two"}, ANY_VERSION, NOW + 5)
    assert changed == task.model_copy(update={"title": "Tea", "updated_at": NOW + 5, "version": 2})
    assert tasks.change(task, {"description": None}, ANY_VERSION, NOW).description is None


@pytest.mark.parametrize("changes", [{}, {"title": "Buy milk"}, {"title": "Buy milk", "completed": False}])
def test_a_change_without_effect_returns_the_same_object(task: Task, changes: dict[str, object]) -> None:
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


def test_a_trashed_task_is_not_found_and_a_live_one_cannot_be_restored(task: Task, trashed: DeletedTask) -> None:
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


def test_a_task_is_gone_when_its_time_in_the_trash_is_over(trashed: DeletedTask) -> None:
    assert not tasks.is_expired(trashed, trashed.purge_at - 1)
    assert tasks.is_expired(trashed, trashed.purge_at)
    assert tasks.restore(trashed, ANY_VERSION, trashed.purge_at - 1).version == 3
    with pytest.raises(TaskNotFound):
        tasks.restore(trashed, ANY_VERSION, trashed.purge_at)
    with pytest.raises(TaskNotFound):
        tasks.delete(trashed, ANY_VERSION, trashed.purge_at)


def test_clearing_deletes_only_completed_tasks(task: Task, trashed: DeletedTask) -> None:
    for found in (None, task, trashed):
        with pytest.raises(NotMatching):
            tasks.clear(found, COMPLETED, NOW)
    done = tasks.toggle(task, ANY_VERSION, NOW)
    assert tasks.clear(done, COMPLETED, NOW + 1) == tasks.delete(done, ANY_VERSION, NOW + 1)


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


def test_a_time_zone_is_removed_with_its_time(task: Task) -> None:
    timed = tasks.change(task, {"due": "2026-12-24T17:00:00", "time_zone": "Europe/Berlin"}, ANY_VERSION, NOW)
    later = tasks.change(timed, {"due": "2026-12-25T17:00:00"}, ANY_VERSION, NOW)
    assert (later.due, later.time_zone) == ("2026-12-25T17:00:00", "Europe/Berlin")
    for due in ("2026-12-24", None):
        changed = tasks.change(timed, {"due": due}, ANY_VERSION, NOW)
        assert (changed.due, changed.time_zone) == (due, None)
    floating = tasks.change(timed, {"time_zone": None}, ANY_VERSION, NOW)
    assert (floating.due, floating.time_zone) == ("2026-12-24T17:00:00", None)


@pytest.mark.parametrize("due", [None, "2026-12-24"])
def test_a_time_zone_needs_a_time(task: Task, due: str | None) -> None:
    refused: list[Callable[[], Task]] = [
        lambda: tasks.change(task, {"time_zone": "UTC"}, ANY_VERSION, NOW),
        lambda: tasks.change(task, {"due": due, "time_zone": "UTC"}, ANY_VERSION, NOW),
        lambda: tasks.create(None, TASK_ID, "alice", NewTask(title="t", due=due, time_zone="UTC"), NOW),
    ]
    for act in refused:
        with pytest.raises(InvalidTask) as error:
            act()
        assert error.value.field == "time_zone"


def test_metadata_is_merged_into_the_current_state(task: Task) -> None:
    first = tasks.change(task, {"metadata": Merge({"a": "1", "b": "2"})}, ANY_VERSION, NOW)
    second = tasks.change(first, {"metadata": Merge({"a": None, "b": "3", "c": None})}, ANY_VERSION, NOW)
    assert (first.metadata, second.metadata) == ({"a": "1", "b": "2"}, {"b": "3"})
    assert tasks.change(second, {"metadata": Merge({"b": "3", "x": None})}, ANY_VERSION, NOW) is second
    assert tasks.change(second, {"metadata": {"z": "1"}}, ANY_VERSION, NOW).metadata == {"z": "1"}


@pytest.mark.parametrize("more", [{"twenty-first": ""}, {"0": "x" * 2029}])
def test_metadata_that_grows_too_large_is_refused(task: Task, more: dict[str, str | None]) -> None:
    full = tasks.change(task, {"metadata": {str(number): "" for number in range(20)}}, ANY_VERSION, NOW)
    with pytest.raises(InvalidTask) as error:
        tasks.change(full, {"metadata": Merge(more)}, ANY_VERSION, NOW)
    assert error.value.field == "metadata"


def test_a_repeated_create_returns_the_task_while_it_is_unchanged(task: Task) -> None:
    new = NewTask(title="Buy milk", description="Two")
    assert tasks.create(task, TASK_ID, "alice", new, NOW + 5) is task
    others = [NewTask(title="Buy milk"), NewTask(title="Buy milk", description="Two", priority=1)]
    for other in others:
        with pytest.raises(VersionMismatch):
            tasks.create(task, TASK_ID, "alice", other, NOW + 5)
    touched = tasks.toggle(tasks.toggle(task, ANY_VERSION, NOW), ANY_VERSION, NOW)
    for found in (touched, tasks.delete(task, ANY_VERSION, NOW)):
        with pytest.raises(VersionMismatch):
            tasks.create(found, TASK_ID, "alice", new, NOW + 5)


@pytest.mark.parametrize(
    ("shift", "usable"),
    [(0, True), (29 * 86_400_000, True), (29 * 86_400_000 + 1, False), (-86_400_000, True), (-86_400_001, False)],
)
def test_the_time_in_the_id_of_a_new_task_is_near_now(shift: int, usable: bool) -> None:
    made = int(TASK_ID[:13].replace("-", ""), 16)
    if usable:
        assert tasks.create(None, TASK_ID, "alice", NewTask(title="t"), made + shift).id == TASK_ID
    else:
        with pytest.raises(UnusableId):
            tasks.create(None, TASK_ID, "alice", NewTask(title="t"), made + shift)


@pytest.mark.parametrize(
    "task_id",
    [f"{TASK_ID[:14]}4{TASK_ID[15:]}", f"{TASK_ID[:19]}c{TASK_ID[20:]}", TASK_ID.upper(), TASK_ID[:-1], "", "x"],
)
def test_the_id_of_a_new_task_is_a_uuid_of_version_7(task_id: str) -> None:
    with pytest.raises(UnusableId):
        tasks.create(None, task_id, "alice", NewTask(title="t"), NOW)
