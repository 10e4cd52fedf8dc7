"""Several clients move tasks in lists: every reader and every replica sees the same order.

Each move holds: the task is on the requested side of its anchor, and no task that did not change during the move is
between the two.
"""

import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pytest
from pydantic import TypeAdapter

from shared import positions
from shared.batches import BatchOperation
from shared.models import ChangesQuery, Move, Task, TaskQuery
from shared.store.items import IdempotencyKey
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.conftest import deadline_in, sized, table_at
from tests.integration.test_sync import Replica
from tests.property.histories import Asked, Event, Write, faults
from tests.property.recording import Recorded, record, state_of, writes_of
from tests.wire import Fault, Wire, after, late_after_reset, lost_after, lost_before

OPERATIONS: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])
SECONDS = sized(1, 5, 60)
LEAST = 100  # moves, however slow the machine is
LATEST = 1.0  # s


@dataclass
class Drag:
    """Clients that move the tasks of a user. Each fifth task is never moved."""

    url: str
    user: str
    lists: Sequence[str]
    choose_fault: Callable[[], Fault | None] = lambda: None
    created: list[Task] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def store(self, client: str = "") -> TaskStore:
        return TaskStore(table_at(self.url, client), self.user, deadline_in(600))

    def create(self, count: int) -> None:
        for _ in range(count // 25):
            key = IdempotencyKey(uuid.uuid4().hex, "x", 3600)
            new = [{"op": "create", "task": {"title": "t", "list": name}} for name in self.lists]
            batch = OPERATIONS.validate_python((new * 25)[:25])
            store = TaskStore(table_at(self.url), self.user, deadline_in(60), key=key)
            self.created += [result.task for result in store.batch(batch).results if result.task]
        for task in self.created:
            asked, state = Asked(task.id, "create"), state_of(task)
            self.events.append(Event("create", asked, "done", 0, 0, task.version, state))
            self.writes.append(Write("create", task.id, 0, 0, task.version, state))

    @property
    def moves(self) -> list[Event]:
        """The acknowledged moves."""
        return [event for event in self.events if event.kind == "move" and event.outcome == "done"]

    @property
    def unmoved(self) -> list[Task]:
        return self.created[::5]

    def run(self, clients: int) -> list[Replica]:
        """Move tasks until the time is over, while two replicas and a reader read; return the replicas at the end."""
        replicas = [self.replica(30), self.replica(500)]
        until = time.monotonic() + SECONDS
        with Wire(table_at(self.url, "dragging"), self.choose_fault) as wire, ThreadPoolExecutor(clients + 3) as pool:
            looking = [pool.submit(self.until_the_end, act) for act in (self.read, *(one.sync for one in replicas))]
            dragging = [pool.submit(self.drag, number, until) for number in range(clients)]
            try:
                for one in dragging:
                    one.result()
            finally:
                self.ended.set()
            for one in looking:
                one.result()
        assert set(wire.applied.values()) == {1}
        self.writes += [write for applied in wire.writes for write in writes_of(applied)]
        for replica in replicas:
            replica.sync()
        return replicas

    def replica(self, size: int) -> Replica:
        return Replica(lambda since: self.store().changes(ChangesQuery(since=since, limit=size)))

    def until_the_end(self, act: Callable[[], None]) -> None:
        while not self.ended.is_set():
            act()

    def drag(self, number: int, until: float) -> None:
        dice = random.Random(number)  # noqa: S311 - no secret
        store = self.store("dragging")
        movable = [task.id for task in self.created if task not in self.unmoved]
        while time.monotonic() < until or len(self.moves) < LEAST:
            task_id, anchor = dice.choice(movable), dice.choice([None, *(task.id for task in self.created)])
            if anchor == task_id:
                continue
            self.events += self.act(dice, store, task_id, anchor).events

    def act(self, dice: random.Random, store: TaskStore, task_id: str, anchor: str | None) -> Recorded:
        operation = uuid.uuid4()
        if dice.random() < 0.2:
            return record(operation, [Asked(task_id, "toggle")], lambda: [store.toggle(task_id, ANY_VERSION)])
        side, name = dice.choice(["after", "before"]), dice.choice(self.lists)
        move = Move.model_validate({side: anchor, "list": name})
        asked = Asked(task_id, "move", {"list": name}, move)
        return record(operation, [asked], lambda: [store.move(task_id, move, ANY_VERSION)])

    def read(self) -> None:
        """A reader of all pages sees each task that is never moved once, and in order."""
        for name in self.lists:
            staying = [task.id for task in self.unmoved if task.list == name]
            assert [one for one in self.order(name) if one in staying] == staying

    def order(self, name: str) -> list[str]:
        found, cursor, store = list[str](), None, self.store()
        while True:
            page = store.list(TaskQuery(list=name, limit=7, cursor=cursor))
            found += [task.id for task in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found


def in_order(tasks: Iterable[Task], name: str) -> list[str]:
    """The order of a list, sorted by a client."""
    found = [task for task in tasks if task.list == name]
    return [task.id for task in sorted(found, key=lambda task: (task.completed, str(task.position), task.id))]


def assert_that_all_see_one_order(drag: Drag, replicas: Sequence[Replica]) -> None:
    fresh = drag.replica(100)
    fresh.sync()
    for name in drag.lists:
        order = drag.order(name)
        assert [in_order(replica.live.values(), name) for replica in (*replicas, fresh)] == [order] * 3
    assert sorted(one for name in drag.lists for one in drag.order(name)) == sorted(task.id for task in drag.created)


def any_fault(dice: random.Random) -> Fault | None:
    """One of ten requests is lost, without a response, or late."""
    fault = dice.choice([lost_before, lost_after, late_after_reset(after(dice.uniform(0.05, LATEST)))])
    return fault if dice.random() < 0.1 else None


def test_two_clients_that_move_tasks_in_one_list_see_one_order(dynamodb_local_url: str, user: str) -> None:
    drag = Drag(dynamodb_local_url, user, ["home"])
    drag.create(200)
    replicas = drag.run(clients=2)
    assert_that_all_see_one_order(drag, replicas)
    assert faults(drag.events, drag.writes) == []


@pytest.mark.parametrize("seed", range(sized(1, 2, 5)))
def test_acknowledged_moves_hold_with_lost_and_late_requests(dynamodb_local_url: str, user: str, seed: int) -> None:
    drag = Drag(dynamodb_local_url, user, ["home", "work"], partial(any_fault, random.Random(seed)))  # noqa: S311
    drag.create(25)
    replicas = drag.run(clients=6)
    assert_that_all_see_one_order(drag, replicas)
    assert faults(drag.events, drag.writes) == []
    sys.stderr.write(f"{len(drag.moves)} moves, {len(drag.writes)} versions\n")


def test_moves_to_wrong_places_are_detected(
    dynamodb_local_url: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the checker of the tests above can fail."""
    between = positions.between
    monkeypatch.setattr(positions, "between", lambda low, _, randbelow: between(low, None, randbelow))
    drag = Drag(dynamodb_local_url, user, ["home"])
    drag.create(50)
    drag.run(clients=2)
    assert faults(drag.events, drag.writes)
