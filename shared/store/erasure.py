"""Erasure: removes everything in the partition of a user, and leaves a mark.

First, a call writes the mark, which has a version for optimistic locking. Each call that removes items
first writes its time into the mark. So the call that ends the erasure knows that no other call has removed items for a
while, and that none of their requests can still arrive. docs/decisions/0022-erasure-and-export.md has the reasons.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from shared.models import Erased, Receipt
from shared.store import items, marks
from shared.store.dynamodb import RESERVE, SETTLED, IncompleteResponse, OutcomeUnknown, Retries, Unavailable
from shared.store.engine import Engine
from shared.store.items import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, QueryInputTypeDef

    type Mark = dict[str, AttributeValueTypeDef]

# Counted from the time in the mark: the mark is applied, then a function may cache that there is none, and
# then it may send a create.
UNTIL_NO_CREATES: Final = SETTLED + marks.MEMORY + SETTLED
_DAY: Final = 24 * 3600 * 1000
# The maximum number of items of a BatchWriteItem.
_MOST_REMOVED: Final = 25


class Erasure:
    """One call that erases a user, as far as its time allows."""

    def __init__(self, engine: Engine, client: DynamoDBClient, user_id: str, deadline: float, mark_days: int) -> None:
        self._engine = engine
        self._client = client
        self._user_id = user_id
        self._deadline = deadline
        self._mark_days = mark_days
        self._erased = 0

    def run(self) -> Erased:
        """Mark the user, remove items, and end the erasure if there are no items and no more can arrive."""
        try:
            mark = self._mark()
            began = self._engine.now
            if not self._remove_all():
                return Erased(erased=self._erased, more=True, receipt=None)
        except (Unavailable, OutcomeUnknown):
            if not self._erased:
                raise
            return Erased(erased=self._erased, more=True, receipt=None)
        if "completed_at" not in mark:
            since = max(_time(mark, "marked_at") + UNTIL_NO_CREATES, _time(mark, "removing_at") + SETTLED)
            ended = {**mark, "completed_at": items.number(self._engine.now)}
            # If this write is refused, another call has started to remove items.
            if began < since or not self._put(ended, mark):
                return Erased(erased=0, more=True, receipt=None)
            mark = self._mark()
        return Erased(erased=0, more=False, receipt=self._receipt(mark))

    def _mark(self) -> Item:
        """Return the mark of the user. Write it if there is none."""
        retries = Retries(self._deadline)
        while True:
            found, now = self._engine.item_at(marks.key_in(self._engine.partition)), self._engine.now
            if found is not None and marks.is_valid(found, now):
                return found
            new = {**marks.key_in(self._engine.partition), "schema": items.number(items.SCHEMA)}
            if not self._put({**new, "marked_at": items.number(now)}, found):
                retries.wait_after_conflict()

    def _remove_all(self) -> bool:
        """Remove items until there are none or the time is short. Return whether there were none at the start."""
        request: QueryInputTypeDef = {
            "TableName": self._engine.table,
            "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"},
            "ExpressionAttributeValues": {":pk": self._engine.partition},
            "ProjectionExpression": "#pk, #sk",
            "ConsistentRead": True,
        }
        found_none = True
        while True:
            page = self._engine.query(request)
            keys = [{"pk": one["pk"], "sk": one["sk"]} for one in page["Items"] if one["sk"]["S"] != marks.SORT_KEY]
            if keys and found_none:
                found_none = False
                self._announce()
            for first in range(0, len(keys), _MOST_REMOVED):
                if self._is_late():
                    return False
                self._remove(keys[first : first + _MOST_REMOVED])
            if "LastEvaluatedKey" not in page:
                return found_none
            if self._is_late():
                return False
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _announce(self) -> None:
        """Write the time into the mark before items are removed. An ended erasure starts again."""
        retries = Retries(self._deadline)
        while True:
            mark = self._mark()
            announced = {name: value for name, value in mark.items() if name != "completed_at"}
            if self._put({**announced, "removing_at": items.number(self._engine.now)}, mark):
                return
            retries.wait_after_conflict()

    def _remove(self, keys: Sequence[Item]) -> None:
        retries, table = Retries(self._deadline, writing=True), self._engine.table
        left = [{"DeleteRequest": {"Key": key}} for key in keys]
        while left:
            request: Any = {table: left}
            try:
                response = retries.send(partial(self._client.batch_write_item, RequestItems=request))
            except Exception as error:  # noqa: BLE001 - raised again if a retry cannot help
                retries.wait_after_failure(error)
                continue
            unprocessed = response["UnprocessedItems"].get(table, [])
            self._erased += len(left) - len(unprocessed)
            left = unprocessed  # type: ignore[assignment]
            if left:
                retries.wait_after_failure(IncompleteResponse())

    def _put(self, mark: Item, before: Item | None) -> bool:
        """Write the mark if it is still as it was before. Return False if it is not."""
        now, version = self._engine.now, 0 if before is None else items.version_of(before)
        expires_at = items.number((now + self._mark_days * _DAY) // 1000)
        item: Mark = {**mark, "version": items.number(version + 1), "expires_at": expires_at}
        put = partial(
            self._client.put_item,
            TableName=self._engine.table,
            Item=item,
            ConditionExpression="attribute_not_exists(#version) OR #version = :version",
            ExpressionAttributeNames={"#version": "version"},
            ExpressionAttributeValues={":version": items.number(version)},
        )
        retries = Retries(self._deadline, writing=True)
        while True:
            try:
                retries.send(put)
            except self._client.exceptions.ConditionalCheckFailedException:
                return False  # also if our own request was applied and its response was lost
            except Exception as error:  # noqa: BLE001 - raised again if a retry cannot help
                retries.wait_after_failure(error)
            else:
                return True

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline - RESERVE

    def _receipt(self, mark: Item) -> Receipt:
        return Receipt(
            user_id=self._user_id,
            marked_at=_time(mark, "marked_at"),
            completed_at=_time(mark, "completed_at"),
            expires_at=int(mark["expires_at"]["N"]) * 1000,
        )


def _time(mark: Item, name: str) -> int:
    return int(mark[name]["N"]) if name in mark else 0
