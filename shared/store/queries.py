"""The queries of lists and changes: the index, the range of keys, and the start of the page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.fields import NO_DUE_DATE, UUID, due_slot
from shared.models import Status, TaskQuery
from shared.store import items
from shared.store.cursors import InvalidCursor

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, QueryInputTypeDef

    from shared.store.items import Item
    from shared.tasks import Target


# The maximum number of tasks that a filtered query reads. DynamoDB reads up to 1 MB, which is at most this number.
# Local reads on until the tasks that match take 1 MB, so it needs a limit.
FILTERED: Final = 2500


class _Index(NamedTuple):
    name: str
    # The prefix of all keys of the list. It names the entity, so that another kind of entity can share an index.
    prefix: str
    # The pattern of the part between the prefix and the id of the task.
    slot: str = ""


_LISTS: Final[dict[Status, _Index]] = {
    "all": _Index("by_creation", "task#"),
    "open": _Index("by_status", "task#open#", "[0-9TZ:-]{20}#"),
    "completed": _Index("by_status", "task#done#", "[0-9]{15}#"),
    "deleted": _Index("by_status", "task#trash#", "[0-9]{15}#"),
}
_POSITION: Final = "[0-9a-z]+#"
_CHANGE: Final = re.compile(rf"[0-9]{{15}}#task#{UUID}")


def of_list(
    table: str, partition: AttributeValueTypeDef, query: TaskQuery, limit: int, position: str | None
) -> QueryInputTypeDef:
    """Read a page of a list after a position. Raises InvalidCursor if the position is outside the list."""
    index = _index_of(query)
    # In a key, # follows the slot; $ is the next character, so no key with this slot or a lower one is in the range.
    start = "" if query.due_after is None else f"{due_slot(query.due_after)}$"
    end = query.due_before or NO_DUE_DATE
    in_range = bool(query.due_after or query.due_before)
    if position is not None and (
        not position.startswith(index.prefix)
        or not re.fullmatch(index.slot + UUID, position.removeprefix(index.prefix))
        or (in_range and not index.prefix + start < position < index.prefix + end)
    ):
        raise InvalidCursor
    request = _query(table, partition, index.name, limit, position)
    values = {":pk": partition, ":start": items.text(index.prefix + start)}
    if in_range:
        request["KeyConditionExpression"] = "#pk = :pk AND #index BETWEEN :start AND :end"
        values[":end"] = items.text(index.prefix + end)
    else:
        request["KeyConditionExpression"] = "#pk = :pk AND begins_with(#index, :start)"
    if query.is_filtered:
        _add_filter(request, values, query)
    request["ExpressionAttributeValues"] = values
    request["ScanIndexForward"] = query.order == "asc"
    return request


def of_neighbours(table: str, partition: AttributeValueTypeDef, target: Target, limit: int) -> QueryInputTypeDef:
    """Read the tasks behind the edge of a target, the nearest first: those after it, or those before it."""
    prefix = items.list_prefix(target.list, target.task.completed)
    # ~ is after all characters of positions and ids.
    start, end = prefix, f"{prefix}~"
    if target.edge is not None:
        key = f"{prefix}{target.edge.position}#{target.edge.task_id}"
        # Both limits of BETWEEN are inclusive: without the edge itself, the range begins or ends with the next text.
        if target.is_after:
            start = f"{key}~"
        else:
            end = f"{key[:-1]}{chr(ord(key[-1]) - 1)}~"
    request = _query(table, partition, "by_list", limit, None)
    request["KeyConditionExpression"] = "#pk = :pk AND #index BETWEEN :start AND :end"
    request["ExpressionAttributeValues"] = {
        ":pk": partition,
        ":start": items.text(start),
        ":end": items.text(end),
    }
    request["ScanIndexForward"] = target.is_after
    return request


def _index_of(query: TaskQuery) -> _Index:
    name, status = query.list, query.status
    if name is None or query.filters_list:
        return _LISTS[status]
    if status == "all":
        return _Index("by_list", f"task#{name}#", f"[01]#{_POSITION}")
    return _Index("by_list", items.list_prefix(name, status == "completed"), _POSITION)


def _add_filter(request: QueryInputTypeDef, values: dict[str, AttributeValueTypeDef], query: TaskQuery) -> None:
    """Filter the tasks of the response. The query then reads more tasks than a page has, to fill the page."""
    conditions, names = [], {**request["ExpressionAttributeNames"]}
    if query.tag is not None:
        conditions.append("contains(#tags, :tag)")
        values[":tag"] = items.text(query.tag)
        names["#tags"] = "tags"
    if query.priority_max is not None:
        conditions.append("#priority BETWEEN :one AND :priority_max")
        values |= {":one": items.number(1), ":priority_max": items.number(query.priority_max)}
        names["#priority"] = "priority"
    if query.list is not None and query.filters_list:
        conditions.append("#list = :list")
        values[":list"] = items.text(query.list)
        names["#list"] = "list"
    request["ExpressionAttributeNames"] = names
    request["FilterExpression"] = " AND ".join(conditions)
    request["Limit"] = FILTERED


def of_changes(
    table: str, partition: AttributeValueTypeDef, since: int, limit: int, position: str | None
) -> QueryInputTypeDef:
    """Read tasks and tombstones with a stamp of `since` (ms) or later after a position, the newest first.

    Raises InvalidCursor if the position is outside.
    """
    start = items.moment(since)
    if position is not None and (not _CHANGE.fullmatch(position) or position < start):
        raise InvalidCursor
    request = _query(table, partition, "by_change", limit, position)
    request["KeyConditionExpression"] = "#pk = :pk AND #index >= :start"
    request["ExpressionAttributeValues"] = {":pk": partition, ":start": items.text(start)}
    request["ScanIndexForward"] = False
    return request


def position_of(request: QueryInputTypeDef, last_key: Item) -> str:
    """Return the position of an item, or of a LastEvaluatedKey, in the index of the request."""
    return last_key[request["IndexName"]]["S"]


def _query(
    table: str, partition: AttributeValueTypeDef, index: str, limit: int, position: str | None
) -> QueryInputTypeDef:
    request: QueryInputTypeDef = {
        "TableName": table,
        "IndexName": index,
        "ExpressionAttributeNames": {"#pk": "pk", "#index": index},
        "ConsistentRead": True,
        "Limit": limit,
    }
    if position is not None:
        # Every index key ends with the id of its task.
        request["ExclusiveStartKey"] = {**items.key_of(partition, position[-36:]), index: items.text(position)}
    return request
