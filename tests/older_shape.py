"""An older shape of items, schema 0, as a release before the first might have had it; and that release at work.

Its tasks had no `other_status` and no `status_changed_at`, and a `colour` that nothing reads any more.
`python -m tests.older_shape ...` is `make migrate` with the step from that shape.
"""

import sys
from typing import Any

from shared import items, upgrades
from shared.dynamodb import Table
from shared.items import Item, Stamp, number, text
from shared.models import NewTask
from tools import migrate


def step(item: Item) -> Item:
    """From schema 0 to 1."""
    status = item.get("live_status", item["by_status"])["S"]
    done = status.startswith("done#")
    return {
        # The older release does not know it, and may have changed what it follows from: it is always computed anew.
        "other_status": text(status.replace("done#", "open#") if done else status.replace("open#", "done#")),
        # It follows from nothing: what is there is kept.
        "status_changed_at": item["updated_at"],
        **{name: value for name, value in item.items() if name not in {"colour", "other_status"}},
    }


STEPS = {0: step}


def old_item(user: str, task_id: str, new: NewTask, now: int) -> dict[str, Any]:
    """An item as the older release writes it."""
    item = items.new_item(user, task_id, new, Stamp("old", now, now))
    del item["other_status"], item["status_changed_at"]
    return {**item, "schema": number(0), "colour": text("red")}


def toggle_as_before(table: Table, user: str, task_id: str) -> bool:
    """Toggle a task as the older release does: it reads, and writes what it knows. False if another was quicker."""
    item = table.client.get_item(TableName=table.name, Key=items.key_of(user, task_id), ConsistentRead=True)["Item"]
    status, version = item["by_status"]["S"], items.version_of(item)
    kind, _, rest = status.partition("#")
    after: Any = {
        **item,
        "schema": number(0),
        "by_status": text(f"{'open' if kind == 'done' else 'done'}#{rest}"),
        "version": number(version + 1),
    }
    try:
        table.client.put_item(
            TableName=table.name,
            Item=after,
            ConditionExpression="version = :version",
            ExpressionAttributeValues={":version": number(version)},
        )
    except table.client.exceptions.ConditionalCheckFailedException:
        return False
    return True


if __name__ == "__main__":
    upgrades.STEPS = STEPS  # type: ignore[misc]  # there is no such step in shared/
    sys.exit(migrate.main(sys.argv[1:]))
