"""The write engine: reads, decides, and writes on condition that the task is still at the version that was read.

This is optimistic locking. A request that arrives late can be applied only if the task is still at the version that the
request was made for, and a task never returns to an earlier version. No clocks are compared. docs/reliability.md
explains this with a diagram.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict, cast

from shared.models import Task
from shared.store import items
from shared.store.dynamodb import Failure, IncompleteResponse, OutcomeUnknown, Retries, Table
from shared.store.items import REMEMBERED_WRITES, IdempotencyKey, Item
from shared.store.sizes import MOST_BYTES, size_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        ConditionCheckTypeDef,
        PutTypeDef,
        QueryInputTypeDef,
        QueryOutputTypeDef,
        TransactWriteItemsInputTypeDef,
        TransactWriteItemTypeDef,
    )

# Takes the current tasks by id, and the time in ms since 1970. Returns the new states of the tasks to write.
type Decide = Callable[[Mapping[str, Task], int], Sequence[Task]]


class KeyReused(Exception):
    """An idempotency key belongs to another request."""


class BatchTooLarge(Exception):
    """The tasks of a batch are together too large for the record of its key. Nothing was changed."""


class Replayed(Exception):
    """This idempotency key was used before, for the same request. `results` are the tasks of the first response."""

    def __init__(self, results: list[Task]) -> None:
        super().__init__()
        self.results = results


class Engine:
    """Reads and writes the tasks of one user, whose partition key is `partition`.

    `deadline` is the end of the function's time, as a value of time.monotonic. `clock` returns nanoseconds since 1970.
    With an idempotency `key`, a write is applied once, however often the client sends its request. Every method raises
    Unavailable if DynamoDB does not complete a request in time. `write` also raises OutcomeUnknown if it is unknown
    whether the write was applied, and StorageFull if the user's storage is full.
    """

    def __init__(
        self,
        table: Table,
        partition: AttributeValueTypeDef,
        deadline: float,
        clock: Callable[[], int] = time.time_ns,
        key: IdempotencyKey | None = None,
    ) -> None:
        self.table = table.name
        self.partition = partition
        self._client = table.client
        self._deadline = deadline
        self._clock = clock
        self._key = key
        self._late = Failure.UNANSWERED

    @property
    def now(self) -> int:
        """The time, in milliseconds since 1970."""
        return self._clock() // 1_000_000

    def read[Response](self, send: Callable[[], Response]) -> Response:
        """Send a read, with retries, and return the response."""
        retries = Retries(self._deadline, late=self._late)
        while True:
            try:
                return retries.send(send)
            except Exception as error:  # noqa: BLE001 - raised again if a retry cannot help
                retries.wait_after_failure(error)

    def query(self, request: QueryInputTypeDef) -> QueryOutputTypeDef:
        """Send a query. The response has items, unless the query only counts (`Select`)."""

        def send() -> QueryOutputTypeDef:
            page = self._client.query(**request)
            if isinstance(page.get("Items"), list) is (request.get("Select") == "COUNT"):
                raise IncompleteResponse
            return page

        return self.read(send)

    def item(self, task_id: str) -> Item | None:
        """Read the item of a task, with a consistent read."""
        return self.item_at(items.key_of(self.partition, task_id))

    def item_at(self, key: Mapping[str, AttributeValueTypeDef]) -> Item | None:
        """Read an item, with a consistent read."""
        response = self.read(lambda: self._client.get_item(TableName=self.table, Key=key, ConsistentRead=True))
        return response.get("Item")

    def write(
        self,
        decide: Decide,
        read: Collection[str] = (),
        *,
        around: Collection[str] = (),
        found: Mapping[str, Item] | None = None,
    ) -> Sequence[Task]:
        """Read tasks, decide, and write all new states or none. Return the states that this call wrote.

        `read` has the ids of the tasks to write, and `around` those of others that the decision depends on. `found` has
        items that were read before. After a conflict, `decide` is called with the current tasks: they are in the
        response, but if there are others, all are read again. Writes nothing if no task changes and there is no
        idempotency key. Raises the exceptions of `decide`, KeyReused, Replayed and BatchTooLarge.
        """
        found = dict(found or (self._items({*read, *around}) if read else {}))
        retries, conflicted = Retries(self._deadline, writing=True), False
        while True:
            now = self.now
            found = {task_id: items.current(item) for task_id, item in found.items()}
            before = {task_id: items.from_item(item) for task_id, item in found.items()}
            after = decide(before, now)
            written = {task.id for task in after if task is not before.get(task.id)}
            if self._key is None and not written:
                return after
            if conflicted:
                retries.wait_after_conflict()
            token = secrets.token_urlsafe(12)
            parts = [
                self._put(task, token, found.get(task.id)) if task.id in written else self._check(found[task.id])
                for task in after
            ]
            refused = self._send(parts, after, token, now, retries)
            if refused is None or _is_applied(refused, token):
                return after
            if retries.unanswered and not _never_applied(refused, found, written):
                raise OutcomeUnknown
            # No request of this attempt can be applied later: the task is past the version that they were made for.
            retries.unanswered, conflicted = False, True
            self._late = Failure.CONTENDED  # of a read that has no time left: it is the conflict that took the time
            if around:
                found = self._items({*read, *around})
            else:
                found = {task_id: item for task_id, item in {**found, **refused}.items() if item is not None}

    def _items(self, task_ids: Collection[str]) -> dict[str, Item]:
        """Read the items of tasks that exist, by their ids, with consistent reads: one request.

        With an idempotency key, its record is read, too. Raises KeyReused and Replayed.
        """
        keys = [items.key_of(self.partition, task_id) for task_id in sorted(task_ids)]
        found: Sequence[Item | None]
        if self._key is not None:
            keys.append(items.record_key(self.partition, self._key))
            gets = [{"Get": {"TableName": self.table, "Key": key}} for key in keys]
            response = self.read(lambda: self._client.transact_get_items(TransactItems=gets))  # type: ignore[arg-type]
            *found, record = [part.get("Item") for part in response["Responses"]]
            if record is not None:
                self._replay(record, self._key)
        elif len(keys) == 1:
            found = [self.item_at(keys[0])]
        else:
            found = self.read(lambda: self._batch(keys))
        return {items.task_id_of(item): item for item in found if item is not None}

    def _batch(self, keys: Sequence[Mapping[str, AttributeValueTypeDef]]) -> Sequence[Item]:
        wanted = {self.table: {"Keys": keys, "ConsistentRead": True}}
        response = self._client.batch_get_item(RequestItems=wanted)  # type: ignore[arg-type]
        if response["UnprocessedKeys"]:
            raise IncompleteResponse
        return response["Responses"][self.table]

    def _send(
        self, parts: Sequence[TransactWriteItemTypeDef], after: Sequence[Task], token: str, now: int, retries: Retries
    ) -> dict[str, Item | None] | None:
        """Send a write, with retries. Return None if it was applied.

        If it was refused, return the current items of the tasks that changed since they were read, by their ids; None
        is a task that is gone. A request without a response is sent again byte for byte: the condition expression makes
        this safe.
        """
        send = self._request(parts, after, token, now)
        while True:
            try:
                retries.send(send)
            except self._client.exceptions.ConditionalCheckFailedException as refusal:
                return {after[0].id: cast("Item | None", refusal.response.get("Item"))}
            except self._client.exceptions.TransactionCanceledException as cancelled:
                reasons = cancelled.response["CancellationReasons"]
                failed = [reason.get("Code") == "ConditionalCheckFailed" for reason in reasons]
                refused = {
                    task.id: cast("Item | None", reason.get("Item"))
                    for task, reason, has_failed in zip(after, reasons, failed, strict=False)
                    if has_failed
                }
                if self._key is not None and any(failed[len(parts) :]):
                    record = cast("Item", reasons[-1]["Item"])
                    if items.from_record(record).write_token == token:
                        return None
                    self._replay(record, self._key)
                    return refused  # the record has expired: make the request again, with the current time
                if refused:
                    return refused
                retries.wait_after_failure(cancelled)
            except Exception as error:  # noqa: BLE001 - raised again if a retry cannot help
                retries.wait_after_failure(error)
            else:
                return None

    def _request(
        self, parts: Sequence[TransactWriteItemTypeDef], after: Sequence[Task], token: str, now: int
    ) -> Callable[[], object]:
        """Return a function that sends the request of one attempt, always the same bytes. Raises BatchTooLarge."""
        if self._key is None and len(parts) == 1:
            put = parts[0]["Put"]
            return lambda: self._client.put_item(**put)  # PutItem takes the same members as a Put of a transaction
        request: TransactWriteItemsInputTypeDef = {"TransactItems": list(parts), "ClientRequestToken": token}
        if self._key is not None:
            item = items.to_record(self.partition, self._key, after, token, now)
            if size_of(item) > MOST_BYTES:
                raise BatchTooLarge
            record: PutTypeDef = {
                "TableName": self.table,
                "Item": item,
                "ConditionExpression": "attribute_not_exists(#sk) OR #expires_at <= :now",
                "ExpressionAttributeNames": {"#sk": "sk", "#expires_at": "expires_at"},
                "ExpressionAttributeValues": {":now": items.number(now // 1000)},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            request["TransactItems"] = [*parts, {"Put": record}]
        return lambda: self._client.transact_write_items(**request)

    def _put(self, task: Task, token: str, before: Item | None) -> TransactWriteItemTypeDef:
        put: PutTypeDef = {
            "TableName": self.table,
            "Item": items.to_item(task, token, before, self.partition),
            **_unchanged(before),
        }
        return {"Put": put}

    def _check(self, item: Item) -> TransactWriteItemTypeDef:
        key = {"pk": item["pk"], "sk": item["sk"]}
        check: ConditionCheckTypeDef = {"TableName": self.table, "Key": key, **_unchanged(item)}
        return {"ConditionCheck": check}

    def _replay(self, item: Item, key: IdempotencyKey) -> None:
        """Raise Replayed or KeyReused, unless the record of the key has expired."""
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
    """The condition that a task has not changed since it was read. If it has, DynamoDB returns the current item.

    The time of its creation belongs to it: an erased task can be created again, and has versions of its earlier life.
    """
    if item is None:
        return {
            "ConditionExpression": "attribute_not_exists(#sk)",
            "ExpressionAttributeNames": {"#sk": "sk"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    return {
        "ConditionExpression": "#version = :version AND #created_at = :created_at",
        "ExpressionAttributeNames": {"#version": "version", "#created_at": "created_at"},
        "ExpressionAttributeValues": {":version": item["version"], ":created_at": item["created_at"]},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _is_applied(refused: Mapping[str, Item | None], token: str) -> bool:
    """Whether an earlier request of this attempt was applied: each item that it wrote then holds its token."""
    return any(item is not None and token in items.write_tokens(item) for item in refused.values())


def _never_applied(refused: Mapping[str, Item | None], found: Mapping[str, Item], written: Container[str]) -> bool:
    """Whether it is certain that no request of this attempt was applied, given that no item holds its token.

    It is certain if an item is in the life that was read, and holds the tokens of all writes since then. A task that is
    gone, or that was created since then, may have been written before it was removed.
    """
    for task_id, item in refused.items():
        before = found.get(task_id)
        if task_id not in written or item is None or before is None or item["created_at"] != before["created_at"]:
            continue
        if 0 < items.version_of(item) - items.version_of(before) <= REMEMBERED_WRITES:
            return True
    return False
