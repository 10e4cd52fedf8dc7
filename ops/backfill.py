"""Scans a table in parallel with a rate limit, and can continue after an interruption or a crash."""

import argparse
import fcntl
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from pydantic import BaseModel, NonNegativeInt

from ops import command
from ops.command import WAITING, CommandError, Interrupted, positive, progress
from shared.pseudonyms import pseudonym_in
from shared.store import items
from shared.store.items import Item

# Processes an item and returns its outcome, a word that the report counts. Raises ItemError if the item stays as it is.
type Work = Callable[[Item], str]

# Errors of a request that concern one item: the others can still be processed.
_OF_AN_ITEM = frozenset({"ItemCollectionSizeLimitExceededException", "ValidationException"})
# Connections to DynamoDB, and so the most segments.
CONNECTIONS: Final = 64
# Seconds between two messages that the client waits.
_SILENCE = 5.0
# Attempts for a write that conflicts with transactions: about half a minute.
_CONFLICT_ATTEMPTS = 60


class ItemError(Exception):
    """An item cannot be processed. The message says why, without the text of a task."""


def add_rate(parser: argparse.ArgumentParser, units: str) -> None:
    """Add the options `--segments` and `--units`."""
    parser.add_argument(
        "--segments", type=partial(positive, most=CONNECTIONS), default=4, help="number of parallel segments (4)"
    )
    parser.add_argument("--units", type=positive, default=1000, help=f"maximum {units} per second (1000)")


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


class _Saved(BaseModel):
    """The content of a state file."""

    purpose: str
    segments: list[Segment]
    counts: dict[str, NonNegativeInt]
    sync_token: str = ""


@dataclass(slots=True)
class State:
    """The progress of a walk, stored in a file: its purpose, and the position in each segment.

    The purpose names what the walk belongs to, such as the ids of its tables. Another walk does not continue it.
    """

    path: Path
    purpose: str
    segments: list[Segment]
    counts: Counter[str] = field(default_factory=Counter)
    # A sync token of the API: only the user that the walk belongs to can use it.
    sync_token: str = ""

    @classmethod
    @contextmanager
    def at(cls, path: Path, purpose: str, segments: int) -> Iterator[Self]:
        """Load the state from a file, or create it, and lock it for this process. Raises CommandError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if not path.exists():
                yield cls(path, purpose, [Segment() for _ in range(segments)])
                return
            yield cls._loaded(path, purpose)

    @classmethod
    def _loaded(cls, path: Path, purpose: str) -> Self:
        again = f"Remove {path} to start again from the beginning"
        try:
            saved = _Saved.model_validate_json(path.read_bytes())
        except ValueError:
            raise CommandError(f"{path} is no file of this command. {again}.") from None
        if saved.purpose != purpose:
            raise CommandError(
                f"{path} has the progress of another run: {saved.purpose}. This run is: {purpose}. {again}."
            )
        if not saved.segments:
            raise CommandError(f"{path} is damaged. {again}.")
        return cls(path, purpose, saved.segments, Counter(saved.counts), saved.sync_token)

    def save(self) -> None:
        """Replace the file atomically. It contains user ids, so only its owner may read it."""
        saved = _Saved(purpose=self.purpose, segments=self.segments, counts=self.counts, sync_token=self.sync_token)
        new = self.path.with_name(f"{self.path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(saved.model_dump_json())
                file.flush()
                os.fsync(descriptor)
            new.replace(self.path)
        except OSError:  # such as a full disk
            new.unlink(missing_ok=True)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, and leave nothing behind. Raises CommandError if another process has it."""
    name = path.with_name(f"{path.name}.lock")
    while True:
        with name.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError(f"{path} is in use by another process. Wait until it ends, or stop it.") from None
            try:
                if os.fstat(lock.fileno()).st_ino != name.stat().st_ino:
                    continue  # another process has removed it meanwhile
            except FileNotFoundError:
                continue
            try:
                yield
            finally:
                name.unlink(missing_ok=True)
            return


def identity_of(client: Any, table: str) -> str:
    """Return the name and the id of a table, or its time of creation: another table may get the same name later."""
    described = client.describe_table(TableName=table).get("Table", {})
    identity = described.get("TableId") or described.get("CreationDateTime")  # engines for tests give no id
    if identity is None:
        raise CommandError(f"DynamoDB does not describe the table {table}. Check AWS_ENDPOINT_URL_DYNAMODB.")
    return f"{table} ({identity})"


def walk(  # noqa: PLR0913, PLR0917 - the parts of a walk
    client: Any,
    search: Mapping[str, Any],
    work: Work,
    state: State,
    limiter: RateLimiter,
    stop: threading.Event,
    stack_id: str = "",
) -> Counter[str]:
    """Call `work` for every item; return how often each outcome occurred, and the number of items read ("seen").

    `search` has the parameters of a Scan, or of a Query of one partition, which has one segment only. Progress is saved
    after each complete page. After an interruption, a page is processed again from its beginning, so `work` must be
    idempotent. An item that `work` cannot process is counted as "failed", and named on standard error, with the
    pseudonym of its user if the id of the stack is known. Raises Interrupted if `stop` is set, and the errors of AWS
    that are not about one item.
    """
    lock = threading.Lock()
    scans = "KeyConditionExpression" not in search
    read = client.scan if scans else client.query
    total: int = client.describe_table(TableName=search["TableName"])["Table"].get("ItemCount", 0) if scans else 0
    with progress() as bars:
        bar = bars.add_task(state.purpose, total=total or None, completed=state.counts["seen"])

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
                if "Items" not in page:
                    raise CommandError("A response of DynamoDB is damaged. Run the same command again.")
                outcomes = Counter({"seen": page["ScannedCount"]})
                for item in page["Items"]:
                    if stop.is_set():
                        raise Interrupted
                    outcomes[_outcome(work, item, stack_id)] += 1
                with lock:
                    segment.after, segment.done = page.get("LastEvaluatedKey"), "LastEvaluatedKey" not in page
                    state.counts.update(outcomes)
                    state.save()
                bars.advance(bar, page["ScannedCount"])

        with ThreadPoolExecutor(len(state.segments)) as pool:
            walks = [pool.submit(walk_segment, number) for number in range(len(state.segments))]
            wait(walks, return_when=FIRST_EXCEPTION)
            if any(walk.done() and walk.exception() for walk in walks):
                stop.set()  # the other segments stop after their current item
            for ended in sorted(walks, key=lambda one: isinstance(one.exception(), Interrupted)):
                ended.result()
    state.path.unlink()
    return state.counts


def _outcome(work: Work, item: Item, stack_id: str) -> str:
    try:
        return work(item)
    except ItemError as error:
        reason = str(error)
    except ClientError as error:
        reason = error.response["Error"]["Code"]
        if reason not in _OF_AN_ITEM:
            raise
    except (Interrupted, CommandError, BotoCoreError, ResponseParserError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - a broken item must not stop the work on the others
        reason = f"{type(error).__name__}, the item has another shape than this release expects"
    user = pseudonym_in(stack_id, items.user_of(item), items.tenant_of(item)) if stack_id else "unknown"
    sys.stderr.write(f"{item['sk']['S']} of the user {user}: {reason}\n")
    return "failed"


def new_client(role_arn: str | None = None) -> Any:
    """Return a DynamoDB client. With a role, it assumes this role and refreshes the credentials.

    All requests of a walk are idempotent, so botocore may retry them, and slow down if DynamoDB throttles. The client
    says on standard error that it waits.
    """
    retries: Any = {"total_max_attempts": 10, "mode": "adaptive"}
    session = _session_in(role_arn) if role_arn else None
    client = command.client("dynamodb", session, read_timeout=10, retries=retries, max_pool_connections=CONNECTIONS)
    handler: Any = _retry_after_conflict  # the type stubs do not allow a handler that returns a value
    client.meta.events.register("needs-retry.dynamodb", handler)
    return client


_said_at = 0.0


def _retry_after_conflict(
    response: tuple[Any, Mapping[str, Any]] | None,
    attempts: int,
    caught_exception: Exception | None = None,
    **_: object,
) -> float | None:
    global _said_at  # noqa: PLW0603 - one line for all segments
    code = "" if response is None else response[1].get("Error", {}).get("Code", "")
    if (caught_exception is not None or code in WAITING) and time.monotonic() > _said_at + _SILENCE:
        _said_at = time.monotonic()
        reason = code or type(caught_exception).__name__
        sys.stderr.write(f"Waiting for DynamoDB: {reason}, attempt {attempts}\n")
    # botocore does not retry this error. Here its cause is a simultaneous transaction of a user on the same item.
    conflict = code == "TransactionConflictException"
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
