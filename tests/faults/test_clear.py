"""Clearing completed tasks: in several calls, in time, each task only while it is completed, with a right count."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.models import Cleared, NewTask, TaskQuery
from shared.store.dynamodb import RESERVE, StorageFull, Table, Unavailable
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.conftest import COMPLETED, deadline_in, table_at
from tests.wire import Send, Wire, fail_with, lost_after, lost_before


@pytest.fixture
def wired(table: Table) -> Table:
    return table


def completed(store: TaskStore, count: int) -> list[str]:
    return [store.create(NewTask(title="done", completed=True)).id for _ in range(count)]


def test_more_than_one_call_clears(dynamodb_local_url: str, user: str) -> None:
    table = table_at(dynamodb_local_url)
    completed(TaskStore(table, user, deadline_in(60)), 520)
    first, second, third = (TaskStore(table, user, deadline_in(60)).clear(COMPLETED) for _ in range(3))
    assert (first.cleared, first.more) == (500, True)
    assert (second.cleared, second.more) == (20, False)
    assert (third.cleared, third.more) == (0, False)


def test_a_clear_stops_in_time_and_reports_that_more_remain(
    store: TaskStore, wire: Wire, table: Table, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed(store, 10)
    seconds = [100.0]
    clock = SimpleNamespace(monotonic=lambda: seconds[0])
    monkeypatch.setattr("shared.store.task_store.time", clock)
    monkeypatch.setattr("shared.store.dynamodb.time", clock)

    def slow(send: Send) -> Any:
        seconds[0] += 0.3
        return send()

    wire.faults = [None, *[slow] * 20]
    cleared = TaskStore(table, user, deadline=100 + RESERVE + 1).clear(COMPLETED)
    assert (cleared.cleared, cleared.more) == (4, True)
    wire.faults = []
    assert store.clear(COMPLETED) == Cleared(cleared=10 - cleared.cleared, more=False)


def test_a_task_that_is_opened_during_the_clear_stays(store: TaskStore, wire: Wire, engine_url: str, user: str) -> None:
    first, second, third = completed(store, 3)
    other = TaskStore(table_at(engine_url, "other"), user, deadline_in(10))

    def meanwhile(send: Send) -> Any:
        other.toggle(second, ANY_VERSION)
        other.delete(third, ANY_VERSION)
        return send()

    wire.faults = [None, meanwhile]
    assert store.clear(COMPLETED).cleared == 1  # the third was deleted by another client
    assert [task.id for task in store.list(TaskQuery()).items] == [second]
    assert {task.id for task in store.list(TaskQuery(status="deleted")).items} == {first, third}


def test_lost_responses_are_counted_once(store: TaskStore, wire: Wire) -> None:
    completed(store, 4)
    wire.faults = [None, lost_after, None, lost_before, None, lost_after, lost_after, None]
    assert store.clear(COMPLETED) == Cleared(cleared=4, more=False)
    assert set(wire.applied.values()) == {1}


def test_the_count_before_a_database_failure_is_returned(store: TaskStore, wire: Wire) -> None:
    completed(store, 4)
    throttled = [fail_with(400, "ThrottlingException")] * 5
    wire.faults = [None, None, None, *throttled]
    assert store.clear(COMPLETED) == Cleared(cleared=2, more=True)
    wire.faults = [None, *throttled]
    with pytest.raises(Unavailable):
        store.clear(COMPLETED)
    assert store.clear(COMPLETED) == Cleared(cleared=2, more=False)


def test_the_count_before_the_storage_was_full_is_returned(store: TaskStore, wire: Wire) -> None:
    completed(store, 3)
    full = fail_with(400, "ItemCollectionSizeLimitExceededException")
    wire.faults = [None, None, full]
    assert store.clear(COMPLETED) == Cleared(cleared=1, more=True)
    wire.faults = [None, full]
    with pytest.raises(StorageFull):
        store.clear(COMPLETED)
    assert store.clear(COMPLETED) == Cleared(cleared=2, more=False)
