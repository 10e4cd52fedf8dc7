"""EventBridge: publishes events in batches, and returns which of them were not published.

Only `publish_events` and the commands of ops/ import this module.
"""

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.events import SOURCE, USER_ERASED
from shared.store.dynamodb import session

# An entry of a PutEvents request.
type Entry = dict[str, Any]

# The limits of a request. EventBridge accepts larger ones since 2026, but our events have at most 70 KB.
BATCH_ENTRIES = 10
BATCH_BYTES = 256_000
# Seconds. An attempt needs RESERVE: a request with its retries takes less.
_CONNECT_TIMEOUT = 1.0
_READ_TIMEOUT = 2.0
RESERVE = 3.5
_FIRST_DELAY = 0.05
_LONGEST_DELAY = 1.0


def new_client(endpoint_url: str | None = None) -> Any:
    """Make a client that sends each request once: `publish` does the retries."""
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    return session().create_client("events", endpoint_url=endpoint_url, config=config)


def entry(bus: str, detail_type: str, detail: Mapping[str, Any], at: float) -> Entry:
    """Return the entry of an event for PutEvents. `at` is the time of the write, in seconds since 1970."""
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": detail_type,
        "Time": at,
        "Detail": json.dumps(detail, ensure_ascii=False, separators=(",", ":")),
    }


def publish(client: Any, entries: Sequence[Entry], deadline: float) -> tuple[int, Exception | None]:
    """Publish events in order. Return how many of the first ones are published, and the error if not all are.

    Failures are retried until `deadline`, a value of time.monotonic. Some events after the first unpublished one
    may be published.
    """
    done = 0
    for batch in _batches(entries):
        left, error = _send(client, batch, deadline)
        if left:
            return done + left[0], error
        done += len(batch)
    return done, None


class NotPublished(Exception):
    """EventBridge accepted a request, but refused some of its events."""


class OutOfTime(Exception):
    """The time of the function is over before a request could end."""


def _send(client: Any, batch: Sequence[Entry], deadline: float) -> tuple[list[int], Exception | None]:
    """Send a batch until all of it is published or time is up; return the indexes of what is left, and why."""
    left, delay = list(range(len(batch))), _FIRST_DELAY
    error: Exception | None = OutOfTime()
    pause = 0.0
    while left and time.monotonic() + pause + RESERVE <= deadline:
        time.sleep(pause)
        try:
            results = client.put_events(Entries=[batch[index] for index in left])["Entries"]
        except (ClientError, BotoCoreError) as failed:
            error = failed
        else:
            refused = {index: one["ErrorCode"] for index, one in zip(left, results, strict=True) if "ErrorCode" in one}
            left, error = list(refused), NotPublished(", ".join(sorted(set(refused.values()))))
        pause = random.uniform(0, delay)  # noqa: S311 - full jitter, as in shared/store/dynamodb.py
        delay = min(2 * delay, _LONGEST_DELAY)
    return left, error


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Divide events into requests. EventBridge may refuse some events of a request: they are sent after the others.

    So the end of an erasure begins a request. All events of the user have been published before.
    """
    batch: list[Entry] = []
    size = 0
    for one in entries:
        more = len(one["Detail"].encode()) + len(one["DetailType"]) + len(SOURCE) + 14
        is_full = len(batch) == BATCH_ENTRIES or size + more > BATCH_BYTES
        if batch and (is_full or one["DetailType"] == USER_ERASED):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += more
    if batch:
        yield batch
