"""Clients that stay in sync: a replica that syncs all the time, slow and late requests, wrong clocks."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.batches import BatchOperation
from shared.models import ChangesQuery, NewTask, Task, TaskQuery, Tombstone
from shared.store import task_store
from shared.store.dynamodb import OutcomeUnknown, Unavailable
from shared.store.items import IdempotencyKey
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION, NotDeleted, TaskNotFound
from tests.conftest import deadline_in, sized, table_at
from tests.wire import Crash, Fault, Held, Send, Wire, after, late_after_crash, late_after_reset

WRITERS = 8
WRITES = sized(400, 1000, 10_000)
SKEW = 2.0  # seconds, either way
DELAY = 0.3
LATEST = sized(1, 1, 5)  # the maximum seconds between the end of a function and the arrival of its request
OPERATIONS: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])


@dataclass
class Replica:
    """The client of docs/http-api.md: it keeps the newer version of each task."""

    ask: Callable[[str | None], Any]
    tasks: dict[str, Task | Tombstone] = field(default_factory=dict)
    since: str | None = None

    def sync(self) -> None:
        more = True
        while more:
            page = self.ask(self.since)
            for item in page.items:
                have = self.tasks.get(item.id)
                if have is None or item.version > have.version:
                    self.tasks[item.id] = item
            self.since, more = page.next_since, page.has_more

    @property
    def live(self) -> dict[str, Task]:
        return {key: task for key, task in self.tasks.items() if isinstance(task, Task)}


def clock(ahead: float) -> Callable[[], int]:
    return lambda: time.time_ns() + int(ahead * 1e9)


class Writer:
    """Makes random writes with its own clock, and keeps the acknowledged ones."""

    def __init__(self, url: str, user: str, seed: int, acknowledged: dict[str, int]) -> None:
        self.choose = random.Random(seed)  # noqa: S311 - no secret
        self.table = table_at(url, "slow writers")
        self.user, self.acknowledged = user, acknowledged
        self.clock = clock(self.choose.choice([-SKEW, -SKEW / 2, 0, SKEW / 2, SKEW]) * 0.99)

    def store(self, *, keyed: bool) -> TaskStore:
        once = IdempotencyKey(uuid.uuid4().hex, "x", 3600) if keyed else None
        return TaskStore(self.table, self.user, deadline_in(30), self.clock, once)

    def write(self) -> int:
        """Run a random operation, and return the number of acknowledged writes: 0 if it was refused."""
        store = self.store(keyed=self.choose.random() < 0.2)
        kinds = ["create", "update", "update", "toggle", "delete", "restore", "batch"]
        kind = self.choose.choice(kinds if len(self.acknowledged) > 5 else ["create"])
        task_id = self.choose.choice(list(self.acknowledged)) if self.acknowledged else ""
        done: list[Task] = []
        try:
            match kind:
                case "create":
                    done = [store.create(NewTask(title=f"{self.choose.random()}"))]
                case "update":
                    done = [store.update(task_id, {"title": f"{self.choose.random()}"}, ANY_VERSION)]
                case "toggle":
                    done = [store.toggle(task_id, ANY_VERSION)]
                case "delete":
                    store.delete(task_id, ANY_VERSION)
                case "restore":
                    done = [store.restore(task_id, ANY_VERSION)]
                case "batch":
                    operations = [{"op": "toggle", "id": task_id}, {"op": "create", "task": {"title": "b"}}]
                    results = self.store(keyed=True).batch(OPERATIONS.validate_python(operations)).results
                    done = [result.task for result in results if result.task is not None]
        except (TaskNotFound, NotDeleted, task_store.OperationRefused, Unavailable, OutcomeUnknown, Crash):
            return 0
        for task in done:
            self.acknowledged[task.id] = max(task.version, self.acknowledged.get(task.id, 0))
        return 1


def slow_or_late(seed: int) -> Callable[[], Fault | None]:
    """A wire that delays each tenth request by up to 300 ms, and each twentieth beyond the timeout."""
    choose = random.Random(seed)  # noqa: S311 - no secret

    def slow(send: Send) -> Any:
        time.sleep(choose.uniform(0, DELAY))
        return send()

    def fault() -> Fault | None:
        number = choose.random()
        if number < 0.05:
            return choose.choice([late_after_reset, late_after_crash])(after(choose.uniform(0.05, LATEST)))
        return slow if number < 0.15 else None

    return fault


def run(url: str, user: str, writes: int, seed: int) -> tuple[Replica, dict[str, int]]:
    """Run the writers while a replica syncs; return it after its last sync, with the acknowledged writes."""
    acknowledged: dict[str, int] = {}
    reader = TaskStore(table_at(url), user, deadline_in(600), clock(SKEW * 0.99))
    replica = Replica(lambda since: reader.changes(ChangesQuery(since=since, limit=50)))
    ended = threading.Event()
    broken: list[BaseException] = []

    def write(number: int) -> None:
        writer = Writer(url, user, seed * 100 + number, acknowledged)
        try:
            written = 0
            while written < writes // WRITERS:
                written += writer.write()
        except BaseException as error:
            broken.append(error)
            raise

    def read() -> None:
        while not ended.is_set():
            replica.sync()

    with Wire(table_at(url, "slow writers"), slow_or_late(seed)):
        threads = [threading.Thread(target=write, args=[number]) for number in range(WRITERS)]
        syncing = threading.Thread(target=read)
        for thread in (*threads, syncing):
            thread.start()
        for thread in threads:
            thread.join()
        ended.set()
        syncing.join()
    assert not broken
    replica.sync()
    return replica, acknowledged


def stored(url: str, user: str) -> dict[str, Task]:
    store, tasks, cursor = TaskStore(table_at(url), user, deadline_in(60)), {}, None
    while True:
        page = store.list(TaskQuery(limit=100, cursor=cursor))
        tasks.update({task.id: task for task in page.items})
        cursor = page.next_cursor
        if cursor is None:
            return tasks


@pytest.mark.parametrize("seed", range(1))
def test_a_replica_equals_the_server(dynamodb_local_url: str, user: str, seed: int) -> None:
    replica, acknowledged = run(dynamodb_local_url, user, WRITES, seed)
    assert len(acknowledged) > 50
    assert sum(item.version for item in replica.tasks.values()) >= WRITES
    assert replica.live == stored(dynamodb_local_url, user)
    behind = {key: version for key, version in acknowledged.items() if replica.tasks[key].version < version}
    assert not behind


def test_without_the_overlap_the_same_replica_misses_changes(
    dynamodb_local_url: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the test above can fail."""
    monkeypatch.setattr(task_store, "SYNC_OVERLAP", 100)
    replica, _ = run(dynamodb_local_url, user, 200, 1)
    assert replica.live != stored(dynamodb_local_url, user)


def test_a_replica_sees_the_latest_possible_request(dynamodb_local_url: str, user: str) -> None:
    """The clock of the function is 2 s behind, it sends after 10 s, at its end, and the request arrives 5 s later."""
    table, stamp, held = table_at(dynamodb_local_url, "slow writers"), time.time_ns(), Held()
    now = stamp
    reader = TaskStore(table_at(dynamodb_local_url), user, deadline_in(60), lambda: now)
    replica = Replica(lambda since: reader.changes(ChangesQuery(since=since)))
    with Wire(table) as wire:
        wire.faults = [late_after_crash(held)]
        with pytest.raises(Crash):
            TaskStore(table, user, deadline_in(60), lambda: stamp).create(NewTask(title="late"))
        now = stamp + int((SKEW + 10 + 5) * 1e9)
        replica.sync()
        assert replica.live == {}
        held.arrive()
        replica.sync()
    assert [task.title for task in replica.live.values()] == ["late"]


def test_a_sync_ends_after_a_burst_larger_than_a_page(dynamodb_local_url: str, user: str) -> None:
    table, operations = table_at(dynamodb_local_url), [{"op": "create", "task": {"title": "burst"}}] * 25
    for _ in range(40):
        batching = TaskStore(table, user, deadline_in(10), key=IdempotencyKey(uuid.uuid4().hex, "x", 3600))
        batching.batch(OPERATIONS.validate_python(operations))
    store, asked = TaskStore(table, user, deadline_in(60)), 0

    def ask(since: str | None) -> Any:
        nonlocal asked
        asked += 1
        return store.changes(ChangesQuery(since=since, limit=10))

    replica = Replica(ask)
    replica.sync()
    assert (len(replica.live), asked) == (1000, 101)
    replica.sync()  # the burst is recent, so it is returned once more
    assert asked == 202


def test_a_snapshot_is_complete_while_others_write(dynamodb_local_url: str, user: str) -> None:
    store = TaskStore(table_at(dynamodb_local_url), user, deadline_in(60))
    ids = [store.create(NewTask(title=f"{number}")).id for number in range(100)]
    ended = threading.Event()

    def write() -> None:
        writer, choose = TaskStore(table_at(dynamodb_local_url), user, deadline_in(60)), random.Random(3)  # noqa: S311
        while not ended.is_set():
            writer.toggle(choose.choice(ids), ANY_VERSION)

    writing = threading.Thread(target=write)
    writing.start()
    replica = Replica(lambda since: store.changes(ChangesQuery(since=since, limit=7)))
    try:
        replica.sync()
    finally:
        ended.set()
        writing.join()
    replica.sync()
    assert replica.live == stored(dynamodb_local_url, user)


def test_a_sync_without_changes_is_one_cheap_query(dynamodb_local_url: str, user: str) -> None:
    table = table_at(dynamodb_local_url)
    past = TaskStore(table, user, deadline_in(10), clock(-60))
    for _ in range(20):
        past.create(NewTask(title="a minute ago"))
    store = TaskStore(table, user, deadline_in(10))
    token = store.changes(ChangesQuery()).next_since
    requests: list[Any] = []

    def see(params: Any, **_: object) -> None:
        requests.append(params)

    table.client.meta.events.register("provide-client-params.dynamodb.Query", see)
    try:
        assert store.changes(ChangesQuery(since=token)).items == []
    finally:
        table.client.meta.events.unregister("provide-client-params.dynamodb.Query", see)
    (request,) = requests
    units = table.client.query(**request, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]["CapacityUnits"]
    assert units <= 1
