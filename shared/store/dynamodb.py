"""The DynamoDB client: its timeouts, the meaning of failed requests, and the limits of retries.

botocore's own retries are off. The write engine must know of every request that is sent: only then can it say
whether a write was applied when no response arrives.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import botocore
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from botocore.session import Session

from shared.store import connections, parser

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# All in seconds. DynamoDB responds within about 10 ms, so a request that takes this much longer is considered lost.
# CONNECT_TIMEOUT limits the connection to each address and also the TLS handshake. READ_TIMEOUT limits the response,
# up to its last byte. SEND_TIMEOUT limits the whole exchange: two addresses and a response (2 * 1 + 2). If the
# handshake is slow too, the response has less time.
CONNECT_TIMEOUT = 1.0
READ_TIMEOUT = 2.0
SEND_TIMEOUT = 4.0
# Do not start an attempt with less time left than this before the function's time limit (template.yaml: 10):
# SEND_TIMEOUT, and half a second to respond to the client.
RESERVE = 4.5
MAX_FAILURES = 5
# The upper limits of the first and of the longest pause: after a failure, and after a conflict with another write.
FAILURE_DELAYS = (0.05, 1.0)
CONFLICT_DELAYS = (0.01, 0.2)
# The maximum time in ms from the stamp of a write until every read sees it: the 10 s that a function may run
# (template.yaml), the 5 s by which a request may arrive after its end, clocks that differ by 2 s, and 3 s of reserve.
SETTLED = 20_000

# Clocks may differ by 2 s (docs/http-api.md). The limit ahead is larger, because the Date header of a response is cut
# to whole seconds and the response takes some time to arrive.
SKEW_BEHIND = 2.0
SKEW_AHEAD = 3.5


class Failure(Enum):
    """Why an attempt failed, where a retry may succeed."""

    THROTTLED = "throttled"
    CONTENDED = "contended"
    UNREACHABLE = "unreachable"
    UNANSWERED = "unanswered"


_CODES = {
    "LimitExceededException": Failure.THROTTLED,
    "ProvisionedThroughputExceeded": Failure.THROTTLED,
    "ProvisionedThroughputExceededException": Failure.THROTTLED,
    "RequestLimitExceeded": Failure.THROTTLED,
    "ThrottlingError": Failure.THROTTLED,
    "ThrottlingException": Failure.THROTTLED,
    "InternalFailure": Failure.UNANSWERED,
    "InternalServerError": Failure.UNANSWERED,
    "ServiceUnavailable": Failure.UNANSWERED,
    "TransactionConflict": Failure.CONTENDED,
    "TransactionConflictException": Failure.CONTENDED,
    "TransactionInProgressException": Failure.CONTENDED,
}
# With local secondary indexes, DynamoDB limits an item collection, here all items of one user, to 10 GB.
_FULL = {"ItemCollectionSizeLimitExceeded", "ItemCollectionSizeLimitExceededException"}
_NOT_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)


class Unavailable(Exception):
    """DynamoDB did not complete the request in time, and nothing was changed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


class OutcomeUnknown(Exception):
    """A write was sent, and it is unknown whether it was applied."""


class StorageFull(Exception):
    """A write was refused because the user's items have reached the size that DynamoDB allows."""


class IncompleteResponse(Exception):
    """DynamoDB left out a part of a BatchGetItem or BatchWriteItem, which it does when it throttles."""


class Table(NamedTuple):
    """A table, and the client that sends requests to it."""

    client: DynamoDBClient
    name: str


def new_client(endpoint_url: str | None = None, credentials: tuple[str, str] | None = None) -> DynamoDBClient:
    """Make a client that sends each request once.

    By default, botocore takes the endpoint from AWS_ENDPOINT_URL_DYNAMODB and finds the credentials itself.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        tcp_keepalive=True,
        # These two save 11 % and 2 % of a warm call. Tests check the requests of the engine and the queries, so
        # validation is not needed here. botocore would compute its default user agent for every request.
        parameter_validation=False,
        user_agent=f"Botocore/{botocore.__version__} tasks",
    )
    key, secret = credentials or (None, None)
    client = session().create_client(
        "dynamodb", endpoint_url=endpoint_url, config=config, aws_access_key_id=key, aws_secret_access_key=secret
    )
    http_session = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001 - not public
    connections.use_bounded_connections(http_session, SEND_TIMEOUT)
    client.meta.events.register("before-parse.dynamodb", parser.read)
    # Retries are off, so these two handlers only take time.
    client.meta.events.unregister("needs-retry.dynamodb", unique_id="retry-config-dynamodb")
    client.meta.events.unregister("request-created.dynamodb", unique_id="seed-max-attempts-dynamodb")
    return cast("DynamoDBClient", client)


def clock_skew() -> float | None:
    """The seconds by which this machine's clock is ahead of DynamoDB's. None if the difference is acceptable."""
    skew = parser.clock_skew.seconds
    return None if -SKEW_BEHIND <= skew <= SKEW_AHEAD else round(skew, 1)


@cache
def session() -> Session:
    """The botocore session of this process. It reads the model of DynamoDB's API once."""
    # botocore's 127 handlers are for other services, its retries, and traces that DynamoDB does not read. Without them
    # a cold start and a warm call take a twentieth less.
    return Session(include_builtin_handlers=False)


def connect() -> None:
    """Open the connection of the first request, and load the certificates, while the function still starts.

    Lambda gives a starting function a whole processor. The request is not signed, and any response will do. If none
    arrives, the first request connects.
    """
    endpoint = client()._endpoint  # type: ignore[attr-defined]  # noqa: SLF001 - not public
    with suppress(BotoCoreError):
        endpoint.http_session.send(AWSRequest("GET", endpoint.host).prepare())


@cache
def client() -> DynamoDBClient:
    """The DynamoDB client of this process."""
    return new_client()


def failure_of(error: Exception) -> Failure | None:
    """Classify the error of a request. None if a retry cannot help: DynamoDB rejected the request, or it is a bug."""
    if isinstance(error, ClientError):
        known = [_CODES[code] for code in _codes_of(error.response) if code in _CODES]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return known[0] if known else Failure.UNANSWERED if status >= 500 else None  # noqa: PLR2004 - server errors
    if isinstance(error, IncompleteResponse):
        return Failure.THROTTLED
    if isinstance(error, _NOT_SENT):
        return Failure.UNREACHABLE
    # shared.store.connections raises SSLError only after the handshake, so the request may have been applied.
    if isinstance(error, (SSLError, HTTPClientError, ResponseParserError)):
        return Failure.UNANSWERED
    return None


def _codes_of(response: Mapping[str, Any]) -> list[str]:
    """The error code of a response. For a cancelled transaction, also the code of each of its parts."""
    reasons = response.get("CancellationReasons", [])
    return [response.get("Error", {}).get("Code", ""), *(reason.get("Code", "") for reason in reasons)]


def _is_storage_full(error: Exception) -> bool:
    return isinstance(error, ClientError) and not _FULL.isdisjoint(_codes_of(error.response))


class Retries:
    """Counts the attempts of one read or write, waits between them, and decides when to stop.

    `deadline` is a value of time.monotonic, in seconds. `late` is the failure to report if there is no time for the
    first attempt. `unanswered` is true if a write was sent and got no response: it may have been applied, or may still
    be applied later.
    """

    def __init__(self, deadline: float, *, writing: bool = False, late: Failure = Failure.UNANSWERED) -> None:
        self._last_start = deadline - RESERVE
        self._writing = writing
        self._last_failure = late
        self._failures = 0
        self._conflicts = 0
        self.unanswered = False

    def wait_after_failure(self, error: Exception) -> None:
        """Wait before the next attempt to send the same request.

        Raises the error itself if a retry cannot help, StorageFull if the user's storage is full, and OutcomeUnknown
        or Unavailable if no attempt is left.
        """
        if _is_storage_full(error):
            # An earlier attempt may have been applied, or have filled the storage.
            raise (OutcomeUnknown() if self.unanswered else StorageFull()) from error
        failure = failure_of(error)
        if failure is None:
            raise error  # also Unavailable and OutcomeUnknown of `send`
        if failure is Failure.CONTENDED:
            self.wait_after_conflict(error)
            return
        self.unanswered |= self._writing and failure is Failure.UNANSWERED
        self._last_failure = failure
        self._failures += 1
        if self._failures == MAX_FAILURES or not self._pause(FAILURE_DELAYS, self._failures):
            raise self._final_error() from error

    def wait_after_conflict(self, error: Exception | None = None) -> None:
        """Wait before the next attempt after a conflict with another write of the same task.

        Raises OutcomeUnknown or Unavailable if no time is left. The number of attempts is not limited.
        """
        self._last_failure = Failure.CONTENDED
        self._conflicts += 1
        if not self._pause(CONFLICT_DELAYS, self._conflicts):
            raise self._final_error() from error

    def send[Response](self, request: Callable[[], Response]) -> Response:
        """Send a request. All requests of the store are sent here, so none starts that could not end in time.

        Raises OutcomeUnknown or Unavailable instead of sending a request too late, and the errors of the request.
        """
        if time.monotonic() > self._last_start:
            raise self._final_error()
        return request()

    def _final_error(self) -> Exception:
        return OutcomeUnknown() if self.unanswered else Unavailable(self._last_failure)

    def _pause(self, delays: tuple[float, float], count: int) -> bool:
        """Wait, and return True. Return False without waiting if the next attempt would start too late."""
        # Exponential backoff with full jitter, because it separates competing writers best:
        # https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        first, longest = delays
        delay = random.uniform(0, min(longest, first * 2 ** min(count - 1, 10)))  # noqa: S311 - not a secret
        if time.monotonic() + delay > self._last_start:
            return False
        time.sleep(delay)
        return True
