"""`python -m ops.migrate`: upgrades the items of older releases to the current schema, while the API stays in use.

Each write has the condition that the item is unchanged since it was read. If the condition fails, the command reads the
newer item and tries again. So it is safe to repeat the command, to run it twice at once, and to stop it at any moment.
The next run continues from the state file.
"""

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ops import stack
from ops.backfill import ItemError, RateLimiter, State, add_rate, identity_of, new_client, walk
from ops.command import given, run
from shared.store import items
from shared.store.items import Item

# Attempts for an item that an older release writes at the same time.
_ATTEMPTS = 5


class Migration:
    """Upgrades items to the current schema, and returns the outcome for each."""

    def __init__(self, client: Any, table: str, limiter: RateLimiter) -> None:
        self._client = client
        self._table = table
        self._limiter = limiter

    def __call__(self, item: Item) -> str:
        """Upgrade an item. Return "upgraded", or "overtaken" if somebody else has upgraded or removed it."""
        found: Item | None = item
        for _ in range(_ATTEMPTS):
            if found is None or items.schema_of(found) >= items.SCHEMA:
                return "overtaken"
            upgraded = items.to_item(items.from_item(found), before=items.current(found), partition=found["pk"])
            self._limiter.wait()
            try:
                self._limiter.record(self._client.put_item(**self._put(found, upgraded)))
            except self._client.exceptions.ConditionalCheckFailedException as error:
                found = error.response.get("Item")
            else:
                return "upgraded"
        raise ItemError("an older release keeps writing it")

    def _put(self, found: Item, upgraded: Item) -> dict[str, Any]:
        """Return a PutItem request with the condition that the item is unchanged.

        The version does not change, and so the ETag does not change: for clients it is the same task.
        """
        return {
            "TableName": self._table,
            "Item": upgraded,
            "ConditionExpression": "#schema = :schema AND #version = :version AND #created_at = :created_at",
            "ExpressionAttributeNames": {"#schema": "schema", "#version": "version", "#created_at": "created_at"},
            "ExpressionAttributeValues": {
                ":schema": found["schema"],
                ":version": found["version"],
                ":created_at": found["created_at"],
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "ReturnConsumedCapacity": "TOTAL",
        }


def main(arguments: Sequence[str]) -> int:
    """Migrate a table, and return the exit code."""
    return run(partial(_migrate, _options(arguments)), "Run the same command to continue.")


def _migrate(options: argparse.Namespace, stop: threading.Event) -> Counter[str]:
    outputs = stack.outputs(options.stack) if options.stack else {"TableName": options.table}
    client, table = new_client(outputs.get("MigrateRoleArn")), outputs["TableName"]
    limiter, path = RateLimiter(options.units), options.state or Path(f".local/migrate-{table}.json")
    scan: dict[str, Any] = {
        "TableName": table,
        # Idempotency records are left out: a read upgrades the task in them, and they expire.
        "FilterExpression": "begins_with(#sk, :task) AND #schema < :schema",
        "ExpressionAttributeNames": {"#sk": "sk", "#schema": "schema"},
        "ExpressionAttributeValues": {":task": items.text("TASK#"), ":schema": items.number(items.SCHEMA)},
    }
    purpose = f"{identity_of(client, table)} to schema {items.SCHEMA}"
    if options.dry_run:
        path, scan["ProjectionExpression"] = path.with_suffix(".dry-run"), "pk, #sk, #schema"
        path.unlink(missing_ok=True)

        def count(item: Item) -> str:
            return f"of schema {items.schema_of(item)}"

        with State.at(path, f"count {purpose}", options.segments) as state:
            return walk(client, scan, count, state, limiter, stop)
    with State.at(path, f"migrate {purpose}", options.segments) as state:
        return walk(client, scan, Migration(client, table, limiter), state, limiter, stop, outputs.get("StackId", ""))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.migrate", description=__doc__.partition("\n")[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stack", type=given, help="a deployed stack: migrate its table, with its MigrateRole")
    which.add_argument(
        "--table", type=given, help="the name of a table: migrate it with the credentials of the environment"
    )
    add_rate(parser, "capacity units, reads and writes together,")
    parser.add_argument(
        "--state",
        type=lambda text: Path(given(text)),
        help="the file that stores the progress (.local/migrate-TABLE.json)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only count the items to migrate")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
