"""DynamoDB Local for the benchmarks, with the table of template.yaml and some tasks; measures consumed units."""

import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bench.contenders import ROOT
from bench.stub import TASK_ID, USER, item_of
from local import dynamodb as engines
from local import template as templates
from local.template import Template
from local.tokens import AUDIENCE, ISSUER
from shared.models import ChangesQuery, NewTask, TaskQuery
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore

ROUNDS = 15
BATCH = 25  # the maximum of a BatchWriteItem
NEW = NewTask(title="Buy milk", description="Two bottles, and everything else for the kitchen.")


def template() -> Template:
    """The template with the development gateway's parameters."""
    return templates.load(ROOT / "template.yaml", {"JwtIssuer": ISSUER, "JwtAudience": AUDIENCE})


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
            fill(url, name, USER, (50, 0))
            new_client(url).put_item(TableName=name, Item=named)
        yield url


def fill(url: str, table: str, user: str, sizes: tuple[int, int], new: NewTask = NEW) -> None:
    """Put tombstones and then tasks into a user's partition: `sizes` are the numbers of tasks and of tombstones."""
    client: Any = new_client(url)
    tasks, tombstones = sizes
    now = time.time_ns() // 1_000_000 - 3_600_000
    requests = []
    for place in range(tombstones + tasks):
        task_id = f"01a20720-1d65-7ec7-a429-{place:012x}"
        item = item_of(user, task_id, new, now + place, trashed=place < tombstones)
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
        fill(url, table_name, user, (tasks, tombstones), NEW.model_copy(update={"list": "home"}))

        def store(user: str = user) -> TaskStore:
            return TaskStore(table, user, time.monotonic() + 10)

        pages: dict[str, Callable[[], object]] = {
            "list": lambda: store().list(TaskQuery(limit=50)),
            "status": lambda: store().list(TaskQuery(limit=50, status="open")),
            "position": lambda: store().list(TaskQuery(limit=50, list="home")),
            "sync": lambda: store().changes(ChangesQuery(limit=50)),
        }
        for name, page in pages.items():
            times = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                page()
                times.append(time.perf_counter() - start)
            label = f"{tasks:,} tasks" + (f" behind {tombstones:,} tombstones" if tombstones else "")
            yield f"{label}: {name}", units[-1], float(len(units)), sorted(times)[ROUNDS // 2] * 1000
            units.clear()
