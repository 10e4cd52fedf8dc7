"""Faults between the stream and the event bus: every acknowledged version of a task is published."""

import itertools
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from local import template as templates
from local.streams import Record, StreamMapping
from local.template import Template
from shared import events, tasks
from shared.models import ChangesQuery, DeletedTask, Move, NewTask, Task
from shared.store import bus as event_bus
from shared.store import items
from shared.store.bus import RESERVE
from shared.store.dynamodb import Table
from shared.store.items import IdempotencyKey
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import Precondition
from tests.conftest import ROOT, deadline_in, eventually, sized, table_at
from tests.markdown import code
from tests.publisher import invoking, stream_of, streams

SETTINGS = next(
    one.stream
    for one in templates.load(ROOT / "template.yaml", {"JwtIssuer": "x", "JwtAudience": "x", "Events": "yes"}).functions
    if one.stream is not None
)
WORKERS = 8
LIMIT = 10.0  # s: the time limit of the function (template.yaml)
# After how many requests the publisher is killed.
KILL_AFTER = sized(8, 25, 40)
SEED = int(os.environ.get("SEED") or uuid.uuid4().int % 2**32)

SCHEMA: Any = jsonschema_rs.validator_for(json.loads((ROOT / "docs" / "events.schema.json").read_text()))

type Version = tuple[str, str, int]
type Event = dict[str, Any]
type Handle = Callable[[Refusals], Callable[[Any, Any], Any]]


@dataclass
class Writer:
    """Makes random writes to its own tasks, and knows the event of each."""

    table: Table
    user: str
    random: random.Random
    expected: dict[Version, tuple[str, Task | None]] = field(default_factory=dict)
    live: list[Task] = field(default_factory=list)
    trash: list[DeletedTask] = field(default_factory=list)

    def store(self, key: IdempotencyKey | None = None) -> TaskStore:
        return TaskStore(self.table, self.user, deadline_in(10), key=key)

    def write(self) -> None:
        """Make one write with a new version of a task, and sometimes one without."""
        kinds = ["create", "rename", "rename", "toggle", "both", "delete", "restore", "move", "purge"]
        kind = self.random.choice(kinds)
        if kind in {"restore", "purge"} and self.trash:
            found = self.trash.pop(self.random.randrange(len(self.trash)))
            if kind == "restore":
                self._made("restored", self.store().restore(found.id, tasks.ANY_VERSION))
            else:
                self.table.client.delete_item(
                    TableName=self.table.name, Key=items.key_of(items.partition_of(self.user), found.id)
                )
                self.expected[self.user, found.id, found.version + 1] = ("purged", None)
        elif kind == "create" or not self.live:
            key = IdempotencyKey(uuid.uuid4().hex * 2, "f" * 64, 3600) if self.random.random() < 0.3 else None
            self._made("created", self.store(key).create(NewTask(title=self._title(), list="home")))
        else:
            self._change(kind, self.live.pop(self.random.randrange(len(self.live))))

    def _change(self, kind: str, task: Task) -> None:
        store = self.store()
        if kind == "delete":
            store.delete(task.id, Precondition(frozenset({task.version})))
            now = 0
            deleted = tasks.delete(task, tasks.ANY_VERSION, now)
            self.expected[self.user, task.id, deleted.version] = ("deleted", None)
            self.trash.append(deleted)
        elif kind in {"toggle", "both"}:
            changes = {"completed": not task.completed, **({"title": self._title()} if kind == "both" else {})}
            self._made("reopened" if task.completed else "completed", store.update(task.id, changes, tasks.ANY_VERSION))
        elif kind == "move":
            to = "work" if task.list == "home" else "home"
            self._made("moved", store.move(task.id, Move(list=to, after=None), tasks.ANY_VERSION))
        else:
            self._made("updated", store.update(task.id, {"title": self._title()}, tasks.ANY_VERSION))
            # A back-fill changes the item without a new version.
            self.table.client.update_item(
                TableName=self.table.name,
                Key=items.key_of(items.partition_of(self.user), task.id),
                UpdateExpression="SET later_release = :x",
                ExpressionAttributeValues={":x": items.text(self._title())},
            )

    def _made(self, kind: str, task: Task) -> None:
        self.expected[self.user, task.id, task.version] = (kind, task)
        self.live.append(task)

    def _title(self) -> str:
        return f"{self.random.random()}"


class Refusals:
    """An event bus that accepts, refuses or loses events as a test decides. `events` holds all accepted events."""

    def __init__(self, choose: Callable[[], str] = lambda: "") -> None:
        self.events: list[Event] = []
        self.outcomes: Counter[str] = Counter()
        self._choose = choose
        self._lock = threading.Lock()

    def put_events(self, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803 - botocore's name
        assert len(Entries) <= 10
        assert sum(len(one["Detail"].encode()) for one in Entries) <= 256_000
        with self._lock:
            outcome = self._choose()
            self.outcomes[outcome] += 1
            if outcome == "throttled":
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, "PutEvents")
            results = []
            for place, one in enumerate(Entries):
                if outcome == "partial" and place % 3 == 1:
                    results.append({"ErrorCode": "InternalFailure", "ErrorMessage": "x"})
                    continue
                self.events.append(event_of(one))
                results.append({"EventId": "x"})
            if outcome == "lost":
                raise ReadTimeoutError(endpoint_url="x")
            return {"FailedEntryCount": sum("ErrorCode" in one for one in results), "Entries": results}


def event_of(entry: Mapping[str, Any]) -> Event:
    """The event that EventBridge makes of an entry. Its detail must be valid."""
    detail = json.loads(entry["Detail"])
    SCHEMA.validate(detail)
    time = datetime.fromtimestamp(entry["Time"], UTC)
    return {"detail-type": entry["DetailType"], "time": f"{time:%Y-%m-%dT%H:%M:%SZ}", "detail": detail}


def consumer() -> dict[str, Any]:
    """The consumer of the documentation, and its query for gaps."""
    python = code("docs/events.md", "python")
    names: dict[str, Any] = {"sql": code("docs/events.md", "sql"), "effects": []}
    (place,) = re.findall(r"# Your own effect .*", python)
    exec(python.replace(place, "effects.append(version)"), names)  # noqa: S102 - it is our own
    return names


def version_of(event: Event) -> Version:
    detail = event["detail"]
    return detail["user_id"], detail["task_id"], detail["version"]


def copied(events: Sequence[Event]) -> tuple[dict[tuple[str, str], Any], int]:
    """The tasks of the consumer after these events of one tenant, each with its version, and the number of gaps."""
    names = consumer()
    with closing(names["open_store"](":memory:")) as db:
        return _copied(events, names, db)


def _copied(
    events: Sequence[Event], names: dict[str, Any], db: sqlite3.Connection
) -> tuple[dict[tuple[str, str], Any], int]:
    for event in events:
        names["consume"](event, db)
    effects = Counter(version[1:] for version in names["effects"])
    assert effects == Counter({version_of(event) for event in events}), "not exactly once"
    rows = db.execute("SELECT user, task, version, state FROM tasks")
    found = {(user, task): (version, json.loads(state)) for user, task, version, state in rows}
    return found, sum(missing for *_, missing in db.execute(names["sql"]))


def missing_between(events: Sequence[Event]) -> int:
    """How many versions are missing between two events of a task."""
    of_task: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for user, task, version in map(version_of, events):
        of_task[user, task].add(version)
    return sum(after - before - 1 for seen in of_task.values() for before, after in itertools.pairwise(sorted(seen)))


def on_server(table: Table, writers: Sequence[Writer]) -> dict[tuple[str, str], Any]:
    """Every task of the writers on the server."""
    found: dict[tuple[str, str], Any] = {}
    for writer in writers:
        pages = table.client.get_paginator("query").paginate(
            TableName=table.name,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :task)",
            ExpressionAttributeValues={":pk": items.partition_of(writer.user), ":task": items.text("TASK#")},
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                task = items.from_item(item)
                found[task.user_id, task.id] = (task.version, json.loads(task.model_dump_json()))
    return found


def judge(events: Sequence[Event], table: Table, writers: Sequence[Writer]) -> None:
    """Assert that every acknowledged version is published correctly, and that consumers get the state of the server."""
    expected = {version: event for writer in writers for version, event in writer.expected.items()}
    published: dict[Version, Event] = {}
    for event in events:
        assert published.setdefault(version_of(event), event) == event, "two events of one version differ"
    assert expected.keys() - published.keys() == set(), "versions are missing"
    assert published.keys() - expected.keys() == set(), "no write made these versions"
    for version, (kind, task) in expected.items():
        event = published[version]
        assert event["detail-type"] == f"task.{kind}"
        shown = event["detail"]["task"]
        if task is not None:
            assert shown == json.loads(task.model_dump_json())
        assert (shown is None) is (kind == "purged")
        assert kind != "deleted" or shown["deleted_at"]
    server = on_server(table, writers)

    def same(found: dict[tuple[str, str], Any]) -> bool:
        return {key: value for key, value in found.items() if value[1] is not None} == server

    found, gaps = copied(events)
    assert same(found)
    assert gaps == 0
    # The consumer misses half of the events, then the archive is replayed.
    archive, half = list(published.values()), len(published) // 2
    with_gaps = [*archive[: half // 2], *archive[half:]]
    assert copied(with_gaps)[1] == missing_between(with_gaps)
    assert same(copied([*archive[half:], *archive])[0])
    # Events that are lost for good are visible as gaps.
    lost = next(iter(version for version, (kind, _) in expected.items() if kind == "updated"))
    less = [one for one in archive if version_of(one) != lost]
    ends = [version for user, task, version in expected if (user, task) == lost[:2]]
    assert copied(less)[1] == (0 if lost[2] in (min(ends), max(ends)) else 1)
    refill(less[: len(less) // 2], table, writers)


def refill(events: Sequence[Event], table: Table, writers: Sequence[Writer]) -> None:
    """GET /changes returns what the second half of the events would have shown."""
    found, _ = copied(events)
    for writer in writers:
        since, more = None, True
        while more:
            page = writer.store().changes(ChangesQuery(since=since, limit=500))
            for one in page.items:
                if found.get((writer.user, one.id), (0,))[0] < one.version:
                    found[writer.user, one.id] = (one.version, None)
            since, more = page.next_since, page.has_more
    server = {key: version for key, (version, _) in on_server(table, writers).items()}
    assert {key: found[key][0] for key in server} == server


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Handle:
    """The function in this process, with the bus of the test."""
    monkeypatch.setenv("EVENT_BUS", "events")
    monkeypatch.setenv("EVENT_CONTENT", "full")
    from functions.publish_events import app  # noqa: PLC0415 - it reads the environment

    def on(bus: Refusals) -> Callable[[Any, Any], Any]:
        monkeypatch.setattr(app, "_client", lambda: bus)
        monkeypatch.setattr("shared.store.bus.time.sleep", lambda _: None)
        return app.handler

    return on


def table_of_its_own(url: str, template: Template) -> Table:
    """A table with its own stream."""
    client: Any = table_at(url).client
    arguments = {**template.tables[0].arguments, "TableName": f"events-{uuid.uuid4()}"}
    client.create_table(**arguments)
    client.get_waiter("table_exists").wait(TableName=arguments["TableName"], WaiterConfig={"Delay": 1})
    return Table(client, arguments["TableName"])


@pytest.fixture
def table(engine_url: str, template: Template) -> Table:
    return table_of_its_own(engine_url, template)


def writers_of(table: Table, count: int) -> list[Writer]:
    return [
        Writer(table, f"user-{uuid.uuid4()}", random.Random(SEED + number))  # noqa: S311 - not a secret
        for number in range(count)
    ]


def mapping_of(
    table: Table, url: str, handler: Callable[[Any, Any], Any], parked: list[Record] | None = None
) -> StreamMapping:
    """The event source mapping of the template on the stream of a table, with a function in this process."""
    park = (lambda _: pytest.fail("records were given up")) if parked is None else parked.extend
    return StreamMapping(streams(url), stream_of(url, table.name), SETTINGS, invoking(handler), park, lambda _: None)


def test_nothing_is_lost_between_the_stream_and_the_bus(table: Table, engine_url: str, handler: Handle) -> None:
    """The function is killed before and after PutEvents, the bus refuses and loses, the stream is read again."""
    outcomes, fates = (
        cycle(["", "partial", "", "throttled", "partial", "", "lost"]),
        cycle(["", "before", "", "", "after"]),
    )
    bus = Refusals(lambda: next(outcomes))
    publish = handler(bus)
    # Time for several attempts of a request, or for one.
    seconds = cycle([RESERVE + 0.1, 0, 0])

    def killable(event: Any, _context: object) -> Any:
        fate = next(fates)
        if fate == "before":
            raise RuntimeError(fate)
        response = invoking(publish, next(seconds))(event)
        if fate == "after":
            raise RuntimeError(fate)
        return response

    mapping, writers = mapping_of(table, engine_url, killable), writers_of(table, 2)
    for count in range(sized(60, 300, 1000)):
        for writer in writers:
            writer.write()
        if count % 20 == 19:
            mapping.poll()
    mapping.poll()
    judge(bus.events, table, writers)
    published = len(bus.events)
    mapping.checkpoints.clear()
    mapping.poll()
    assert len(bus.events) > published
    judge(bus.events, table, writers)
    assert set(bus.outcomes) == {"", "throttled", "partial", "lost"}


def test_only_an_unreadable_record_is_skipped(table: Table, engine_url: str, handler: Handle) -> None:
    bus, parked = Refusals(), list[Record]()
    (writer,) = writers_of(table, 1)
    for _ in range(30):
        writer.write()
    broken = {
        **items.key_of(items.partition_of(writer.user), "01a20720-1d65-7ec7-a429-721882d38931"),
        "schema": items.number(1),
    }
    table.client.put_item(TableName=table.name, Item=broken)
    for _ in range(30):
        writer.write()
    mapping_of(table, engine_url, handler(bus), parked).poll()
    assert [one["dynamodb"]["Keys"] for one in parked] == [{name: broken[name] for name in ("pk", "sk")}]
    table.client.delete_item(TableName=table.name, Key={name: broken[name] for name in ("pk", "sk")})
    judge(bus.events, table, [writer])


def test_an_outage_of_the_bus_only_delays_events(
    table: Table, engine_url: str, handler: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda calls the function repeatedly, as often as the template says. Each call has time for one attempt."""
    waited = [0.0]

    def sleep(seconds: float) -> None:
        waited[0] += 60 if seconds else 0

    calls: Counter[str] = Counter()
    bus = Refusals(lambda: "throttled" if calls["all"] <= SETTINGS["MaximumRetryAttempts"] else "")
    publish = handler(bus)
    monkeypatch.setattr(event_bus, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + waited[0], sleep=sleep))

    def counted(event: Any, context: Any) -> Any:
        calls["all"] += 1
        waited[0] = 0.0
        return publish(event, context)

    (writer,) = writers_of(table, 1)
    for _ in range(60):
        writer.write()
    mapping = mapping_of(table, engine_url, counted)
    mapping.invoke = invoking(counted, seconds=30)
    mapping.poll()
    judge(bus.events, table, [writer])


@pytest.mark.parametrize("seconds", [0.5, 1.1, 1.9])
def test_a_slow_bus_ends_in_a_partial_failure_in_time(
    table: Table, engine_url: str, handler: Handle, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """100 records are ten requests. None of them starts that could not end in time."""
    passed, starts = [0.0], list[float]()

    class Slow(Refusals):
        def put_events(self, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
            starts.append(passed[0])
            passed[0] += seconds
            return super().put_events(Entries)

    bus = Slow()
    publish = handler(bus)
    start = time.monotonic()
    monkeypatch.setattr(event_bus, "time", SimpleNamespace(monotonic=lambda: start + passed[0], sleep=lambda _: None))
    monkeypatch.setattr("functions.publish_events.app.time", SimpleNamespace(monotonic=lambda: start + passed[0]))
    (writer,) = writers_of(table, 1)
    while len(writer.expected) < 100:
        writer.write()
    mapping = mapping_of(table, engine_url, publish)
    mapping.settings = {**mapping.settings, "BatchSize": 100}
    batches: list[int] = []

    def timed(event: dict[str, Any]) -> Any:
        passed[0] = 0.0
        batches.append(len(event["Records"]))
        result = invoking(publish, seconds=LIMIT)(event)
        assert passed[0] <= LIMIT - 0.5
        return result

    mapping.invoke = timed
    mapping.poll()
    judge(bus.events, table, [writer])
    assert batches[0] > 90  # ten requests
    assert max(starts) <= LIMIT - RESERVE


DAY = 86_400_000


def life(user: str, began: int, title: str, tenant: str, *, full: bool) -> list[Event]:
    """The events of two tasks of a user from a time (ms) on: the second is deleted and purged."""
    made: list[Event] = []
    for number in range(2):
        task_id = str(uuid7((began + number) * 1_000_000))
        states: list[Task | None] = [None]
        states.append(tasks.create(None, task_id, user, NewTask(title=title), began))
        states += [tasks.toggle(states[-1], tasks.ANY_VERSION, began + 1000)]
        states += [tasks.change(states[-1], {"title": f"{title} 2"}, tasks.ANY_VERSION, began + 2000)]
        if number:
            states += [tasks.delete(states[-1], tasks.ANY_VERSION, began + 3000), None]
        for step, (before, after) in enumerate(itertools.pairwise(states)):
            happened = events.happened(before, after)
            assert happened is not None
            made.append(event_of(entry(happened, began / 1000 + step, tenant, full=full)))
    return made


def entry(event: events.Event, at: float, tenant: str = "", *, full: bool = True) -> event_bus.Entry:
    """An event as it is published."""
    return event_bus.entry("bus", event.detail_type, event.detail(tenant, event.actor, full=full), at)


@pytest.mark.parametrize("full", [True, False], ids=["full", "ids"])
@pytest.mark.parametrize("seed", range(30))
def test_a_consumer_keeps_nothing_of_an_erased_user_in_any_order(seed: int, full: bool) -> None:
    """Events come in any order, with duplicates, gaps, and a replay of the archive, and the user id is used again."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    began = 1_795_415_874_917
    first = life("alice", began, "secret", "", full=full)
    # What the erasure removes.
    purged = events.TaskEvent("purged", "alice", first[0]["detail"]["task_id"], 4, [], None)
    first.append(event_of(entry(purged, began / 1000 + 60, full=full)))
    erased = event_of(entry(events.ErasureEvent("alice", began + 80_000), began / 1000 + 80, full=full))
    second = life("alice", began + 40 * DAY, "new", "", full=full)
    others = [*life("alice", began, "other", "acme", full=full), *life("bob", began, "other", "", full=full)]
    kept = [*second, *others]
    received = [*dice.sample(first, dice.randint(0, len(first))), erased, *kept]
    received += dice.choices([*first, erased, *kept], k=10)
    if dice.random() < 0.3:
        received += [*first, erased, *kept]
    if dice.random() < 0.9:
        dice.shuffle(received)
    names = consumer()
    with closing(names["open_store"](":memory:")) as db, closing(names["open_store"](":memory:")) as wanted:
        for event in received:
            names["consume"](event, db)
        for event in kept:
            names["consume"](event, wanted)
        for table in ("tasks", "seen"):
            rows = [sorted(one.execute(f"SELECT * FROM {table}"), key=repr) for one in (db, wanted)]  # noqa: S608
            assert rows[0] == rows[1]
        dump = "\n".join(db.iterdump())
        assert "secret" not in dump
        assert not any(one["detail"]["task_id"] in dump for one in first)
        assert not [*db.execute(names["sql"])]
        # A version that is lost in the second life is a gap, and the events of the first life are none.
        lost = second[1]
        less = names["open_store"](":memory:")
        for event in received:
            if event != lost:
                names["consume"](event, less)
        assert [tuple(row) for row in less.execute(names["sql"])] == [("", "alice", lost["detail"]["task_id"], 1)]
        less.close()


def test_the_end_of_an_erasure_is_published_after_all_purges_of_the_user() -> None:
    """EventBridge refuses some events of a request, and they are sent again: after the others of this request."""
    sent: list[str] = []

    class Partial(Refusals):
        def put_events(self, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
            before = len(self.events)
            result = super().put_events(Entries)
            sent.extend(one["detail-type"] for one in self.events[before:])
            return result

    outcomes = cycle(["partial", ""])
    client = Partial(lambda: next(outcomes))
    purges = [events.TaskEvent("purged", "alice", f"{number}", 2, [], None) for number in range(6)]
    made: list[events.Event] = [*purges, events.ErasureEvent("alice", 1), *purges]
    entries = [entry(one, 1) for one in made]
    assert event_bus.publish(client, entries, time.monotonic() + 600) == (len(made), None)
    assert Counter(sent) == {"task.purged": 12, "user.erased": 1}
    assert sent.index("user.erased") >= 6


def test_records_without_a_task_do_not_reach_the_function(table: Table, engine_url: str) -> None:
    seen: list[str] = []

    def handler(event: Any, _context: object) -> None:
        seen.extend(record["dynamodb"]["Keys"]["sk"]["S"] for record in event["Records"])

    store = TaskStore(table, "alice", deadline_in(10), key=IdempotencyKey("d" * 64, "f" * 64, 3600))
    task = store.create(NewTask(title="x"))
    mapping_of(table, engine_url, handler).poll()
    assert seen == [f"TASK#{task.id}"]


class Sink:
    """EventBridge over HTTP. Every few requests it kills the sender, before or after it accepts the events."""

    def __init__(self, kill: Callable[[], None]) -> None:
        outcomes = cycle([*[""] * 7, "throttled", "partial", "lost"])
        self.bus = Refusals(lambda: next(outcomes))
        self._fates = cycle([*[""] * KILL_AFTER, "before", *[""] * KILL_AFTER, "after"])
        self.kills: Counter[str] = Counter()
        self._kill = kill

    def respond(self, body: bytes) -> tuple[int, dict[str, Any]] | None:
        fate = next(self._fates)
        self.kills[fate] += 1
        if fate == "before":
            self._kill()
            return None
        try:
            response = self.bus.put_events(json.loads(body)["Entries"])
        except ClientError as error:
            return 400, {"__type": error.response["Error"]["Code"]}
        except ReadTimeoutError:
            return None
        if fate == "after":
            self._kill()
            return None
        return 200, response


@contextmanager
def serving(sink: Sink) -> Iterator[str]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            response = sink.respond(self.rfile.read(int(self.headers["Content-Length"])))
            if response is None:
                self.close_connection = True
                return
            content = json.dumps(response[1]).encode()
            self.send_response(response[0])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Requests) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass
class Publisher:
    """The process of tests/publisher.py, which is started again when it has ended."""

    command: list[str]
    environment: dict[str, str]
    checkpoints: Path
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None

    def keep_alive(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        self.starts += 1
        if self.starts == 3:
            self.checkpoints.unlink(missing_ok=True)  # the stream is read again from its start
        self.process = subprocess.Popen(self.command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)

    def wait(self) -> None:
        if self.process is not None:
            self.process.wait()


def test_a_publisher_that_is_killed_repeatedly_loses_nothing(table: Table, engine_url: str, tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    arguments = [stream_of(engine_url, table.name), json.dumps(SETTINGS), str(checkpoints)]
    command = [sys.executable, "-m", "tests.publisher", *arguments]
    settings = {"AWS_ENDPOINT_URL_DYNAMODB": engine_url, "EVENT_BUS": "events", "EVENT_CONTENT": "full"}
    publisher = Publisher(command, {**os.environ, **settings}, checkpoints)
    writes, writers, sink = sized(160, 2000, 20_000), writers_of(table, WORKERS), Sink(publisher.kill)

    def write(writer: Writer) -> None:
        for _ in range(writes // WORKERS):
            writer.write()

    def complete() -> bool | None:
        publisher.keep_alive()
        if len(sink.bus.events) < sum(len(writer.expected) for writer in writers):
            return None
        known = {version_of(one) for one in list(sink.bus.events)}
        return all(writer.expected.keys() <= known for writer in writers) or None

    threads = [threading.Thread(target=write, args=[writer]) for writer in writers]
    with serving(sink) as url:
        publisher.environment["AWS_ENDPOINT_URL_EVENTBRIDGE"] = url
        try:
            publisher.keep_alive()
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                publisher.keep_alive()
                threads[0].join(0.1)
            eventually(complete, 600)
        finally:
            publisher.kill()
            publisher.wait()
    assert sum(len(writer.expected) for writer in writers) >= writes
    judge(sink.bus.events, table, writers)
    assert publisher.starts >= 3, sink.kills
    assert not checkpoints.with_suffix(".parked").exists()


def test_a_rolled_back_write_is_not_in_the_stream(template: Template, moto_url: str) -> None:
    """Moto writes the parts of a transaction one after the other, and rolls the first back if the second fails."""
    table = table_of_its_own(moto_url, template)
    taken = {**items.key_of(items.partition_of("alice"), "taken"), "schema": items.number(1)}
    table.client.put_item(TableName=table.name, Item=taken)
    parts: list[Any] = [
        {"TableName": table.name, "Item": {**items.key_of(items.partition_of("alice"), name)}}
        for name in ("new", "taken")
    ]
    parts[1]["ConditionExpression"] = "attribute_not_exists(sk)"
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        table.client.transact_write_items(TransactItems=[{"Put": part} for part in parts])
    keys: list[str] = []

    def seen(event: Any, _context: object) -> None:
        keys.extend(record["dynamodb"]["Keys"]["sk"]["S"] for record in event["Records"])

    mapping_of(table, moto_url, seen).poll()
    assert keys == ["TASK#taken"]
