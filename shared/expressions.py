"""The exact DynamoDB requests, as pure functions of their arguments.

docs/data-model.md shows every item, key and index with an example.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.cursors import InvalidCursor
from shared.items import (
    REMEMBERED_WRITES,
    SCHEMA,
    Changes,
    Item,
    Once,
    Stamp,
    change_key,
    expiry,
    key_of,
    new_item,
    new_record,
    number,
    partition_of,
    record_key,
    text,
    trash_key,
)
from shared.models import TASK_ID, UUID, NewTask, Order, Status
from shared.preconditions import Precondition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        GetItemInputTypeDef,
        PutItemInputTypeDef,
        QueryInputTypeDef,
        TransactGetItemsInputTypeDef,
        TransactWriteItemsInputTypeDef,
        TransactWriteItemTypeDef,
        UpdateItemInputTypeDef,
    )


class _List(NamedTuple):
    index_name: str
    prefix: str
    position: re.Pattern[str]


_LISTS: Final[Mapping[Status, _List]] = {
    "all": _List("by_position", "", TASK_ID),
    "open": _List("by_status", "open#", re.compile(rf"open#[0-9TZ:-]{{20}}#{UUID}")),
    "completed": _List("by_status", "done#", re.compile(rf"done#[0-9TZ:-]{{20}}#{UUID}")),
    "deleted": _List("by_status", "deleted#", re.compile(rf"deleted#[0-9]{{15}}#{UUID}")),
}


_CHANGE = re.compile(rf"[0-9]{{15}}#{UUID}")
_STILL: Final = "#version = :version"
# The item carries the status key that it would have in the other status, so that flipping needs no read.
_SWAP_STATUS: Final = ("#by_status = #other_status", "#other_status = #by_status", "#status_changed_at = :now")


class Partition(NamedTuple):
    """The requests that one user's tasks are read and written with; none can name another user's partition."""

    table: str
    user_id: str

    def get(self, task_id: str) -> GetItemInputTypeDef:
        """Read one task, with all writes acknowledged before."""
        return {"TableName": self.table, "Key": key_of(self.user_id, task_id), "ConsistentRead": True}

    def list(self, status: Status, order: Order, limit: int, position: str | None) -> QueryInputTypeDef:
        """Read a page of a list, from behind a position on. Raises InvalidCursor where that lies outside the list."""
        which = _LISTS[status]
        values = {":pk": partition_of(self.user_id)}
        condition = "#pk = :pk"
        if which.prefix:
            values[":prefix"] = text(which.prefix)
            condition += f" AND begins_with(#{which.index_name}, :prefix)"
        request: QueryInputTypeDef = {
            "TableName": self.table,
            "IndexName": which.index_name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": _names(condition),
            "ExpressionAttributeValues": values,
            "ConsistentRead": True,
            "ScanIndexForward": order == "asc",
            "Limit": limit,
        }
        if position is not None:
            if not which.position.fullmatch(position):
                raise InvalidCursor
            # Every index key ends with the id of its task.
            request["ExclusiveStartKey"] = {**key_of(self.user_id, position[-36:]), which.index_name: text(position)}
        return request

    def changes(self, first: int, last: int, limit: int, position: str | None) -> QueryInputTypeDef:
        """Read what was written from `first` to `last` (ms), tombstones too, from behind a position on.

        Raises InvalidCursor where that lies outside.
        """
        start, end = change_key(first, ""), change_key(last + 1, "")
        request: QueryInputTypeDef = {
            "TableName": self.table,
            "IndexName": "by_change",
            "KeyConditionExpression": "#pk = :pk AND #by_change BETWEEN :start AND :end",
            "ExpressionAttributeNames": {"#pk": "pk", "#by_change": "by_change"},
            "ExpressionAttributeValues": {
                ":pk": partition_of(self.user_id),
                ":start": text(start),
                ":end": text(end),
            },
            "ConsistentRead": True,
            "Limit": limit,
        }
        if position is not None:
            if not _CHANGE.fullmatch(position) or not start < position < end:
                raise InvalidCursor
            request["ExclusiveStartKey"] = {
                **key_of(self.user_id, position[-36:]),
                "by_change": text(position),
            }
        return request

    def create(self, task_id: str, new: NewTask, stamp: Stamp) -> PutItemInputTypeDef:
        """Write a task that is not there yet."""
        return {
            "TableName": self.table,
            "Item": new_item(self.user_id, task_id, new, stamp),
            "ConditionExpression": "attribute_not_exists(#sk)",
            "ExpressionAttributeNames": {"#sk": "sk"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def update(
        self, task_id: str, changes: Changes, guess: bool, precondition: Precondition, stamp: Stamp
    ) -> UpdateItemInputTypeDef:
        """Change some fields of a live task, on condition that they do change.

        Where `changes` names `completed`, `guess` is whether the task is completed now; if it is not so, the write is
        refused.
        """
        sets, removes, conditions, same = [], [], [], []
        values: dict[str, AttributeValueTypeDef] = {}
        for name, value in changes.items():
            if isinstance(value, str):
                sets.append(f"#{name} = :{name}")
                same.append(f"#{name} = :{name}")
                values[f":{name}"] = text(value)
            elif value is None:
                removes.append(f"#{name}")
                same.append(f"attribute_not_exists(#{name})")
        if "completed" in changes:
            conditions.append("begins_with(#by_status, :guess)")
            values[":guess"] = text("done#" if guess else "open#")
            if changes["completed"] != guess:
                sets.extend(_SWAP_STATUS)
                same.clear()
        if same:
            conditions.append(f"NOT ({' AND '.join(same)})")
        return self._change(task_id, _Change(sets, removes, conditions, values), precondition, stamp)

    def toggle(self, task_id: str, precondition: Precondition, stamp: Stamp) -> UpdateItemInputTypeDef:
        """Flip a live task between open and completed, whichever it is."""
        return self._change(task_id, _Change(_SWAP_STATUS), precondition, stamp)

    def delete(
        self, task_id: str, precondition: Precondition, stamp: Stamp, *, only_completed: bool = False
    ) -> UpdateItemInputTypeDef:
        """Move a live task to the trash, keeping the index keys that would bring it back to where it was."""
        sets = [
            "#live_position = #by_position",
            "#live_status = #by_status",
            "#by_status = :deleted",
            "#deleted_at = :now",
            "#expires_at = :expires",
        ]
        values = {
            ":deleted": text(trash_key(stamp.now, task_id)),
            ":expires": number(expiry(stamp.now)),
        }
        conditions = []
        if only_completed:
            conditions.append("begins_with(#by_status, :done)")
            values[":done"] = text("done#")
        return self._change(task_id, _Change(sets, ["#by_position"], conditions, values), precondition, stamp)

    def restore(self, task_id: str, precondition: Precondition, stamp: Stamp) -> UpdateItemInputTypeDef:
        """Bring a deleted task back to where it was, unless its time in the trash is over."""
        sets = ["#by_position = #live_position", "#by_status = #live_status"]
        removes = ["#live_position", "#live_status", "#deleted_at", "#expires_at"]
        values = {":second": number(stamp.now // 1000)}
        change = _Change(sets, removes, ["#expires_at > :second"], values, state="attribute_exists(#live_position)")
        return self._change(task_id, change, precondition, stamp)

    def look(self, once: Once, task_ids: Sequence[str]) -> TransactGetItemsInputTypeDef:
        """Read the record of a key and some tasks, as they are at one moment."""
        keys = [record_key(self.user_id, once), *(key_of(self.user_id, task_id) for task_id in task_ids)]
        return {"TransactItems": [{"Get": {"TableName": self.table, "Key": key}} for key in keys]}

    def commit(
        self, once: Once, results: Sequence[Item], writes: Sequence[TransactWriteItemTypeDef], stamp: Stamp
    ) -> TransactWriteItemsInputTypeDef:
        """Write all of these and the record of the key, or nothing where the key has a record that has not expired."""
        record: TransactWriteItemTypeDef = {
            "Put": {
                "TableName": self.table,
                "Item": new_record(self.user_id, once, results, stamp),
                "ConditionExpression": "attribute_not_exists(#sk) OR #expires_at <= :second",
                "ExpressionAttributeNames": {"#sk": "sk", "#expires_at": "expires_at"},
                "ExpressionAttributeValues": {":second": number(stamp.now // 1000)},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }
        return {"TransactItems": [record, *writes]}

    def put_new(self, item: Item) -> TransactWriteItemTypeDef:
        """Within a transaction: write an item that is not there yet."""
        return {
            "Put": {
                "TableName": self.table,
                "Item": item,
                "ConditionExpression": "attribute_not_exists(#sk)",
                "ExpressionAttributeNames": {"#sk": "sk"},
            }
        }

    def put_over(self, item: Item, version: int) -> TransactWriteItemTypeDef:
        """Within a transaction: write an item over one that is still at this version."""
        return {
            "Put": {
                "TableName": self.table,
                "Item": item,
                "ConditionExpression": _STILL,
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": {":version": number(version)},
            }
        }

    def check(self, task_id: str, version: int) -> TransactWriteItemTypeDef:
        """Within a transaction: write only if a task is still at this version."""
        return {
            "ConditionCheck": {
                "TableName": self.table,
                "Key": key_of(self.user_id, task_id),
                "ConditionExpression": _STILL,
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": {":version": number(version)},
            }
        }

    def _change(
        self, task_id: str, change: _Change, precondition: Precondition, stamp: Stamp
    ) -> UpdateItemInputTypeDef:
        """The frame of every write to a task: shape, version, place in by_change, and the memory of writes."""
        oldest = REMEMBERED_WRITES - 1
        values = {
            **change.values,
            ":now": number(stamp.now),
            ":change": text(change_key(stamp.now, task_id)),
            ":one": number(1),
            ":token": text(stamp.token),
            ":since": number(stamp.since),
            ":schema": number(SCHEMA),
        }
        sets = [
            *change.sets,
            "#schema = :schema",
            "#updated_at = :now",
            "#by_change = :change",
            "#version = #version + :one",
        ]
        for memory, newest in (("#write_tokens", ":token"), ("#write_times", ":now")):
            sets += [f"{memory}[{place}] = {memory}[{place - 1}]" for place in range(oldest, 0, -1)]
            sets.append(f"{memory}[0] = {newest}")
        conditions = [
            change.state,
            # An older item is upgraded first. A newer one becomes one of ours: what ours does not know, this write may
            # have made untrue.
            "#schema >= :schema",
            "NOT contains(#write_tokens, :token)",
            f"#write_times[{oldest}] < :since",
            *change.conditions,
        ]
        if precondition.wanted is not None:
            # No task is at version 0: a precondition that names no version of ours is refused, with the item returned.
            conditions.append(f"#version IN ({_versions(precondition.wanted or (0,), 'wanted', values)})")
        if precondition.unwanted:
            conditions.append(f"NOT (#version IN ({_versions(precondition.unwanted, 'unwanted', values)}))")
        update = f"SET {', '.join(sets)}"
        if change.removes:
            update += f" REMOVE {', '.join(change.removes)}"
        condition = " AND ".join(conditions)
        return {
            "TableName": self.table,
            "Key": key_of(self.user_id, task_id),
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": _names(f"{update} {condition}"),
            "ExpressionAttributeValues": values,
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


class _Change(NamedTuple):
    """What a write does to a task beside what every write does."""

    sets: Sequence[str]
    removes: Sequence[str] = ()
    conditions: Sequence[str] = ()
    values: Mapping[str, AttributeValueTypeDef] = {}
    # Only a live task has a position; without this the update would make an item.
    state: str = "attribute_exists(#by_position)"


def upgrade(table: str, item: Item, upgraded: Item) -> UpdateItemInputTypeDef:
    """Bring an item that an older release wrote to its new shape, on condition that nobody has written it since.

    The version stays, and with it the ETag: to clients the task is what it was.
    """
    sets = [name for name in upgraded if upgraded[name] != item.get(name)]
    removes = [name for name in item if name not in upgraded]
    update = f"SET {', '.join(f'#{name} = :{name}' for name in sets)}"
    if removes:
        update += f" REMOVE {', '.join(f'#{name}' for name in removes)}"
    condition = "#schema = :old_schema AND #version = :old_version"
    return {
        "TableName": table,
        "Key": {"pk": item["pk"], "sk": item["sk"]},
        "UpdateExpression": update,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": _names(f"{update} {condition}"),
        "ExpressionAttributeValues": {
            **{f":{name}": upgraded[name] for name in sets},
            ":old_schema": item["schema"],
            ":old_version": item["version"],
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def position_of(last_key: Item, status: Status) -> str:
    """The position of the last item of a page, from the page's LastEvaluatedKey."""
    return last_key[_LISTS[status].index_name]["S"]


def _versions(versions: Iterable[int], prefix: str, values: dict[str, AttributeValueTypeDef]) -> str:
    named = {f":{prefix}{place}": number(version) for place, version in enumerate(sorted(versions))}
    values.update(named)
    return ", ".join(named)


def _names(expression: str) -> dict[str, str]:
    # Every name goes by a placeholder, so that none can be one of DynamoDB's reserved words.
    return {name: name[1:] for name in re.findall(r"#\w+", expression)}
