"""Responses that are damaged or arrive byte by byte, on real sockets: every response to the client is true."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from mypy_boto3_dynamodb import DynamoDBClient

from local.certificate import identity_in
from shared.models import NewTask, TaskQuery
from shared.store import connections, dynamodb, items
from shared.store.dynamodb import Failure, OutcomeUnknown, Table, Unavailable, new_client
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.conftest import TABLE, deadline_in, table_at
from tests.faults.test_connections import silent_server
from tests.inprocess import functions
from tests.relay import Deliver, Line, Relay, damaged

NOBODY = {"pk": {"S": "USER#nobody"}, "sk": {"S": "TASK#none"}}


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return identity_in(tmp_path_factory.mktemp("identity"))


@pytest.fixture
def tls(moto_url: str, identity: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(identity))
    with Relay(moto_url, identity) as relay:
        yield relay


@pytest.fixture(params=["http", "https"])
def relay(request: pytest.FixtureRequest, moto_url: str) -> Iterator[Relay]:
    if request.param == "https":
        yield request.getfixturevalue("tls")
    else:
        with Relay(moto_url) as relay:
            yield relay


@pytest.fixture
def other(moto_url: str, user: str) -> TaskStore:
    """Another client of the same user, on a connection without faults."""
    return TaskStore(table_at(moto_url, "other"), user, deadline_in(60))


def store_at(url: str, user: str) -> TaskStore:
    return TaskStore(Table(new_client(url), TABLE), user, deadline_in(20))


def test_a_write_is_applied_once_if_the_tls_record_of_its_response_is_damaged(
    tls: Relay, other: TaskStore, user: str
) -> None:
    store = store_at(tls.url, user)
    tls.deliveries = [damaged]
    task = store.create(NewTask(title="once"))
    assert other.list(TaskQuery()).items == [task]
    tls.deliveries = [damaged]
    assert store.toggle(task.id, ANY_VERSION).version == 2
    assert other.get(task.id).version == 2
    assert tls.deliveries == []


def test_the_outcome_is_unknown_if_every_tls_record_is_damaged(tls: Relay, other: TaskStore, user: str) -> None:
    task = other.create(NewTask(title="there"))
    store = store_at(tls.url, user)
    tls.deliveries = [damaged] * 99
    with pytest.raises(OutcomeUnknown):
        store.create(NewTask(title="damaged"))
    assert len(other.list(TaskQuery()).items) == 2
    with pytest.raises(OutcomeUnknown):
        store.toggle(task.id, ANY_VERSION)
    assert other.get(task.id).version == 2


def test_an_untrusted_certificate_is_unavailable_and_nothing_was_changed(
    tls: Relay, other: TaskStore, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(identity_in(tmp_path)))
    with functions(Table(new_client(tls.url), TABLE)) as call:
        reply = call("create_task", user, body={"title": "refused"})
    assert (reply.status, reply.kind) == (503, "database-unavailable")
    assert tls.responses == 0
    assert other.list(TaskQuery()).items == []


@pytest.mark.parametrize("speaks", [True, False], ids=["no TLS", "nothing"])
def test_a_handshake_that_fails_or_never_ends_sends_nothing(
    moto_url: str, user: str, monkeypatch: pytest.MonkeyPatch, speaks: bool
) -> None:
    monkeypatch.setattr(dynamodb, "CONNECT_TIMEOUT", 0.2)
    with silent_server() as silent, Relay(moto_url) as relay:
        url = (relay.url if speaks else silent).replace("http:", "https:")
        with pytest.raises(Unavailable) as raised:
            store_at(url, user).create(NewTask(title="refused"))
        assert relay.responses == 0
    assert raised.value.failure is Failure.UNREACHABLE


def test_the_certificates_are_loaded_once_for_all_connections(
    moto_url: str, identity: Path, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(identity.read_bytes())
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with Relay(moto_url, identity) as relay:
        client = new_client(relay.url)
        store = TaskStore(Table(client, TABLE), user, deadline_in(20))
        store.list(TaskQuery())
        client.close()
        bundle.unlink()
        store.list(TaskQuery())
        assert relay.connections == 2


def test_the_first_request_finds_the_connection_that_the_start_opened(
    relay: Relay, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb, "client", cache(partial(new_client, relay.url)))
    dynamodb.connect()
    assert (relay.connections, relay.responses) == (1, 0)
    TaskStore(Table(dynamodb.client(), TABLE), user, deadline_in(20)).create(NewTask(title="first"))
    assert relay.connections == 1


def test_a_function_starts_without_a_reachable_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "client", cache(partial(new_client, "http://127.0.0.1:9")))
    dynamodb.connect()


def headers_of(response: bytes) -> int:
    return response.index(b"Date")


def body_of(response: bytes) -> int:
    return response.index(b"\r\n\r\n") + 4


def dripping(part: Callable[[bytes], int]) -> Deliver:
    """Deliver 40 bytes one by one, each before the read timeout of the client, and then the rest."""

    def deliver(line: Line, response: bytes) -> None:
        begin = part(response)
        line.send(response[:begin])
        for place in range(begin, begin + 40):
            time.sleep(0.05)
            line.send(response[place : place + 1])
        line.send(response[begin + 40 :])

    return deliver


def connect(client: DynamoDBClient) -> None:
    """Open a connection to the relay, even if it responds slowly."""
    while True:
        with suppress(ReadTimeoutError):
            client.get_item(TableName=TABLE, Key=NOBODY)
            return


@pytest.mark.parametrize("part", [headers_of, body_of])
@pytest.mark.parametrize("reused", [False, True], ids=["first on its connection", "on a reused connection"])
def test_a_response_that_arrives_byte_by_byte_is_ended_in_time(
    relay: Relay,
    other: TaskStore,
    user: str,
    monkeypatch: pytest.MonkeyPatch,
    part: Callable[[bytes], int],
    reused: bool,
) -> None:
    """Each byte arrives in time, so only a limit on the whole response ends it."""
    task = other.create(NewTask(title="dripping"))
    # A client that waits for the whole response gets it after 2 s. Nothing else may end the exchange.
    monkeypatch.setattr(dynamodb, "CONNECT_TIMEOUT", 60.0)
    monkeypatch.setattr(dynamodb, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(dynamodb, "SEND_TIMEOUT", 600.0)
    client = new_client(relay.url)
    if reused:
        connect(client)
    before = relay.connections
    relay.delivery = dripping(part)
    with pytest.raises(ReadTimeoutError):
        client.get_item(TableName=TABLE, Key=items.key_of(items.partition_of(user), task.id))
    assert relay.connections == before + (not reused)


def test_a_write_whose_response_arrives_byte_by_byte_is_applied_once(
    relay: Relay, other: TaskStore, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the rest of the response is not read as the next one."""
    task = other.create(NewTask(title="dripping"))
    monkeypatch.setattr(dynamodb, "READ_TIMEOUT", 1.0)
    store = store_at(relay.url, user)
    relay.deliveries = [dripping(headers_of)]
    assert store.toggle(task.id, ANY_VERSION).version == 2
    assert relay.connections >= 2, "the response was waited for"
    assert store.get(task.id) == other.get(task.id)


def with_header(name: bytes, value: bytes) -> Deliver:
    """Deliver a response with another value of a header."""

    def deliver(line: Line, response: bytes) -> None:
        line.send(re.sub(rb"(?<=\r\n%b: )[^\r]*" % name, value, response, count=1))

    return deliver


GARBLED_HEADERS = {
    "Date": with_header(b"Date", b"yesterday"),
    "Date out of range": with_header(b"Date", b"Mon, 99 Nov 2026 06:37:54 GMT"),
    "checksum": with_header(b"x-amz-crc32", b"x"),
    "checksum of another response": with_header(b"x-amz-crc32", b"5"),
}


@pytest.mark.parametrize("deliver", GARBLED_HEADERS.values(), ids=GARBLED_HEADERS)
def test_a_write_is_applied_once_if_a_header_of_its_response_is_garbled(
    moto_url: str, other: TaskStore, user: str, deliver: Deliver
) -> None:
    task = other.create(NewTask(title="there"))
    with Relay(moto_url) as relay, functions(Table(new_client(relay.url), TABLE)) as call:
        relay.deliveries = [deliver]
        assert call("create_task", user, body={"title": "new"}).status == 201
        relay.deliveries = [deliver]
        assert call("toggle_task", user, task.id).status == 200
        relay.deliveries = [deliver] * 3  # for the reads of the place, and for the write
        assert call("move_task", user, task.id, body={"list": "home", "after": None}).status == 200
    assert len(other.list(TaskQuery()).items) == 2
    assert other.get(task.id).version == 3


@pytest.mark.parametrize("name", ["checksum", "checksum of another response"])
def test_a_write_whose_responses_are_all_garbled_has_an_unknown_outcome(
    moto_url: str, other: TaskStore, user: str, name: str
) -> None:
    task = other.create(NewTask(title="there"))
    with Relay(moto_url) as relay, functions(Table(new_client(relay.url), TABLE)) as call:
        relay.deliveries = [GARBLED_HEADERS[name]] * 99
        assert call("create_task", user, body={"title": "new"}).kind == "outcome-unknown"
        assert call("toggle_task", user, task.id).kind == "outcome-unknown"
    assert len(other.list(TaskQuery()).items) == 2
    assert other.get(task.id).version == 2


def test_the_text_of_a_garbled_response_is_not_logged(
    moto_url: str, other: TaskStore, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = other.create(NewTask(title="secret"))

    def in_the_headers(line: Line, response: bytes) -> None:
        head, _, body = response.partition(b"\r\n\r\n")
        line.send(head.replace(b"\r\nDate", b"\r\n\xffDate\xa0") + b"\r\n" + body + b"\r\n\r\n")
        line.close()

    with Relay(moto_url) as relay, functions(Table(new_client(relay.url), TABLE)) as call:
        relay.delivery = in_the_headers
        assert call("get_task", user, task.id).kind == "database-unavailable"
    assert "secret" not in caplog.text


def test_every_response_on_a_connection_has_the_whole_time(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "READ_TIMEOUT", 60.0)
    monkeypatch.setattr(dynamodb, "SEND_TIMEOUT", 600.0)
    given, sockets = [], []
    begin: Any = connections._TimeLimitedReader.__init__

    def note(self: Any, raw: Any, sock: Any) -> None:
        given.append(sock.gettimeout())
        sockets.append(sock)
        begin(self, raw, sock)

    monkeypatch.setattr(connections._TimeLimitedReader, "__init__", note)
    client = new_client(relay.url)

    def in_pieces(line: Line, response: bytes) -> None:
        for place in range(0, len(response), 40):
            time.sleep(0.01)
            line.send(response[place : place + 40])

    relay.delivery = in_pieces
    for _ in range(3):
        client.get_item(TableName=TABLE, Key=NOBODY)
        assert sockets[-1].gettimeout() < 60.0, "the rest of a response had the whole time again"
    assert given == [60.0] * 3
    assert relay.connections == 1


def test_connect_send_and_response_share_one_time_limit(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "SEND_TIMEOUT", 0.5)

    def late(line: Line, response: bytes) -> None:
        time.sleep(1.5)
        line.send(response)

    relay.delivery = late
    with pytest.raises(ReadTimeoutError):
        new_client(relay.url).get_item(TableName=TABLE, Key=NOBODY)
    assert dynamodb.READ_TIMEOUT > 1.5


def test_a_send_fits_into_the_socket_buffer() -> None:
    assert 2 * dynamodb.CONNECT_TIMEOUT + dynamodb.READ_TIMEOUT <= dynamodb.SEND_TIMEOUT < dynamodb.RESERVE
