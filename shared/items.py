"""Items: what a task looks like in DynamoDB, what each write makes of it, and what it means.

docs/data-model.md shows every item with an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.models import DeletedTask, NewTask, Task, Tombstone

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# The version of the shape that this release writes. What it reads may be older, or newer while a release is rolled out.
SCHEMA = 1
RETENTION_SECONDS = 30 * 24 * 3600
# How many writes an item remembers. A resend that follows more writes than this of others' is an unknown outcome.
REMEMBERED_WRITES = 4

_NO_DUE_DATE = "9999-12-31T23:59:59Z"
# What a remembered answer leaves out of an item: nothing of it is shown.
_NOT_SHOWN = frozenset({"other_status", "by_change", "live_position", "write_tokens", "write_times"})

type Item = Mapping[str, "AttributeValueTypeDef"]
type Changes = Mapping[str, str | bool | None]


class Stamp(NamedTuple):
    """What marks one send of a write.

    `token` is the same for all sends of one operation, `now` (ms) is this send's own time, and `since` (ms) is a time
    before the first send that this one may repeat: the item must remember every write since then.
    """

    token: str
    now: int
    since: int


class Once(NamedTuple):
    """What makes an operation happen once: a digest of its key, one of all that was asked, and for how long (s)."""

    key: str
    fingerprint: str
    lifetime: int


def new_item(user_id: str, task_id: str, new: NewTask, stamp: Stamp) -> dict[str, AttributeValueTypeDef]:
    """The item of a new task."""
    status, other = ("done", "open") if new.completed else ("open", "done")
    now = number(stamp.now)
    unused = REMEMBERED_WRITES - 1
    item: dict[str, AttributeValueTypeDef] = {
        **key_of(user_id, task_id),
        "schema": number(SCHEMA),
        "title": text(new.title),
        "created_at": now,
        "updated_at": now,
        "status_changed_at": now,
        "version": number(1),
        "by_position": text(task_id),
        "by_status": text(f"{status}#{_NO_DUE_DATE}#{task_id}"),
        "other_status": text(f"{other}#{_NO_DUE_DATE}#{task_id}"),
        "by_change": text(change_key(stamp.now, task_id)),
        "write_tokens": {"L": [text(stamp.token), *[text("-")] * unused]},
        "write_times": {"L": [now, *[number(0)] * unused]},
    }
    if new.description is not None:
        item["description"] = text(new.description)
    return item


# What the writes of shared.expressions do within DynamoDB, done here to an item that was read: for transactions, which
# return nothing, so that what they answer must be known before they are sent. tests/integration holds the two together.


def toggled(item: Item, stamp: Stamp) -> Item:
    """The item of a live task in its other status."""
    return written({**item, **_swapped(item, stamp)}, stamp)


def updated(item: Item, changes: Changes, stamp: Stamp) -> Item:
    """The item of a live task with some fields changed."""
    after = dict(item)
    for name, value in changes.items():
        if isinstance(value, str):
            after[name] = text(value)
        elif value is None:
            after.pop(name, None)
        elif value != to_task(item).completed:
            after.update(_swapped(item, stamp))
    return written(after, stamp)


def deleted(item: Item, stamp: Stamp) -> Item:
    """The item of a live task moved to the trash, with the index keys that would bring it back to where it was."""
    after = {
        **item,
        "live_position": item["by_position"],
        "live_status": item["by_status"],
        "by_status": text(trash_key(stamp.now, task_id_of(item))),
        "deleted_at": number(stamp.now),
        "expires_at": number(expiry(stamp.now)),
    }
    del after["by_position"]
    return written(after, stamp)


def restored(item: Item, stamp: Stamp) -> Item:
    """The item of a deleted task brought back to where it was."""
    after = {**item, "by_position": item["live_position"], "by_status": item["live_status"]}
    for name in ("live_position", "live_status", "deleted_at", "expires_at"):
        del after[name]
    return written(after, stamp)


def written(item: Item, stamp: Stamp) -> Item:
    """The item with the marks of a write: shape, time and version, its place in by_change, and the memory of writes."""
    return {
        **item,
        "schema": number(SCHEMA),
        "updated_at": number(stamp.now),
        "by_change": text(change_key(stamp.now, task_id_of(item))),
        "version": number(version_of(item) + 1),
        "write_tokens": {"L": [text(stamp.token), *item["write_tokens"]["L"][:-1]]},
        "write_times": {"L": [number(stamp.now), *item["write_times"]["L"][:-1]]},
    }


def new_record(user_id: str, once: Once, results: Sequence[Item], stamp: Stamp) -> dict[str, AttributeValueTypeDef]:
    """The item that remembers a keyed operation: what was asked, and the tasks that answered it."""
    return {
        **record_key(user_id, once),
        "schema": number(SCHEMA),
        "fingerprint": text(once.fingerprint),
        "write_token": text(stamp.token),
        "results": {"L": [{"M": _shown(item)} for item in results]},
        "expires_at": number(stamp.now // 1000 + once.lifetime),
    }


def results_of(record: Item) -> list[Item]:
    """The items of the tasks that answered a keyed operation."""
    return [current(result["M"]) for result in record["results"]["L"]]


def schema_of(item: Item) -> int:
    """The version of an item's shape."""
    return int(item["schema"]["N"])


def current(item: Item) -> Item:
    """The item as this release reads it: upgraded where an older one wrote it.

    A newer one is taken as it is, since every release leaves what the one before it reads (shared/upgrades.py).
    """
    if schema_of(item) >= SCHEMA:
        return item
    from shared.upgrades import upgraded  # noqa: PLC0415 - so that a cold start does not pay for it

    return upgraded(item)


def remembers(item: Item, stamp: Stamp) -> bool:
    """Whether the write of this stamp is among the last writes of the item."""
    return any(token["S"] == stamp.token for token in item["write_tokens"]["L"])


def has_forgotten(item: Item, stamp: Stamp) -> bool:
    """Whether a write since `stamp.since` may have dropped out of the item's memory."""
    return int(item["write_times"]["L"][-1]["N"]) >= stamp.since


def is_live(item: Item) -> bool:
    """Whether a task's item is not in the trash."""
    return "by_position" in item


def is_of(record: Item, once: Once) -> bool:
    """Whether the record of a key is of the same request."""
    return record["fingerprint"]["S"] == once.fingerprint


def is_own(record: Item, token: str) -> bool:
    """Whether a record was written by another send of this very operation."""
    return record["write_token"]["S"] == token


def is_kept(item: Item, now: int) -> bool:
    """Whether the item is still there for clients at `now` (ms): TTL removes what has expired only later."""
    return "expires_at" not in item or int(item["expires_at"]["N"]) * 1000 > now


def version_of(item: Item) -> int:
    """The version of a task's item."""
    return int(item["version"]["N"])


def task_id_of(item: Item) -> str:
    """The id of a task's item."""
    return item["sk"]["S"].removeprefix("TASK#")


def to_task(item: Item) -> Task | DeletedTask:
    """The task that an item holds."""
    changed_at = int(item["status_changed_at"]["N"])
    completed = item.get("live_status", item["by_status"])["S"].startswith("done#")
    fields: dict[str, Any] = {
        "id": task_id_of(item),
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


def to_change(item: Item) -> Task | Tombstone:
    """The task that an item holds, or what is left of it."""
    task = to_task(item)
    if isinstance(task, DeletedTask):
        return Tombstone(id=task.id, deleted=True, version=task.version, deleted_at=task.deleted_at)
    return task


def partition_of(user_id: str) -> AttributeValueTypeDef:
    """The partition key of a user's items."""
    return text(f"USER#{user_id}")


def key_of(user_id: str, task_id: str) -> dict[str, AttributeValueTypeDef]:
    """The key of a task's item."""
    return {"pk": partition_of(user_id), "sk": text(f"TASK#{task_id}")}


def record_key(user_id: str, once: Once) -> dict[str, AttributeValueTypeDef]:
    """The key of the item that remembers a keyed operation."""
    return {"pk": partition_of(user_id), "sk": text(f"KEY#{once.key}")}


def change_key(now: int, task_id: str) -> str:
    """The place in by_change of a task that was written at `now` (ms)."""
    return f"{now:015}#{task_id}"


def trash_key(now: int, task_id: str) -> str:
    """The place in by_status of a task that was deleted at `now` (ms)."""
    return f"deleted#{now:015}#{task_id}"


def expiry(now: int) -> int:
    """When (s) a task that was deleted at `now` (ms) is gone for good."""
    return now // 1000 + RETENTION_SECONDS


def text(value: str) -> AttributeValueTypeDef:
    """A string, as DynamoDB takes it."""
    return {"S": value}


def number(value: int) -> AttributeValueTypeDef:
    """A number, as DynamoDB takes it."""
    return {"N": str(value)}


def _shown(item: Item) -> Item:
    return {name: value for name, value in item.items() if name not in _NOT_SHOWN}


def _swapped(item: Item, stamp: Stamp) -> Item:
    return {
        "by_status": item["other_status"],
        "other_status": item["by_status"],
        "status_changed_at": number(stamp.now),
    }
