"""`python -m ops.restore`: copies tasks from a restored backup into the table of a stack. The API stays in use.

A restored task becomes a new version of the task in the table, so older ETags no longer match, and replicas fetch it at
their next sync. Each write has the condition that the task is unchanged since it was read. If somebody writes the task
meanwhile, the command reads it again and overwrites it. Users who were erased are left out. See "Restoring" in
docs/operations.md.
"""

import argparse
import random
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from ops import stack
from ops.backfill import CONNECTIONS, RateLimiter, State, add_rate, identity_of, new_client, walk
from ops.command import CommandError, confirm, given, is_passing, run
from ops.command import client as aws
from shared import tasks
from shared.store import items, marks
from shared.store.items import Item

# Attempts of a write, and the longest pause between two, in seconds.
_ATTEMPTS: Final = 20
_LONGEST_PAUSE: Final = 5
# The seconds by which sync allows clocks to differ (docs/http-api.md).
_CLOCK_SECONDS: Final = 2
# Attributes that differ between two versions with equal content.
_VERSION_ATTRIBUTES = frozenset({"version", "updated_at", "by_change", "write_tokens", "schema"})


class Restoration:
    """Writes items of the backup into the table, and returns the outcome for each. `client` sends each request once.

    The time in a version decides which sync returns it. So a version has the time of the attempt that writes it, and an
    attempt ends within some seconds: a sync that begins later returns the version, and one that began before overlaps.
    """

    def __init__(self, client: Any, table: str, limiter: RateLimiter, *, dry_run: bool) -> None:
        self._client = client
        self._table = table
        self._limiter = limiter
        self._dry_run = dry_run
        # Whether the user of a partition is erased, and when that was read, in ms.
        self._erased: dict[str, tuple[bool, int]] = {}

    def __call__(self, item: Item) -> str:
        """Write an item of the backup into the table, if the task there differs or is missing."""
        backup = items.current(item)
        failures = 0
        while True:
            try:
                outcome = self._attempt(backup)
            except self._client.exceptions.ConditionalCheckFailedException:
                continue  # somebody else wrote the task, or our own write was applied and its response was lost
            except (ClientError, BotoCoreError) as error:
                failures += 1
                if failures == _ATTEMPTS or not is_passing(error):
                    raise
                time.sleep(random.uniform(0, min(2**failures / 10, _LONGEST_PAUSE)))  # noqa: S311 - no secret
            else:
                # An earlier attempt can have written it.
                return "restored" if outcome == "same" and failures else outcome

    def _attempt(self, backup: Item) -> str:
        if tasks.is_expired(items.from_item(backup), _now()):
            return "expired"
        if self._is_erased(backup, _now()):
            return "erased"
        live = self._live(backup)
        if live is not None and _content(live) == _content(backup):
            return "same"
        if self._dry_run:
            return "to restore"
        self._limiter.wait()
        self._write(backup, live)
        return "restored"

    def _write(self, backup: Item, live: Item | None) -> None:
        """Write the task on condition that it is unchanged, with the current time."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(sk)"}
        if live is not None:
            condition = {
                "ConditionExpression": "version = :version AND created_at = :created_at",
                "ExpressionAttributeValues": {":version": live["version"], ":created_at": live["created_at"]},
            }
        after = _restored_item(backup, live, secrets.token_urlsafe(12), _now())
        request = {"TableName": self._table, "Item": after, "ReturnConsumedCapacity": "TOTAL", **condition}
        self._limiter.record(self._client.put_item(**request))

    def _is_erased(self, backup: Item, now: int) -> bool:
        """Whether the user is erased. Asks again after as long as functions remember the response."""
        partition = backup["pk"]["S"]
        erased, read_at = self._erased.get(partition, (False, -marks.MEMORY))
        if not 0 <= now - read_at < marks.MEMORY:
            erased = marks.is_valid(self._read(marks.key_in(backup["pk"])), now)
            self._erased[partition] = erased, now
        return erased

    def _live(self, backup: Item) -> Item | None:
        item = self._read({"pk": backup["pk"], "sk": backup["sk"]})
        return None if item is None else items.current(item)

    def _read(self, key: Item) -> Item | None:
        self._limiter.wait()
        response = self._client.get_item(
            TableName=self._table, Key=key, ConsistentRead=True, ReturnConsumedCapacity="TOTAL"
        )
        self._limiter.record(response)
        check_clock(response)
        item: Item | None = response.get("Item")
        return item


def check_clock(response: Mapping[str, Any]) -> None:
    """Raise CommandError if the clock of this machine differs from DynamoDB's: a replica would miss what it writes."""
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:
        return
    # The date has whole seconds.
    ahead = time.time() - parsedate_to_datetime(date).timestamp() - 0.5
    if abs(ahead) > _CLOCK_SECONDS:
        raise CommandError(
            f"The clock of this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} DynamoDB's. "
            "Set it, then run the same command again."
        )


def _now() -> int:
    """The time in ms since 1970."""
    return time.time_ns() // 1_000_000


def _content(item: Item) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in _VERSION_ATTRIBUTES}


def _restored_item(backup: Item, live: Item | None, token: str, now: int) -> Item:
    """Return the item of the backup as the next version of the task."""
    # For a missing task the time in ms is a safe version: no task was written more than once per ms.
    version = now if live is None else items.version_of(live) + 1
    task = items.from_item(backup).model_copy(update={"version": version, "updated_at": now})
    return items.to_item(task, token, {**backup, "write_tokens": (live or backup)["write_tokens"]}, backup["pk"])


def main(arguments: Sequence[str]) -> int:
    """Restore tasks, and return the exit code."""
    options = _options(arguments)
    return run(partial(_restore, options), "Run the same command to continue.")


def _restore(options: argparse.Namespace, stop: threading.Event) -> Counter[str]:
    search: dict[str, Any] = {
        "TableName": options.source,
        "FilterExpression": "begins_with(sk, :task)",
        "ExpressionAttributeValues": {":task": items.text("TASK#")},
        "ConsistentRead": True,
    }
    if options.user:  # query one partition instead of scanning the table
        search["KeyConditionExpression"] = f"pk = :user AND {search.pop('FilterExpression')}"
        search["ExpressionAttributeValues"][":user"] = items.partition_of(options.user, options.tenant or "")
    outputs = stack.outputs(options.stack) if options.stack else {"TableName": options.table}
    client, table = new_client(), outputs["TableName"]
    source, target = identity_of(client, options.source), identity_of(client, table)
    kind = "count" if options.dry_run else "restore"
    whose = " of ".join(filter(None, (options.user or "everyone", options.tenant)))
    if options.everyone and not options.dry_run:
        question = f"Restore the tasks of all users from {options.source} to {table}, over what they have now?"
        confirm(question, yes=options.yes)
    segments = 1 if options.user else options.segments
    path = Path(f".local/restore-{table}.{kind}.json")
    with State.at(path, f"{kind} {whose} from {source} to {target}", segments) as state:
        limiter = RateLimiter(options.units)
        once = aws("dynamodb", read_timeout=5, retries={"total_max_attempts": 1}, max_pool_connections=CONNECTIONS)
        work = Restoration(once, table, limiter, dry_run=options.dry_run)
        return walk(client, search, work, state, limiter, stop, outputs.get("StackId", ""))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.restore", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--from", dest="source", type=given, required=True, help="the table into which the backup was restored"
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stack", type=given, help="a deployed stack: write to its table")
    which.add_argument("--table", type=given, help="the name of a table: write to it")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", type=given, help="restore the tasks of this user")
    whose.add_argument("--everyone", action="store_true", help="restore the tasks of all users")
    parser.add_argument("--tenant", type=given, help="the tenant of this user")
    add_rate(parser, "capacity units, reads and writes together,")
    parser.add_argument("--dry-run", action="store_true", help="only count the tasks to restore")
    parser.add_argument("--yes", action="store_true", help="do not ask before the tasks of all users are restored")
    options = parser.parse_args(arguments)
    if options.tenant and not options.user:
        parser.error("--tenant needs --user")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
