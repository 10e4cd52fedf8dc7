"""Many writers on few tasks: every history is linearizable, nothing is lost, and nobody sees what is another's."""

import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared import items
from shared.batches import Operation
from shared.dynamodb import Unavailable
from shared.items import Once
from shared.models import NewTask, Task, TaskQuery
from shared.task_store import OperationRefused, TaskStore
from shared.tasks import ANY_VERSION, NotDeleted, Precondition, TaskNotFound, VersionMismatch
from tests.conftest import PROVE, deadline_in, sized, table_at
from tests.property.histories import Event, State, faults
from tests.wire import Send, Wire

OPERATIONS = sized(800, 5_000, 50_000)
WORKERS = sized(8, 8, 16)
USERS, TASKS = 4, 3
SEED = 7 if PROVE in {"", "ci"} else random.SystemRandom().randrange(2**32)
BATCH: TypeAdapter[list[Operation]] = TypeAdapter(list[Operation])


class Worker:
    """Does one operation after the other, at random, and records what came of each."""

    def __init__(self, url: str, users: list[str], tasks: dict[str, list[str]], number: int) -> None:
        self.table = table_at(url, f"worker {number}")
        self.users, self.tasks = users, tasks
        self.choose = random.Random(f"{SEED} {number}")  # noqa: S311 - no secret
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()
        self.foreign: list[str] = []

    def store(self, user: str, *, keyed: bool = False) -> TaskStore:
        once = Once(uuid.uuid4().hex, "x", 3600) if keyed else None
        return TaskStore(self.table, user, deadline_in(30), once=once)

    def record(self, task_id: str, kind: str, began: float, task: Task | None, title: str = "") -> None:
        state = None if task is None else State(task.title, task.completed, hasattr(task, "deleted_at"))
        version = None if task is None else task.version
        self.events.append(Event(task_id, kind, began, time.monotonic(), version, state, title))

    def step(self) -> None:
        user = self.choose.choice(self.users)
        task_id = self.choose.choice(self.tasks[user])
        kind = self.choose.choice(
            ["get", "get", "list", "update", "update", "toggle", "toggle", "delete", "restore", "batch"]
        )
        keyed = self.choose.random() < 0.2
        title = f"{user} {uuid.uuid4()}"
        condition = Precondition(frozenset({self.choose.randint(1, 40)})) if self.choose.random() < 0.1 else ANY_VERSION
        began = time.monotonic()
        try:
            self.act(kind, user, task_id, title, condition, keyed=keyed)
            self.counts[kind] += 1
        except TaskNotFound:
            self.record(task_id, f"{kind}, not found", began, None)
            self.counts["not found"] += 1
        except VersionMismatch as mismatch:
            self.events.append(Event(task_id, f"{kind}, refused", began, time.monotonic(), mismatch.version))
            self.counts["refused"] += 1
        except (NotDeleted, OperationRefused):
            self.counts["refused"] += 1
        except Unavailable:
            self.counts["unavailable"] += 1

    def act(self, kind: str, user: str, task_id: str, title: str, condition: Precondition, *, keyed: bool) -> None:
        store, began = self.store(user, keyed=keyed and kind in {"toggle", "restore"}), time.monotonic()
        match kind:
            case "get":
                self.record(task_id, kind, began, store.get(task_id))
            case "list":
                for task in store.list(TaskQuery()).items:
                    self.record(task.id, kind, began, task)
                    if not task.title.startswith(f"{user} ") or task.user_id != user:
                        self.foreign.append(f"{user} saw {task}")
            case "update":
                self.record(task_id, kind, began, store.update(task_id, {"title": title}, condition), title)
            case "toggle":
                self.record(task_id, kind, began, store.toggle(task_id, condition))
            case "restore":
                self.record(task_id, kind, began, store.restore(task_id, condition))
            case "delete":
                self.delete(store, task_id, began)
            case "batch":
                self.batch(user, title, began)

    def delete(self, store: TaskStore, task_id: str, began: float) -> None:
        """A delete tells no version, so it is made on condition of one that was read before."""
        version = store.get(task_id).version
        store.delete(task_id, Precondition(frozenset({version})))
        # Where the trash held the task already, somebody else's delete made the version after.
        self.events.append(Event(task_id, "delete?", began, time.monotonic(), version + 1))

    def batch(self, user: str, title: str, began: float) -> None:
        first, second = self.choose.sample(self.tasks[user], 2)
        operations = [{"op": "update", "id": first, "patch": {"title": title}}, {"op": "toggle", "id": second}]
        results = self.store(user, keyed=True).batch(BATCH.validate_python(operations)).results
        self.record(first, "update", began, results[0].task, title)
        self.record(second, "toggle", began, results[1].task)


def history(url: str, user: str, operations: int) -> tuple[list[Event], Counter[str], list[str], dict[str, list[str]]]:
    """Let the workers work, and return what they recorded."""
    users = [f"{user}-{number}" for number in range(USERS)]
    table, tasks, begun = table_at(url), {}, []
    for name in users:
        created = []
        for _ in range(TASKS):
            began = time.monotonic()
            task = TaskStore(table, name, deadline_in(10)).create(NewTask(title=f"{name} {uuid.uuid4()}"))
            state = State(task.title, False, False)
            begun.append(Event(task.id, "create", began, time.monotonic(), 1, state))
            created.append(task.id)
        tasks[name] = created
    workers = [Worker(url, users, tasks, number) for number in range(WORKERS)]
    broken: list[BaseException] = []

    def work(worker: Worker) -> None:
        try:
            for _ in range(operations // WORKERS):
                worker.step()
        except BaseException as error:
            broken.append(error)
            raise

    threads = [threading.Thread(target=work, args=[worker]) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    counts = sum((worker.counts for worker in workers), Counter())
    events = [*begun, *(event for worker in workers for event in worker.events)]
    return _settled(events), counts, [one for worker in workers for one in worker.foreign], tasks


def _settled(events: list[Event]) -> list[Event]:
    """Of the deletes that may have made a version, one did where nobody else says so; the rest saw it."""
    made = {(event.task, event.version) for event in events if event.writes}
    settled = []
    for event in events:
        kind = event.kind
        if kind == "delete?":
            kind = "delete" if (event.task, event.version) not in made else "saw a delete"
            made.add((event.task, event.version))
        settled.append(replace(event, kind=kind))
    return settled


def astray(url: str, tasks: dict[str, list[str]]) -> list[str]:
    """The items whose index keys do not say what the items say."""
    table, wrong = table_at(url), []
    for user, ids in tasks.items():
        for task_id in ids:
            key: Any = {"pk": {"S": f"USER#{user}"}, "sk": {"S": f"TASK#{task_id}"}}
            item = table.client.get_item(TableName=table.name, Key=key, ConsistentRead=True)["Item"]
            if item != items.to_item(items.from_item(item), before=item):
                wrong.append(str(item))
    return wrong


def test_every_history_is_linearizable(dynamodb_local_url: str, user: str) -> None:
    sys.stderr.write(f"seed {SEED}\n")
    events, counts, foreign, tasks = history(dynamodb_local_url, user, OPERATIONS)
    assert faults(events) == []
    assert foreign == []
    assert astray(dynamodb_local_url, tasks) == []
    assert sum(counts.values()) == OPERATIONS // WORKERS * WORKERS
    assert min(counts[kind] for kind in ("get", "list", "update", "toggle", "delete", "restore", "batch")) > 0


def test_a_store_that_writes_without_its_condition_is_found_out(dynamodb_local_url: str, user: str) -> None:
    """The negative control: the judge above can condemn."""

    def blindly(send: Send) -> Any:
        free = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
        if "ConditionExpression" not in send.body:
            return send()
        # Slow enough that another worker writes between the read and the write.
        time.sleep(0.005)
        return send.changed({name: value for name, value in send.body.items() if name not in free})()

    with ExitStack() as stack:
        for number in range(WORKERS):
            stack.enter_context(Wire(table_at(dynamodb_local_url, f"worker {number}"), lambda: blindly))
        events, *_ = history(dynamodb_local_url, user, 240)
    assert any("lost" in fault for fault in faults(events))


STATES: dict[str, Callable[[list[Event]], list[Event]]] = {
    "a version twice": lambda events: [*events, replace(events[1], began=9, ended=9)],
    "a gap": lambda events: [events[0], *events[2:]],
    "a stale read": lambda events: [*events, Event("t", "get", 5, 6, 1, State("a", False, False))],
    "a read of the future": lambda events: [*events, Event("t", "get", 5, 6, 9)],
    "another state": lambda events: [*events, Event("t", "get", 5, 6, 3, State("b", False, False))],
    "a read that came late": lambda events: [*events, Event("t", "toggle", 5, 6, 4), Event("t", "get", 7, 8, 3)],
    "a write that came late": lambda events: [
        *events,
        Event("t", "toggle", 5, 6, 5),
        Event("t", "toggle", 7, 8, 4),
    ],
    "not found though there": lambda events: [*events, Event("t", "get, not found", 5, 6, None)],
    "a toggle in the trash": lambda events: [*events, Event("t", "delete", 5, 6, 4), Event("t", "toggle", 7, 8, 5)],
}


@pytest.mark.parametrize("spoil", STATES.values(), ids=STATES)
def test_the_judge_knows_a_bad_history(spoil: Callable[[list[Event]], list[Event]]) -> None:
    good = [
        Event("t", "create", 0, 1, 1, State("a", False, False)),
        Event("t", "update", 1, 2, 2, State("b", False, False), "b"),
        Event("t", "toggle", 3, 4, 3, State("b", True, False)),
        Event("t", "get", 1.5, 3.5, 2, State("b", False, False)),
    ]
    assert faults(good) == []
    assert faults(spoil(good)) != []
