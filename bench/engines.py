"""DynamoDB Local for the benchmarks, with the table of template.yaml and some tasks; measures consumed units."""

import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from bench.contenders import ROOT
from bench.stub import TASK_ID, USER, item_of
from local import dynamodb as engines
from local import template as templates
from local.template import Template
from local.tokens import PARAMETERS
from shared.models import Changes, ChangesQuery, NewTask, TaskPage, TaskQuery
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore

ROUNDS = 15
PAGE = 50
WEEK = TaskQuery(limit=PAGE, status="open", due_after="2026-12-20", due_before="2026-12-28")
BATCH = 25  # the maximum of a BatchWriteItem
NEW = NewTask(title="Buy milk", description="Two bottles, and everything else for the kitchen.")


def template() -> Template:
    """The template with the development gateway's parameters."""
    return templates.load(ROOT / "template.yaml", PARAMETERS)


@contextmanager
def dynamodb_local(tables: Iterable[str]) -> Iterator[str]:
    """Start DynamoDB Local with tables, each with the task of the events and 50 others, and yield its URL."""
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_DEFAULT_REGION="eu-central-1")  # noqa: S106
    with engines.dynamodb_local(None) as url:
        (of_template,) = template().tables
        now = time.time_ns() // 1_000_000
        named = item_of(USER, TASK_ID, NEW, now)
        for name in tables:
            table = replace(of_template, arguments={**of_template.arguments, "TableName": name})
            engines.create_tables(replace(template(), tables=(table,)), url)
            fill(url, name, USER, PAGE)
            new_client(url).put_item(TableName=name, Item=named)
        yield url


def _task(place: int, tasks: int) -> NewTask:
    """Return a task of a user with this number of tasks: 50 of them are due in WEEK, and every second one has a tag."""
    if place % (tasks // PAGE) == 0:
        due = date(2026, 12, 21) + timedelta(days=place % 7)
    else:
        due = date(2026 + place % 3 // 2, 1, 1) + timedelta(days=place % 300)
    tags = ["shop"] if place % 2 == 0 else []
    return NewTask(title=NEW.title, description=NEW.description, due=f"{due}", tags=tags, list="home")


def fill(url: str, table: str, user: str, tasks: int, tombstones: int = 0) -> None:
    """Put tombstones and then tasks into a user's partition."""
    client: Any = new_client(url)
    now = time.time_ns() // 1_000_000 - 3_600_000
    requests = []
    for place in range(tombstones + tasks):
        task_id = f"01a20720-1d65-7ec7-a429-{place:012x}"
        item = item_of(user, task_id, _task(place, tasks), now + place, trashed=place < tombstones)
        requests.append({"PutRequest": {"Item": item}})
        if len(requests) == BATCH or place == tombstones + tasks - 1:
            client.batch_write_item(RequestItems={table: requests})
            requests = []


def growth(url: str, table_name: str, sizes: list[tuple[int, int]]) -> Iterator[tuple[str, float, float, float]]:
    """Yield the read units and milliseconds of a page of 50, for users with these numbers of tasks and tombstones."""
    client: Any = new_client(url)
    table = Table(client, table_name)
    units: list[float] = []

    def request_capacity(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def count(parsed: dict[str, Any], **_: object) -> None:
        units.append(parsed["ConsumedCapacity"]["CapacityUnits"])

    client.meta.events.register("before-parameter-build.dynamodb", request_capacity)
    client.meta.events.register("after-call.dynamodb", count)
    for tasks, tombstones in sizes:
        user = f"grown-{uuid.uuid4()}"
        fill(url, table_name, user, tasks, tombstones)

        def store(user: str = user) -> TaskStore:
            return TaskStore(table, user, time.monotonic() + 10)

        pages: dict[str, Callable[[], TaskPage | Changes]] = {
            "list": lambda: store().list(TaskQuery(limit=PAGE)),
            "status": lambda: store().list(TaskQuery(limit=PAGE, status="open")),
            "due": lambda: store().list(WEEK),
            "tag": lambda: store().list(TaskQuery(limit=PAGE, tag="shop")),
            "list=home": lambda: store().list(TaskQuery(limit=PAGE, list="home")),
            "sync": lambda: store().changes(ChangesQuery(limit=PAGE)),
        }
        for name, page in pages.items():
            times = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                found = page()
                times.append(time.perf_counter() - start)
                if len(found.items) != PAGE:
                    raise RuntimeError(f"{name}: {len(found.items)} items, not {PAGE}")
            label = f"{tasks:,} tasks" + (f" behind {tombstones:,} tombstones" if tombstones else "")
            yield f"{label}: {name}", units[-1], float(len(units)), sorted(times)[ROUNDS // 2] * 1000
            units.clear()
