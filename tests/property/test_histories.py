"""Many workers on few tasks, with late requests, kills and wrong clocks: responses are true, and no write is lost."""

import itertools
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.batches import BatchOperation
from shared.models import NewTask, Task, TaskQuery
from shared.store import items
from shared.store.dynamodb import MAX_FAILURES, OutcomeUnknown, Unavailable
from shared.store.items import IdempotencyKey
from shared.store.task_store import OperationRefused, TaskStore
from shared.tasks import ANY_VERSION, NotDeleted, Precondition, TaskNotFound, VersionMismatch
from tests.conftest import PROVE, deadline_in, sized, table_at
from tests.property.histories import Event, Outcome, State, Write, faults
from tests.wire import (
    OPERATION,
    Applied,
    Crash,
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
USERS, TASKS = 4, 3
LATE, LATEST = 0.05, sized(1, 1, 20)  # the share of requests that are late, and the maximum delay in seconds
LOST, SILENCE = 0.02, 0.2  # the share of responses that are lost, and the seconds until the client notices
OUTAGES, KILLS = 0.01, 0.01  # the share of requests at which an outage begins, and at which the worker is killed
SKEW = 2.0  # s: the difference between the clocks of the workers
SEED = 7 if PROVE in {"", "ci"} else random.SystemRandom().randrange(2**32)
BATCH: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])

# The faults of the requests of a worker, in order.
type Faults = Callable[[random.Random, Counter[str]], Iterator[Fault | None]]


def late_lost_and_killed(choose: random.Random, counts: Counter[str]) -> Iterator[Fault | None]:
    """Some requests are late, some responses are lost, sometimes five in a row are late, and workers are killed."""

    def carrier(send: Send) -> None:
        counts["late"] += 1
        send.later(choose.uniform(0.05, LATEST))

    slow = lost_after_and(lambda: time.sleep(SILENCE))
    while True:
        number = choose.random()
        if number < LATE:
            yield choose.choice([late, late_after_reset, late_again])(carrier)
        elif number < LATE + LOST:
            yield slow
        elif number < LATE + LOST + OUTAGES:
            yield from [late(carrier)] * MAX_FAILURES
        elif number < LATE + LOST + OUTAGES + KILLS:
            yield choose.choice([crash_before, crash_after, late_after_crash(carrier)])
        else:
            yield None


class Worker:
    """Runs random operations, and records the outcome of each."""

    def __init__(self, url: str, tasks: dict[str, list[str]], number: int) -> None:
        self.table = table_at(url, f"worker {number}")
        self.tasks, self.number = tasks, number
        self.ahead = int(SKEW * 1e9 * (number / (WORKERS - 1) - 0.5))
        self.choose = random.Random(f"{SEED} {number}")  # noqa: S311 - no secret
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()
        self.foreign: list[str] = []

    def store(self, user: str, *, keyed: bool) -> TaskStore:
        once = IdempotencyKey(uuid.uuid4().hex, "x", 3600) if keyed else None
        return TaskStore(self.table, user, deadline_in(30), lambda: time.time_ns() + self.ahead, once)

    def step(self, place: int) -> None:
        # The tasks of one user are busy, so that others write while a client waits for a response.
        user = self.choose.choice([*self.tasks, *[next(iter(self.tasks))] * USERS])
        kinds = ["get", "list", "update", "update", "toggle", "toggle", "delete", "restore", "restore", "batch"]
        kind = self.choose.choice(kinds)
        first, second = self.choose.sample(self.tasks[user], 2)
        asked = {"list": {}, "batch": {first: "update", second: "toggle"}}.get(kind, {first: kind})
        operation, title = f"{self.number}.{place}", f"{user} {uuid.uuid4()}"
        OPERATION.set(operation)
        began, version, seen = time.monotonic(), None, dict[str, Task]()
        outcome: Outcome = "done"
        try:
            seen = {task.id: task for task in self.act(kind, user, list(asked), title)}
        except TaskNotFound:
            outcome = "absent"
        except VersionMismatch as mismatch:
            outcome, version = "refused", mismatch.version
        except (NotDeleted, OperationRefused):
            outcome = "refused"
        except OutcomeUnknown:
            outcome = "unknown"
        except Unavailable:
            outcome = "unavailable"
        except Crash:
            outcome = "killed"
        ended = time.monotonic()
        self.counts[kind if outcome == "done" else outcome] += 1
        for task_id in asked.keys() | seen.keys():
            task = seen.get(task_id)
            number, state = (version, None) if task is None else (task.version, state_of(task))
            of_task = asked.get(task_id, kind)
            self.events.append(Event(operation, task_id, of_task, outcome, began, ended, number, state, title))
            if task is not None and not (task.title.startswith(f"{user} ") and task.user_id == user):
                self.foreign.append(f"{user} saw {task}")

    def act(self, kind: str, user: str, task_ids: list[str], title: str) -> list[Task]:
        """Run an operation, and return the tasks in its response."""
        keyed = kind == "batch" or (kind in {"toggle", "restore"} and self.choose.random() < 0.2)
        condition = Precondition(frozenset({self.choose.randint(1, 40)})) if self.choose.random() < 0.1 else ANY_VERSION
        store = self.store(user, keyed=keyed)
        if kind == "list":
            return store.list(TaskQuery()).items
        if kind == "batch":
            first, second = task_ids
            operations = [{"op": "update", "id": first, "patch": {"title": title}}, {"op": "toggle", "id": second}]
            results = store.batch(BATCH.validate_python(operations)).results
            return [result.task for result in results if result.task is not None]
        (task_id,) = task_ids
        if kind == "delete":
            store.delete(task_id, condition)
            return []
        ask: dict[str, Callable[[], Task]] = {
            "get": lambda: store.get(task_id),
            "update": lambda: store.update(task_id, {"title": title}, condition),
            "toggle": lambda: store.toggle(task_id, condition),
            "restore": lambda: store.restore(task_id, condition),
        }
        return [ask[kind]()]


def state_of(task: Task) -> State:
    return State(task.title, task.completed, hasattr(task, "deleted_at"))


def writes_of(applied: Applied) -> list[Write]:
    """The versions that a write made."""
    tasks = [items.from_item(item) for item in applied.items]
    return [
        Write(applied.operation, task.id, applied.began, applied.ended, task.version, state_of(task)) for task in tasks
    ]


@dataclass
class History:
    """The responses of the clients, the applied writes, the number of each outcome, and other errors."""

    events: list[Event]
    writes: list[Write]
    counts: Counter[str]
    foreign: list[str]
    astray: list[str]


def history(url: str, user: str, operations: int, happens: Faults) -> History:
    """Run the workers, wait until all late requests have arrived, and read each task at the end."""
    events: list[Event] = []
    tasks: dict[str, list[str]] = {}
    broken: list[BaseException] = []

    def work(worker: Worker) -> None:
        try:
            for place in range(operations // WORKERS):
                worker.step(place)
        except BaseException as error:
            broken.append(error)
            raise

    table = table_at(url, "setting up")
    with Wire(table) as first:
        for name, _ in itertools.product([f"{user}-{number}" for number in range(USERS)], range(TASKS)):
            operation, began = f"create {len(events)}", time.monotonic()
            OPERATION.set(operation)
            task = TaskStore(table, name, deadline_in(10)).create(NewTask(title=f"{name} {uuid.uuid4()}"))
            tasks.setdefault(name, []).append(task.id)
            events.append(Event(operation, task.id, "create", "done", began, time.monotonic(), 1, state_of(task)))
    workers = [Worker(url, tasks, number) for number in range(WORKERS)]

    def chooser(worker: Worker) -> Callable[[], Fault | None]:
        dice = random.Random(f"{SEED} {worker.number} wire")  # noqa: S311 - no secret
        happening = happens(dice, worker.counts)
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
        began, key = time.monotonic(), items.key_of(items.partition_of(name), task_id)
        item = table.client.get_item(TableName=table.name, Key=key, ConsistentRead=True)["Item"]
        task = items.from_item(item)
        events.append(Event("end", task_id, "get", "done", began, time.monotonic(), task.version, state_of(task)))
        if item != items.to_item(task, before=item):
            astray.append(f"index keys do not say what the item says: {item}")
    return History(
        events,
        [write for wire in wires for applied in wire.writes for write in writes_of(applied)],
        sum((worker.counts for worker in workers), Counter()),
        [one for worker in workers for one in worker.foreign],
        astray,
    )


def test_every_response_is_true_and_every_history_is_linearizable(dynamodb_local_url: str, user: str) -> None:
    sys.stderr.write(f"seed {SEED}\n")
    began = time.monotonic()
    seen = history(dynamodb_local_url, user, OPERATIONS, late_lost_and_killed)
    sys.stderr.write(f"{len(seen.writes)} writes in {time.monotonic() - began:.0f} s: {dict(seen.counts)}\n")
    assert faults(seen.events, seen.writes) == []
    assert seen.foreign == []
    assert seen.astray == []
    assert seen.counts.total() - seen.counts["late"] == OPERATIONS // WORKERS * WORKERS
    # Whether an outcome stays unknown depends on the speed of the others.
    wanted = ["get", "list", "update", "toggle", "delete", "restore", "batch", "refused", "absent", "killed", "late"]
    assert min(seen.counts[kind] for kind in wanted) > 0


def without_condition(send: Send) -> Send:
    free = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
    return send.changed({name: value for name, value in send.body.items() if name not in free})


def blindly(send: Send) -> Any:
    if "ConditionExpression" not in send.body:
        return send()
    # Slow enough for another worker to write between the read and the write.
    time.sleep(0.005)
    return without_condition(send)()


def late_blindly(choose: random.Random, _: Counter[str]) -> Iterator[Fault | None]:
    fault = late(lambda send: without_condition(send).later(0.05))
    while True:
        yield fault if choose.random() < LATE else None


CONTROLS: dict[str, Faults] = {"all writes": lambda *_: itertools.repeat(blindly), "late writes": late_blindly}


@pytest.mark.parametrize("happens", CONTROLS.values(), ids=CONTROLS)
def test_a_store_that_writes_without_conditions_is_detected(
    dynamodb_local_url: str, user: str, happens: Faults
) -> None:
    """The negative control: the checker above can fail."""
    seen = history(dynamodb_local_url, user, 240, happens)
    assert any("lost" in fault for fault in faults(seen.events, seen.writes))


type Observed = tuple[list[Event], list[Write]]

BEGUN = State("a", False, False)
UPDATED = State("b", False, False)
TOGGLED = State("b", True, False)
TRASHED = State("b", True, True)


def good() -> Observed:
    events = [
        Event("1", "t", "create", "done", 0, 1, 1, BEGUN),
        Event("2", "t", "update", "done", 1, 2, 2, UPDATED, "b"),
        Event("3", "t", "toggle", "unknown", 3, 4),
        Event("4", "t", "get", "done", 1.5, 3.5, 2, UPDATED),
        Event("5", "t", "delete", "refused", 2, 3, 2),
        Event("6", "t", "get", "done", 7, 8, 3, TOGGLED),
    ]
    writes = [
        Write("1", "t", 0.1, 0.9, 1, BEGUN),
        Write("2", "t", 1.1, 1.9, 2, UPDATED),
        Write("3", "t", 6, 6.5, 3, TOGGLED),  # after its operation had ended
    ]
    return events, writes


def and_event(*event: Any) -> Callable[[Observed], Observed]:
    return lambda history: ([*history[0], Event(*event)], history[1])


def and_write(*write: Any) -> Callable[[Observed], Observed]:
    return lambda history: (history[0], [*history[1], Write(*write)])


def with_response(place: int, **response: Any) -> Callable[[Observed], Observed]:
    return lambda history: (
        [*history[0][:place], replace(history[0][place], **response), *history[0][place + 1 :]],
        history[1],
    )


BAD_HISTORIES: dict[str, Callable[[Observed], Observed]] = {
    "a version twice": and_write("7", "t", 7, 8, 3, TOGGLED),
    "a gap": lambda history: (history[0], [history[1][0], history[1][2]]),
    "an acknowledged write that is lost": and_event("7", "t", "update", "done", 9, 10, 4, TOGGLED, "c"),
    "an acknowledged write of another version": with_response(1, version=1),
    "an operation applied twice": and_write("3", "t", 9, 10, 4, UPDATED),
    "applied after it was refused": with_response(2, outcome="refused"),
    "applied after it was not found": with_response(2, outcome="absent"),
    "applied after unavailable": with_response(2, outcome="unavailable"),
    "applied without an operation": and_write("7", "t", 9, 10, 4, UPDATED),
    "a write by a read": and_write("6", "t", 9, 10, 4, UPDATED),
    "a toggle without effect": lambda history: (history[0], [*history[1][:2], replace(history[1][2], state=UPDATED)]),
    "a stale read": and_event("7", "t", "get", "done", 5, 6, 1, BEGUN),
    "a read of the future": and_event("7", "t", "get", "done", 9, 10, 9),
    "a read before the write": and_event("7", "t", "get", "done", 4, 5, 3, TOGGLED),
    "a read older than an earlier read": and_event("7", "t", "get", "done", 9, 10, 2, UPDATED),
    "another state": and_event("7", "t", "get", "done", 9, 10, 3, UPDATED),
    "not found but present": and_event("7", "t", "get", "absent", 9, 10),
    "a delete without effect": and_event("7", "t", "delete", "done", 9, 10),
    "an update in the trash": lambda history: (
        [
            *history[0],
            Event("7", "t", "delete", "done", 9, 10),
            Event("8", "t", "update", "done", 11, 12, 5, TRASHED, "b"),
        ],
        [*history[1], Write("7", "t", 9, 10, 4, TRASHED), Write("8", "t", 11, 12, 5, TRASHED)],
    ),
}


@pytest.mark.parametrize("damage", BAD_HISTORIES.values(), ids=BAD_HISTORIES)
def test_the_checker_detects_bad_histories(damage: Callable[[Observed], Observed]) -> None:
    assert faults(*good()) == []
    assert len(faults(*damage(good()))) > 0
