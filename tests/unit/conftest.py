"""A DynamoDB of scripted responses, and a clock that only tests move. Sockets are blocked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from shared.store import dynamodb, marks
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore
from tests.wire import make_response

NOW = 1_795_415_874_917


@pytest.fixture(autouse=True)
def _no_sockets(socket_disabled: None) -> None:
    """Any network access fails."""


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts without the cache of users who are not erased."""
    monkeypatch.setattr(marks, "_unmarked", {})


@dataclass
class Clock:
    """Replaces the module `time`: its time passes only by `sleep` or when a test moves it."""

    seconds: float = 100.0
    delay: float = 0.0  # by which each sleep takes longer than it should
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds + self.delay

    def time_ns(self) -> int:
        return (NOW + round((self.seconds - 100) * 1000)) * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Back-off sleeps on this clock, always the longest time."""
    clock = Clock()
    monkeypatch.setattr(dynamodb, "time", clock)
    monkeypatch.setattr("random.uniform", lambda _, longest: longest)
    return clock


type Response = dict[str, Any] | bytes | tuple[int, str] | tuple[int, str, dict[str, Any]] | Exception


class Script:
    """The responses of DynamoDB in order: a body, a garbled body, a status with an error code, or an exception."""

    def __init__(self, clock: Clock) -> None:
        self.responses: list[Response] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        # The mark of an erased user. How often it is read does not matter in most tests: such requests are not listed.
        self.mark: dict[str, Any] = {}
        self.reads_of_mark = 0
        self.seconds_per_request = 0.0
        self._clock = clock

    def send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        body = json.loads(cast("bytes", request.body))
        if name == "GetItem" and body["Key"]["sk"] == {"S": "ERASED"}:
            self.reads_of_mark += 1
            return make_response(200, json.dumps(self.mark).encode())
        self.requests.append((name, body))
        self._clock.seconds += self.seconds_per_request
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        if isinstance(response, bytes):
            return make_response(200, response, {"x-amz-crc32": "1"})
        if isinstance(response, dict):
            return make_response(200, json.dumps(response).encode())
        status, code, *more = response
        error = {
            "__type": f"com.amazonaws.dynamodb.v20120810#{code}",
            "message": "scripted",
            **(more[0] if more else {}),
        }
        return make_response(status, json.dumps(error).encode())

    @property
    def tokens(self) -> list[str]:
        """The write token of each PutItem."""
        return [body["Item"]["write_tokens"]["L"][0]["S"] for body in self.puts]

    @property
    def puts(self) -> list[dict[str, Any]]:
        """The body of each PutItem."""
        return [body for name, body in self.requests if name == "PutItem"]


@pytest.fixture
def script(clock: Clock) -> Iterator[Script]:
    script = Script(clock)
    yield script
    assert not script.responses, "requests that were never sent"


@pytest.fixture
def store(script: Script, clock: Clock) -> TaskStore:
    """The tasks of alice, with 10 s for each request."""
    client = new_client("http://dynamodb.invalid")
    client.meta.events.register("before-send.dynamodb", script.send)  # type: ignore[arg-type]  # it may respond
    return TaskStore(Table(client, "tasks"), "alice", clock.seconds + 10, clock.time_ns)


TASK_ID = "01a20720-1d65-7ec7-a429-721882d38931"
NO_DUE = "9999-99-99T99:99:99Z"


def item(**changes: Any) -> dict[str, Any]:
    """The item of an open task at version 1; `changes` are in DynamoDB's form, and None removes an attribute."""
    whole = {
        "pk": {"S": "USER#alice"},
        "sk": {"S": f"TASK#{TASK_ID}"},
        "schema": {"N": "1"},
        "title": {"S": "Buy milk"},
        "created_at": {"N": str(NOW)},
        "updated_at": {"N": str(NOW)},
        "version": {"N": "1"},
        "by_creation": {"S": f"task#{TASK_ID}"},
        "by_status": {"S": f"task#open#{NO_DUE}#{TASK_ID}"},
        "by_change": {"S": f"00{NOW}#task#{TASK_ID}"},
        "write_tokens": {"L": [{"S": "first"}]},
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def tombstone(expires_at: int = NOW // 1000 + 1000) -> dict[str, Any]:
    """The item of a task in the trash."""
    return item(
        by_creation=None,
        by_status={"S": f"task#trash#00{NOW}#{TASK_ID}"},
        deleted_at={"N": str(NOW)},
        expires_at={"N": str(expires_at)},
    )
