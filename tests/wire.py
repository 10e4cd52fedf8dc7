"""Injects faults between a store and DynamoDB: tests lose, delay, change and count requests."""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, NoReturn, Self, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from shared.store.dynamodb import Table

# The operation of a test that sends the requests of this thread: links applied writes to operations.
OPERATION: ContextVar[object] = ContextVar("OPERATION", default=None)

type Fault = Callable[[Send], AWSResponse]
# Takes a request, and delivers it later.
type Carrier = Callable[[Send], object]

_WRITES = {"BatchWriteItem", "PutItem", "TransactWriteItems"}


class Applied(NamedTuple):
    """A write that DynamoDB applied: operation, write token, items, and the times of request and response (s)."""

    operation: object
    token: str
    items: list[dict[str, Any]]
    began: float
    ended: float


class Wire:
    """Replaces the sending of a botocore client.

    `write_faults` holds the faults of the next writes, and `faults` those of the next requests of any kind, one for
    each; None is no fault. When both lists are empty, `choose` returns the fault.

    `requests` holds the bodies of all requests, and `writes` the writes that DynamoDB applied, including late ones.
    `applied` counts them by write token.
    """

    def __init__(self, table: Table, choose: Callable[[], Fault | None] = lambda: None) -> None:
        self.faults: list[Fault | None] = []
        self.write_faults: list[Fault | None] = []
        self.requests: list[dict[str, Any]] = []
        self.writes: list[Applied] = []
        self.applied: Counter[str] = Counter()
        # Whether faults also apply to reads of the mark of an erased user. The first create of a store reads it.
        self.marks = False
        self._choose = choose
        self._transactions: set[str] = set()
        self._first_deliveries: dict[str, float] = {}
        self._late: list[threading.Timer] = []
        # The default of botocore's clients. Without it each request waits 40 ms for an acknowledgement.
        no_delay: Any = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]  # the stubs call this a list of strings
        self._session = URLLib3Session(max_pool_connections=64, socket_options=no_delay)
        self._lock = threading.Lock()
        self._events = table.client.meta.events

    def __enter__(self) -> Self:
        """Start to intercept requests."""
        self._events.register("before-send.dynamodb", self._send)  # type: ignore[arg-type]  # it takes a response too
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for all late requests, then stop."""
        self._events.unregister("before-send.dynamodb", self._send)  # type: ignore[arg-type]
        self.drain()
        self._session.close()

    def drain(self) -> None:
        """Wait until all late requests have arrived."""
        while self._late:
            self._late.pop().join()

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        send = Send(self, request)
        if not self.marks and send.body.get("Key", {}).get("sk") == {"S": "ERASED"}:
            return send()
        with self._lock:
            self.requests.append(send.body)
            faults = self.write_faults if self.write_faults and send.writes else self.faults
            fault = faults.pop(0) if faults else self._choose()
        return send() if fault is None else fault(send)

    def _deliver(self, send: Send) -> AWSResponse:
        transaction = send.body.get("ClientRequestToken")
        began = time.monotonic()
        if transaction is not None:
            # Two simultaneous deliveries both return 200, and either of them can be the one that was applied.
            began = self._first_deliveries.setdefault(transaction, began)
        response = self._session.send(send.request)
        ended = time.monotonic()
        token = token_of(send.body)
        if response.status_code == 200 and send.writes and token is not None:
            with self._lock:
                # A transaction that arrives twice returns 200 twice, and is applied once.
                if transaction is None or transaction not in self._transactions:
                    self.applied[token] += 1
                    self.writes.append(Applied(send.operation, token, send.items, began, ended))
                    self._transactions.add(transaction or token)
        return response

    def _deliver_later(self, send: Send, seconds: float) -> None:
        timer = threading.Timer(seconds, send)
        self._late.append(timer)
        timer.start()


class Send:
    """A request of a client. Each call delivers it to DynamoDB and returns the response."""

    def __init__(self, wire: Wire, request: AWSPreparedRequest) -> None:
        self.request = request
        self.body: dict[str, Any] = json.loads(cast("bytes", request.body))
        # The header holds the version of the API and the name of the operation, with a dot between them.
        target = request.headers["X-Amz-Target"]
        self.writes = (target if isinstance(target, str) else target.decode()).split(".")[-1] in _WRITES
        self.operation = OPERATION.get()
        self._wire = wire

    @property
    def items(self) -> list[dict[str, Any]]:
        """The task items that the request writes."""
        puts = [self.body, *(part["Put"] for part in self.body.get("TransactItems", []) if "Put" in part)]
        return [put["Item"] for put in puts if "Item" in put and put["Item"]["sk"]["S"].startswith("TASK#")]

    def __call__(self) -> AWSResponse:
        """Deliver the request now."""
        return self._wire._deliver(self)

    def later(self, seconds: float) -> None:
        """Deliver the request after some seconds, independent of its client."""
        self._wire._deliver_later(self, seconds)

    def changed(self, body: dict[str, Any]) -> Send:
        """Return the request with another body. The engines of the tests do not check signatures."""
        content = json.dumps(body).encode()
        headers = HeadersDict(self.request.headers)
        headers["Content-Length"] = str(len(content))
        request = AWSPreparedRequest(self.request.method, self.request.url, headers, content, False)  # type: ignore[arg-type]  # what urllib3 copies
        return Send(self._wire, request)


def token_of(body: dict[str, Any]) -> str | None:
    """Return the write token in the body of a request; None for a read or an upgrade."""
    if "ClientRequestToken" in body:
        return str(body["ClientRequestToken"])
    tokens = body.get("Item", {}).get("write_tokens", {"L": []})["L"]
    return str(tokens[0]["S"]) if tokens else None


class Crash(BaseException):
    """The process ends here."""


def crash_before(_: Send) -> NoReturn:
    """The process ends before it sends the request."""
    raise Crash


def crash_after(send: Send) -> NoReturn:
    """The process ends after the request was applied."""
    send()
    raise Crash


def lost_before(_: Send) -> NoReturn:
    """The request never arrives."""
    raise ConnectionClosedError(endpoint_url="wire")


def lost_after(send: Send) -> NoReturn:
    """The request is applied, and its response is lost."""
    send()
    raise ConnectionClosedError(endpoint_url="wire")


def lost_before_and(then: Callable[[], object]) -> Fault:
    """The request never arrives, and something happens before it can be sent again."""
    return late(lambda _: None, then)


def lost_after_and(then: Callable[[], object]) -> Fault:
    """The request is applied, its response is lost, and something happens before it can be sent again."""
    return late(lambda send: send(), then)


def late(carrier: Carrier, then: Callable[[], object] = lambda: None) -> Fault:
    """The read of the client times out, and the request arrives when the carrier delivers it.

    `then` is called before the client retries. The test does not wait for the timeout.
    """

    def fault(send: Send) -> NoReturn:
        carrier(send)
        then()
        raise ReadTimeoutError(endpoint_url="wire")

    return fault


def late_after_reset(carrier: Carrier) -> Fault:
    """The connection of the client is reset, and the request arrives when the carrier delivers it."""

    def fault(send: Send) -> NoReturn:
        carrier(send)
        raise ConnectionClosedError(endpoint_url="wire")

    return fault


def late_again(carrier: Carrier) -> Fault:
    """The request gets its response, and the carrier delivers it a second time."""

    def fault(send: Send) -> AWSResponse:
        carrier(send)
        return send()

    return fault


def late_after_crash(carrier: Carrier) -> Fault:
    """The process ends after it sent the request, which arrives when the carrier delivers it."""

    def fault(send: Send) -> NoReturn:
        carrier(send)
        raise Crash

    return fault


def after(seconds: float) -> Carrier:
    """Return a carrier that delivers a request after some seconds."""
    return lambda send: send.later(seconds)


class Held:
    """A carrier that holds requests until a test lets them arrive."""

    def __init__(self) -> None:
        self._sends: list[Send] = []

    def __call__(self, send: Send) -> None:
        """Hold a request."""
        self._sends.append(send)

    def arrive(self) -> list[int]:
        """Deliver the held requests in the order of sending, and return the status of each response."""
        held, self._sends = self._sends, []
        return [send().status_code for send in held]


def twice(send: Send) -> AWSResponse:
    """The request is delivered twice, and the client gets the second response."""
    send()
    return send()


def fail_with(status: int, code: str) -> Fault:
    """DynamoDB rejects the request with this error."""

    def fault(_: Send) -> AWSResponse:
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected"}).encode()
        return make_response(status, body)

    return fault


def cut_off(item: dict[str, Any]) -> Fault:
    """DynamoDB rejects the request because of this item, and its response is cut off behind the item."""

    def fault(_: Send) -> AWSResponse:
        error = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "Item": item}
        return make_response(400, json.dumps(error).encode()[:-1])

    return fault


def cancelled(*codes: str) -> Fault:
    """DynamoDB cancels the transaction for these reasons."""

    def fault(_: Send) -> AWSResponse:
        reasons = [{"Code": code, "Message": "injected"} for code in codes]
        error = {"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "Message": "injected"}
        return make_response(400, json.dumps({**error, "CancellationReasons": reasons}).encode())

    return fault


def truncated(send: Send) -> AWSResponse:
    """The request is applied, and its response is cut off."""
    whole = send()
    checksum = {"x-amz-crc32": str(zlib.crc32(whole.content))}
    return make_response(whole.status_code, whole.content[:20], checksum)


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> list[bytes]:
        return [self._body]


def make_response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> AWSResponse:
    all_headers = HTTPHeaders.from_dict({"content-type": "application/x-amz-json-1.0", **(headers or {})})
    return AWSResponse("wire", status, all_headers, _Raw(body))
