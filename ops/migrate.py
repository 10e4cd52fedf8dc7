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

from botocore.exceptions import ClientError

from ops import stack
from ops.backfill import RateLimiter, State, add_rate, new_client, run, walk
from shared.pseudonyms import pseudonym_in
from shared.store import items
from shared.store.items import Item

# Attempts for an item that an older release writes at the same time.
_ATTEMPTS = 5
# Errors of a single item: the other items can still be migrated.
_ITEM_ERRORS = {"ItemCollectionSizeLimitExceededException", "ValidationException"}


class Migration:
    """Upgrades items to the current schema, and returns the outcome for each."""

    def __init__(self, client: Any, table: str, stack_id: str, limiter: RateLimiter) -> None:
        self._client = client
        self._table = table
        self._stack_id = stack_id
        self._limiter = limiter

    def __call__(self, item: Item) -> str:
        """Upgrade an item. Return "upgraded", "failed", or "overtaken" if somebody else has upgraded or removed it."""
        found: Item | None = item
        for _ in range(_ATTEMPTS):
            if found is None or items.schema_of(found) >= items.SCHEMA:
                return "overtaken"
            try:
                upgraded = items.to_item(items.from_item(found), before=items.current(found), partition=found["pk"])
            except Exception as error:  # noqa: BLE001 - an item that cannot be upgraded must not stop the others
                return self._failed(found, type(error).__name__)
            self._limiter.wait()
            try:
                self._limiter.record(self._client.put_item(**self._put(found, upgraded)))
            except self._client.exceptions.ConditionalCheckFailedException as error:
                found = error.response.get("Item")
            except ClientError as error:
                if error.response["Error"]["Code"] not in _ITEM_ERRORS:
                    raise
                return self._failed(found, error.response["Error"]["Code"])
            else:
                return "upgraded"
        return self._failed(item, "an older release keeps writing it")

    def _failed(self, item: Item, reason: str) -> str:
        # Without a stack, the pseudonym is not known.
        user = pseudonym_in(self._stack_id, items.user_of(item), items.tenant_of(item)) if self._stack_id else "unknown"
        sys.stderr.write(f"{item['sk']['S']} of user {user}: {reason}\n")
        return "failed"

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
    """Migrate a table. Return 0, or 1 if an item failed, 2 after any other error, 130 if stopped."""
    options = _options(arguments)
    return run(partial(_migrate, options))


def _migrate(options: argparse.Namespace, stop: threading.Event) -> Counter[str]:
    outputs = stack.outputs(options.stack) if options.stack else {"TableName": options.table}
    client, table = new_client(outputs.get("MigrateRoleArn")), outputs["TableName"]
    described = client.describe_table(TableName=table)["Table"]
    limiter, path = RateLimiter(options.units), options.state or Path(f".local/migrate-{table}.json")
    scan: dict[str, Any] = {
        "TableName": table,
        # Idempotency records are left out: a read upgrades the task in them, and they expire.
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
            return walk(client, scan, count, state, limiter, stop)
    identity = described.get("TableId") or described["TableArn"]
    with State.at(path, f"{purpose}, {identity}", options.segments) as state:
        return walk(client, scan, Migration(client, table, outputs.get("StackId", ""), limiter), state, limiter, stop)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.migrate", description=__doc__.partition("\n")[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stack", help="a deployed stack: migrate its table, with its MigrateRole")
    which.add_argument("--table", help="the name of a table: migrate it with the credentials of the environment")
    add_rate(parser, "capacity units, reads and writes together,")
    parser.add_argument("--state", type=Path, help="the file that stores the progress (.local/migrate-TABLE.json)")
    parser.add_argument("--dry-run", action="store_true", help="only count the items to migrate")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
