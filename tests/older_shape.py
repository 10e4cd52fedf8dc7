"""An older shape of items, schema 0, as a release before the first might have had it; and that release at work.

Its tasks had no `completed_at`: `by_status` said it. They had a `colour` that nothing reads any more.
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
    # The older release does not know completed_at, and may have changed what it follows from: compute it every time.
    if status == "done":
        upgraded["completed_at"] = number(int(slot))
    elif status == "open":
        upgraded.pop("completed_at", None)
    return upgraded


STEPS = {0: step}


def old_item(task: Task) -> dict[str, Any]:
    """An item as the older release writes it."""
    item = items.to_item(task, "old")
    item.pop("completed_at", None)
    return {**item, "schema": number(0), "colour": text("red")}


def old_task(user: str, task_id: str, new: NewTask, now: int, *, trashed: bool = False) -> dict[str, Any]:
    """The item of a new task, or of one that was deleted at once, as the older release writes it."""
    task = tasks.create(None, task_id, user, new, now)
    if not trashed:
        return old_item(task)
    deleted = tasks.delete(task, tasks.ANY_VERSION, now + 1)
    return {**old_item(deleted), "expires_at": number(int(4e12))}  # still kept


def toggle_as_before(table: Table, user: str, task_id: str) -> bool:
    """Toggle a task as the older release does: it reads, and writes what it knows. False if another was quicker."""
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
    upgrades.STEPS = STEPS  # type: ignore[misc]  # there is no such step in shared/
    sys.exit(migrate.main(sys.argv[1:]))
