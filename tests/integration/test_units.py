"""What each operation consumes of DynamoDB's units: the table in docs/data-model.md, measured."""

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.batches import CreateOperation
from shared.dynamodb import Table
from shared.items import Once
from shared.models import ChangesQuery, NewTask, TaskQuery
from shared.preconditions import ANY_VERSION
from shared.task_store import TaskStore
from tests.conftest import ROOT, deadline_in, table_at

# Titles and descriptions as people write them: an item of 700 bytes.
NEW = NewTask(title="Buy milk", description="Two bottles, and whatever else the kitchen lacks.")
LONG = NewTask(title="t" * 255, description="d" * 1000)
ROW = re.compile(r"^\| (?P<operation>[^|]+) \| (?P<write>[\d.-]+) \| (?P<read>[\d.-]+) \|$", re.MULTILINE)


def documented() -> dict[str, tuple[float, float]]:
    """The table of the documentation: write and read units, by operation."""
    section = (ROOT / "docs" / "data-model.md").read_text().partition("## What each operation consumes")[2]
    rows = ROW.findall(section.partition("\n## ")[0])
    return {name.strip(): (float(write.replace("-", "0")), float(read.replace("-", "0"))) for name, write, read in rows}


@contextmanager
def metered(table: Table) -> Iterator[Counter[str]]:
    """Counts the units that requests consume while it lasts.

    Of a transaction AWS takes twice what its parts would take alone. DynamoDB Local reports twice that again.
    """
    units: Counter[str] = Counter()
    events: Any = table.client.meta.events

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def count(parsed: dict[str, Any], model: Any, **_: object) -> None:
        # Of a write that is refused nothing is told: AWS takes a unit for each KB of the item that it looked at.
        consumed = parsed.get("ConsumedCapacity", {"CapacityUnits": 1})
        reports = consumed if isinstance(consumed, list) else [consumed]
        kind = "read" if model.name in {"GetItem", "Query", "TransactGetItems"} else "write"
        for report in reports:
            units[kind] += report["CapacityUnits"]
            units[model.name] += 1

    events.register("before-parameter-build.dynamodb", ask)
    events.register("after-call.dynamodb", count)
    try:
        yield units
    finally:
        events.unregister("before-parameter-build.dynamodb", ask)
        events.unregister("after-call.dynamodb", count)


def show(url):
    table = table_at(url, "units")

    def store(user, once=None):
        return TaskStore(table, user, deadline_in(10), once=once)

    user = f"user-{uuid.uuid4()}"

    def m(name, f):
        with metered(table) as u:
            r = f()
        print(name, dict(u))
        return r

    def once():
        return Once(uuid.uuid4().hex * 2, "f" * 64, 3600)

    t = m("create", lambda: store(user).create(NEW))
    m("create long", lambda: store(user).create(LONG))
    m("get", lambda: store(user).get(t.id))
    m("toggle", lambda: store(user).toggle(t.id, ANY_VERSION))
    m("update title", lambda: store(user).update(t.id, {"title": "x"}, ANY_VERSION))
    m("update completed", lambda: store(user).update(t.id, {"completed": False}, ANY_VERSION))
    m("update completed+", lambda: store(user).update(t.id, {"title": "z", "description": "q", "completed": True}, ANY_VERSION))
    m("update wrong guess", lambda: store(user).update(t.id, {"title": "zz", "description": "q", "completed": True}, ANY_VERSION))
    m("update nothing", lambda: store(user).update(t.id, {"title": "zz"}, ANY_VERSION))
    m("delete", lambda: store(user).delete(t.id, ANY_VERSION))
    m("delete again", lambda: store(user).delete(t.id, ANY_VERSION))
    m("restore", lambda: store(user).restore(t.id, ANY_VERSION))
    k = m("create keyed", lambda: store(user, once()).create(NEW))
    m("toggle keyed", lambda: store(user, once()).toggle(k.id, ANY_VERSION))
    m("delete", lambda: store(user).delete(k.id, ANY_VERSION))
    m("restore keyed", lambda: store(user, once()).restore(k.id, ANY_VERSION))
    m("batch of 2", lambda: store(user, once()).batch([CreateOperation(op="create", task=NEW)] * 2))
    other = f"user-{uuid.uuid4()}"
    for _ in range(60):
        store(other).create(NEW)
    m("list 50", lambda: store(other).list(TaskQuery(limit=50)))
    m("list 50 open", lambda: store(other).list(TaskQuery(limit=50, status="open")))
    m("changes 100", lambda: store(other).changes(ChangesQuery(limit=50)))
    other = f"user-{uuid.uuid4()}"
    for _ in range(50):
        store(other).create(LONG)
    m("list 50 long", lambda: store(other).list(TaskQuery(limit=50)))


def test_show(dynamodb_local_url: str) -> None:
    show(dynamodb_local_url)
