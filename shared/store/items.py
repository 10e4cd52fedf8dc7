"""Items: the stored form of tasks and idempotency keys, and their conversion.

`to_item` and `from_item` are the codec between the state of a task and its item. Every index key is computed from the
state, only here. docs/data-model.md shows every item with an example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, unquote

from shared import positions
from shared.fields import due_slot
from shared.models import DeletedTask, Task

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# The version of the items that this release writes. It may read older ones, and newer ones during a rollout.
SCHEMA = 1
# The number of write tokens in an item: those of its last writes.
REMEMBERED_WRITES = 4

# Characters of a user id that are not encoded in a partition key: printable ASCII except # and %.
_UNCHANGED = "".join(map(chr, range(0x20, 0x7F))).translate({ord("#"): None, ord("%"): None})

type Item = Mapping[str, "AttributeValueTypeDef"]


class IdempotencyKey(NamedTuple):
    """An idempotency key: its SHA-256, the SHA-256 of the request (the fingerprint), and its lifetime in seconds."""

    digest: str
    fingerprint: str
    lifetime: int


def text(value: str) -> AttributeValueTypeDef:
    """Return the DynamoDB value of a string."""
    return {"S": value}


def number(value: int) -> AttributeValueTypeDef:
    """Return the DynamoDB value of an integer."""
    return {"N": str(value)}


@dataclass(frozen=True, slots=True)
class Field:
    """How a field of a task is stored: as the attribute of the same name, or as none if its value is `absent`."""

    encode: Callable[[Any], AttributeValueTypeDef]
    decode: Callable[[AttributeValueTypeDef], Any]
    absent: Any = None


TEXT: Final = Field(text, itemgetter("S"))
# The model converts the digits to a number, which is faster for the hundreds of numbers in a list.
NUMBER: Final = Field(number, itemgetter("N"))

TEXTS: Final = Field(
    lambda texts: {"L": [{"S": one} for one in texts]}, lambda attribute: [one["S"] for one in attribute["L"]], []
)
TEXTS_BY_NAME: Final = Field(
    lambda texts: {"M": {name: {"S": one} for name, one in texts.items()}},
    lambda attribute: {name: one["S"] for name, one in attribute["M"].items()},
    {},
)

FIELDS: Final[dict[str, Field]] = {
    "title": TEXT,
    "description": TEXT,
    "due": TEXT,
    "time_zone": TEXT,
    "priority": replace(NUMBER, absent=0),
    "tags": TEXTS,
    "metadata": TEXTS_BY_NAME,
    "list": TEXT,
    "position": TEXT,
    "completed_at": NUMBER,
    "created_at": NUMBER,
    "updated_at": NUMBER,
    "updated_by": TEXT,
    "version": NUMBER,
    "first_version": replace(NUMBER, absent=1),
    "deleted_at": NUMBER,
}
# Fields that are computed: id and user_id from the keys, completed from completed_at, and purge_at
# from expires_at, the TTL attribute of the table, in seconds.
_DERIVED: Final = {"id", "user_id", "completed", "purge_at"}
_OTHERS: Final = {
    "pk",
    "sk",
    "schema",
    "expires_at",
    "by_creation",
    "by_status",
    "by_list",
    "by_change",
    "write_tokens",
}


def to_item(
    task: Task,
    token: str | None = None,
    before: Item | None = None,
    partition: AttributeValueTypeDef | None = None,
) -> dict[str, AttributeValueTypeDef]:
    """Return the item of a task. `before` is the item that it replaces, and `token` identifies this write.

    `partition` is the partition key; the default is that of the user without a tenant. Attributes of a newer
    release are kept unchanged.
    """
    before = before or {}
    tokens = [*([token] if token else []), *write_tokens(before)][:REMEMBERED_WRITES]
    return {
        **{name: value for name, value in before.items() if name not in FIELDS and name not in _OTHERS},
        **to_content(task, partition),
        **_index_keys(task),
        "write_tokens": {"L": [text(one) for one in tokens]},
    }


def to_content(task: Task, partition: AttributeValueTypeDef | None = None) -> dict[str, AttributeValueTypeDef]:
    """Return the attributes of a task without index keys and tokens: all that `from_item` needs."""
    content = {
        **key_of(partition or partition_of(task.user_id), task.id),
        "schema": number(SCHEMA),
        **{
            name: FIELDS[name].encode(value)
            for name, value in vars(task).items()
            if name not in _DERIVED and value != FIELDS[name].absent
        },
    }
    if task.position is not None and task.position == positions.first(task.id, task.created_at):
        del content["position"]  # it is computed again: the position of most tasks
    if isinstance(task, DeletedTask):
        content["expires_at"] = number(task.purge_at // 1000)
    return content


def from_item(item: Item) -> Task | DeletedTask:
    """Return the task of an item of this release or an older one."""
    item = current(item)
    absent, decoders = _layout()
    fields: dict[str, Any] = {
        **absent,
        "id": item["sk"]["S"].removeprefix("TASK#"),
        "user_id": user_of(item),
        "completed": "completed_at" in item,
    }
    # A list decodes 100 items, and this loop takes a tenth of its time.
    for name, decode in decoders:
        if name in item:
            fields[name] = decode(item[name])
    if fields["list"] is not None and fields["position"] is None:
        fields["position"] = positions.first(fields["id"], int(fields["created_at"]))
    if "deleted_at" in item:
        return DeletedTask(**fields, purge_at=int(item["expires_at"]["N"]) * 1000)
    return Task.model_validate(fields)  # takes two thirds of the time of Task(**fields)


@cache
def _layout() -> tuple[dict[str, Any], list[tuple[str, Callable[[AttributeValueTypeDef], Any]]]]:
    """Return the values of absent fields, and the decoders of all fields, by name."""
    # A live task has no `deleted_at`: the two models differ in it.
    absent = {name: field.absent for name, field in FIELDS.items() if name != "deleted_at"}
    return absent, [(name, field.decode) for name, field in FIELDS.items()]


def write_tokens(item: Item) -> list[str]:
    """Return the tokens of the last writes of an item, the newest first."""
    return [token["S"] for token in item["write_tokens"]["L"]] if "write_tokens" in item else []


def _index_keys(task: Task) -> dict[str, AttributeValueTypeDef]:
    """Return the index keys of a task. An item without a key is not in that index."""
    by_change = {"by_change": text(f"{moment(task.updated_at)}#task#{task.id}")}
    if isinstance(task, DeletedTask):
        return {**by_change, "by_status": text(f"task#trash#{moment(task.deleted_at)}#{task.id}")}
    status = "open" if task.completed_at is None else "done"
    slot = due_slot(task.due) if task.completed_at is None else moment(task.completed_at)
    by_list = {}
    if task.list is not None:
        by_list["by_list"] = text(f"{list_prefix(task.list, task.completed)}{task.position}#{task.id}")
    return {
        **by_list,
        **by_change,
        "by_creation": text(f"task#{task.id}"),
        "by_status": text(f"task#{status}#{slot}#{task.id}"),
    }


def list_prefix(name: str, completed: bool) -> str:
    """Return the prefix of the keys of the open or the completed tasks of a list in the index by_list."""
    return f"task#{name}#{int(completed)}#"


def moment(milliseconds: int) -> str:
    """Format milliseconds since 1970 for index keys, which are compared as text: 15 digits."""
    return f"{milliseconds:015}"


def current(item: Item) -> Item:
    """Return the item in the schema of this release: upgraded if an older release wrote it.

    A newer item is not converted, because it has all that the previous release reads (shared/store/upgrades.py).
    """
    if schema_of(item) >= SCHEMA:
        return item
    from shared.store.upgrades import upgraded  # noqa: PLC0415 - so that a cold start does not pay for it

    return upgraded(item)


def schema_of(item: Item) -> int:
    """Return the schema version of an item."""
    return int(item["schema"]["N"])


def version_of(item: Item) -> int:
    """Return the version of the task of an item."""
    return int(item["version"]["N"])


def task_id_of(item: Item) -> str:
    """Return the id of the task of an item."""
    return item["sk"]["S"].removeprefix("TASK#")


def partition_of(user_id: str, tenant: str = "") -> AttributeValueTypeDef:
    """Return the partition key of the items of a user, in a tenant if there is one.

    `#` separates the parts of a key, so `#` and `%` in a user id or tenant are percent-encoded.
    """
    names = [tenant, user_id] if tenant else [user_id]
    return text("#".join(("USER", *(quote(name, safe=_UNCHANGED) for name in names))))


def user_of(item: Item) -> str:
    """Return the id of the user of an item."""
    return _user_of(item["pk"]["S"])


@lru_cache(1)  # all items of a page belong to one user
def _user_of(partition: str) -> str:
    return unquote(partition.rpartition("#")[2])


def tenant_of(item: Item) -> str:
    """Return the tenant of the user of an item, or the empty string."""
    return unquote("#".join(item["pk"]["S"].split("#")[1:-1]))


def key_of(partition: AttributeValueTypeDef, task_id: str) -> dict[str, AttributeValueTypeDef]:
    """Return the key of the item of a task."""
    return {"pk": partition, "sk": text(f"TASK#{task_id}")}


def record_key(partition: AttributeValueTypeDef, key: IdempotencyKey) -> dict[str, AttributeValueTypeDef]:
    """Return the key of the record of an idempotency key."""
    return {"pk": partition, "sk": text(f"KEY#{key.digest}")}


def to_record(
    partition: AttributeValueTypeDef, key: IdempotencyKey, results: Sequence[Task], token: str, now: int
) -> dict[str, AttributeValueTypeDef]:
    """Return the record of an idempotency key: the fingerprint of the request, and the tasks of the response."""
    return {
        **record_key(partition, key),
        "schema": number(SCHEMA),
        "fingerprint": text(key.fingerprint),
        "write_token": text(token),
        "results": {"L": [{"M": to_content(task, partition)} for task in results]},
        "expires_at": number(now // 1000 + key.lifetime),
    }


class Record(NamedTuple):
    """The content of the record of an idempotency key."""

    fingerprint: str
    write_token: str
    results: list[Task | DeletedTask]
    # In milliseconds since 1970.
    expires_at: int


def from_record(item: Item) -> Record:
    """Parse the record of an idempotency key."""
    results = [from_item(result["M"]) for result in item["results"]["L"]]
    return Record(item["fingerprint"]["S"], item["write_token"]["S"], results, int(item["expires_at"]["N"]) * 1000)
