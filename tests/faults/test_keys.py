"""Operations with a key: crashes at every boundary, lost responses and conflicts have one effect."""

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.batches import BatchOperation
from shared.models import BatchResults, Move, NewTask, Task, TaskQuery
from shared.store.dynamodb import OutcomeUnknown, Table, Unavailable
from shared.store.engine import KeyReused
from shared.store.items import IdempotencyKey
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.conftest import SCALE, deadline_in, table_at
from tests.wire import (
    Crash,
    Fault,
    Send,
    Wire,
    cancelled,
    crash_after,
    crash_before,
    fail_with,
    lost_after,
    lost_after_and,
    lost_before,
    truncated,
    twice,
)

OPERATIONS: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])


@dataclass
class Keyed:
    """An operation with a key: its number of requests, its call, and the sum of the versions of all tasks after it."""

    requests: int
    ask: Callable[[TaskStore, str, str], Task | BatchResults]
    versions: list[int]


def _batch(store: TaskStore, live: str, trashed: str) -> BatchResults:
    operations: list[Any] = [
        {"op": "create", "task": {"title": "new"}},
        {"op": "toggle", "id": live},
        {"op": "restore", "id": trashed},
    ]
    return store.batch(OPERATIONS.validate_python(operations))


def _batch_with_a_move(store: TaskStore, live: str, trashed: str) -> BatchResults:
    operations: list[Any] = [
        {"op": "restore", "id": trashed},
        {"op": "move", "id": live, "after": trashed, "list": "home"},
    ]
    return store.batch(OPERATIONS.validate_python(operations))


KEYED = {
    "create": Keyed(1, lambda store, _, __: store.create(NewTask(title="new")), [1, 1, 2]),
    "toggle": Keyed(2, lambda store, live, _: store.toggle(live, ANY_VERSION), [2, 2]),
    "restore": Keyed(2, lambda store, _, trashed: store.restore(trashed, ANY_VERSION), [1, 3]),
    "move": Keyed(3, lambda store, live, _: store.move(live, Move(list="home", after=None), ANY_VERSION), [2, 2]),
    "batch": Keyed(2, _batch, [1, 2, 3]),
    "batch with a move": Keyed(3, _batch_with_a_move, [2, 3]),
}
BOUNDARIES = [
    (name, request, crash)
    for name, keyed in KEYED.items()
    for request in range(keyed.requests)
    for crash in (crash_before, crash_after)
]
PASSING: dict[str, list[Fault]] = {
    "lost before": [lost_before],
    "lost after": [lost_after],
    "lost after, twice": [lost_after, lost_after],
    "lost before and after": [lost_before, lost_after, lost_before],
    "delivered twice": [twice],
    "a response cut short": [truncated],
    "500": [fail_with(500, "InternalServerError")],
    "throttled": [fail_with(400, "ThrottlingException")],
    "conflict": [cancelled("TransactionConflict", "None")] * 3,
    "conflict with its tasks": [cancelled("None", "TransactionConflict")],
    "throttled in part": [cancelled("None", "ThrottlingError")],
}


@dataclass
class Scene:
    """A user with a live task and one in the trash, and stores that all use one key."""

    table: Table
    user: str
    once: IdempotencyKey
    live: str
    trashed: str

    def store(self, seconds: float = 10, key: IdempotencyKey | None = None) -> TaskStore:
        return TaskStore(self.table, self.user, deadline_in(seconds), key=key or self.once)

    def bare(self) -> TaskStore:
        return TaskStore(table_at(self.table.client.meta.endpoint_url, "other"), self.user, deadline_in(10))

    def do(self, keyed: Keyed, store: TaskStore | None = None) -> Task | BatchResults:
        return keyed.ask(store or self.store(), self.live, self.trashed)

    def versions(self) -> list[int]:
        """The versions of all tasks, including those in the trash."""
        pages = [self.bare().list(TaskQuery(status=status, limit=100)).items for status in ("all", "deleted")]
        return sorted(task.version for page in pages for task in page)


def two_tasks(store: TaskStore) -> tuple[str, str]:
    """A live task, and one in the trash that was in a list."""
    live, trashed = (store.create(NewTask(title="old", list=name)).id for name in (None, "home"))
    store.delete(trashed, ANY_VERSION)
    return live, trashed


@pytest.fixture
def scene(engine_url: str, user: str) -> Scene:
    live, trashed = two_tasks(TaskStore(table_at(engine_url), user, deadline_in(10)))
    once = IdempotencyKey(uuid.uuid4().hex, "fingerprint", 3600)
    return Scene(table_at(engine_url, "wired"), user, once, live, trashed)


@pytest.mark.parametrize(("name", "request_", "crash"), BOUNDARIES)
def test_a_crash_at_any_boundary_and_a_retry_with_the_key_have_one_effect(
    scene: Scene, wire: Wire, name: str, request_: int, crash: Fault
) -> None:
    keyed = KEYED[name]
    wire.faults = [*[None] * request_, crash]
    with pytest.raises(Crash):
        scene.do(keyed)
    done = scene.do(keyed)
    assert scene.versions() == keyed.versions
    assert scene.do(keyed) == done
    assert scene.versions() == keyed.versions
    assert sum(wire.applied.values()) == 1


@pytest.mark.parametrize("keyed", KEYED.values(), ids=KEYED)
def test_requests(scene: Scene, wire: Wire, keyed: Keyed) -> None:
    scene.do(keyed)
    assert len(wire.requests) == keyed.requests
    scene.do(keyed)
    assert len(wire.requests) == keyed.requests + 1  # which finds the record


@pytest.mark.parametrize("keyed", KEYED.values(), ids=KEYED)
@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_a_short_fault_is_retried(scene: Scene, wire: Wire, keyed: Keyed, faults: list[Fault]) -> None:
    wire.faults = [*[None] * (keyed.requests - 1), *_at_writes(keyed, faults)]
    store = scene.store()
    done = scene.do(keyed, store)
    assert not store.replayed
    assert scene.versions() == keyed.versions
    again = scene.store()
    assert scene.do(keyed, again) == done
    assert again.replayed


def _at_writes(keyed: Keyed, faults: list[Fault]) -> Iterator[Fault | None]:
    """The faults on the writes only: an operation that reads first has reads between two writes."""
    for fault in faults:
        yield fault
        if keyed.requests > 1:
            yield None


def test_a_lost_response_is_recovered_after_another_write(scene: Scene, wire: Wire) -> None:
    wire.faults = [None, lost_after_and(lambda: scene.bare().toggle(scene.live, ANY_VERSION))]
    done = scene.do(KEYED["toggle"])
    assert isinstance(done, Task)
    assert (done.version, done.completed) == (2, True)
    assert scene.versions() == [2, 3]


def test_a_lost_race_is_retried(scene: Scene, wire: Wire) -> None:
    def overtaken(send: Send) -> Any:
        scene.bare().toggle(scene.live, ANY_VERSION)
        return send()

    wire.faults = [None, overtaken]
    done = scene.do(KEYED["toggle"])
    assert isinstance(done, Task)
    assert (done.version, done.completed) == (3, False)
    assert len(wire.requests) == 3  # the failed condition returns the item: no second read


@pytest.mark.parametrize("keyed", KEYED.values(), ids=KEYED)
def test_an_unknown_outcome_is_reported_and_a_retry_settles_it(scene: Scene, wire: Wire, keyed: Keyed) -> None:
    wire.faults = [*[None] * (keyed.requests - 1), lost_after, *[lost_before] * 5]
    with pytest.raises(OutcomeUnknown):
        scene.do(keyed)
    wire.faults = []
    store = scene.store()
    scene.do(keyed, store)
    assert store.replayed
    assert scene.versions() == keyed.versions


def test_endless_conflicts_are_reported_in_time(scene: Scene, wire: Wire) -> None:
    wire.faults = [cancelled("TransactionConflict", "None")] * 100
    with pytest.raises(Unavailable):
        scene.store(seconds=5).create(NewTask(title="new"))
    assert scene.versions() == [1, 2]


def test_a_key_of_another_request_is_refused_at_every_operation(scene: Scene) -> None:
    scene.do(KEYED["create"])
    before = scene.versions()
    other = IdempotencyKey(scene.once.digest, "another fingerprint", 3600)
    for keyed in KEYED.values():
        with pytest.raises(KeyReused):
            scene.do(keyed, scene.store(key=other))
    assert scene.versions() == before


@pytest.mark.parametrize("keyed", KEYED.values(), ids=KEYED)
@pytest.mark.parametrize("round_", range(SCALE))
def test_16_requests_with_one_key_act_once(dynamodb_local_url: str, user: str, keyed: Keyed, round_: int) -> None:
    live, trashed = two_tasks(TaskStore(table_at(dynamodb_local_url), user, deadline_in(10)))
    once = IdempotencyKey(uuid.uuid4().hex, f"fingerprint {round_}", 3600)
    scene = Scene(table_at(dynamodb_local_url, "twins"), user, once, live, trashed)
    stores = [scene.store(seconds=30) for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        responses = list(threads.map(lambda one: scene.do(keyed, one), stores))
    assert len({json.dumps(one.model_dump(mode="json")) for one in responses}) == 1
    assert [store.replayed for store in stores].count(False) == 1
    assert scene.versions() == keyed.versions
