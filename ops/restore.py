"""`python -m ops.restore`: writes tasks back from a table that a backup was restored to, while users keep working.

What is written back is a new version of the task: clients' ETags of what was there fail, and replicas fetch it. It is
written on condition that the task is as it was read; who writes at the same moment comes first, and is then written
over. docs/operations.md, "Restoring", says when and how.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops import stack
from ops.backfill import Interrupted, Pace, State, new_client, positive, stopping, walk
from shared import tasks
from shared.store import items
from shared.store.items import Item

# What does not tell the content of one version from another.
_MARKS = frozenset({"version", "updated_at", "by_change", "write_tokens", "schema"})


class Restoration:
    """Writes items back into the table, and says what became of each."""

    def __init__(self, client: Any, table: str, pace: Pace, *, dry_run: bool) -> None:
        self._client = client
        self._table = table
        self._pace = pace
        self._dry_run = dry_run

    def __call__(self, item: Item) -> str:
        """Write an item back where the task is another now, or gone."""
        backup = items.current(item)
        while True:
            now = time.time_ns() // 1_000_000
            if tasks.is_expired(items.from_item(backup), now):
                return "expired"
            live = self._live(backup)
            if live is not None and _content(live) == _content(backup):
                return "same"
            if self._dry_run:
                return "to restore"
            after = _brought_back(backup, live, secrets.token_urlsafe(12), now)
            condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(sk)"}
            if live is not None:
                condition = {
                    "ConditionExpression": "version = :version",
                    "ExpressionAttributeValues": {":version": live["version"]},
                }
            try:
                request = {"TableName": self._table, "Item": after, "ReturnConsumedCapacity": "TOTAL", **condition}
                self._pace.wait()
                self._pace.spent(self._client.put_item(**request))
            except self._client.exceptions.ConditionalCheckFailedException:
                continue  # also after a lost answer of our own: then it is the same now
            return "restored"

    def _live(self, backup: Item) -> Item | None:
        key = {"pk": backup["pk"], "sk": backup["sk"]}
        self._pace.wait()
        answer = self._client.get_item(
            TableName=self._table, Key=key, ConsistentRead=True, ReturnConsumedCapacity="TOTAL"
        )
        self._pace.spent(answer)
        return items.current(answer["Item"]) if "Item" in answer else None


def _content(item: Item) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in _MARKS}


def _brought_back(backup: Item, live: Item | None, token: str, now: int) -> Item:
    """The item of the backup as the next version of the task."""
    # Where the task is gone, a version above every one that was ever shown: nobody writes a task once a millisecond.
    version = now if live is None else items.version_of(live) + 1
    task = items.from_item(backup).model_copy(update={"version": version, "updated_at": now})
    return items.to_item(task, token, {**backup, "write_tokens": (live or backup)["write_tokens"]})


def main(arguments: Sequence[str]) -> int:
    """Restore tasks: 0 when all are as they were, 2 for what stops it all."""
    options = _options(arguments)
    search: dict[str, Any] = {
        "TableName": options.source,
        "FilterExpression": "begins_with(sk, :task)",
        "ExpressionAttributeValues": {":task": items.text("TASK#")},
        "ConsistentRead": True,
    }
    if options.user:  # a partition, and not all that there is
        search["KeyConditionExpression"] = f"pk = :user AND {search.pop('FilterExpression')}"
        search["ExpressionAttributeValues"][":user"] = items.partition_of(options.user)
    try:
        table = stack.outputs(options.stack)["TableName"] if options.stack else options.table
        kind = "count" if options.dry_run else "restore"
        purpose = f"{kind} {options.user or 'everyone'} from {options.source} to {table}"
        path = Path(f".local/restore-{table}.{kind}.json")
        segments = 1 if options.user else options.segments
        with stopping() as stop, State.at(path, purpose, segments) as state:
            client, pace = new_client(), Pace(options.units)
            work = Restoration(client, table, pace, dry_run=options.dry_run)
            counts = walk(client, search, work, state, pace, stop)
    except Interrupted:
        sys.stderr.write("Stopped. The same command goes on from here.\n")
        return 130
    except (ClientError, BotoCoreError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("".join(f"{name:24} {count}\n" for name, count in sorted(counts.items())))
    return 0


def _named(user: str) -> str:
    """A user who is named. Raises ValueError for none: that must not become everyone."""
    if not user:
        raise ValueError(user)
    return user


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.restore", description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="source", required=True, help="the table that a backup was restored to")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stack", help="a deployed stack, whose table is written to")
    which.add_argument("--table", help="the table that is written to")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", type=_named, help="whose tasks are restored")
    whose.add_argument("--everyone", action="store_true", help="restore the tasks of all users")
    parser.add_argument("--segments", type=positive, default=4, help="how many walk at once (4)")
    parser.add_argument("--units", type=positive, default=1000, help="capacity units a second, read and written (1000)")
    parser.add_argument("--dry-run", action="store_true", help="only count what there is to do")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
