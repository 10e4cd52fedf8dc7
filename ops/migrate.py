"""`python -m ops.migrate`: brings the tasks that older releases wrote to today's shape, while users keep working.

Each item is written on condition that nobody has written it since it was read: whoever did has won, and what they
wrote is looked at again. So it is safe to repeat, to run twice at once, and to stop at any moment; a run goes on where
the last one of its state file was stopped.
"""

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops import stack
from ops.backfill import Interrupted, Pace, State, new_client, positive, stopping, walk
from shared.http.telemetry import pseudonym
from shared.store import items
from shared.store.items import Item

# How often an item is tried that an old release is writing at the same moment.
_TRIES = 5
# What is wrong with one item, and not with all that follow.
_OF_THE_ITEM = {"ItemCollectionSizeLimitExceededException", "ValidationException"}


class Migration:
    """Brings items to today's shape, and says what became of each."""

    def __init__(self, client: Any, table: str, pace: Pace) -> None:
        self._client = client
        self._table = table
        self._pace = pace

    def __call__(self, item: Item) -> str:
        """Upgrade an item: "upgraded", "overtaken" where others did or it is gone, or "failed"."""
        found: Item | None = item
        for _ in range(_TRIES):
            if found is None or items.schema_of(found) >= items.SCHEMA:
                return "overtaken"
            try:
                upgraded = items.to_item(items.from_item(found), before=items.current(found))
            except Exception as error:  # noqa: BLE001 - one item that no step can read must not hold up the others
                return _failed(found, type(error).__name__)
            self._pace.wait()
            try:
                self._pace.spent(self._client.put_item(**self._put(found, upgraded)))
            except self._client.exceptions.ConditionalCheckFailedException as refusal:
                found = refusal.response.get("Item")
            except ClientError as error:
                if error.response["Error"]["Code"] not in _OF_THE_ITEM:
                    raise
                return _failed(found, error.response["Error"]["Code"])
            else:
                return "upgraded"
        return _failed(item, "written again and again by an older release")

    def _put(self, found: Item, upgraded: Item) -> dict[str, Any]:
        """Write an item in its new shape, on condition that nobody has written it since. Its version stays.

        So the ETag stays, too: to clients the task is what it was.
        """
        return {
            "TableName": self._table,
            "Item": upgraded,
            "ConditionExpression": "#schema = :schema AND #version = :version",
            "ExpressionAttributeNames": {"#schema": "schema", "#version": "version"},
            "ExpressionAttributeValues": {":schema": found["schema"], ":version": found["version"]},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "ReturnConsumedCapacity": "TOTAL",
        }


def _failed(item: Item, reason: str) -> str:
    user = pseudonym(items.user_of(item))
    sys.stderr.write(f"{item['sk']['S']} of the user {user}: {reason}\n")
    return "failed"


def main(arguments: Sequence[str]) -> int:
    """Migrate one table: 0 when all is of today's shape, 1 where an item is left, 2 for what stops it all."""
    options = _options(arguments)
    try:
        outputs = stack.outputs(options.stack) if options.stack else {"TableName": options.table}
        with stopping() as stop:
            counts = _run(new_client(outputs.get("MigrateRoleArn")), outputs["TableName"], options, stop)
    except Interrupted:
        sys.stderr.write("Stopped. The same command goes on from here.\n")
        return 130
    except (ClientError, BotoCoreError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("".join(f"{name:24} {count}\n" for name, count in sorted(counts.items())))
    return 1 if counts["failed"] else 0


def _run(client: Any, table: str, options: argparse.Namespace, stop: threading.Event) -> Counter[str]:
    described = client.describe_table(TableName=table)["Table"]
    pace, path = Pace(options.units), options.state or Path(f".local/migrate-{table}.json")
    scan: dict[str, Any] = {
        "TableName": table,
        # The records of keys are left: their answers are upgraded as they are read, and expire.
        "FilterExpression": "begins_with(#sk, :task) AND #schema < :schema",
        "ExpressionAttributeNames": {"#sk": "sk", "#schema": "schema"},
        "ExpressionAttributeValues": {":task": items.text("TASK#"), ":schema": items.number(items.SCHEMA)},
    }
    purpose = f"{table} to schema {items.SCHEMA}"
    if options.dry_run:
        path, scan["ProjectionExpression"] = path.with_suffix(".dry-run"), "#schema"
        path.unlink(missing_ok=True)

        def count(item: Item) -> str:
            return f"of schema {items.schema_of(item)}"

        with State.at(path, f"count {purpose}", options.segments) as state:
            return walk(client, scan, count, state, pace, stop)
    identity = described.get("TableId") or described["TableArn"]
    with State.at(path, f"{purpose}, {identity}", options.segments) as state:
        return walk(client, scan, Migration(client, table, pace), state, pace, stop)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.migrate", description=__doc__.partition("\n")[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stack", help="a deployed stack: its table, in the role that may scan it")
    which.add_argument("--table", help="a table, with the credentials of the environment")
    parser.add_argument("--segments", type=positive, default=4, help="how many walk at once (4)")
    parser.add_argument("--units", type=positive, default=1000, help="capacity units a second, read and written (1000)")
    parser.add_argument("--state", type=Path, help="the file to go on from (.local/migrate-TABLE.json)")
    parser.add_argument("--dry-run", action="store_true", help="only count what there is to do")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
