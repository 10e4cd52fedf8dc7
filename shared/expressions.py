"""The exact DynamoDB requests, as pure functions of their arguments, and what the items they write look like.

docs/data-model.md shows every item, key and index with an example.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from shared.cursors import InvalidCursor
from shared.models import DeletedTask, NewTask, Order, Status, Task
from shared.preconditions import Precondition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        GetItemInputTypeDef,
        PutItemInputTypeDef,
        QueryInputTypeDef,
        UpdateItemInputTypeDef,
    )

SCHEMA = 1
RETENTION_SECONDS = 30 * 24 * 3600
# How many writes an item remembers. A resend that follows more writes than this of others' is an unknown outcome.
REMEMBERED_WRITES = 4

_NO_DUE_DATE = "9999-12-31T23:59:59Z"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TASK_ID = re.compile(_UUID)

type Item = Mapping[str, "AttributeValueTypeDef"]
type Changes = Mapping[str, str | bool | None]


@dataclass(frozen=True, slots=True)
class _List:
    index: str
    prefix: str
    position: re.Pattern[str]


_LISTS: Final[Mapping[Status, _List]] = {
    "all": _List("by_position", "", TASK_ID),
    "open": _List("by_status", "open#", re.compile(rf"open#[0-9TZ:-]{{20}}#{_UUID}")),
    "completed": _List("by_status", "done#", re.compile(rf"done#[0-9TZ:-]{{20}}#{_UUID}")),
    "deleted": _List("by_status", "deleted#", re.compile(rf"deleted#[0-9]{{15}}#{_UUID}")),
}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What marks one send of a write.

    `token` is the same for all sends of one operation, `now` (ms) is this send's own time, and `since` (ms) is a time
    before the first send that this one may repeat: the item must remember every write since then.
    """

    token: str
    now: int
    since: int


# The item carries the status key that it would have in the other status, so that flipping needs no read.
_SWAP_STATUS: Final = ("#by_status = #other_status", "#other_status = #by_status", "#status_changed_at = :now")


@dataclass(frozen=True, slots=True)
class Partition:
    """The requests that one user's tasks are read and written with; none can name another user's partition."""

    table: str
    user_id: str

    def get(self, task_id: str) -> GetItemInputTypeDef:
        """Read one task, with all writes acknowledged before."""
        return {"TableName": self.table, "Key": self._key(task_id), "ConsistentRead": True}

    def list(self, status: Status, order: Order, limit: int, position: str | None) -> QueryInputTypeDef:
        """Read a page of a list, from behind a position on. Raises InvalidCursor where that lies outside the list."""
        which = _LISTS[status]
        values = {":pk": _text(self._pk)}
        condition = "#pk = :pk"
        if which.prefix:
            values[":prefix"] = _text(which.prefix)
            condition += f" AND begins_with(#{which.index}, :prefix)"
        request: QueryInputTypeDef = {
            "TableName": self.table,
            "IndexName": which.index,
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
            request["ExclusiveStartKey"] = {**self._key(position[-36:]), which.index: _text(position)}
        return request

    def create(self, task_id: str, new: NewTask, stamp: Stamp) -> PutItemInputTypeDef:
        """Write a task that is not there yet."""
        status, other = ("done", "open") if new.completed else ("open", "done")
        now = _number(stamp.now)
        unused = REMEMBERED_WRITES - 1
        item: dict[str, AttributeValueTypeDef] = {
            **self._key(task_id),
            "schema": _number(SCHEMA),
            "title": _text(new.title),
            "created_at": now,
            "updated_at": now,
            "status_changed_at": now,
            "version": _number(1),
            "by_position": _text(task_id),
            "by_status": _text(f"{status}#{_NO_DUE_DATE}#{task_id}"),
            "other_status": _text(f"{other}#{_NO_DUE_DATE}#{task_id}"),
            "by_change": _text(_change_key(stamp.now, task_id)),
            "write_tokens": {"L": [_text(stamp.token), *[_text("-")] * unused]},
            "write_times": {"L": [now, *[_number(0)] * unused]},
        }
        if new.description is not None:
            item["description"] = _text(new.description)
        return {
            "TableName": self.table,
            "Item": item,
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
                values[f":{name}"] = _text(value)
            elif value is None:
                removes.append(f"#{name}")
                same.append(f"attribute_not_exists(#{name})")
        if "completed" in changes:
            conditions.append("begins_with(#by_status, :guess)")
            values[":guess"] = _text("done#" if guess else "open#")
            if changes["completed"] != guess:
                sets.extend(_SWAP_STATUS)
                same.clear()
        if same:
            conditions.append(f"NOT ({' AND '.join(same)})")
        return self._change(task_id, _Change(sets, removes, conditions, values), precondition, stamp)

    def toggle(self, task_id: str, precondition: Precondition, stamp: Stamp) -> UpdateItemInputTypeDef:
        """Flip a live task between open and completed, whichever it is."""
        return self._change(task_id, _Change(_SWAP_STATUS), precondition, stamp)

    def delete(self, task_id: str, precondition: Precondition, stamp: Stamp) -> UpdateItemInputTypeDef:
        """Move a live task to the trash, keeping the index keys that would bring it back to where it was."""
        sets = [
            "#live_position = #by_position",
            "#live_status = #by_status",
            "#by_status = :deleted",
            "#deleted_at = :now",
            "#expires_at = :expires",
        ]
        values = {
            ":deleted": _text(f"deleted#{stamp.now:015}#{task_id}"),
            ":expires": _number(stamp.now // 1000 + RETENTION_SECONDS),
        }
        return self._change(task_id, _Change(sets, ["#by_position"], values=values), precondition, stamp)

    def _change(
        self, task_id: str, change: _Change, precondition: Precondition, stamp: Stamp
    ) -> UpdateItemInputTypeDef:
        """The frame of every write to a live task: its version, its place in by_change, and the memory of writes."""
        oldest = REMEMBERED_WRITES - 1
        values = {
            **change.values,
            ":now": _number(stamp.now),
            ":change": _text(_change_key(stamp.now, task_id)),
            ":one": _number(1),
            ":token": _text(stamp.token),
            ":since": _number(stamp.since),
        }
        sets = [*change.sets, "#updated_at = :now", "#by_change = :change", "#version = #version + :one"]
        for memory, newest in (("#write_tokens", ":token"), ("#write_times", ":now")):
            sets += [f"{memory}[{place}] = {memory}[{place - 1}]" for place in range(oldest, 0, -1)]
            sets.append(f"{memory}[0] = {newest}")
        conditions = [
            # Only a live task has a position; without this the update would make an item.
            "attribute_exists(#by_position)",
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
            "Key": self._key(task_id),
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": _names(f"{update} {condition}"),
            "ExpressionAttributeValues": values,
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    @property
    def _pk(self) -> str:
        return f"USER#{self.user_id}"

    def _key(self, task_id: str) -> dict[str, AttributeValueTypeDef]:
        return {"pk": _text(self._pk), "sk": _text(f"TASK#{task_id}")}


@dataclass(frozen=True, slots=True)
class _Change:
    """What a write does to a live task beside what every write does."""

    sets: Sequence[str]
    removes: Sequence[str] = ()
    conditions: Sequence[str] = ()
    values: Mapping[str, AttributeValueTypeDef] = field(default_factory=dict)


def position_of(last_key: Item, status: Status) -> str:
    """The position of the last item of a page, from the page's LastEvaluatedKey."""
    return last_key[_LISTS[status].index]["S"]


def _versions(versions: Iterable[int], prefix: str, values: dict[str, AttributeValueTypeDef]) -> str:
    named = {f":{prefix}{place}": _number(version) for place, version in enumerate(sorted(versions))}
    values.update(named)
    return ", ".join(named)


def remembers(item: Item, stamp: Stamp) -> bool:
    """Whether the write of this stamp is among the last writes of the item."""
    return any(token["S"] == stamp.token for token in item["write_tokens"]["L"])


def has_forgotten(item: Item, stamp: Stamp) -> bool:
    """Whether a write since `stamp.since` may have dropped out of the item's memory."""
    return int(item["write_times"]["L"][-1]["N"]) >= stamp.since


def is_live(item: Item) -> bool:
    """Whether a task's item is not in the trash."""
    return "by_position" in item


def is_kept(item: Item, now: int) -> bool:
    """Whether the item is still there for clients at `now` (ms): TTL removes what has expired only later."""
    return "expires_at" not in item or int(item["expires_at"]["N"]) * 1000 > now


def version_of(item: Item) -> int:
    """The version of a task's item."""
    return int(item["version"]["N"])


def to_task(item: Item) -> Task | DeletedTask:
    """The task that an item holds."""
    changed_at = int(item["status_changed_at"]["N"])
    completed = item.get("live_status", item["by_status"])["S"].startswith("done#")
    fields: dict[str, Any] = {
        "id": item["sk"]["S"].removeprefix("TASK#"),
        "user_id": item["pk"]["S"].removeprefix("USER#"),
        "title": item["title"]["S"],
        "description": item["description"]["S"] if "description" in item else None,
        "completed": completed,
        "completed_at": changed_at if completed else None,
        "created_at": int(item["created_at"]["N"]),
        "updated_at": int(item["updated_at"]["N"]),
        "version": version_of(item),
    }
    if is_live(item):
        return Task(**fields)
    return DeletedTask(**fields, deleted_at=int(item["deleted_at"]["N"]), purge_at=int(item["expires_at"]["N"]) * 1000)


def _change_key(now: int, task_id: str) -> str:
    return f"{now:015}#{task_id}"


def _text(value: str) -> AttributeValueTypeDef:
    return {"S": value}


def _number(value: int) -> AttributeValueTypeDef:
    return {"N": str(value)}


def _names(expression: str) -> dict[str, str]:
    # Every name goes by a placeholder, so that none can be one of DynamoDB's reserved words.
    return {name: name[1:] for name in re.findall(r"#[a-z_]+", expression)}
