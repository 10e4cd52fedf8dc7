"""The DynamoDB client: its timeouts, what a failed request means, and how long to go on sending.

botocore's own retries are off. It would send a write again without saying so, and a toggle whose answer was lost would
be applied twice; so whoever sends a write must know of each send.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import botocore
from botocore.config import Config
from botocore.exceptions import (
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

# All in seconds. DynamoDB answers within some 10 ms; what takes this much longer is lost and better sent again.
# Each address to connect to, and then the TLS handshake, may take CONNECT_TIMEOUT; the answer, up to its last byte, may
# take READ_TIMEOUT; all of it may take SEND_TIMEOUT: two addresses and an answer (2 * 1 + 2). If the handshake is slow
# as well, the answer has less time.
CONNECT_TIMEOUT = 1.0
READ_TIMEOUT = 2.0
SEND_TIMEOUT = 4.0
# Do not start a send with less time left than this before the function's limit (template.yaml: 10): SEND_TIMEOUT, and
# half a second to answer the caller.
RESERVE = 4.5
MAX_FAILURES = 5
# The first and the longest pause before another attempt: after a failure, and after a conflict with another write.
FAILURE_DELAYS = (0.05, 1.0)
CONFLICT_DELAYS = (0.01, 0.2)
# Clocks may differ by 2 s. DynamoDB tells its time in whole seconds, and its answer takes a moment.
SKEW_BEHIND = 2.0
SKEW_AHEAD = 3.5


class Failure(Enum):
    """Why a send failed, in a way that sending again may mend."""

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
# An item collection, which is all that a user has, may hold 10 GB: the price of local secondary indexes.
_FULL = {"ItemCollectionSizeLimitExceeded", "ItemCollectionSizeLimitExceededException"}
_NOT_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)


class Unavailable(Exception):
    """DynamoDB could not be used in time, and nothing was changed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


class OutcomeUnknown(Exception):
    """A write was sent, and whether it was applied can no longer be known."""


class StorageFull(Exception):
    """A write was refused because the user's items have reached the size that DynamoDB allows."""


class Table(NamedTuple):
    """A table and the client to reach it with."""

    client: DynamoDBClient
    name: str


def new_client(endpoint_url: str | None = None, credentials: tuple[str, str] | None = None) -> DynamoDBClient:
    """A client that sends each request once; for DynamoDB itself, or for what speaks like it at a URL.

    botocore by itself reads AWS_ENDPOINT_URL_DYNAMODB for the URL, and finds the credentials.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        tcp_keepalive=True,
        # They save 11 % and 2 % of a warm call. Tests check what the requests of the engine and the queries look
        # like, and botocore adds features to its default user agent for every request.
        parameter_validation=False,
        user_agent=f"Botocore/{botocore.__version__} tasks",
    )
    key, secret = credentials or (None, None)
    client = session().create_client(
        "dynamodb", endpoint_url=endpoint_url, config=config, aws_access_key_id=key, aws_secret_access_key=secret
    )
    connections.bound(client._endpoint.http_session, SEND_TIMEOUT)  # type: ignore[attr-defined]  # noqa: SLF001 - botocore has no place for it
    client.meta.events.register("before-parse.dynamodb", parser.read)
    # With retries off these decide nothing, and they run for every request.
    client.meta.events.unregister("needs-retry.dynamodb", unique_id="retry-config-dynamodb")
    client.meta.events.unregister("request-created.dynamodb", unique_id="seed-max-attempts-dynamodb")
    return cast("DynamoDBClient", client)


def clock_skew() -> float | None:
    """How many seconds this machine's clock is ahead of DynamoDB's, by its last answer; None within the bounds."""
    return None if -SKEW_BEHIND <= parser.skew[0] <= SKEW_AHEAD else round(parser.skew[0], 1)


@cache
def session() -> Session:
    """The session of this process: for it the model of DynamoDB's API is read once."""
    # botocore's 127 handlers serve other services, its retries, and traces that DynamoDB does not read. Without them a
    # cold start and a warm call take a twentieth less.
    return Session(include_builtin_handlers=False)


@cache
def client() -> DynamoDBClient:
    """The client of this process."""
    return new_client()


def failure_of(error: Exception) -> Failure | None:
    """What a failed request means; None for a refusal or a defect, which sending again would not mend."""
    if isinstance(error, ClientError):
        known = [_CODES[code] for code in _codes_of(error.response) if code in _CODES]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return known[0] if known else Failure.UNANSWERED if status >= 500 else None  # noqa: PLR2004 - server errors
    if isinstance(error, _NOT_SENT):
        return Failure.UNREACHABLE
    # An SSLError comes after the handshake (shared.store.connections), so the request may have been applied.
    if isinstance(error, (SSLError, HTTPClientError, ResponseParserError)):
        return Failure.UNANSWERED
    return None


def _codes_of(response: Mapping[str, Any]) -> list[str]:
    """The code of an error, and, of a cancelled transaction, that of each of its parts."""
    reasons = response.get("CancellationReasons", [])
    return [response.get("Error", {}).get("Code", ""), *(reason.get("Code", "") for reason in reasons)]


def _is_storage_full(error: Exception) -> bool:
    return isinstance(error, ClientError) and not _FULL.isdisjoint(_codes_of(error.response))


class Retries:
    """Counts, spaces and ends the attempts of one read or write.

    `deadline` is on the clock of time.monotonic, in seconds. `unanswered` says whether a request of a write was sent
    that may have been applied, or may still be, without our knowing.
    """

    def __init__(self, deadline: float, *, writing: bool = False) -> None:
        self._last_start = deadline - RESERVE
        self._writing = writing
        self._failures = 0
        self._conflicts = 0
        self.unanswered = False

    def failed(self, error: Exception) -> None:
        """Wait before the same request is sent again.

        Raises the error itself where sending again cannot help; StorageFull; OutcomeUnknown or Unavailable after the
        last attempt.
        """
        if _is_storage_full(error):
            # An earlier attempt may have been applied, or have filled the storage.
            raise (OutcomeUnknown() if self.unanswered else StorageFull()) from error
        failure = failure_of(error)
        if failure is None:
            raise error
        if failure is Failure.CONTENDED:
            self.conflicted(error)
            return
        self.unanswered |= self._writing and failure is Failure.UNANSWERED
        self._failures += 1
        if self._failures == MAX_FAILURES or not self._pause(FAILURE_DELAYS, self._failures):
            raise self.given_up(failure) from error

    def conflicted(self, error: Exception | None = None) -> None:
        """Wait, as long as there is time, before a write is tried again that met another write of the same task."""
        self._conflicts += 1
        if not self._pause(CONFLICT_DELAYS, self._conflicts):
            raise self.given_up(Failure.CONTENDED) from error

    def given_up(self, failure: Failure) -> Exception:
        """What the caller must know after the last attempt."""
        return OutcomeUnknown() if self.unanswered else Unavailable(failure)

    def begin(self) -> None:
        """Raise OutcomeUnknown or Unavailable where a request that is sent now could not end in time."""
        if time.monotonic() > self._last_start:
            raise self.given_up(Failure.UNANSWERED)

    def _pause(self, delays: tuple[float, float], count: int) -> bool:
        # Exponential backoff with full jitter, which spreads contenders best:
        # https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        first, longest = delays
        delay = random.uniform(0, min(longest, first * 2 ** min(count - 1, 10)))  # noqa: S311 - no secret
        if time.monotonic() + delay > self._last_start:
            return False
        time.sleep(delay)
        return True
