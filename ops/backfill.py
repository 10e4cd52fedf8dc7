"""Scans a table in parallel with a rate limit, and can continue after an interruption or a crash."""

import argparse
import fcntl
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shared.store.items import Item

# Processes an item and returns its outcome, a word that the report counts.
type Work = Callable[[Item], str]

# Attempts for a write that conflicts with transactions: about half a minute.
_CONFLICT_ATTEMPTS = 60


class Interrupted(Exception):
    """The walk was stopped. Its state file contains its progress."""


class StateFileError(ValueError):
    """The state file belongs to another walk, or another process is using it."""


def add_rate(parser: argparse.ArgumentParser, units: str) -> None:
    """Add the options `--segments` and `--units`."""
    parser.add_argument("--segments", type=positive_int, default=4, help="number of parallel segments (4)")
    parser.add_argument("--units", type=positive_int, default=1000, help=f"maximum {units} per second (1000)")


def positive_int(text: str) -> int:
    """Parse a positive integer. Raises ValueError for anything else."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class RateLimiter:
    """Limits the capacity units per second. What a request consumes is only known from its response."""

    def __init__(self, units_per_second: float) -> None:
        self._seconds_per_unit = 1 / units_per_second
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def wait(self) -> None:
        """Wait until the rate of the consumed units is below the limit."""
        while (seconds := self._free_at - time.monotonic()) > 0:
            time.sleep(seconds)

    def record(self, response: Mapping[str, Any]) -> None:
        """Add the ConsumedCapacity of a response."""
        units = response.get("ConsumedCapacity", {}).get("CapacityUnits", 1.0)
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + units * self._seconds_per_unit


@dataclass(slots=True)
class Segment:
    """The progress in one segment of the table."""

    after: dict[str, Any] | None = None
    done: bool = False


@dataclass(slots=True)
class State:
    """The progress of a walk, stored in a file: its purpose, and the position in each segment."""

    path: Path
    purpose: str
    segments: list[Segment]
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    @contextmanager
    def at(cls, path: Path, purpose: str, segments: int) -> Iterator[Self]:
        """Load the state from a file, or create it, and lock it for this process. Raises StateFileError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateFileError(f"{path} is in use by another process") from None
            if not path.exists():
                yield cls(path, purpose, [Segment() for _ in range(segments)])
                return
            found = json.loads(path.read_text())
            if found["purpose"] != purpose:
                raise StateFileError(
                    f"{path} belongs to another walk ({found['purpose']}): remove it, or use another file"
                )
            counts = Counter(found["counts"])
            yield cls(path, purpose, [Segment(**segment) for segment in found["segments"]], counts)

    def save(self) -> None:
        """Replace the file atomically. It contains user ids, so only its owner may read it."""
        content = {
            "purpose": self.purpose,
            "segments": [asdict(segment) for segment in self.segments],
            "counts": self.counts,
        }
        new = self.path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)


def run(command: Callable[[threading.Event], Counter[str]]) -> int:
    """Run a command that signals can stop, and print its counts.

    Return 0, or 1 if an item failed or differs, 2 after any other error, 130 if stopped.
    """
    try:
        with stop_on_signal() as stop:
            counts = command(stop)
    except Interrupted:
        sys.stderr.write("Stopped. Run the same command to continue.\n")
        return 130
    except (ClientError, BotoCoreError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("".join(f"{name:24} {count}\n" for name, count in sorted(counts.items())))
    return 1 if counts["failed"] or counts["different"] else 0


def walk(  # noqa: PLR0913, PLR0917 - the parts of a walk
    client: Any, search: Mapping[str, Any], work: Work, state: State, limiter: RateLimiter, stop: threading.Event
) -> Counter[str]:
    """Call `work` for every item; return how often each outcome occurred, and the number of items read ("seen").

    `search` has the parameters of a Scan, or of a Query of one partition, which has one segment only. Progress is saved
    after each complete page. After an interruption, a page is processed again from its beginning, so `work` must be
    idempotent. Raises Interrupted if `stop` is set, and the exceptions of the search and of `work`.
    """
    lock = threading.Lock()
    scans = "KeyConditionExpression" not in search
    read = client.scan if scans else client.query
    total: int = client.describe_table(TableName=search["TableName"])["Table"]["ItemCount"] if scans else 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(state.purpose, total=total or None, completed=state.counts["seen"])

        def walk_segment(number: int) -> None:
            segment = state.segments[number]
            while not segment.done:
                if stop.is_set():
                    raise Interrupted
                position: dict[str, Any] = {"Segment": number, "TotalSegments": len(state.segments)} if scans else {}
                if segment.after:
                    position["ExclusiveStartKey"] = segment.after
                limiter.wait()
                page = read(**search, **position, ReturnConsumedCapacity="TOTAL")
                limiter.record(page)
                outcomes = Counter({"seen": page["ScannedCount"]})
                for item in page["Items"]:
                    if stop.is_set():
                        raise Interrupted
                    outcomes[work(item)] += 1
                with lock:
                    segment.after, segment.done = page.get("LastEvaluatedKey"), "LastEvaluatedKey" not in page
                    state.counts.update(outcomes)
                    state.save()
                progress.advance(bar, page["ScannedCount"])

        with ThreadPoolExecutor(len(state.segments)) as pool:
            walks = [pool.submit(walk_segment, number) for number in range(len(state.segments))]
            wait(walks, return_when=FIRST_EXCEPTION)
            if any(walk.done() and walk.exception() for walk in walks):
                stop.set()  # the other segments stop after their current item
            for ended in sorted(walks, key=lambda one: isinstance(one.exception(), Interrupted)):
                ended.result()
    state.path.unlink()
    return state.counts


def new_client(role_arn: str | None = None) -> Any:
    """Return a DynamoDB client. With a role, it assumes this role and refreshes the credentials.

    All requests of a walk are idempotent, so botocore may retry them, and slow down if DynamoDB throttles.
    """
    retries: Any = {"total_max_attempts": 10, "mode": "adaptive"}
    config = Config(retries=retries, max_pool_connections=64)
    client = (_session_in(role_arn) if role_arn else boto3.Session()).client("dynamodb", config=config)
    handler: Any = _retry_after_conflict  # the type stubs do not allow a handler that returns a value
    client.meta.events.register("needs-retry.dynamodb", handler)
    return client


def _retry_after_conflict(response: tuple[Any, Mapping[str, Any]] | None, attempts: int, **_: object) -> float | None:
    # botocore does not retry this error. Here its cause is a simultaneous transaction of a user on the same item.
    conflict = response is not None and response[1].get("Error", {}).get("Code") == "TransactionConflictException"
    return random.uniform(0, 1) if conflict and attempts < _CONFLICT_ATTEMPTS else None  # noqa: S311 - no secret


def _session_in(role_arn: str) -> boto3.Session:
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials  # noqa: PLC0415
    from botocore.session import get_session  # noqa: PLC0415

    caller, session = get_session(), get_session()
    fetcher = AssumeRoleCredentialFetcher(caller.create_client, caller.get_credentials(), role_arn)

    class Role:
        METHOD = CANONICAL_NAME = "the role of a walk"

        @staticmethod
        def load() -> DeferredRefreshableCredentials:
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")

    resolver: Any = session.get_component("credential_provider")
    resolver.providers.insert(0, Role())
    return boto3.Session(botocore_session=session)
