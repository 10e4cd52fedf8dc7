"""Responses of DynamoDB with garbled bytes: every response to the caller is true, and none is a 500."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.models import NewTask
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore
from tests.conftest import TABLE, deadline_in, forget, sized, table_at, versions_of
from tests.inprocess import Functions, Reply, functions
from tests.relay import Deliver, Line, Relay, plain

type Ask = Callable[[Functions, str, str], Reply]
type Garble = Callable[[bytes], bytes]

KEY = {"idempotency-key": "garbled"}
BATCH = [{"op": "create", "task": {"title": "new"}}]
# The request of each operation, and its number of writes.
OPERATIONS: dict[str, tuple[Ask, int]] = {
    "get": (lambda call, user, task: call("get_task", user, task), 0),
    "list": (lambda call, user, _: call("list_tasks", user), 0),
    "changes": (lambda call, user, _: call("list_changes", user), 0),
    "create": (lambda call, user, _: call("create_task", user, body={"title": "new"}), 1),
    "create, keyed": (lambda call, user, _: call("create_task", user, body={"title": "new"}, headers=KEY), 1),
    "update": (lambda call, user, task: call("update_task", user, task, body={"title": "new"}), 1),
    "toggle": (lambda call, user, task: call("toggle_task", user, task), 1),
    "toggle, keyed": (lambda call, user, task: call("toggle_task", user, task, headers=KEY), 1),
    "delete": (lambda call, user, task: call("delete_task", user, task), 1),
    "move": (lambda call, user, task: call("move_task", user, task, body={"list": "home", "after": None}), 1),
    "batch": (lambda call, user, _: call("batch_tasks", user, body={"operations": BATCH}, headers=KEY), 1),
    # These meet an error of DynamoDB: the condition of the write fails.
    "toggle, missing": (lambda call, user, _: call("toggle_task", user, str(uuid.uuid4())), 0),
    "toggle, If-Match": (lambda call, user, task: call("toggle_task", user, task, headers={"if-match": '"9-1"'}), 0),
    "move, no anchor": (lambda call, user, task: call("move_task", user, task, body={"after": str(uuid.uuid4())}), 0),
}
REFUSED = {"toggle, missing": 404, "toggle, If-Match": 412, "move, no anchor": 409}
PARTS: dict[str, Callable[[bytes], tuple[int, int]]] = {
    "status line": lambda response: (0, response.index(b"\r\n")),
    "headers": lambda response: (response.index(b"\r\n") + 2, response.index(b"\r\n\r\n") + 4),
    "body": lambda response: (response.index(b"\r\n\r\n") + 4, len(response)),
}


@dataclass(frozen=True)
class Bytes:
    """Replaces some bytes of a part of a response by others."""

    part: str
    place: float
    length: int
    others: bytes

    def __call__(self, response: bytes) -> bytes:
        begin, end = PARTS[self.part](response)
        place = begin + int(self.place * (end - begin))
        return response[:place] + self.others + response[min(place + self.length, end) :]


@dataclass(frozen=True)
class Header:
    """Replaces or adds a header."""

    name: bytes
    value: bytes

    def __call__(self, response: bytes) -> bytes:
        head, _, body = response.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(self.name.lower() + b":")]
        return b"\r\n".join([*lines, self.name + b": " + self.value, b"", body])


@dataclass(frozen=True)
class Status:
    """Replaces the status of the response."""

    status: int

    def __call__(self, response: bytes) -> bytes:
        return b"HTTP/1.1 %d Garbled" % self.status + response[response.index(b"\r\n") :]


NAMES = [b"Date", b"x-amz-crc32", b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Connection"]
VALUES = [b"", b"x", b"-1", b"3", b"99999", b"9" * 5000, b"chunked", b"gzip", b"close", b"\xff", b"1, 2"]
GARBLES: st.SearchStrategy[Garble] = st.one_of(
    st.builds(Bytes, st.sampled_from(list(PARTS)), st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)),
    st.builds(Header, st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.builds(Status, st.sampled_from([100, 200, 204, 206, 300, 301, 304, 400, 403, 404, 413, 500, 503, 999])),
)


@dataclass
class Scene:
    relay: Relay
    call: Functions
    table: Table


@pytest.fixture(scope="module")
def scene(moto_url: str) -> Iterator[Scene]:
    with (
        Relay(moto_url) as relay,
        functions(Table(new_client(relay.url), TABLE)) as call,
        patch("random.uniform", lambda *_: 0),
    ):
        yield Scene(relay, call, table_at(moto_url, "other"))


def garbled(garble: Garble) -> Deliver:
    """Deliver a garbled response, and close: the client must not wait for missing bytes."""

    def deliver(line: Line, response: bytes) -> None:
        line.send(garble(response))
        line.close()

    return deliver


def at_first(relay: Relay, deliver: Deliver) -> Deliver:
    """Deliver only the next response like this, and later ones unchanged."""

    def once(line: Line, response: bytes) -> None:
        relay.delivery = plain
        deliver(line, response)

    return once


@contextmanager
def task_of_a_user(table: Table) -> Iterator[tuple[str, str]]:
    user = f"user-{uuid.uuid4()}"
    try:
        yield user, TaskStore(table, user, deadline_in(60)).create(NewTask(title="old")).id
    finally:
        forget(user)


def writes_to(table: Table, user: str) -> int:
    """The number of applied writes of the tasks of the user after the first create."""
    return sum(versions_of(table, user).values()) - 1


@settings(max_examples=sized(80, 200, 30_000))
@given(name=st.sampled_from(list(OPERATIONS)), garble=GARBLES, always=st.booleans())
@example(name="create", garble=Header(b"Date", b"yesterday"), always=True)
@example(name="create", garble=Header(b"x-amz-crc32", b"x"), always=True)
@example(name="toggle, If-Match", garble=Status(200), always=True)
@example(name="toggle", garble=Status(400), always=True)
@example(name="create", garble=Status(300), always=True)
def test_a_garbled_response_counts_as_lost(scene: Scene, name: str, garble: Garble, always: bool) -> None:
    ask, writes = OPERATIONS[name]
    with task_of_a_user(scene.table) as (user, task):
        scene.relay.delivery = garbled(garble) if always else at_first(scene.relay, garbled(garble))
        reply = ask(scene.call, user, task)
        applied = writes_to(scene.table, user)
    if reply.status < 300:
        assert name not in REFUSED
        assert applied == writes
    elif reply.status == 503:
        assert reply.kind in {"database-unavailable", "outcome-unknown"}
        assert applied <= (writes if reply.kind == "outcome-unknown" else 0)
    else:
        assert (reply.status, applied) == (REFUSED.get(name), 0), reply
