"""Lost requests and responses among other writers. test_injections.py tests every fault on every operation."""

from collections.abc import Callable

import pytest

from shared.models import Move, NewTask, Task, TaskQuery
from shared.store.dynamodb import RESERVE, Failure, OutcomeUnknown, Table, Unavailable
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION, Precondition, TaskNotFound, VersionMismatch
from tests.conftest import deadline_in, table_at
from tests.wire import (
    Fault,
    Wire,
    fail_with,
    lost_after,
    lost_after_and,
    lost_before,
    lost_before_and,
)

type Write = Callable[[TaskStore, Task, Precondition], object]

CHANGES: dict[str, Write] = {
    "update": lambda store, task, condition: store.update(task.id, {"title": "new"}, condition),
    "complete": lambda store, task, condition: store.update(task.id, {"completed": True}, condition),
    "replace": lambda store, task, condition: store.update(
        task.id, {"title": "new", "description": None, "completed": True}, condition
    ),
    "toggle": lambda store, task, condition: store.toggle(task.id, condition),
    "move": lambda store, task, condition: store.move(task.id, Move(list="home", after=None), condition),
    "delete": lambda store, task, condition: store.delete(task.id, condition),
}
NOT_APPLIED: dict[str, Fault] = {
    "throttled": fail_with(400, "ProvisionedThroughputExceededException"),
    "conflict": fail_with(400, "TransactionConflictException"),
}


@pytest.fixture
def other(engine_url: str, user: str) -> TaskStore:
    """Another writer to the same tasks, on a wire without faults."""
    return TaskStore(table_at(engine_url, "other"), user, deadline_in(30))


@pytest.fixture
def wired(table: Table) -> Table:
    return table


@pytest.fixture(params=CHANGES.values(), ids=list(CHANGES))
def write(request: pytest.FixtureRequest) -> Write:
    chosen: Write = request.param
    return chosen


@pytest.mark.parametrize("writers", [1, 3])
@pytest.mark.parametrize("conditional", [False, True], ids=["any version", "If-Match"])
def test_a_lost_response_is_recovered_after_other_writes(
    wire: Wire, store: TaskStore, other: TaskStore, writers: int, conditional: bool
) -> None:
    task = other.create(NewTask(title="old"))

    def interfere() -> None:
        for number in range(writers):
            other.update(task.id, {"title": f"other {number}"}, ANY_VERSION)

    wire.write_faults = [lost_after_and(interfere)]
    flipped = store.toggle(task.id, Precondition(frozenset({1})) if conditional else ANY_VERSION)
    # The response is what this write made, without later writes of others.
    assert (flipped.completed, flipped.version) == (True, 2)
    assert other.get(task.id).version == 2 + writers
    assert list(wire.applied.values()) == [1]


def test_the_outcome_is_unknown_when_the_item_has_lost_the_token(
    wire: Wire, store: TaskStore, other: TaskStore, write: Write
) -> None:
    task = other.create(NewTask(title="old"))

    def interfere() -> None:
        for _ in range(5):
            other.update(task.id, {"description": f"at {other.get(task.id).version}"}, ANY_VERSION)

    # Others write to a task only while it is live.
    lost = lost_before_and if write is CHANGES["delete"] else lost_after_and
    wire.write_faults = [lost(interfere)]
    with pytest.raises(OutcomeUnknown):
        write(store, task, ANY_VERSION)
    assert other.get(task.id).version == 6 + sum(wire.applied.values())


def test_the_outcome_of_a_request_that_never_arrives_is_unknown(
    wire: Wire, store: TaskStore, other: TaskStore, write: Write
) -> None:
    task = other.create(NewTask(title="old"))
    wire.write_faults = [lost_before] * 99
    with pytest.raises(OutcomeUnknown):
        write(store, task, ANY_VERSION)
    assert other.get(task.id) == task


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (NOT_APPLIED["throttled"], Failure.THROTTLED),
        (NOT_APPLIED["conflict"], Failure.CONTENDED),
    ],
    ids=NOT_APPLIED,
)
def test_a_request_that_is_refused_until_the_end_is_reported_as_not_applied(
    wire: Wire, table: Table, user: str, other: TaskStore, write: Write, fault: Fault, failure: Failure
) -> None:
    task = other.create(NewTask(title="old"))
    wire.faults = [fault] * 99
    with pytest.raises(Unavailable) as refused:
        write(TaskStore(table, user, deadline_in(RESERVE + 1)), task, ANY_VERSION)
    assert refused.value.failure is failure
    assert other.get(task.id) == task


def test_a_client_can_write_faster_than_tokens_expire(store: TaskStore) -> None:
    task = store.create(NewTask(title="busy"))
    versions = [store.toggle(task.id, ANY_VERSION).version for _ in range(20)]
    assert versions == list(range(2, 22))


def test_responses_are_the_same_when_the_first_request_is_lost(wire: Wire, store: TaskStore, write: Write) -> None:
    task = store.create(NewTask(title="old"))
    store.toggle(task.id, ANY_VERSION)
    wire.faults = [lost_before]
    with pytest.raises(VersionMismatch):
        write(store, task, Precondition(frozenset({1})))
    store.delete(task.id, ANY_VERSION)
    if write is not CHANGES["delete"]:
        wire.faults = [lost_before]
        with pytest.raises(TaskNotFound):
            write(store, task, ANY_VERSION)


def test_a_read_without_any_response_is_unavailable(wire: Wire, store: TaskStore) -> None:
    for read in (lambda: store.list(TaskQuery()), lambda: store.get("00000000-0000-7000-8000-000000000000")):
        wire.faults = [lost_after] * 5
        with pytest.raises(Unavailable):
            read()
