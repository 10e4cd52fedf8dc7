"""The queries of lists and changes: which index, which part of it, and where a page begins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.models import UUID, Status, TaskQuery
from shared.store import items
from shared.store.cursors import InvalidCursor

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

    from shared.store.items import Item


class _Index(NamedTuple):
    name: str
    # All keys of the list begin so. The prefix names the entity, so that a second kind of entity can share an index.
    prefix: str
    # What stands between the prefix and the id of the task.
    slot: str = ""


_LISTS: Final[dict[Status, _Index]] = {
    "all": _Index("by_creation", "task#"),
    "open": _Index("by_status", "task#open#", "[0-9TZ:-]{20}#"),
    "completed": _Index("by_status", "task#done#", "[0-9]{15}#"),
    "deleted": _Index("by_status", "task#trash#", "[0-9]{15}#"),
}
_CHANGE: Final = re.compile(rf"[0-9]{{15}}#task#{UUID}")


def of_list(table: str, user_id: str, query: TaskQuery, limit: int, position: str | None) -> QueryInputTypeDef:
    """Read a page of a list, from behind a position on. Raises InvalidCursor where that lies outside the list."""
    index = _LISTS[query.status]
    if position is not None and not re.fullmatch(f"{index.prefix}{index.slot}{UUID}", position):
        raise InvalidCursor
    request = _query(table, user_id, index.name, limit, position)
    request["KeyConditionExpression"] = "#pk = :pk AND begins_with(#index, :start)"
    request["ExpressionAttributeValues"] = {":pk": items.partition_of(user_id), ":start": items.text(index.prefix)}
    request["ScanIndexForward"] = query.order == "asc"
    return request


def of_changes(table: str, user_id: str, since: int, limit: int, position: str | None) -> QueryInputTypeDef:
    """Read what is stamped at `since` (ms) or later, newest first, tombstones too, from behind a position on.

    Raises InvalidCursor where that lies outside.
    """
    start = items.moment(since)
    if position is not None and (not _CHANGE.fullmatch(position) or position < start):
        raise InvalidCursor
    request = _query(table, user_id, "by_change", limit, position)
    request["KeyConditionExpression"] = "#pk = :pk AND #index >= :start"
    request["ExpressionAttributeValues"] = {":pk": items.partition_of(user_id), ":start": items.text(start)}
    request["ScanIndexForward"] = False
    return request


def position_of(request: QueryInputTypeDef, last_key: Item) -> str:
    """The position of the last item of a page, from the page's LastEvaluatedKey."""
    return last_key[request["IndexName"]]["S"]


def _query(table: str, user_id: str, index: str, limit: int, position: str | None) -> QueryInputTypeDef:
    request: QueryInputTypeDef = {
        "TableName": table,
        "IndexName": index,
        "ExpressionAttributeNames": {"#pk": "pk", "#index": index},
        "ConsistentRead": True,
        "Limit": limit,
    }
    if position is not None:
        # Every index key ends with the id of its task.
        request["ExclusiveStartKey"] = {**items.key_of(user_id, position[-36:]), index: items.text(position)}
    return request
