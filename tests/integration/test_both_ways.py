"""Every write has two forms, an expression within DynamoDB and the same on an item that was read: they agree."""

import json
import random
import re
import uuid
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.batches import Operation
from shared.dynamodb import Table
from shared.items import Once
from shared.models import NewTask
from shared.preconditions import ANY_VERSION
from shared.task_store import TaskStore
from tests.conftest import SCALE, deadline_in

STEPS = 30
OPERATIONS: TypeAdapter[list[Operation]] = TypeAdapter(list[Operation])
PATCHES = [{"title": "x"}, {"title": "y", "description": None}, {"description": "d"}, {"completed": True}, {}]


class Clock:
    """The same times for both."""

    now = 1_795_415_874_917_000_000

    def __call__(self) -> int:
        return self.now


def stored(table: Table, user: str) -> list[str]:
    """The items of a user's tasks, without what must differ: ids and write tokens."""
    query: Any = {
        "TableName": table.name,
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :task)",
        "ExpressionAttributeValues": {":pk": {"S": f"USER#{user}"}, ":task": {"S": "TASK#"}},
    }
    items = [{**item, "write_tokens": None} for item in table.client.query(**query)["Items"]]
    plain = [json.dumps(item, sort_keys=True).replace(user, "user") for item in items]
    return sorted(re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id", text) for text in plain)


@pytest.mark.parametrize("seed", range(2 * SCALE))
def test_bare_and_keyed_writes_leave_the_same_items(table: Table, user: str, seed: int) -> None:
    clock, choose = Clock(), random.Random(seed)  # noqa: S311 - no secret

    def batch(*operations: dict[str, Any]) -> list[str]:
        once = Once(uuid.uuid4().hex, "x", 3600)
        store = TaskStore(table, f"{user}-keyed", deadline_in(10), clock, once)
        return [result.id for result in store.batch(OPERATIONS.validate_python(operations)).results]

    bare = TaskStore(table, f"{user}-bare", deadline_in(10), clock)
    (keyed_id,) = batch({"op": "create", "task": {"title": "x", "description": "d"}})
    bare_id = bare.create(NewTask(title="x", description="d")).id
    deleted = False
    for step in range(STEPS):
        clock.now += 1_000_000
        op = "restore" if deleted else choose.choice(["update", "update", "toggle", "delete"])
        match op:
            case "update":
                patch = choose.choice(PATCHES)
                bare.update(bare_id, patch, ANY_VERSION)  # type: ignore[arg-type]  # it is one of PATCHES
                batch({"op": "update", "id": keyed_id, "patch": patch})
            case "toggle":
                bare.toggle(bare_id, ANY_VERSION)
                batch({"op": "toggle", "id": keyed_id})
            case "delete":
                bare.delete(bare_id, ANY_VERSION)
                batch({"op": "delete", "id": keyed_id})
            case "restore":
                bare.restore(bare_id, ANY_VERSION)
                batch({"op": "restore", "id": keyed_id})
        deleted = op == "delete"
        assert stored(table, f"{user}-bare") == stored(table, f"{user}-keyed"), (step, op)
