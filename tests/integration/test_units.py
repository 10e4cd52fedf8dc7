"""Measures the DynamoDB units of each operation against the table in docs/data-model.md."""

import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bench.engines import ROUNDS, growth
from shared import tasks
from shared.batches import CreateOperation
from shared.models import ChangesQuery, Move, NewTask, TaskQuery
from shared.store import items, queries
from shared.store.dynamodb import Table
from shared.store.items import IdempotencyKey
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION
from tests.conftest import ROOT, SCALE, deadline_in, table_at

# Titles and descriptions of realistic length: an item of 700 bytes.
NEW = NewTask(title="Buy milk", description="Two bottles, and whatever else the kitchen lacks.")
IN_A_LIST = NEW.model_copy(update={"list": "home"})
LONG = NewTask(title="t" * 255, description="d" * 1000)
ROW = re.compile(r"^\| (?P<operation>[^|]+) \| (?P<write>[\d.-]+) \| (?P<read>[\d.-]+) \|$", re.MULTILINE)


def documented() -> dict[str, tuple[float, float]]:
    """The table of the documentation: write and read units, by operation."""
    section = (ROOT / "docs" / "data-model.md").read_text().partition("## What each operation consumes")[2]
    rows = ROW.findall(section.partition("\n## ")[0])
    return {name.strip(): (float(write.replace("-", "0")), float(read.replace("-", "0"))) for name, write, read in rows}


def size(value: Any) -> int:
    """The bytes that DynamoDB counts for a value."""
    ((kind, inner),) = value.items()
    if kind == "N":
        return len(inner) // 2 + 1
    if kind == "L":
        return 3 + sum(1 + size(one) for one in inner)
    if kind == "M":
        return 3 + sum(1 + len(name) + size(one) for name, one in inner.items())
    return len(inner.encode())


def units_of_a_write(old: Any, new: Any) -> int:
    """The units of a write that replaces an item: one per KB, for the table and for each index.

    An index whose key changes is written twice: the old entry is deleted, and a new one comes.
    """
    before, after = (-(-sum(len(name) + size(value) for name, value in item.items()) // 1024) for item in (old, new))
    units = max(before, after)
    for index in ("by_creation", "by_status", "by_list", "by_change"):
        moved = index in old and index in new and old[index] != new[index]
        units += before + after if moved else max(before * (index in old), after * (index in new))
    return units


@contextmanager
def metered(table: Table, reader: Table) -> Iterator[Counter[str]]:
    """Counts the units that requests consume in this block, as DynamoDB Local reports them.

    For writing transactions it reports too much: that is computed by AWS's rule, twice what each part would take
    alone.
    """
    units: Counter[str] = Counter()
    events: Any = table.client.meta.events

    def ask(params: dict[str, Any], model: Any, **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        for part in params["TransactItems"] if model.name == "TransactWriteItems" else ():
            new = part["Put"]["Item"]
            key = {name: new[name] for name in ("pk", "sk")}
            old = reader.client.get_item(TableName=table.name, Key=key, ConsistentRead=True).get("Item", {})
            units["write"] += 2 * units_of_a_write(old, new)

    def count(parsed: dict[str, Any], model: Any, **_: object) -> None:
        if model.name == "TransactWriteItems":
            return
        # A refused write reports no units: AWS takes a unit for each KB of the item that it read.
        consumed = parsed.get("ConsumedCapacity", {"CapacityUnits": 1})
        kind = "read" if model.name in {"GetItem", "BatchGetItem", "Query", "TransactGetItems"} else "write"
        for report in consumed if isinstance(consumed, list) else [consumed]:
            units[kind] += report["CapacityUnits"]

    events.register("before-parameter-build.dynamodb", ask)
    events.register("after-call.dynamodb", count)
    try:
        yield units
    finally:
        events.unregister("before-parameter-build.dynamodb", ask)
        events.unregister("after-call.dynamodb", count)


def once() -> IdempotencyKey:
    return IdempotencyKey(uuid.uuid4().hex * 2, "f" * 64, 3600)


@pytest.fixture(scope="module")
def measured(dynamodb_local_url: str) -> dict[str, tuple[float, float]]:
    """Write and read units of every operation, on DynamoDB Local."""
    table, reader = table_at(dynamodb_local_url, "units"), table_at(dynamodb_local_url)
    user = f"user-{uuid.uuid4()}"
    found: dict[str, tuple[float, float]] = {}

    def meter[Result](
        name: str, do: Callable[[TaskStore], Result], key: IdempotencyKey | None = None, whose: str = user
    ) -> Result:
        with metered(table, reader) as units:
            result = do(TaskStore(table, whose, deadline_in(10), key=key))
        found[name] = (units["write"], units["read"])
        return result

    meter("create, the first one in 30 s", lambda store: store.create(NEW))
    task = meter("create", lambda store: store.create(NEW))
    meter("get", lambda store: store.get(task.id))
    meter("toggle", lambda store: store.toggle(task.id, ANY_VERSION))
    meter("update the text", lambda store: store.update(task.id, {"title": "Buy more milk"}, ANY_VERSION))
    meter("update the status", lambda store: store.update(task.id, {"completed": False}, ANY_VERSION))
    store = TaskStore(table, user, deadline_in(10))
    store.toggle(task.id, ANY_VERSION)
    both: dict[str, str | bool | None] = {"title": "Buy even more", "completed": False}
    meter("update text and status", lambda store: store.update(task.id, both, ANY_VERSION))
    meter("update that changes nothing", lambda store: store.update(task.id, {"title": "Buy even more"}, ANY_VERSION))
    meter("delete", lambda store: store.delete(task.id, ANY_VERSION))
    meter("restore", lambda store: store.restore(task.id, ANY_VERSION))
    meter("create with a key", lambda store: store.create(NEW), once())
    meter("toggle with a key", lambda store: store.toggle(task.id, ANY_VERSION), once())
    store.delete(task.id, ANY_VERSION)
    meter("restore with a key", lambda store: store.restore(task.id, ANY_VERSION), once())
    create = CreateOperation(op="create", task=NEW)
    meter("batch that creates 2 tasks", lambda store: store.batch([create] * 2), once())
    ids = [meter("create in a list", lambda store: store.create(IN_A_LIST)).id for _ in range(5)]
    meter("toggle in a list", lambda store: store.toggle(ids[0], ANY_VERSION))
    meter("update the text in a list", lambda store: store.update(ids[0], {"title": "Buy more milk"}, ANY_VERSION))
    meter("delete in a list", lambda store: store.delete(ids[0], ANY_VERSION))
    meter("restore in a list", lambda store: store.restore(ids[0], ANY_VERSION))
    meter("update of the list", lambda store: store.update(ids[0], {"list": "work"}, ANY_VERSION))
    meter("update that takes a task out of its list", lambda store: store.update(ids[0], {"list": None}, ANY_VERSION))
    meter("update that puts a task into a list", lambda store: store.update(ids[0], {"list": "home"}, ANY_VERSION))
    meter("move behind or in front of a task", lambda store: store.move(ids[1], Move(after=ids[3]), ANY_VERSION))
    meter("move to an end", lambda store: store.move(ids[2], Move(before=None), ANY_VERSION))
    meter("move that changes nothing", lambda store: store.move(ids[1], Move(after=ids[3]), ANY_VERSION))
    meter("move with a key", lambda store: store.move(ids[4], Move(after=ids[3]), ANY_VERSION), once())
    for new, words in ((NEW, "short"), (LONG, "the longest")):
        whose = f"user-{uuid.uuid4()}"
        for _ in range(50):
            TaskStore(table, whose, deadline_in(10)).create(new)
        page = f"of 50 tasks with {words} texts"
        meter(f"list {page}", lambda store: store.list(TaskQuery()), whose=whose)
        meter(f"list by status {page}", lambda store: store.list(TaskQuery(status="open")), whose=whose)
        changes = meter(f"changes {page}", lambda store: store.changes(ChangesQuery(limit=50)), whose=whose)
        assert changes.items
    whose = f"user-{uuid.uuid4()}"
    for _ in range(50):
        TaskStore(table, whose, deadline_in(10)).create(IN_A_LIST)
    meter(
        "list by position of 50 tasks with short texts", lambda store: store.list(TaskQuery(list="home")), whose=whose
    )
    return found


def test_every_operation_consumes_the_documented_units(measured: dict[str, tuple[float, float]]) -> None:
    assert measured == documented()


@pytest.mark.parametrize(
    ("new", "changed", "index", "units"),
    [("create", None, None, 4), ("text", "title", None, 5), ("toggle", "title", "by_status", 6)],
)
def test_the_rule_for_transactions_matches_the_units_of_plain_writes(
    new: str, changed: str | None, index: str | None, units: int, measured: dict[str, tuple[float, float]]
) -> None:
    now = time.time_ns()
    after = items.to_item(tasks.create(None, str(uuid7(now)), "alice", NEW, now // 1_000_000), "token")
    before: dict[str, Any] = (
        {} if changed is None else {**after, changed: items.text("other"), "by_change": items.text("1")}
    )
    if index:
        before[index] = items.text("other")
    assert units_of_a_write(before, after) == units
    plain = {"create": "create", "text": "update the text", "toggle": "toggle"}[new]
    assert measured[plain] == (units, 0 if new == "create" else 1)


def test_a_page_costs_the_same_with_more_tasks(dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_at(dynamodb_local_url).name
    monkeypatch.setattr(queries, "FILTERED", 100)  # as many as the smallest user has

    def pages(tasks: int, tombstones: int) -> dict[str, float]:
        found = {}
        for label, units, requests, _ in growth(dynamodb_local_url, table, [(tasks, tombstones)]):
            assert requests == ROUNDS
            found[label.rpartition(" ")[2]] = units
        return found

    short, long = pages(100, 0), pages(600 * SCALE, 0)
    buried = pages(100, 300 * SCALE)
    assert short == long
    assert {**buried, "sync": short["sync"]} == short
    # A tombstone is a little larger than a task.
    assert buried["sync"] <= short["sync"] * 1.3
