"""Walks a whole table in parallel, no faster than told, and goes on where it was stopped, however it was stopped."""

import fcntl
import json
import os
import random
import signal
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
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shared.store.items import Item

# What became of an item, in a word that the report counts.
type Work = Callable[[Item], str]

# How often a write is sent that meets a transaction each time: for some half a minute.
_CONFLICTS = 60


class Interrupted(Exception):
    """A walk was told to stop; what it has done is in its state file."""


class OtherWalk(ValueError):
    """A state file belongs to another walk, or to one that is under way."""


def positive(text: str) -> int:
    """The number that an option gives. Raises ValueError where it is none, or not positive."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and a request to terminate set."""
    stop = threading.Event()
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class Pace:
    """Spends capacity units no faster than so many a second. What a request takes is known once it was answered."""

    def __init__(self, units_per_second: float) -> None:
        self._seconds_per_unit = 1 / units_per_second
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def wait(self) -> None:
        """Wait until what was spent is paid off."""
        while (seconds := self._free_at - time.monotonic()) > 0:
            time.sleep(seconds)

    def spent(self, answer: Mapping[str, Any]) -> None:
        """Count what a request took, by its ConsumedCapacity."""
        units = answer.get("ConsumedCapacity", {}).get("CapacityUnits", 1.0)
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + units * self._seconds_per_unit


@dataclass(slots=True)
class Segment:
    """How far a segment of the table is walked."""

    after: dict[str, Any] | None = None
    done: bool = False


@dataclass(slots=True)
class State:
    """How far a walk is, in a file: what is to be done to which table, and the place reached in each segment."""

    path: Path
    purpose: str
    segments: list[Segment]
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    @contextmanager
    def at(cls, path: Path, purpose: str, segments: int) -> Iterator[Self]:
        """The state in a file, or a new one, for this process alone. Raises OtherWalk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OtherWalk(f"{path} is in use: the same walk is under way") from None
            if not path.exists():
                yield cls(path, purpose, [Segment() for _ in range(segments)])
                return
            found = json.loads(path.read_text())
            if found["purpose"] != purpose:
                raise OtherWalk(f"{path} is of another walk, {found['purpose']}: remove it, or name another file")
            counts = Counter(found["counts"])
            yield cls(path, purpose, [Segment(**segment) for segment in found["segments"]], counts)

    def save(self) -> None:
        """Write the file in one step, so that it is whole at any moment. It names users: it is for its owner only."""
        whole = {
            "purpose": self.purpose,
            "segments": [asdict(segment) for segment in self.segments],
            "counts": self.counts,
        }
        new = self.path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(whole, file)
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)


def walk(  # noqa: PLR0913, PLR0917 - what a walk is made of
    client: Any, search: Mapping[str, Any], work: Work, state: State, pace: Pace, stop: threading.Event
) -> Counter[str]:
    """Do some work on every item that is found; return what became of them, and of how many in all ("seen").

    The search is a Scan, or the Query of one partition, which has one segment only. A page counts as done when all its
    items are; one that was broken off is walked again next time. So `work` must be safe to repeat. Raises Interrupted
    when told to stop, and what the search or the work raises.
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
                where: dict[str, Any] = {"Segment": number, "TotalSegments": len(state.segments)} if scans else {}
                if segment.after:
                    where["ExclusiveStartKey"] = segment.after
                pace.wait()
                page = read(**search, **where, ReturnConsumedCapacity="TOTAL")
                pace.spent(page)
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
                stop.set()  # the others end with their item
            for ended in sorted(walks, key=lambda one: isinstance(one.exception(), Interrupted)):
                ended.result()
    state.path.unlink()
    return state.counts


def new_client(role_arn: str | None = None) -> Any:
    """A client of DynamoDB, in a role where one is given, whose credentials are renewed as long as it lives.

    Everything that a walk sends may be sent twice, so botocore may retry, and slow down where DynamoDB throttles.
    """
    retries: Any = {"total_max_attempts": 10, "mode": "adaptive"}
    config = Config(retries=retries, max_pool_connections=64)
    client = (_session_in(role_arn) if role_arn else boto3.Session()).client("dynamodb", config=config)
    behind: Any = _behind_a_transaction  # the stubs know of no handler that answers
    client.meta.events.register("needs-retry.dynamodb", behind)
    return client


def _behind_a_transaction(response: tuple[Any, Mapping[str, Any]] | None, attempts: int, **_: object) -> float | None:
    # botocore takes it for final, but it is somebody's keyed or batched write of this moment to the same item.
    met = response is not None and response[1].get("Error", {}).get("Code") == "TransactionConflictException"
    return random.uniform(0, 1) if met and attempts < _CONFLICTS else None  # noqa: S311 - no secret


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
