"""Item sizes are counted like DynamoDB counts them, so that a batch that is too large is rejected before it is sent."""

import uuid
from typing import Any

import pytest

from shared.batches import ToggleOperation
from shared.models import NewTask
from shared.store import engine, items
from shared.store.dynamodb import Table
from shared.store.engine import BatchTooLarge
from shared.store.items import IdempotencyKey
from shared.store.sizes import MOST_BYTES, size_of
from shared.store.task_store import TaskStore
from tests.conftest import deadline_in, table_at

# The limit of an item (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html).
ITEM_BYTES = 400 * 1024
VALUES: dict[str, Any] = {
    "numbers": {"a": {"N": "1"}, "b": {"N": "1795415874917"}, "c": {"N": "-12"}},
    "a set": {"tags": {"SS": ["a", "b" * 30]}},
    "a list": {"list": {"L": [{"S": "a"}, {"L": []}, {"M": {}}]}},
    "a map": {"map": {"M": {"a": {"S": "b"}, "c": {"M": {"d": {"N": "5"}}}}}},
    "flags": {"t": {"BOOL": True}, "n": {"NULL": True}},
    "emoji": {"\N{GRINNING FACE}": {"S": "\N{GRINNING FACE}"}},
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_item_sizes_are_exact(dynamodb_local_url: str, user: str, values: dict[str, Any]) -> None:
    table = table_at(dynamodb_local_url)

    def put(length: int) -> None:
        table.client.put_item(TableName=table.name, Item={**item, "text": {"S": "x" * length}})

    item: dict[str, Any] = {"pk": {"S": user}, "sk": {"S": "x"}, **values, "text": {"S": ""}}
    room = ITEM_BYTES - size_of(item)
    put(room)
    with pytest.raises(table.client.exceptions.ClientError, match="Item size has exceeded"):
        put(room + 1)


def test_a_batch_at_the_size_limit_is_applied_and_above_it_rejected(
    table: Table, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def toggle(limit: int) -> int:
        """Toggle two tasks under a limit; returns the size of the record of the key."""
        monkeypatch.setattr(engine, "MOST_BYTES", limit)
        key = IdempotencyKey(uuid.uuid4().hex, "f" * 64, 3600)
        TaskStore(table, user, deadline_in(10), key=key).batch([ToggleOperation(op="toggle", id=one) for one in ids])
        return size_of(
            table.client.get_item(TableName=table.name, Key=items.record_key(items.partition_of(user), key))["Item"]
        )

    store = TaskStore(table, user, deadline_in(10))
    ids = [store.create(NewTask(title=title, completed=True)).id for title in ("one", "two")]
    toggle(MOST_BYTES)
    size = toggle(MOST_BYTES)
    toggle(MOST_BYTES)
    assert toggle(size) == size
    toggle(MOST_BYTES)
    before = [store.get(one) for one in ids]
    with pytest.raises(BatchTooLarge):
        toggle(size - 1)
    assert [store.get(one) for one in ids] == before
