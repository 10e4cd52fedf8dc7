"""Items of an invented older release (schema 0), and its writes: for tests of upgrades and migrations.

Its tasks have no `completed_at` (the time is in `by_status`), and a `colour` that this release does not read.
`python -m tests.older_shape ...` is `python -m ops.migrate` with the step from that shape.
"""

import sys
from typing import Any

from ops import migrate
from shared import tasks
from shared.models import NewTask, Task
from shared.store import items, upgrades
from shared.store.dynamodb import Table
from shared.store.items import Item, number, text


def step(item: Item) -> Item:
    """From schema 0 to 1."""
    upgraded = {name: value for name, value in item.items() if name != "colour"}
    _, status, slot, _ = item["by_status"]["S"].split("#")
    # The older release may have changed by_status without changing completed_at: compute it every time.
    if status == "done":
        upgraded["completed_at"] = number(int(slot))
    elif status == "open":
        upgraded.pop("completed_at", None)
    return upgraded


STEPS = {0: step}


def old_item(task: Task) -> dict[str, Any]:
    """Return the item as the older release writes it."""
    item = items.to_item(task, "old")
    item.pop("completed_at", None)
    return {**item, "schema": number(0), "colour": text("red")}


def old_task(user: str, task_id: str, new: NewTask, now: int, *, trashed: bool = False) -> dict[str, Any]:
    """Return the item of a new or deleted task as the older release writes it."""
    task = tasks.create(None, task_id, user, new, now)
    if not trashed:
        return old_item(task)
    deleted = tasks.delete(task, tasks.ANY_VERSION, now + 1)
    return {**old_item(deleted), "expires_at": number(int(4e12))}  # not expired


def toggle_as_before(table: Table, user: str, task_id: str) -> bool:
    """Toggle a task as the older release does. Returns False if another write came between its read and its write."""
    item = table.client.get_item(
        TableName=table.name, Key=items.key_of(items.partition_of(user), task_id), ConsistentRead=True
    )["Item"]
    completed, version, now = "#done#" in item["by_status"]["S"], items.version_of(item), int(item["updated_at"]["N"])
    slot = "open#9999-99-99T99:99:99Z" if completed else f"done#{items.moment(now)}"
    after: Any = {
        **item,
        "schema": number(0),
        "by_status": text(f"task#{slot}#{task_id}"),
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
    upgrades.STEPS = STEPS  # type: ignore[misc]  # shared/ has no such step
    sys.exit(migrate.main(sys.argv[1:]))
