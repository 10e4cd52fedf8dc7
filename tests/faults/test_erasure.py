"""Erasing a user: with killed, double and late calls and active writers, only the mark remains at the end."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from pydantic import TypeAdapter

from shared.batches import BatchOperation
from shared.models import Erased, ImportedTask, NewTask, TaskQuery
from shared.store import erasure, marks
from shared.store.dynamodb import RESERVE, OutcomeUnknown, StorageFull, Table, Unavailable
from shared.store.items import IdempotencyKey
from shared.store.marks import UserErased
from shared.store.task_store import OperationRefused, TaskStore
from shared.tasks import ANY_VERSION, NotDeleted, TaskNotFound
from tests import guard
from tests.conftest import deadline_in, eventually, sized, table_at
from tests.wire import (
    Crash,
    Fault,
    Held,
    Send,
    Wire,
    after,
    crash_after,
    crash_before,
    fail_with,
    late,
    late_after_crash,
    lost_after,
    lost_before,
    make_response,
)

OPERATIONS: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])
DAYS = 40
START = 1_795_415_874_917
MEMORY = 30_000
# A function may run for 10 s, and its requests may arrive 5 s later.
LATEST = 15_000


@dataclass
class Scene:
    """A user on a wire with faults, with a clock (in ms) that only the test moves."""

    table: Table
    wire: Wire
    user: str
    now: int = START

    def store(self, key: str = "", user: str = "", table: Table | None = None) -> TaskStore:
        once = IdempotencyKey(key.ljust(64, "0"), "f" * 64, 3600) if key else None
        return TaskStore(table or self.table, user or self.user, deadline_in(60), lambda: self.now * 1_000_000, once)

    def fill(self, tasks: int = 3) -> None:
        """Store open and completed tasks, one in the trash, and the records of keys."""
        for number in range(tasks):
            self.store().create(NewTask(title=f"task {number}", list="a", completed=number % 2 == 0))
        trashed = self.store("first").create(NewTask(title="trashed"))
        self.store("second").toggle(trashed.id, ANY_VERSION)
        self.store().delete(trashed.id, ANY_VERSION)

    def erase(self) -> Erased:
        return self.store().erase(DAYS)

    def erase_all(self, step: int = 5000) -> Erased:
        """Repeat the request until the end, with some time between."""
        while (done := self.erase()).more:
            self.now += step
        return done

    def stored(self, user: str = "", tenant: str = "") -> list[dict[str, Any]]:
        """All items of a partition."""
        pages = self.table.client.get_paginator("query").paginate(
            TableName=self.table.name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": guard.partition_of(user or self.user, tenant)}},
            ConsistentRead=True,
        )
        return [dict(item) for page in pages for item in page["Items"]]

    def left(self) -> list[str]:
        """The sort keys of all items of the user."""
        return [item["sk"]["S"] for item in self.stored()]


@pytest.fixture
def scene(engine_url: str, user: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(marks, "_unmarked", {})
    table = table_at(engine_url, "erasure")
    with Wire(table) as wire:
        yield Scene(table, wire, user)


def forgotten() -> None:
    """The next request reaches another process, which has not cached that the user is not erased."""
    marks._unmarked.clear()


def test_everything_of_the_user_is_erased_and_similar_users_stay(scene: Scene) -> None:
    neighbours = [f"{scene.user}2", f"{scene.user}#", scene.user[:-1], scene.user.upper(), "ERASED", f"x#{scene.user}"]
    scene.fill(60)
    for neighbour in neighbours:
        scene.store(user=neighbour).create(NewTask(title="kept"))
        scene.store(f"k{neighbour[-1]}", user=neighbour).create(NewTask(title="kept"))
    TaskStore(scene.table, scene.user, deadline_in(60), tenant="acme").create(NewTask(title="kept"))
    before = [scene.stored(neighbour) for neighbour in neighbours] + [scene.stored(tenant="acme")]
    count = len(scene.stored())
    first = scene.erase()
    assert first == Erased(erased=count, more=True, receipt=None)
    assert count == 63  # 60 tasks, one in the trash, and two records
    assert scene.left() == ["ERASED"]

    waited_from = scene.now
    done = scene.erase_all(step=1000)
    assert done.erased == 0
    assert done.receipt is not None
    assert done.receipt.user_id == scene.user
    assert done.receipt.marked_at == waited_from
    # The mark may be late, a function may not know it for 30 s, and then its create may be late.
    assert waited_from + LATEST + MEMORY + LATEST < done.receipt.completed_at <= waited_from + 80_000
    assert done.receipt.expires_at == (done.receipt.completed_at // 1000 + DAYS * 86_400) * 1000
    (mark,) = scene.stored()
    assert set(mark) == {
        *("pk", "sk", "schema", "version", "marked_at", "removing_at", "completed_at", "expires_at"),
    }
    after = [scene.stored(neighbour) for neighbour in neighbours] + [scene.stored(tenant="acme")]
    assert after == before

    scene.now += 3_600_000
    assert scene.erase() == done
    assert scene.stored() == [mark]


WRITES: dict[str, Callable[[TaskStore, str], object]] = {
    "create": lambda store, _: store.create(NewTask(title="x")),
    "create with an id": lambda store, task_id: store.create(NewTask(title="x"), task_id),
    "import": lambda store, task_id: store.import_task(task_id, ImportedTask(NewTask(title="x"), None, None)),
    "update": lambda store, task_id: store.update(task_id, {"title": "y"}, ANY_VERSION),
    "toggle": lambda store, task_id: store.toggle(task_id, ANY_VERSION),
    "delete": lambda store, task_id: store.delete(task_id, ANY_VERSION),
    "restore": lambda store, task_id: store.restore(task_id, ANY_VERSION),
}


@pytest.mark.parametrize("keyed", [False, True])
def test_every_write_is_refused(scene: Scene, keyed: bool) -> None:
    scene.fill()
    (task, *_) = scene.store().list(TaskQuery()).items
    scene.erase()
    forgotten()
    for write in WRITES.values():
        with pytest.raises(UserErased):
            write(scene.store("k" if keyed else ""), task.id)
    for operation in ({"op": "create", "task": {"title": "x"}}, {"op": "toggle", "id": task.id}):
        with pytest.raises(UserErased):
            scene.store("b").batch(OPERATIONS.validate_python([operation]))
    assert scene.left() == ["ERASED"]


def test_a_user_id_can_be_used_again_when_the_mark_has_expired(scene: Scene) -> None:
    scene.fill()
    done = scene.erase_all()
    assert done.receipt is not None
    scene.now = done.receipt.expires_at - 1
    with pytest.raises(UserErased):
        scene.store().create(NewTask(title="x"))
    scene.now += 1
    task = scene.store().create(NewTask(title="x"))
    assert scene.store().list(TaskQuery()).items == [task]
    again = scene.erase_all()
    assert again.receipt is not None
    assert again.receipt.marked_at >= done.receipt.expires_at
    assert scene.left() == ["ERASED"]


def test_items_that_return_after_the_end_are_erased_again(scene: Scene) -> None:
    """For example when a table is restored from a backup with items of an erased user."""
    scene.fill()
    backup = scene.stored()
    done = scene.erase_all()
    for item in backup:
        scene.table.client.put_item(TableName=scene.table.name, Item=item)
    assert scene.erase() == Erased(erased=len(backup), more=True, receipt=None)
    again = scene.erase_all()
    assert again.receipt is not None
    assert done.receipt is not None
    assert again.receipt.completed_at > done.receipt.completed_at
    assert scene.left() == ["ERASED"]


@pytest.mark.parametrize("crash", [crash_before, crash_after])
def test_a_killed_call_is_continued(scene: Scene, crash: Fault) -> None:
    """Before and after each request of a call; then other calls continue."""
    scene.wire.marks = True
    for place in range(20):
        scene.fill(27)
        forgotten()
        scene.wire.faults = [*[None] * place, crash]
        struck = False
        try:
            scene.erase()
        except Crash:
            struck = True
        scene.wire.faults = []
        assert scene.erase_all().receipt is not None
        assert scene.left() == ["ERASED"]
        scene.now += 50 * 86_400_000  # the mark expires
        if not struck:
            break
    assert place == 8  # the mark is read, written and read; a query; the mark is read and written; two removals


def test_a_late_create_is_erased(scene: Scene) -> None:
    """Its function read just before the mark was written, and the create is applied at the last moment."""
    scene.fill()
    forgotten()
    held = Held()
    scene.wire.write_faults = [late(held), lost_before]
    scene.store().create(NewTask(title="before"))  # lost, and then retried
    held.arrive()
    found_none = scene.now
    scene.erase()
    # It may remember for 30 s that there is no mark, and run for 10 s.
    scene.now = found_none + MEMORY - 1
    scene.wire.write_faults = [late_after_crash(held)]
    with pytest.raises(Crash):
        scene.store().create(NewTask(title="late"))
    forgotten()
    while scene.now < found_none + MEMORY + LATEST:
        assert scene.erase().more
        scene.now += 1000
    assert held.arrive() == [200]
    assert "ERASED" in scene.left()
    assert len(scene.left()) == 2
    assert scene.erase_all(1000).receipt is not None
    assert scene.left() == ["ERASED"]


def test_a_late_mark_is_waited_for(scene: Scene) -> None:
    """The function that writes the mark is killed, and the mark arrives late: from then on, writes are rejected."""
    scene.fill(1)
    held = Held()
    scene.wire.write_faults = [late_after_crash(held)]
    with pytest.raises(Crash):
        scene.erase()
    scene.now += LATEST
    forgotten()
    scene.store().create(NewTask(title="before the mark"))
    assert held.arrive() == [200]
    latest = scene.now + MEMORY - 1  # of the creates of the function that found no mark
    scene.now = latest
    carrier = Held()
    scene.wire.write_faults = [late_after_crash(carrier)]
    with pytest.raises(Crash):
        scene.store().create(NewTask(title="late"))
    while scene.now < latest + LATEST:
        assert scene.erase().more
        scene.now += 500
    assert carrier.arrive() == [200]
    assert scene.erase_all(500).receipt is not None
    assert scene.left() == ["ERASED"]


@pytest.mark.parametrize("name", ["update", "toggle", "delete"])
@pytest.mark.parametrize("keyed", [False, True])
def test_a_late_change_of_a_removed_task_is_refused(scene: Scene, name: str, keyed: bool) -> None:
    task = scene.store().create(NewTask(title="x"))
    held = Held()
    scene.wire.write_faults = [late_after_crash(held)]
    with pytest.raises(Crash):
        WRITES[name](scene.store("k" if keyed else ""), task.id)
    scene.erase()
    assert held.arrive() == [400]
    assert scene.left() == ["ERASED"]


def test_a_late_removal_arrives_before_the_end(scene: Scene) -> None:
    """So it cannot remove tasks that a later import creates under the same ids."""
    scene.fill()
    scene.erase_all()
    scene.table.client.put_item(TableName=scene.table.name, Item=_item_of(scene))
    held, began = Held(), scene.now
    # The call announces the removal and sends it, and is killed.
    scene.wire.write_faults = [None, late_after_crash(held)]
    with pytest.raises(Crash):
        scene.erase()
    while scene.now < began + LATEST:
        assert scene.erase().more
        scene.now += 1000
    assert held.arrive() == [200]
    done = scene.erase_all(1000)
    assert done.receipt is not None
    assert began + LATEST < done.receipt.completed_at <= began + 2 * LATEST


def _item_of(scene: Scene) -> Any:
    store = scene.store(user=f"{scene.user}-source")
    store.create(NewTask(title="x"))
    (item,) = scene.stored(f"{scene.user}-source")
    return {**item, "pk": {"S": guard.partition_of(scene.user)}}


def test_a_call_does_not_end_the_erasure_while_another_call_removes(scene: Scene) -> None:
    """It found nothing, and before it can record that, another call finds an item and removes it."""
    scene.fill()
    scene.erase()
    scene.now += 100_000
    item, other = _item_of(scene), table_at(_url(scene.table), "other")

    def meanwhile(send: Send) -> AWSResponse:
        other.client.put_item(TableName=other.name, Item=item)
        assert scene.store(table=other).erase(DAYS).erased == 1
        return send()

    scene.wire.write_faults = [meanwhile]
    assert scene.erase() == Erased(erased=0, more=True, receipt=None)
    assert not scene.wire.write_faults
    assert scene.erase().more
    assert scene.erase_all().receipt is not None
    assert scene.left() == ["ERASED"]


def _url(table: Table) -> str:
    return table.client.meta.endpoint_url


def test_two_calls_at_once(scene: Scene) -> None:
    scene.fill(60)
    count, done = len(scene.stored()), []

    def erase() -> None:
        done.append(scene.erase_all(1000))

    threads = [threading.Thread(target=erase) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == 63
    assert [one.receipt for one in done] == [done[0].receipt] * 2
    assert scene.left() == ["ERASED"]


def test_an_erasure_stops_in_time_and_returns_its_counts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.fill(100)
    clock = [100.0]
    for module in ("erasure", "dynamodb"):
        stub = type("Time", (), {"monotonic": lambda: clock[0], "sleep": lambda _: None})
        monkeypatch.setattr(f"shared.store.{module}.time", stub)

    def slow(send: Send) -> AWSResponse:
        clock[0] += 0.5
        return send()

    # The mark, its update, and two removals.
    scene.wire.write_faults = [slow] * 4
    store = TaskStore(scene.table, scene.user, 100 + RESERVE + 1.9, lambda: scene.now * 1_000_000)
    assert store.erase(DAYS) == Erased(erased=50, more=True, receipt=None)
    assert len(scene.left()) == 103 - 50 + 1


def test_unprocessed_items_are_sent_again(scene: Scene) -> None:
    scene.fill(20)

    def partly(send: Send) -> AWSResponse:
        (table, requests), *_ = send.body["RequestItems"].items()
        assert send.changed({"RequestItems": {table: requests[:7]}})().status_code == 200
        return make_response(200, _json({"UnprocessedItems": {table: requests[7:]}}))

    scene.wire.write_faults = [None, None, partly]
    assert scene.erase() == Erased(erased=23, more=True, receipt=None)
    assert scene.left() == ["ERASED"]


def _json(body: object) -> bytes:
    return TypeAdapter(dict[str, Any]).dump_json(body)  # type: ignore[arg-type]


def test_removals_before_a_database_failure_are_counted(scene: Scene) -> None:
    scene.fill(60)
    scene.wire.write_faults = [None, None, None, *[fail_with(400, "ThrottlingException")] * 5]
    assert scene.erase() == Erased(erased=25, more=True, receipt=None)
    scene.wire.write_faults = [None, *[fail_with(400, "ThrottlingException")] * 5]
    with pytest.raises(Unavailable):
        scene.erase()
    scene.wire.write_faults = [None, *[lost_after] * 5]
    with pytest.raises(OutcomeUnknown):
        scene.erase()
    assert scene.erase() == Erased(erased=13, more=True, receipt=None)


def test_a_create_is_not_sent_if_the_mark_cannot_be_read(scene: Scene) -> None:
    scene.wire.marks = True
    scene.wire.faults = [fail_with(500, "InternalServerError")] * 5
    with pytest.raises(Unavailable):
        scene.store().create(NewTask(title="x"))
    assert scene.left() == []


@dataclass
class Writer:
    """A client that creates, changes, deletes and restores tasks, with and without keys, until it is stopped."""

    table: Table
    user: str
    known: list[str]
    ended: threading.Event
    written: int = 0
    refused: int = 0

    def run(self, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - no secret
        while not self.ended.is_set():
            key = IdempotencyKey(uuid.uuid4().hex * 2, "f" * 64, 3600) if dice.random() < 0.3 else None
            store = TaskStore(self.table, self.user, deadline_in(RESERVE + 1), key=key)
            try:
                self._write(store, dice, keyed=key is not None)
                self.written += 1
            except UserErased:
                self.refused += 1
                time.sleep(0.01)
            except (TaskNotFound, NotDeleted, OperationRefused, OutcomeUnknown, Unavailable, StorageFull):
                continue

    def _write(self, store: TaskStore, dice: random.Random, *, keyed: bool) -> None:
        one = dice.choice(self.known)
        match dice.randrange(6):
            case 0 | 1:
                self.known.append(store.create(NewTask(title="new")).id)
            case 2:
                store.delete(one, ANY_VERSION)
            case 3:
                store.restore(one, ANY_VERSION)
            case 4 if keyed:
                two = [{"op": "create", "task": {"title": "x"}}, {"op": "toggle", "id": one}]
                store.batch(OPERATIONS.validate_python(two))
            case _:
                store.toggle(one, ANY_VERSION)


def test_a_user_that_keeps_writing_is_erased_and_another_user_is_not(
    dynamodb_local_url: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many requests are late during the erasure.

    In `make test`, all times are shorter: an operation may begin its requests for 1 s, and they are up to 0.5 s late.
    moto does not take part, because it needs seconds for a query of 10,000 tasks.
    """
    settled, memory, lateness = sized(4000, 4000, 20_000), sized(1000, 1000, 30_000), sized(500, 500, 4000)
    monkeypatch.setattr(erasure, "SETTLED", settled)
    monkeypatch.setattr(marks, "MEMORY", memory)
    monkeypatch.setattr(erasure, "UNTIL_NO_CREATES", settled + memory + settled)
    monkeypatch.setattr(marks, "_unmarked", {})
    table, neighbour, dice = table_at(dynamodb_local_url, "keeps writing"), f"{user}2", random.Random(1)  # noqa: S311
    for name in (neighbour, user):  # the tasks of the user are known
        store = TaskStore(table, name, deadline_in(3600))
        known = [store.create(NewTask(title=f"task {number}")).id for number in range(sized(120, 300, 10_000))]
    scene, writer = Scene(table, Wire(table), user), Writer(table, user, known, threading.Event())
    before = scene.stored(neighbour)
    threads = [threading.Thread(target=writer.run, args=(seed,)) for seed in range(4)]

    def choose() -> Fault | None:
        return late(after(dice.uniform(0, lateness / 1000))) if dice.random() < 0.05 else None

    with Wire(table, choose):
        for thread in threads:
            thread.start()
        eventually(lambda: writer.written > 20 or None)
        more = True
        while more:
            with suppress(OutcomeUnknown, Unavailable):
                more = TaskStore(table, user, deadline_in(10)).erase(DAYS).more
            time.sleep(0.3)
        # Writers still try, and some requests are still late.
        seen = writer.refused
        eventually(lambda: writer.refused > seen + 20 or None)
        writer.ended.set()
        for thread in threads:
            thread.join()
    assert scene.left() == ["ERASED"]
    assert scene.stored(neighbour) == before
