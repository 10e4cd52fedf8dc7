"""Many workers on few tasks, with late requests, kills and wrong clocks: responses are true, and no write is lost."""

import itertools
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.batches import BatchOperation
from shared.models import ImportedTask, NewTask, Task, TaskQuery
from shared.store import items
from shared.store.dynamodb import MAX_FAILURES, Table
from shared.store.items import IdempotencyKey, Item
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION, Precondition
from tests.conftest import PROVE, deadline_in, sized, table_at
from tests.property.histories import Asked, Event, Write, faults
from tests.property.recording import asked_by, fields_of, record, state_of, writes_of
from tests.wire import (
    Carrier,
    Fault,
    Send,
    Wire,
    crash_after,
    crash_before,
    late,
    late_after_crash,
    late_after_reset,
    late_again,
    lost_after_and,
)

OPERATIONS = sized(800, 2_000, 50_000)
WORKERS = sized(8, 8, 16)
USERS, TASKS = 4, 4
LATEST = sized(1, 1, 20)  # the maximum delay of a late request in seconds
SILENCE = 0.2  # the seconds until a client notices that a response is lost
# The shares of requests that are late; whose responses are lost; whose responses are lost, and their tasks are removed
# before the client sends again; at which an outage begins; and at which the worker is killed.
SHARES = {"late": 0.05, "lost": 0.02, "removed": 0.02, "outage": 0.01, "kill": 0.01}
SKEW = 2.0  # s: the difference between the clocks of the workers
# A task of an import is only removed after this time (s), as in production: then every request that was made before
# the import has arrived, and every clock is past its first version.
YOUNGEST = LATEST + SKEW + 5
SEED = 7 if PROVE in {"", "ci"} else random.SystemRandom().randrange(2**32)
AN_HOUR_AGO = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
BATCH: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])

# How often workers choose each operation.
KINDS = {
    "get": 2,
    "list": 2,
    "update": 4,
    "toggle": 4,
    "move": 5,
    "delete": 2,
    "restore": 4,
    "import": 5,
    "remove": 1,
    "batch": 10,
}
# The same for the operations of a batch.
IN_BATCHES = {"create": 3, "update": 3, "toggle": 3, "move": 9, "delete": 2, "restore": 1}

type Remove = Callable[[Item], bool]
# The faults of the requests of a worker, in order.
type Faults = Callable[[random.Random, Counter[str], Remove], Iterator[Fault | None]]


def copied(carrier: Carrier) -> Fault:
    """The request gets its response, and a copy of it arrives later, unless it is an import.

    An import has no version to compare. If it is refused because of an earlier task, and this task is removed before
    the copy arrives, then the copy is applied (docs/reliability.md, "What is not proven").
    """

    def is_import(send: Send) -> bool:
        return any(item.get("first_version") == item["version"] for item in send.items)

    return late_again(lambda send: None if is_import(send) else carrier(send))


def late_lost_and_killed(choose: random.Random, counts: Counter[str], remove: Remove) -> Iterator[Fault | None]:
    """Some requests are late, some responses are lost, sometimes five in a row are late, and workers are killed."""

    def carrier(send: Send) -> None:
        counts["late"] += 1
        send.later(choose.uniform(0.05, LATEST))

    def applied_and_removed(send: Send) -> None:
        send()
        counts["removed before the response"] += sum([remove(item) for item in send.items])

    slow = lost_after_and(lambda: time.sleep(SILENCE))
    while True:
        (kind,) = choose.choices([*SHARES, None], [*SHARES.values(), 1 - sum(SHARES.values())])
        match kind:
            case "late":
                yield choose.choice([late, late_after_reset, copied])(carrier)
            case "lost":
                yield slow
            case "removed":
                yield late(applied_and_removed)
            case "outage":
                yield from [late(carrier)] * MAX_FAILURES
            case "kill":
                yield choose.choice([crash_before, crash_after, late_after_crash(carrier)])
            case _:
                yield None


class Removals:
    """Removes tasks from the table, as TTL and erasures do, and records it."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.writes: list[Write] = []

    def remove(self, key: Item) -> bool:
        """Remove the task with the key of this item. Return whether it existed and was old enough."""
        began = time.monotonic()
        try:
            response = self.table.client.delete_item(
                TableName=self.table.name,
                Key={"pk": key["pk"], "sk": key["sk"]},
                ConditionExpression="attribute_exists(#sk) AND (attribute_not_exists(#first) OR #first < :first)",
                ExpressionAttributeNames={"#sk": "sk", "#first": "first_version"},
                ExpressionAttributeValues={":first": items.number(int((time.time() - YOUNGEST) * 1000))},
                ReturnValues="ALL_OLD",
            )
        except self.table.client.exceptions.ConditionalCheckFailedException:
            return False
        item = response["Attributes"]
        version, ended = items.version_of(item), time.monotonic()
        self.writes.append(Write(uuid.uuid4(), items.task_id_of(item), began, ended, version, None))
        return True


class Worker:
    """Runs random operations, and records the outcome of each.

    All workers share `tasks`, the ids by user, and `trash`, the ids of tasks that are probably there. `also` counts
    what is not an operation.
    """

    def __init__(self, url: str, tasks: Mapping[str, list[str]], trash: set[str], number: int, remove: Remove) -> None:
        self.table = table_at(url, f"worker {number}")
        self.tasks, self.trash, self.number, self.remove = tasks, trash, number, remove
        self.ahead = int(SKEW * 1e9 * (number / (WORKERS - 1) - 0.5))
        self.choose = random.Random(f"{SEED} {number}")  # noqa: S311 - no secret
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()
        self.also: Counter[str] = Counter()
        self.foreign: list[str] = []

    def now(self) -> int:
        return time.time_ns() + self.ahead

    def store(self, user: str, *, keyed: bool) -> TaskStore:
        once = IdempotencyKey(uuid.uuid4().hex, "x", 3600) if keyed else None
        return TaskStore(self.table, user, deadline_in(30), self.now, once)

    def one_of(self, weights: Mapping[str, int]) -> str:
        return self.choose.choices([*weights], [*weights.values()])[0]

    def step(self, place: int) -> None:
        # The tasks of one user are busy, so that others write while a client waits for a response.
        user = self.choose.choice([*self.tasks, *[next(iter(self.tasks))] * USERS])
        # Among them are the last two that were created.
        task_ids = [*self.tasks[user][:TASKS], *self.tasks[user][TASKS:][-2:]]
        self.choose.shuffle(task_ids)
        kind = self.one_of(KINDS)
        if kind == "remove":
            is_removed = self.remove(items.key_of(items.partition_of(user), task_ids[0]))
            self.counts["remove" if is_removed else "kept"] += 1
            return
        asked, call = self.ask(kind, user, task_ids)
        outcome, events, found = record(f"{self.number}.{place}", asked, call)
        self.events += events
        self.counts[kind if outcome == "done" else outcome] += 1
        if kind == "batch" and outcome == "done":
            self.also.update(f"{one.kind} in a batch" for one in asked)
        if outcome in {"done", "unknown", "killed"}:
            self.tasks[user].extend(one.task for one in asked if one.kind == "create")
            self.trash.update(one.task for one in asked if one.kind == "delete")
        self.trash.difference_update(task.id for task in found)
        for task in found:
            if not (task.title.startswith(f"{user} ") and task.user_id == user):
                self.foreign.append(f"{user} saw {task}")

    def ask(self, kind: str, user: str, task_ids: Sequence[str]) -> tuple[list[Asked], Callable[[], Sequence[Task]]]:
        """Choose an operation: what it asks for, and how to call it."""
        keyed = kind == "batch" or (kind in {"toggle", "restore", "move"} and self.choose.random() < 0.2)
        condition = Precondition(frozenset({self.choose.randint(1, 40)})) if self.choose.random() < 0.1 else ANY_VERSION
        store, task_id = self.store(user, keyed=keyed), task_ids[0]
        if kind == "list":
            return [], lambda: store.list(TaskQuery()).items
        if kind == "get":
            return [Asked(task_id, "get")], lambda: [store.get(task_id)]
        if kind == "import":
            # Few different ones, so that some are the same as the task that is there.
            name, completed, deleted_at = self.choose.choice(
                [("home", False, None), ("work", True, None), ("home", False, AN_HOUR_AGO)]
            )
            new = NewTask(title=f"{user} import", list=f"{user}-{name}", completed=completed)
            fields = fields_of(new, deleted=deleted_at is not None)
            imported = ImportedTask(new, None, deleted_at)
            return [Asked(task_id, "import", fields)], lambda: [store.import_task(task_id, imported)]
        kinds = [kind]
        if kind == "batch":
            # Most of the other operations on a task in the trash would only refuse the batch.
            kinds = [
                "restore" if task_id in self.trash and self.choose.random() < 0.8 else self.one_of(IN_BATCHES)
                for task_id in task_ids[: self.choose.randint(2, 5)]
            ]
        operations = self.operations(kinds, user, task_ids)
        asked = [asked_by(one) for one in operations]
        if kind == "batch":
            return asked, lambda: [one.task for one in store.batch(operations).results if one.task is not None]
        return asked, lambda: call(store, operations[0], condition)

    def operations(self, kinds: Sequence[str], user: str, task_ids: Sequence[str]) -> list[BatchOperation]:
        """Choose operations of some kinds on different tasks. Often, their moves depend on each other."""
        title, lists = f"{user} {uuid.uuid4()}", [f"{user}-home", f"{user}-work"]
        name = self.choose.choice(lists)
        place: dict[str, Any] = {} if self.choose.random() < 0.3 else {"list": name}
        anchors: list[str | None] = [*task_ids, None, None]
        chosen: list[dict[str, Any]] = []
        for kind, old_id in zip(kinds, task_ids, strict=False):
            task_id = str(uuid7(self.now())) if kind == "create" else old_id
            fields: dict[str, Any] = {}
            if kind == "create":
                fields = {"task": {"title": title, "list": name}}
            elif kind == "update":
                fields = {"patch": {"title": title}}
            elif kind == "move":
                fields = self.place(place, task_id, anchors)
                place = fields
            chosen.append({"op": kind, "id": task_id, **fields})
            anchors += [task_id] * 3
        return BATCH.validate_python(chosen)

    def place(self, last: Mapping[str, Any], task_id: str, anchors: Sequence[str | None]) -> dict[str, Any]:
        """Choose where to move a task: often to the place of the last move."""
        if len(last) == len({"after", "list"}) and task_id not in last.values() and self.choose.random() < 0.4:
            return dict(last)
        anchor = self.choose.choice([one for one in anchors if one != task_id])
        kept = {"list": last["list"]} if "list" in last else {}
        return {self.choose.choice(["after", "before"]): anchor, **kept}


def call(store: TaskStore, operation: BatchOperation, condition: Precondition) -> list[Task]:
    """Run an operation that could be in a batch alone."""
    task_id = str(operation.id)
    match operation.op:
        case "update":
            return [store.update(task_id, operation.patch.changes(), condition)]
        case "toggle":
            return [store.toggle(task_id, condition)]
        case "move":
            return [store.move(task_id, operation, condition)]
        case "restore":
            return [store.restore(task_id, condition)]
        case "delete":
            store.delete(task_id, condition)
            return []
        case _:
            raise AssertionError(operation)


@dataclass
class History:
    """The responses of the clients, the applied writes, the number of each outcome, and other errors."""

    events: list[Event]
    writes: list[Write]
    counts: Counter[str]
    also: Counter[str]
    foreign: list[str]
    astray: list[str]


def history(url: str, user: str, operations: int, happens: Faults) -> History:
    """Run the workers, wait until all late requests have arrived, and read each task at the end."""
    events: list[Event] = []
    tasks: dict[str, list[str]] = {}
    trash: set[str] = set()
    broken: list[BaseException] = []

    def work(worker: Worker) -> None:
        try:
            for place in range(operations // WORKERS):
                worker.step(place)
        except BaseException as error:
            broken.append(error)
            raise

    table = table_at(url, "setting up")
    removals = Removals(table)
    with Wire(table) as first:
        for name, place in itertools.product([f"{user}-{number}" for number in range(USERS)], range(TASKS)):
            created = create(table, name, ["home", "work"][place % 2])
            tasks.setdefault(name, []).append(created.task)
            events.append(created)
    workers = [Worker(url, tasks, trash, number, removals.remove) for number in range(WORKERS)]

    def chooser(worker: Worker) -> Callable[[], Fault | None]:
        dice = random.Random(f"{SEED} {worker.number} wire")  # noqa: S311 - no secret
        happening = happens(dice, worker.also, removals.remove)
        return lambda: next(happening)

    with ExitStack() as stack:
        wires = [first, *(stack.enter_context(Wire(worker.table, chooser(worker))) for worker in workers)]
        threads = [threading.Thread(target=work, args=[worker]) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not broken
    events += [event for worker in workers for event in worker.events]
    astray = []
    for name, task_id in [(name, task_id) for name, ids in tasks.items() for task_id in ids]:
        event, item = read(table, items.key_of(items.partition_of(name), task_id))
        events.append(event)
        if item is not None and item != items.to_item(items.from_item(item), before=item):
            astray.append(f"index keys do not say what the item says: {item}")
    return History(
        events,
        [*removals.writes, *(write for wire in wires for applied in wire.writes for write in writes_of(applied))],
        sum((worker.counts for worker in workers), Counter()),
        sum((worker.also for worker in workers), Counter()),
        [one for worker in workers for one in worker.foreign],
        astray,
    )


def create(table: Table, user: str, name: str) -> Event:
    """Create a task in a list of a user."""
    new, task_id = NewTask(title=f"{user} {uuid.uuid4()}", list=f"{user}-{name}"), str(uuid7(time.time_ns()))
    store = TaskStore(table, user, deadline_in(10))
    asked = [Asked(task_id, "create", fields_of(new))]
    return record(f"create {task_id}", asked, lambda: [store.create(new, task_id)]).events[0]


def read(table: Table, key: Mapping[str, Any]) -> tuple[Event, Item | None]:
    """Read a task and its item, without the store."""
    began = time.monotonic()
    item = table.client.get_item(TableName=table.name, Key=key, ConsistentRead=True).get("Item")
    ended, asked = time.monotonic(), Asked(key["sk"]["S"].removeprefix("TASK#"), "get")
    if item is None:
        return Event("end", asked, "absent", began, ended), None
    task = items.from_item(item)
    return Event("end", asked, "done", began, ended, task.version, state_of(task)), item


def test_every_response_is_true_and_every_history_is_linearizable(dynamodb_local_url: str, user: str) -> None:
    sys.stderr.write(f"seed {SEED}\n")
    began = time.monotonic()
    seen = history(dynamodb_local_url, user, OPERATIONS, late_lost_and_killed)
    seconds = time.monotonic() - began
    writes = sum(one.state is not None for one in seen.writes)
    sys.stderr.write(f"{writes} writes in {seconds:.0f} s: {dict(seen.counts)}, {dict(seen.also)}\n")
    assert faults(seen.events, seen.writes) == []
    assert seen.foreign == []
    assert seen.astray == []
    assert seen.counts.total() == OPERATIONS // WORKERS * WORKERS
    # Whether an outcome stays unknown depends on the speed of the others.
    wanted = [*KINDS, "refused", "absent", "not deleted", "anchor elsewhere", "killed"]
    assert [kind for kind in wanted if not seen.counts[kind]] == []
    also = ["late", "removed before the response", *(f"{kind} in a batch" for kind in IN_BATCHES)]
    assert [kind for kind in also if not seen.also[kind]] == []


def without_condition(send: Send) -> Send:
    free = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
    return send.changed({name: value for name, value in send.body.items() if name not in free})


def blindly(send: Send) -> Any:
    if "ConditionExpression" not in send.body:
        return send()
    # Slow enough for another worker to write between the read and the write.
    time.sleep(0.005)
    return without_condition(send)()


def late_blindly(choose: random.Random, *_: object) -> Iterator[Fault | None]:
    fault = late(lambda send: without_condition(send).later(0.05))
    while True:
        yield fault if choose.random() < SHARES["late"] else None


CONTROLS: dict[str, Faults] = {"all writes": lambda *_: itertools.repeat(blindly), "late writes": late_blindly}


@pytest.mark.parametrize("happens", CONTROLS.values(), ids=CONTROLS)
def test_a_store_that_writes_without_conditions_is_detected(
    dynamodb_local_url: str, user: str, happens: Faults
) -> None:
    """The negative control: the checker above can fail."""
    seen = history(dynamodb_local_url, user, 240, happens)
    assert any("lost" in fault for fault in faults(seen.events, seen.writes))
