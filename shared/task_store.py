"""The tasks of one user: sends the requests of shared.expressions, and knows what became of them."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from shared import cursors, expressions, items
from shared.cursors import InvalidCursor
from shared.dynamodb import RESERVE, OutcomeUnknown, Sends, Table, Unavailable
from shared.expressions import Partition
from shared.items import Changes, Item, Once, Stamp
from shared.models import BatchResult, BatchResults, ChangesQuery, Cleared, NewTask, Task, TaskPage, TaskQuery
from shared.models import Changes as ChangePage
from shared.preconditions import ANY_VERSION, Precondition
from shared.uuid7 import uuid7

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef, UpdateItemInputTypeDef

    # Only the function that does batches imports their models.
    from shared.batches import OnTask, Operation

type Plan = tuple[list[TransactWriteItemTypeDef], list[Item]]

# How many tasks one call clears: what is sure to fit into its time, at 8 ms each.
MOST_CLEARED = 500

# How far, in milliseconds, the clocks of two functions may differ. When a write is sent again, the times that others
# have stamped on the item are trusted only this far.
CLOCK_SKEW = 2000
# How long, in milliseconds, a write may take from its stamp until every read sees it. A function that stamps a write
# ends within 10 s (template.yaml), in one way or another; to that come two clocks that differ, and time on the wire.
SYNC_OVERLAP = 15_000
# How much later than a walk's beginning the changes may be that it still shows. It ends in any case: nothing can be
# stamped in there for ever.
SYNC_AHEAD = 5_000

_TIME = re.compile(r"[0-9]{15}")


class TaskNotFound(Exception):
    """The user has no such task, or has it only in the trash."""


class VersionMismatch(Exception):
    """The task is at a version that the precondition does not allow."""

    def __init__(self, version: int) -> None:
        super().__init__(f"at version {version}")
        self.version = version


class NotDeleted(Exception):
    """A task to restore is not in the trash."""


class KeyReused(Exception):
    """A key belongs to another request."""


class KeyMissing(Exception):
    """An operation that needs a key was asked for without one."""


class OperationRefused(Exception):
    """One operation of a batch cannot be done, for the reason that is this error's cause; so none was."""

    def __init__(self, place: int) -> None:
        super().__init__(f"operation {place}")
        self.place = place


class SyncTokenExpired(Exception):
    """A sync token is so old that deletions since may have been forgotten."""


class TaskStore:
    """The tasks of one user, and of no other: no method takes a user id.

    `deadline` is when the function must have answered, on the clock of time.monotonic; `clock` gives nanoseconds since
    1970. With `once`, create, toggle, restore and batch are done once for its key: when it has been used, they return
    what they returned then, and set `replayed`; they raise KeyReused where it was used for something else.

    Every method raises Unavailable when DynamoDB cannot be used in time, and every write OutcomeUnknown when it may or
    may not have been applied.
    """

    replayed = False

    def __init__(
        self,
        table: Table,
        user_id: str,
        deadline: float,
        clock: Callable[[], int] = time.time_ns,
        once: Once | None = None,
    ) -> None:
        self._client = table.client
        self._once = once
        self._user_id = user_id
        self._partition = Partition(table.name, user_id)
        self._deadline = deadline
        self._clock = clock

    def create(self, new: NewTask) -> Task:
        """Create a task: one request, keyed or not."""
        task_id = self._new_id()
        if self._once is not None:

            def plan(stamp: Stamp, _: Sequence[Item | None]) -> Plan:
                item = items.new_item(self._user_id, task_id, new, stamp)
                return [self._partition.put_new(item)], [item]

            return _only_task(self._commit(self._once, [], plan))

        def put(stamp: Stamp) -> Item:
            request = self._partition.create(task_id, new, stamp)
            self._client.put_item(**request)
            return cast("Item", request["Item"])

        return items.to_task(self._write(put, lambda _: None))

    def get(self, task_id: str) -> Task:
        """Read a task: one request. Raises TaskNotFound."""
        request = self._partition.get(task_id)
        item = self._read(lambda: self._client.get_item(**request)).get("Item")
        return items.to_task(_live(None if item is None else items.current(item)))

    def list(self, query: TaskQuery) -> TaskPage:
        """Read a page of a list: one request. Raises InvalidCursor for a cursor of any other list."""
        scope = (self._user_id, query.status, query.order)
        position = None if query.cursor is None else cursors.decode(query.cursor, *scope)
        request = self._partition.list(query.status, query.order, query.page_size, position)
        page = self._read(lambda: self._client.query(**request))
        last_key = page.get("LastEvaluatedKey")
        return TaskPage(
            items=[items.to_task(items.current(item)) for item in page["Items"] if items.is_kept(item, self._now())],
            next_cursor=cursors.encode(expressions.position_of(last_key, query.status), *scope) if last_key else None,
        )

    def changes(self, query: ChangesQuery) -> ChangePage:
        """Read a page of what has changed: one request.

        A walk begins with no token, or with the bare watermark that the last one ended with, and shows what was written
        from there on. While it goes on, its tokens hold where it began, the watermark that it will end with, and the
        place reached. That watermark lies SYNC_OVERLAP before the walk's beginning: what is stamped before it has
        arrived by then, so nothing that is written later can lie behind it. What lies between is shown again next time.

        Raises InvalidCursor for a token that is none of this user's, and SyncTokenExpired.
        """
        now, scope = self._now(), (self._user_id, "changes")
        position: str | None = None
        if query.since is None:
            first, watermark = 0, max(0, now - SYNC_OVERLAP)
        else:
            match cursors.decode(query.since, *scope).split("."):
                case [since] if _TIME.fullmatch(since):
                    first = int(since)
                    watermark = max(first, now - SYNC_OVERLAP)
                case [since, until, position] if _TIME.fullmatch(since) and _TIME.fullmatch(until):
                    first, watermark = int(since), int(until)
                case _:
                    raise InvalidCursor
            if not first <= watermark <= now:
                raise InvalidCursor
            # A walk that began with nothing has seen no task that it could miss the deletion of.
            if now - (first or watermark) > items.RETENTION_SECONDS * 1000:
                raise SyncTokenExpired
        last = watermark + SYNC_OVERLAP + SYNC_AHEAD
        request = self._partition.changes(first, last, query.page_size, position)
        page = self._read(lambda: self._client.query(**request))
        last_key = page.get("LastEvaluatedKey")
        token = f"{watermark:015}"
        if last_key:
            token = f"{first:015}.{token}.{last_key['by_change']['S']}"
        return ChangePage(
            items=[items.to_change(items.current(item)) for item in page["Items"]],
            next_since=cursors.encode(token, *scope),
            has_more=last_key is not None,
        )

    def update(self, task_id: str, changes: Changes, precondition: Precondition) -> Task:
        """Change some fields of a task: one request, or two where its status is not the one guessed.

        A change that changes nothing writes nothing and keeps the version. Raises TaskNotFound and VersionMismatch.
        """
        if not changes:
            task = self.get(task_id)
            return _allowed(task, precondition)
        # Who sends nothing but a status wants it to change; among other fields it is mostly that of an open task.
        guess = not changes["completed"] if changes.keys() == {"completed"} else False

        def change(stamp: Stamp) -> Item:
            return self._update(self._partition.update(task_id, changes, guess, precondition, stamp))

        def judge(refused: Item | None) -> Item | None:
            nonlocal guess
            task = _allowed(items.to_task(_live(refused)), precondition)
            guess = task.completed
            return refused if refused is not None and _holds(refused, changes) else None

        return items.to_task(self._write(change, judge))

    def toggle(self, task_id: str, precondition: Precondition) -> Task:
        """Flip a task between open and completed: one request, or two with a key.

        Raises TaskNotFound and VersionMismatch.
        """
        if self._once is not None:
            return self._change_once(
                self._once, task_id, lambda item, stamp: items.toggled(_found(item, precondition), stamp)
            )

        def flip(stamp: Stamp) -> Item:
            return self._update(self._partition.toggle(task_id, precondition, stamp))

        def judge(refused: Item | None) -> None:
            _allowed(items.to_task(_live(refused)), precondition)

        return items.to_task(self._write(flip, judge))

    def delete(self, task_id: str, precondition: Precondition) -> None:
        """Move a task to the trash: one request. A task that lies there already is left as it is.

        Raises TaskNotFound and VersionMismatch.
        """

        def discard(stamp: Stamp) -> Item:
            return self._update(self._partition.delete(task_id, precondition, stamp))

        def judge(refused: Item | None) -> Item | None:
            if refused is None or not items.is_kept(refused, self._now()):
                raise TaskNotFound
            if not items.is_live(refused):
                return refused
            _allowed(items.to_task(refused), precondition)
            return None

        self._write(discard, judge)

    def restore(self, task_id: str, precondition: Precondition) -> Task:
        """Bring a task back from the trash: one request, or two with a key.

        Raises TaskNotFound where it is gone for good, NotDeleted, and VersionMismatch.
        """
        if self._once is not None:
            return self._change_once(
                self._once, task_id, lambda item, stamp: items.restored(self._trashed(item, precondition), stamp)
            )

        def bring_back(stamp: Stamp) -> Item:
            return self._update(self._partition.restore(task_id, precondition, stamp))

        def judge(refused: Item | None) -> None:
            self._trashed(refused, precondition)

        return items.to_task(self._write(bring_back, judge))

    def clear_completed(self) -> Cleared:
        """Move completed tasks to the trash, one request each, until none is left, 500 are cleared, or time is short.

        A task that somebody opens meanwhile stays. Where DynamoDB gives up half-way, what was cleared is told.
        """
        cleared = 0
        request = self._partition.list("completed", "asc", MOST_CLEARED, None)
        page = self._read(lambda: self._client.query(**request))
        for item in page["Items"]:
            if time.monotonic() > self._deadline - RESERVE:
                return Cleared(cleared=cleared, more=True)
            try:
                cleared += self._clear(items.task_id_of(item))
            except Unavailable:
                if not cleared:
                    raise
                return Cleared(cleared=cleared, more=True)
        return Cleared(cleared=cleared, more="LastEvaluatedKey" in page)

    def batch(self, operations: Sequence[Operation]) -> BatchResults:
        """Do several operations on different tasks, all or none: two requests.

        Raises KeyMissing without a key, and OperationRefused where one cannot be done.
        """
        if self._once is None:
            raise KeyMissing
        task_ids = [operation.id for operation in operations if operation.op != "create"]

        def plan(stamp: Stamp, found: Sequence[Item | None]) -> Plan:
            there = iter(found)
            writes: list[TransactWriteItemTypeDef] = []
            results: list[Item] = []
            for place, operation in enumerate(operations):
                try:
                    if operation.op == "create":
                        after: Item = items.new_item(self._user_id, self._new_id(), operation.task, stamp)
                        write = self._partition.put_new(after)
                    else:
                        before, after = self._planned(operation, next(there), stamp)
                        version = items.version_of(before)
                        if after is before:
                            write = self._partition.check(operation.id, version)
                        else:
                            write = self._partition.put_over(after, version)
                except (TaskNotFound, NotDeleted, VersionMismatch) as refusal:
                    raise OperationRefused(place) from refusal
                writes.append(write)
                results.append(after)
            return writes, results

        def result(operation: Operation, item: Item) -> BatchResult:
            task = None if operation.op == "delete" else items.to_task(item)
            return BatchResult(op=operation.op, id=items.task_id_of(item), task=task)

        done = self._commit(self._once, task_ids, plan)
        return BatchResults(results=[result(*pair) for pair in zip(operations, done, strict=True)])

    def _planned(self, operation: OnTask, item: Item | None, stamp: Stamp) -> tuple[Item, Item]:
        """What an operation of a batch finds and what it makes of it; twice the same where it changes nothing."""
        condition = operation.precondition
        if operation.op == "restore":
            before = self._trashed(item, condition)
            return before, items.restored(before, stamp)
        if operation.op == "delete":
            if item is not None and not items.is_live(item) and items.is_kept(item, stamp.now):
                return item, item
            before = _found(item, condition)
            return before, items.deleted(before, stamp)
        before = _found(item, condition)
        if operation.op == "toggle":
            return before, items.toggled(before, stamp)
        changes = operation.patch.changes()
        return before, before if _holds(before, changes) else items.updated(before, changes, stamp)

    def _clear(self, task_id: str) -> bool:
        """Delete a task if it is completed; whether it was."""

        def discard(stamp: Stamp) -> Item:
            return self._update(self._partition.delete(task_id, ANY_VERSION, stamp, only_completed=True))

        def judge(refused: Item | None) -> Item | None:
            completed = refused is not None and items.is_live(refused) and items.to_task(refused).completed
            return None if completed else {}

        return bool(self._write(discard, judge))

    def _update(self, request: UpdateItemInputTypeDef) -> Item:
        return self._client.update_item(**request)["Attributes"]

    def _write(self, send: Callable[[Stamp], Item], judge: Callable[[Item | None], Item | None]) -> Item:
        """Send a write until it is known what became of it, and return the item as it then is.

        A write whose answer is lost is sent again with the same token. The item remembers the tokens of its last
        writes, and a send is refused when it finds its token there - it was applied - or when the item may have
        forgotten it. `judge` sees the item that refused a write which was not applied: it raises, returns what
        answers the caller all the same, or returns None to try again. An item that an older release wrote refuses
        every write: it is upgraded before the next try.
        """
        sends = Sends(self._deadline, writing=True)
        token = secrets.token_urlsafe(8)
        since: int | None = None
        while True:
            now = self._now()
            if since is None:
                since = now
            stamp = Stamp(token, now, since - CLOCK_SKEW if sends.unsure else since)
            try:
                return send(stamp)
            except self._client.exceptions.ConditionalCheckFailedException as refusal:
                found: Item | None = refusal.response.get("Item")  # type: ignore[assignment]  # the stubs lack Item
                item = None if found is None else items.current(found)
                if item is not None and items.remembers(item, stamp):
                    return item
                if item is not None and sends.unsure and items.has_forgotten(item, stamp):
                    raise OutcomeUnknown from refusal
                answer = judge(item)
                if answer is not None:
                    return answer
                sends.refused()
                since = None
                if found is not None and item is not None and found is not item:
                    self._upgrade(found, item)
            except Exception as error:  # noqa: BLE001 - failed() raises whatever it does not know
                sends.failed(error)

    def _upgrade(self, item: Item, upgraded: Item) -> None:
        """Write an item in its new shape; if somebody wrote it meanwhile, that stands."""
        request = expressions.upgrade(self._partition.table, item, upgraded)
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            # Sent twice it does no more than once, as a read.
            self._read(lambda: self._client.update_item(**request))

    def _change_once(self, once: Once, task_id: str, change: Callable[[Item | None, Stamp], Item]) -> Task:
        def plan(stamp: Stamp, found: Sequence[Item | None]) -> Plan:
            after = change(found[0], stamp)
            return [self._partition.put_over(after, items.version_of(after) - 1)], [after]

        return _only_task(self._commit(once, [task_id], plan))

    def _commit(
        self, once: Once, task_ids: Sequence[str], plan: Callable[[Stamp, Sequence[Item | None]], Plan]
    ) -> Sequence[Item]:
        """Write what is planned on the tasks as they are, with the record of the key, in one transaction.

        The record is what makes it happen once: each send, also one after a lost answer, has its own time, and is
        refused where the key has a record. What a plan writes is on condition that the tasks are as it found them, so
        when it refuses to plan, no earlier send can be applied any more.
        """
        sends = Sends(self._deadline, writing=True)
        token = secrets.token_urlsafe(8)
        while True:
            found: Sequence[Item | None] = []
            if task_ids:
                record, *found = self._look(once, task_ids, sends)
                if record is not None and items.is_kept(record, self._now()):
                    return self._remembered(record, once, token)
            now = self._now()
            stamp = Stamp(token, now, now)
            writes, results = plan(stamp, found)
            request = self._partition.commit(once, results, writes, stamp)
            sends.begin()
            try:
                self._client.transact_write_items(**request)
            except self._client.exceptions.TransactionCanceledException as cancelled:
                reasons = cancelled.response["CancellationReasons"]
                refused = [reason.get("Code") == "ConditionalCheckFailed" for reason in reasons]
                if refused[0]:
                    return self._remembered(cast("Item", reasons[0]["Item"]), once, token)
                if any(refused):
                    sends.refused()
                else:
                    sends.failed(cancelled)
            except Exception as error:  # noqa: BLE001 - failed() raises whatever it does not know
                sends.failed(error)
            else:
                return results

    def _look(self, once: Once, task_ids: Sequence[str], sends: Sends) -> Sequence[Item | None]:
        request = self._partition.look(once, task_ids)
        try:
            answer = self._read(lambda: self._client.transact_get_items(**request))
        except Unavailable:
            if sends.unsure:
                raise OutcomeUnknown from None
            raise
        record, *found = [response.get("Item") for response in answer["Responses"]]
        return [record, *(None if item is None else items.current(item) for item in found)]

    def _remembered(self, record: Item, once: Once, token: str) -> Sequence[Item]:
        if not items.is_of(record, once):
            raise KeyReused
        self.replayed = not items.is_own(record, token)
        return items.results_of(record)

    def _trashed(self, item: Item | None, precondition: Precondition) -> Item:
        if item is None or not items.is_kept(item, self._now()):
            raise TaskNotFound
        if items.is_live(item):
            raise NotDeleted
        _allowed(items.to_task(item), precondition)
        return item

    def _new_id(self) -> str:
        return str(uuid7(self._clock()))

    def _read[Answer](self, send: Callable[[], Answer]) -> Answer:
        sends = Sends(self._deadline, writing=False)
        while True:
            try:
                return send()
            except Exception as error:  # noqa: BLE001 - failed() raises whatever it does not know
                sends.failed(error)

    def _now(self) -> int:
        return self._clock() // 1_000_000


def _live(item: Item | None) -> Item:
    if item is None or not items.is_live(item):
        raise TaskNotFound
    return item


def _found(item: Item | None, precondition: Precondition) -> Item:
    found = _live(item)
    _allowed(items.to_task(found), precondition)
    return found


def _holds(item: Item, changes: Changes) -> bool:
    """Whether a task is already as the changes would have it."""
    task = items.to_task(item)
    return all(getattr(task, field) == value for field, value in changes.items())


def _only_task(results: Sequence[Item]) -> Task:
    (item,) = results
    return items.to_task(_live(item))


def _allowed(task: Task, precondition: Precondition) -> Task:
    if not precondition.allows(task.version):
        raise VersionMismatch(task.version)
    return task
