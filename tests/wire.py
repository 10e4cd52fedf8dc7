"""The wire between a store and DynamoDB, where tests lose, delay and count requests."""

import json
import socket
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Self, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from shared.dynamodb import Table

type Send = Callable[[], AWSResponse]
type Fault = Callable[[Send], AWSResponse]


class Wire:
    """Stands where botocore sends. `faults` are what befalls the next requests, one each; None lets one pass.

    `requests` holds the bodies of all requests, and `applied` how often DynamoDB applied the write of each token.
    """

    def __init__(self, table: Table, choose: Callable[[], Fault | None] = lambda: None) -> None:
        self.faults: list[Fault | None] = []
        self.requests: list[dict[str, Any]] = []
        self.applied: Counter[str] = Counter()
        self._choose = choose
        self._done: set[str] = set()
        # As botocore's clients have it: without this option each request waits 40 ms for an acknowledgement.
        no_delay: Any = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]  # the stubs call this a list of strings
        self._session = URLLib3Session(max_pool_connections=64, socket_options=no_delay)
        self._lock = threading.Lock()
        self._events = table.client.meta.events

    def __enter__(self) -> Self:
        """Stand on the wire."""
        self._events.register("before-send.dynamodb", self._send)  # type: ignore[arg-type]  # it takes an answer too
        return self

    def __exit__(self, *_: object) -> None:
        """Step aside."""
        self._events.unregister("before-send.dynamodb", self._send)  # type: ignore[arg-type]
        self._session.close()

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        body = json.loads(cast("bytes", request.body))
        with self._lock:
            self.requests.append(body)
            fault = self.faults.pop(0) if self.faults else self._choose()

        def send() -> AWSResponse:
            answer = self._session.send(request)
            if answer.status_code == 200 and _is_write(body):
                with self._lock:
                    # A transaction that arrives again is answered 200 again, and not applied again.
                    if body.get("ClientRequestToken") not in self._done:
                        self.applied[token_of(body)] += 1
                    self._done.add(body.get("ClientRequestToken", ""))
            return answer

        return send() if fault is None else fault(send)


def _is_write(body: dict[str, Any]) -> bool:
    parts = body.get("TransactItems", [])
    # To upgrade an item is no write of a client's, and has no token.
    updates = ":token" in body.get("ExpressionAttributeValues", {})
    return "Item" in body or updates or any("Put" in part for part in parts)


def token_of(body: dict[str, Any]) -> str:
    """The write token in the body of a request; that of a transaction is in the record of its key."""
    if "TransactItems" in body:
        token: str = body["TransactItems"][0]["Put"]["Item"]["write_token"]["S"]
    elif "Item" in body:
        token = body["Item"]["write_tokens"]["L"][0]["S"]
    else:
        token = body["ExpressionAttributeValues"][":token"]["S"]
    return token


class Crash(BaseException):
    """The process ends here."""


def crash_before(_: Send) -> NoReturn:
    """The process ends before it sends the request."""
    raise Crash


def crash_after(send: Send) -> NoReturn:
    """The process ends when the request has been applied."""
    send()
    raise Crash


def lost_before(_: Send) -> NoReturn:
    """The request never arrives."""
    raise ConnectionClosedError(endpoint_url="wire")


def lost_after(send: Send) -> NoReturn:
    """The request is applied, and its answer is lost."""
    send()
    raise ConnectionClosedError(endpoint_url="wire")


def lost_before_and(then: Callable[[], object]) -> Fault:
    """The request never arrives, and something happens before it can be sent again."""

    def fault(_: Send) -> NoReturn:
        then()
        raise ReadTimeoutError(endpoint_url="wire")

    return fault


def lost_after_and(then: Callable[[], object]) -> Fault:
    """The request is applied, its answer is lost, and something happens before it can be sent again."""

    def fault(send: Send) -> NoReturn:
        send()
        then()
        raise ReadTimeoutError(endpoint_url="wire")

    return fault


def twice(send: Send) -> AWSResponse:
    """The request is delivered twice, and the second answer arrives."""
    send()
    return send()


def answer(status: int, code: str) -> Fault:
    """DynamoDB refuses the request with this error, and does not apply it."""

    def fault(_: Send) -> AWSResponse:
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected"}).encode()
        return response(status, body)

    return fault


def cancelled(*codes: str) -> Fault:
    """DynamoDB cancels the transaction, for these reasons."""

    def fault(_: Send) -> AWSResponse:
        reasons = [{"Code": code, "Message": "injected"} for code in codes]
        error = {"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "Message": "injected"}
        return response(400, json.dumps({**error, "CancellationReasons": reasons}).encode())

    return fault


def truncated(send: Send) -> AWSResponse:
    """The request is applied, and its answer breaks off half-way."""
    whole = send()
    checksum = {"x-amz-crc32": str(zlib.crc32(whole.content))}
    return response(whole.status_code, whole.content[:20], checksum)


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> list[bytes]:
        return [self._body]


def response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> AWSResponse:
    all_headers = HTTPHeaders.from_dict({"content-type": "application/x-amz-json-1.0", **(headers or {})})
    return AWSResponse("wire", status, all_headers, _Raw(body))
