"""`python -m ops.restore`: copies tasks from a restored backup into the table of a stack. The API stays in use.

A restored task becomes a new version of the task in the table, so older ETags no longer match, and replicas fetch it at
their next sync. Each write has the condition that the task is unchanged since it was read. If somebody writes the task
meanwhile, the command reads it again and overwrites it. Users who were erased are left out. See "Restoring" in
docs/operations.md.
"""

import argparse
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ops import stack
from ops.backfill import RateLimiter, State, add_rate, new_client, run, walk
from shared import tasks
from shared.store import items, marks
from shared.store.items import Item

# Attributes that differ between two versions with equal content.
_VERSION_ATTRIBUTES = frozenset({"version", "updated_at", "by_change", "write_tokens", "schema"})


class Restoration:
    """Writes items of the backup into the table, and returns the outcome for each."""

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
        while True:
            now = time.time_ns() // 1_000_000
            if tasks.is_expired(items.from_item(backup), now):
                return "expired"
            if self._is_erased(backup, now):
                return "erased"
            live = self._live(backup)
            if live is not None and _content(live) == _content(backup):
                return "same"
            if self._dry_run:
                return "to restore"
            after = _restored_item(backup, live, secrets.token_urlsafe(12), now)
            condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(sk)"}
            if live is not None:
                condition = {
                    "ConditionExpression": "version = :version AND created_at = :created_at",
                    "ExpressionAttributeValues": {":version": live["version"], ":created_at": live["created_at"]},
                }
            try:
                request = {"TableName": self._table, "Item": after, "ReturnConsumedCapacity": "TOTAL", **condition}
                self._limiter.wait()
                self._limiter.record(self._client.put_item(**request))
            except self._client.exceptions.ConditionalCheckFailedException:
                continue  # also if our own write was applied and its response was lost
            return "restored"

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
        item: Item | None = response.get("Item")
        return item


def _content(item: Item) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in _VERSION_ATTRIBUTES}


def _restored_item(backup: Item, live: Item | None, token: str, now: int) -> Item:
    """Return the item of the backup as the next version of the task."""
    # For a missing task the time in ms is a safe version: no task was written more than once per ms.
    version = now if live is None else items.version_of(live) + 1
    task = items.from_item(backup).model_copy(update={"version": version, "updated_at": now})
    return items.to_item(task, token, {**backup, "write_tokens": (live or backup)["write_tokens"]}, backup["pk"])


def main(arguments: Sequence[str]) -> int:
    """Restore tasks. Return 0 if all are restored, 2 after an error, 130 if stopped."""
    options = _options(arguments)
    return run(partial(_restore, options))


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
    table = stack.outputs(options.stack)["TableName"] if options.stack else options.table
    kind = "count" if options.dry_run else "restore"
    whose = " of ".join(filter(None, (options.user or "everyone", options.tenant)))
    purpose = f"{kind} {whose} from {options.source} to {table}"
    segments = 1 if options.user else options.segments
    with State.at(Path(f".local/restore-{table}.{kind}.json"), purpose, segments) as state:
        client, limiter = new_client(), RateLimiter(options.units)
        work = Restoration(client, table, limiter, dry_run=options.dry_run)
        return walk(client, search, work, state, limiter, stop)


def _id(text: str) -> str:
    """Return the id. Raises ValueError if it is empty: an empty id must not mean all users."""
    if not text:
        raise ValueError(text)
    return text


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.restore", description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="source", required=True, help="the table into which the backup was restored")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stack", help="a deployed stack: write to its table")
    which.add_argument("--table", help="the name of a table: write to it")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", type=_id, help="restore the tasks of this user")
    whose.add_argument("--everyone", action="store_true", help="restore the tasks of all users")
    parser.add_argument("--tenant", type=_id, help="the tenant of this user")
    add_rate(parser, "capacity units, reads and writes together,")
    parser.add_argument("--dry-run", action="store_true", help="only count the tasks to restore")
    options = parser.parse_args(arguments)
    if options.tenant and not options.user:
        parser.error("--tenant needs --user")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
