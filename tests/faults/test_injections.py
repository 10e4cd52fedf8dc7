"""Every kind of fault on every operation: every response to the client is true.

Time is virtual here: back-off and timeouts take no real time, and the duration of a function is exact.
"""

import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from shared import tasks
from shared.http import operation
from shared.models import NewTask
from shared.store import dynamodb, erasure, items, marks, task_store
from shared.store.dynamodb import CONNECT_TIMEOUT, READ_TIMEOUT, RESERVE, Table
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION, TaskNotFound
from tests import api
from tests.conftest import PROVE, sized, table_at, versions_of
from tests.inprocess import Functions, Reply, functions
from tests.wire import (
    Carrier,
    Fault,
    Held,
    Send,
    Wire,
    cancelled,
    fail_with,
    late,
    late_after_reset,
    late_again,
    lost_after,
    lost_before,
    truncated,
    twice,
)

LIMIT = 10.0  # s: the time limit of every function (template.yaml)
# How many requests in a row a fault affects. Smaller sizes test a part of the pairs of a fault and an operation.
TIMES = {"": (1,), "ci": (1, 3)}.get(PROVE, (1, 2, 3, 4, 5, 20))
SKIPPED = sized(5, 4, 1)
WANTED = sized(80, 300, 8_000)
NOTHING_CHANGED = {"database-throttled", "database-unavailable", "contended"}
READS = {"get", "list", "changes"}


@dataclass
class Time:
    """Replaces the module `time` in the code under test; only sleeps and faults advance it."""

    seconds: float = 0.0
    skew: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> float:
        return time.time()

    def time_ns(self) -> int:
        return time.time_ns() + int((self.seconds + self.skew) * 1e9)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Scene:
    """A user with an open task, two completed ones in a list, and one in the trash; and other actions of faults."""

    call: Functions
    table: Table
    wire: Wire
    time: Time
    user: str
    open: str = ""
    anchor: str = ""
    trashed: str = ""
    others: int = 0
    held: Held = field(default_factory=Held)

    def begin(self) -> None:
        now = self.time.time_ns()
        new = [
            NewTask(title="open"),
            *(NewTask(title=title, completed=True, list="home") for title in ("done", "done too")),
            NewTask(title="trashed"),
        ]
        created = [tasks.create(None, str(uuid7(now)), self.user, one, now // 1_000_000) for one in new]
        created[-1] = tasks.delete(created[-1], ANY_VERSION, now // 1_000_000)
        puts: Any = [{"PutRequest": {"Item": items.to_item(task, "before")}} for task in created]
        self.table.client.batch_write_item(RequestItems={self.table.name: puts})
        self.open, _, self.anchor, self.trashed = (task.id for task in created)
        self.wire.applied.clear()

    def other(self) -> TaskStore:
        """Another client of the same user, on a wire without faults."""
        return TaskStore(self.table, self.user, self.time.seconds + LIMIT, self.time.time_ns)

    def interfere(self) -> None:
        """Another client writes to the open task, if it exists."""
        with suppress(TaskNotFound):
            self.other().update(self.open, {"description": f"other {self.others}"}, ANY_VERSION)
            self.others += 1

    def versions(self) -> dict[str, int]:
        """The version of every task, including those in the trash."""
        return versions_of(self.table, self.user)


type Ask = Callable[[Scene], Reply]


def on_open(name: str, body: Any = None, **headers: str) -> Ask:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda scene: scene.call(name, scene.user, scene.open, body=body, headers=named, seconds=left(scene))


def left(scene: Scene) -> float:
    return LIMIT - scene.time.seconds


def moving(**headers: str) -> Ask:
    """Move the open task into the list."""
    return lambda scene: on_open("move_task", {"list": "home", "before": scene.anchor}, **headers)(scene)


def batch(*operations: Callable[[Scene], object]) -> Ask:
    return lambda scene: scene.call(
        "batch_tasks",
        scene.user,
        body={"operations": [operation(scene) for operation in operations]},
        headers={"idempotency-key": "b"},
        seconds=left(scene),
    )


# The number of requests of an operation, if it is not two: each of them meets the fault.
REQUESTS = {
    **dict.fromkeys(["get", "list", "changes", "create", "create, keyed"], 1),
    **dict.fromkeys(["clear", "move", "move, If-Match", "move, keyed", "batch with a move"], 3),
}
REPLACEMENT = {"title": "new", "description": None, "completed": True}
OPERATIONS: dict[str, Ask] = {
    "get": on_open("get_task"),
    "list": lambda scene: scene.call("list_tasks", scene.user, seconds=left(scene)),
    "changes": lambda scene: scene.call("list_changes", scene.user, seconds=left(scene)),
    "create": lambda scene: scene.call("create_task", scene.user, body={"title": "new"}, seconds=left(scene)),
    "create, keyed": lambda scene: scene.call(
        "create_task", scene.user, body={"title": "new"}, headers={"idempotency-key": "c"}, seconds=left(scene)
    ),
    "replace": on_open("replace_task", REPLACEMENT),
    "replace, If-Match": on_open("replace_task", REPLACEMENT, if_match='"1-1"'),
    "update": on_open("update_task", {"title": "new"}),
    "update, If-Match": on_open("update_task", {"title": "new"}, if_match='"1-1"'),
    "complete": on_open("update_task", {"completed": True}),
    "toggle": on_open("toggle_task"),
    "toggle, If-Match": on_open("toggle_task", if_match='"1-1"'),
    "toggle, keyed": on_open("toggle_task", idempotency_key="t"),
    "toggle, keyed, If-Match": on_open("toggle_task", idempotency_key="t", if_match='"1-1"'),
    "delete": on_open("delete_task"),
    "delete, If-Match": on_open("delete_task", if_match='"1-1"'),
    "restore": lambda scene: scene.call("restore_task", scene.user, scene.trashed, seconds=left(scene)),
    "restore, keyed": lambda scene: scene.call(
        "restore_task", scene.user, scene.trashed, headers={"idempotency-key": "r"}, seconds=left(scene)
    ),
    "clear": lambda scene: scene.call("clear_tasks", scene.user, query={"status": "completed"}, seconds=left(scene)),
    "move": moving(),
    "move, If-Match": moving(if_match='"1-1"'),
    "move, keyed": moving(idempotency_key="m"),
    "batch": batch(
        lambda _: {"op": "create", "task": {"title": "new"}}, lambda scene: {"op": "toggle", "id": scene.open}
    ),
    "batch with a move": batch(
        lambda _: {"op": "create", "task": {"title": "new"}},
        lambda scene: {"op": "move", "id": scene.open, "list": "home", "before": scene.anchor},
    ),
}


def raising(error: Callable[[], Exception], *, applied: bool = False, after: float = 0.0) -> Callable[[Scene], Fault]:
    """The connection fails with this error after some seconds, with the request applied or not."""

    def prepare(scene: Scene) -> Fault:
        def fault(send: Send) -> NoReturn:
            if applied:
                send()
            scene.time.seconds += after
            raise error()

        return fault

    return prepare


def then_another(fault: Fault) -> Callable[[Scene], Fault]:
    """The fault, and another client writes before the retry."""

    def prepare(scene: Scene) -> Fault:
        def then(send: Send) -> Any:
            try:
                return fault(send)
            finally:
                scene.interfere()

        return then

    return prepare


def slow(scene: Scene) -> Fault:
    """The response arrives just before the timeout."""

    def fault(send: Send) -> Any:
        scene.time.seconds += READ_TIMEOUT - 0.01
        return send()

    return fault


def skewed(seconds: float) -> Callable[[Scene], Fault]:
    """The response is lost, and the clock of the function is wrong."""

    def prepare(scene: Scene) -> Fault:
        scene.time.skew = seconds
        return lost_after

    return prepare


def hurried(scene: Scene) -> Fault:
    """The response is lost when the function has little time left."""
    scene.time.seconds = LIMIT - RESERVE - 0.2
    return lost_after


def plain(fault: Fault) -> Callable[[Scene], Fault]:
    return lambda _: fault


def held_up(lateness: Callable[[Carrier], Fault], *, after: float = 0.0) -> Callable[[Scene], Fault]:
    """The client stops waiting after some seconds, and the request arrives after the client has its response."""

    def prepare(scene: Scene) -> Fault:
        fault = lateness(scene.held)

        def then(send: Send) -> Any:
            scene.time.seconds += after
            return fault(send)

        return then

    return prepare


def held_up_then_another(lateness: Callable[[Carrier], Fault]) -> Callable[[Scene], Fault]:
    """The same, and another client writes before the retry."""
    return lambda scene: then_another(lateness(scene.held))(scene)


FAULTS: Mapping[str, Callable[[Scene], Fault]] = {
    "lost before applying": plain(lost_before),
    "lost after applying": plain(lost_after),
    "lost before applying, another writes": then_another(lost_before),
    "lost after applying, another writes": then_another(lost_after),
    "no connection": raising(lambda: EndpointConnectionError(endpoint_url="wire")),
    "no connection in time": raising(lambda: ConnectTimeoutError(endpoint_url="wire"), after=CONNECT_TIMEOUT),
    "reset": raising(lambda: HTTPClientError(error=ConnectionResetError()), applied=True),
    "stale connection": raising(lambda: ConnectionClosedError(endpoint_url="wire")),
    "no response in time, not applied": raising(lambda: ReadTimeoutError(endpoint_url="wire"), after=READ_TIMEOUT),
    "no response in time, applied": raising(
        lambda: ReadTimeoutError(endpoint_url="wire"), applied=True, after=READ_TIMEOUT
    ),
    "a response just in time": slow,
    "500": plain(fail_with(500, "InternalServerError")),
    "503": plain(fail_with(503, "ServiceUnavailable")),
    "throttled": plain(fail_with(400, "ProvisionedThroughputExceededException")),
    "too many requests": plain(fail_with(400, "ThrottlingException")),
    "conflict": plain(fail_with(400, "TransactionConflictException")),
    "cancelled by a conflict": plain(cancelled("None", "TransactionConflict")),
    "truncated": plain(truncated),
    "delivered twice": plain(twice),
    "clock 2 s behind": skewed(-2),
    "clock 2 s ahead": skewed(2),
    "little time left": hurried,
    "late, after a time-out": held_up(late, after=READ_TIMEOUT),
    "late, after a reset": held_up(late_after_reset),
    "late, another writes": held_up_then_another(late),
    "response, and late again": held_up(late_again),
    "response, and late again, another writes": held_up_then_another(late_again),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    virtual = Time()
    for module in (dynamodb, erasure, operation, task_store):
        monkeypatch.setattr(module, "time", virtual)
    return virtual


@pytest.fixture
def call(wire: Wire, wired: Table, clock: Time) -> Iterator[Functions]:  # noqa: ARG001 - the wire is to stand there
    with functions(wired, clock.time_ns) as call:
        yield call


@pytest.fixture
def wired(dynamodb_local_url: str) -> Table:
    return table_at(dynamodb_local_url, "injected")


def judge(scene: Scene, name: str, reply: Reply, before: dict[str, int]) -> tuple[int, int, int]:
    """Assert that the reply is true; return what was acknowledged, applied, and left unknown."""
    assert scene.time.seconds <= LIMIT, "it took longer than the function may"
    scene.wire.faults = []
    scene.held.arrive()
    applied = sum(scene.wire.applied.values())
    assert set(scene.wire.applied.values()) <= {1}, "a write was applied twice"
    scene.time.skew = 0
    after = scene.versions()
    moved = sum(after.values()) - sum(before.values()) - scene.others
    assert reply.status < 300 or reply.status in (404, 409, 412, 503), reply
    if reply.status == 503:
        assert "Retry-After" in reply.headers
        if reply.kind in NOTHING_CHANGED:
            assert (applied, moved) == (0, 0), reply
            return 0, 0, 0
        assert reply.kind == "outcome-unknown"
        assert applied <= (2 if name == "clear" else 1)
        return 0, applied, 1 if name != "clear" else 2
    if reply.status >= 400:
        # Only a write of another client can cause this, and only if a version is required.
        assert (reply.status, scene.others > 0, "If-Match" in name) == (412, True, True), reply
        assert (applied, moved) == (0, 0)
        return 0, 0, 0
    acknowledged = reply.json["cleared"] if name == "clear" else 0 if name in READS else 1
    assert applied == acknowledged
    assert moved == (2 if name.startswith("batch") else acknowledged)
    if reply.body and "version" in reply.json and not scene.others:
        assert after[reply.json["id"]] == reply.json["version"]
    return acknowledged, applied, 0


def cells_at(step: int) -> dict[tuple[str, str], int]:
    """Every n-th pair of an operation and a fault, with the number of faults that were injected."""
    return dict.fromkeys(list(itertools.product(OPERATIONS, FAULTS))[::step], 0)


def test_every_operation_and_every_fault_is_tested() -> None:
    cells = cells_at(SKIPPED)
    assert {fault for _, fault in cells} == FAULTS.keys()
    assert {name for name, fault in cells if "late" in fault} == OPERATIONS.keys()


def test_every_operation_meets_faults() -> None:
    scene = Mock(time=Mock(seconds=0))
    for ask in OPERATIONS.values():
        ask(scene)
    assert {one.args[0] for one in scene.call.call_args_list} == api.OPERATIONS.keys()


def test_every_response_is_true(
    call: Functions, dynamodb_local_url: str, wire: Wire, clock: Time, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _, longest: longest)
    cells = cells_at(SKIPPED)
    totals = [0, 0, 0]
    for number, ((name, fault), times) in enumerate(itertools.product(cells, TIMES)):
        for place in range(REQUESTS.get(name, 2)):
            clock.seconds = clock.skew = 0
            scene = Scene(call, table_at(dynamodb_local_url), wire, clock, f"{user}-{place}-{number}")
            scene.begin()
            before = scene.versions()
            wire.faults = [*[None] * place, *[FAULTS[fault](scene)] * times]
            planned = len(wire.faults)
            reply = OPERATIONS[name](scene)
            cells[name, fault] += planned - len(wire.faults) - place
            try:
                counts = judge(scene, name, reply, before)
            except AssertionError as error:
                error.add_note(f"{name}, request {place}: {times} times {fault}")
                raise
            totals = [sum(pair) for pair in zip(totals, counts, strict=True)]
    acknowledged, applied, unknown = totals
    sys.stderr.write(
        f"{sum(cells.values())} faults: {acknowledged} acknowledged, {applied} applied, {unknown} unknown\n"
    )
    assert acknowledged <= applied <= acknowledged + unknown
    assert sum(cells.values()) >= WANTED
    assert [cell for cell, faults in cells.items() if not faults] == []


def moves_of_25_tasks(scene: Scene) -> Reply:
    """Each of them reads its neighbours."""
    ids = [str(uuid7(scene.time.time_ns() + place * 10**6)) for place in range(25)]
    now = scene.time.time_ns() // 1_000_000
    new = [tasks.create(None, one, scene.user, NewTask(title="x", list="home"), now) for one in ids]
    puts: Any = [{"PutRequest": {"Item": items.to_item(task, "before")}} for task in new]
    scene.table.client.batch_write_item(RequestItems={scene.table.name: puts})
    moves = [{"op": "move", "id": one, "after": scene.anchor, "list": "home"} for one in ids]
    return batch(*(lambda _, move=move: move for move in moves))(scene)


def erasing(scene: Scene) -> Reply:
    query = {"confirm": scene.user}
    return scene.call(
        "erase_user", "service", path_user=scene.user, query=query, scope="tasks/service", seconds=left(scene)
    )


LONG: dict[str, Ask] = {"batch of 25 moves": moves_of_25_tasks, "erase": erasing}


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.9])
def test_no_request_starts_that_could_not_end_in_time(
    call: Functions, dynamodb_local_url: str, wire: Wire, clock: Time, user: str, seconds: float
) -> None:
    """Every response takes so long, that of the first read included. Then the function has nevertheless responded."""
    wire.marks = True
    ends = Counter[int]()
    for name, ask in {**OPERATIONS, **LONG}.items():
        clock.seconds = 0
        scene = Scene(call, table_at(dynamodb_local_url), wire, clock, f"{user}-{name}-{seconds}")
        scene.begin()
        marks._unmarked.clear()  # as in a new process

        def fault(send: Send) -> Any:
            assert clock.seconds <= LIMIT - RESERVE
            clock.seconds += seconds
            return send()

        wire.faults = [fault] * 1000
        reply = ask(scene)
        wire.faults = []
        assert clock.seconds <= LIMIT - 0.5
        assert reply.status < 300 or (reply.status, reply.kind) == (503, "database-unavailable"), (name, reply)
        ends[reply.status // 100] += 1
    assert min(ends[2], ends[5]) > 0
