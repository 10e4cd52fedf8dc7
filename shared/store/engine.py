"""The write engine: read, decide, write on condition that the task is still at the version that was read.

The version is the fence. A request that arrives late can be applied only at the version that it was made for, and
versions never come back. No clock is compared. docs/reliability.md shows it in two pictures.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, NotRequired, TypedDict, cast

from shared.models import Task
from shared.store import items
from shared.store.dynamodb import OutcomeUnknown, Retries, Table
from shared.store.items import REMEMBERED_WRITES, IdempotencyKey, Item
from shared.store.sizes import MOST_BYTES, size_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        ConditionCheckTypeDef,
        PutTypeDef,
        TransactWriteItemsInputTypeDef,
        TransactWriteItemTypeDef,
    )

type Decide = Callable[[Task | None, int], Task]


class KeyReused(Exception):
    """An idempotency key belongs to another request."""


class BatchTooLarge(Exception):
    """The tasks of a batch are together too large for the record of its key. Nothing was changed."""


class Write(NamedTuple):
    """A task to write: `decide` makes its new state of the state that was found, at a time in ms since 1970.

    `found` is the item where the caller knows it already; for a task to create it is None and `read` is False.
    """

    task_id: str
    decide: Decide
    read: bool = True
    found: Item | None = None


class Replayed(Exception):
    """The key of this operation was used before: its answer is here."""

    def __init__(self, results: list[Task]) -> None:
        super().__init__()
        self.results = results


class Engine:
    """Reads and writes tasks of one user, and knows what became of each request.

    `deadline` is when the function must have answered, on the clock of time.monotonic; `clock` gives nanoseconds since
    1970. With an idempotency `key`, each write is done once. Every method raises Unavailable where DynamoDB cannot be
    used in time; `write` also raises OutcomeUnknown where the write may or may not have been applied, and StorageFull.
    """

    def __init__(
        self,
        table: Table,
        user_id: str,
        deadline: float,
        clock: Callable[[], int] = time.time_ns,
        key: IdempotencyKey | None = None,
    ) -> None:
        self._client = table.client
        self._table = table.name
        self._user_id = user_id
        self._deadline = deadline
        self._clock = clock
        self._key = key

    @property
    def now(self) -> int:
        """The time, in milliseconds since 1970."""
        return self._clock() // 1_000_000

    def read[Answer](self, send: Callable[[], Answer]) -> Answer:
        """Send a read until it is answered."""
        retries = Retries(self._deadline)
        while True:
            try:
                return send()
            except Exception as error:  # noqa: BLE001 - failed() raises what a retry cannot help
                retries.failed(error)

    def item(self, task_id: str) -> Item | None:
        """Read the item of a task, with all writes acknowledged before."""
        key = items.key_of(self._user_id, task_id)
        answer = self.read(lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True))
        return answer.get("Item")

    def write(self, *writes: Write) -> list[Task]:
        """Write all of these tasks, or none, and return the states that this call wrote.

        Where no decision changes anything and there is no key, nothing is written. Raises what a decision raises,
        KeyReused, Replayed and BatchTooLarge.
        """
        found, conflicted = self._found(writes), False
        retries = Retries(self._deadline, writing=True)
        while True:
            now = self.now
            found = [None if item is None else items.current(item) for item in found]
            before = [None if item is None else items.from_item(item) for item in found]
            after = [write.decide(state, now) for write, state in zip(writes, before, strict=True)]
            if self._key is None and all(new is old for new, old in zip(after, before, strict=True)):
                return after
            if conflicted:
                retries.conflicted()
            token = secrets.token_urlsafe(12)
            parts = [
                self._check(item) if new is old and item is not None else self._put(new, token, item)
                for new, old, item in zip(after, before, found, strict=True)
            ]
            refused = self._send(parts, after, token, now, retries)
            if refused is None or _is_applied(refused, token):
                return after
            written = {place for place, (new, old) in enumerate(zip(after, before, strict=True)) if new is not old}
            if retries.unanswered and not _never_applied(refused, found, written):
                raise OutcomeUnknown
            # No request of this attempt can be applied any more: the task has left the version that it was made for.
            retries.unanswered, conflicted = False, True
            found = [refused.get(place, item) for place, item in enumerate(found)]

    def _found(self, writes: Sequence[Write]) -> list[Item | None]:
        """The items that the writes begin from. Raises KeyReused and Replayed."""
        unread = [write.task_id for write in writes if write.read]
        if not unread:
            return [write.found for write in writes]
        if self._key is None and len(unread) == 1:
            read = [self.item(unread[0])]
        else:
            keys = [items.key_of(self._user_id, task_id) for task_id in unread]
            if self._key is not None:
                keys.append(items.record_key(self._user_id, self._key))
            gets = [{"Get": {"TableName": self._table, "Key": key}} for key in keys]
            answer = self.read(lambda: self._client.transact_get_items(TransactItems=gets))  # type: ignore[arg-type]
            read = [response.get("Item") for response in answer["Responses"]]
            if self._key is not None and (record := read.pop()) is not None:
                self._replay(record, self._key)
        there = iter(read)
        return [next(there) if write.read else write.found for write in writes]

    def _send(
        self, parts: Sequence[TransactWriteItemTypeDef], after: Sequence[Task], token: str, now: int, retries: Retries
    ) -> dict[int, Item | None] | None:
        """Send a write until it is applied or refused: None, or the items, by place, that are not as they were read.

        An unanswered request is sent again byte for byte: its condition makes that safe.
        """
        send = self._request(parts, after, token, now)
        while True:
            retries.begin()
            try:
                send()
            except self._client.exceptions.ConditionalCheckFailedException as refusal:
                return {0: cast("Item | None", refusal.response.get("Item"))}
            except self._client.exceptions.TransactionCanceledException as cancelled:
                reasons = cancelled.response["CancellationReasons"]
                refused = {
                    place: cast("Item | None", reason.get("Item"))
                    for place, reason in enumerate(reasons)
                    if reason.get("Code") == "ConditionalCheckFailed"
                }
                if self._key is not None and (record := refused.pop(len(parts), None)) is not None:
                    if items.from_record(record).write_token == token:
                        return None
                    self._replay(record, self._key)
                    return refused  # the record has expired since the request was made
                if refused:
                    return refused
                retries.failed(cancelled)
            except Exception as error:  # noqa: BLE001 - failed() raises what a retry cannot help
                retries.failed(error)
            else:
                return None

    def _request(
        self, parts: Sequence[TransactWriteItemTypeDef], after: Sequence[Task], token: str, now: int
    ) -> Callable[[], object]:
        """What sends the request of one attempt: the same bytes each time. Raises BatchTooLarge."""
        if self._key is None and len(parts) == 1:
            put = parts[0]["Put"]
            return lambda: self._client.put_item(**put)  # a part of a transaction reads alike
        request: TransactWriteItemsInputTypeDef = {"TransactItems": list(parts), "ClientRequestToken": token}
        if self._key is not None:
            item = items.to_record(self._user_id, self._key, after, token, now)
            if size_of(item) > MOST_BYTES:
                raise BatchTooLarge
            record: PutTypeDef = {
                "TableName": self._table,
                "Item": item,
                "ConditionExpression": "attribute_not_exists(#sk) OR #expires_at <= :now",
                "ExpressionAttributeNames": {"#sk": "sk", "#expires_at": "expires_at"},
                "ExpressionAttributeValues": {":now": items.number(now // 1000)},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            request["TransactItems"] = [*parts, {"Put": record}]
        return lambda: self._client.transact_write_items(**request)

    def _put(self, task: Task, token: str, before: Item | None) -> TransactWriteItemTypeDef:
        put: PutTypeDef = {"TableName": self._table, "Item": items.to_item(task, token, before), **_unchanged(before)}
        return {"Put": put}

    def _check(self, item: Item) -> TransactWriteItemTypeDef:
        key = {"pk": item["pk"], "sk": item["sk"]}
        check: ConditionCheckTypeDef = {"TableName": self._table, "Key": key, **_unchanged(item)}
        return {"ConditionCheck": check}

    def _replay(self, item: Item, key: IdempotencyKey) -> None:
        """Raise Replayed or KeyReused where the record of a key is still kept."""
        record = items.from_record(item)
        if record.expires_at <= self.now:
            return
        if record.fingerprint != key.fingerprint:
            raise KeyReused
        raise Replayed(record.results)


class _Condition(TypedDict):
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: NotRequired[dict[str, AttributeValueTypeDef]]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD"]


def _unchanged(item: Item | None) -> _Condition:
    """The condition that a task is still as it was read; where it is not, DynamoDB returns it as it is."""
    if item is None:
        return {
            "ConditionExpression": "attribute_not_exists(#sk)",
            "ExpressionAttributeNames": {"#sk": "sk"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    return {
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": item["version"]},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _is_applied(refused: Mapping[int, Item | None], token: str) -> bool:
    """Whether an earlier request of this attempt was applied: then each item that it wrote remembers its token."""
    return any(item is not None and token in items.write_tokens(item) for item in refused.values())


def _never_applied(refused: Mapping[int, Item | None], found: Sequence[Item | None], written: Container[int]) -> bool:
    """Whether it is sure that no request of this attempt was applied, given that no item has its token.

    An item tells as long as it remembers every write since the version that was read; so does one that is gone.
    """
    for place, item in refused.items():
        if place in written:
            before = found[place]
            read_at = 0 if before is None else items.version_of(before)
            if item is None or items.version_of(item) - read_at <= REMEMBERED_WRITES:
                return True
    return False
