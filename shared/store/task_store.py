"""The tasks of one user: each method is one operation of the API, on DynamoDB."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from shared import tasks
from shared.fields import DESCRIPTION_LENGTH, METADATA_BYTES, TITLE_LENGTH
from shared.models import (
    BatchResult,
    BatchResults,
    Changes,
    ChangesQuery,
    Cleared,
    ClearQuery,
    DeletedTask,
    Erased,
    Move,
    NewTask,
    Task,
    TaskPage,
    TaskQuery,
    Tombstone,
)
from shared.positions import NoRoom
from shared.store import cursors, items, marks, queries
from shared.store.cursors import InvalidCursor
from shared.store.dynamodb import RESERVE, SETTLED, Retries, StorageFull, Table, Unavailable
from shared.store.engine import Decide, Engine, Replayed, Write
from shared.store.items import IdempotencyKey
from shared.store.places import PlaceChanged, Places
from shared.store.uuid7 import uuid7
from shared.tasks import (
    AnchorNotInList,
    InvalidTask,
    NoList,
    NotDeleted,
    NotMatching,
    Precondition,
    TaskNotFound,
    UnusableId,
    VersionMismatch,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

    # Only the function for batches imports their models.
    from shared.batches import BatchOperation

# The maximum number of tasks that one call clears: at 8 ms each, they fit into its time.
MOST_CLEARED = 500

# Two walks of changes overlap by the time in which a write becomes visible.
SYNC_OVERLAP = SETTLED

# The maximum number of characters in all texts of a page. Lambda encodes a control character in seven bytes, and its
# response has at most 6 MB.
PAGE_TEXT = 800_000
# This number of tasks fits with texts of any length.
SURE_TO_FIT = PAGE_TEXT // (TITLE_LENGTH + DESCRIPTION_LENGTH + METADATA_BYTES)

_TIME = re.compile(r"[0-9]{15}")


class KeyMissing(Exception):
    """An operation requires an idempotency key, and has none."""


class OperationRefused(Exception):
    """One operation of a batch failed, so none was applied. The cause of this error is the reason."""

    def __init__(self, place: int, part: str) -> None:
        super().__init__(f"operation {place}")
        self.place = place
        # The path of the task's fields in the operation: the beginning of a JSON Pointer.
        self.part = part


class SyncTokenExpired(Exception):
    """A sync token is too old, or the clock that made it was ahead."""


class TaskStore:
    """The tasks of one user, in a tenant if there is one. No method takes a user id: no store reaches other users.

    `deadline` is when the function must have responded, by time.monotonic. `clock` returns nanoseconds since
    1970. With an idempotency `key`, create, toggle, restore and batch are applied once: if the key was used before,
    they return the first result again, and set `replayed`. They raise KeyReused if it was used for another request.

    Writes raise UserErased for an erased user: a create always, other writes if the task is gone.

    Every method raises Unavailable when DynamoDB cannot be used in time, and every write OutcomeUnknown when it may or
    may not have been applied, and StorageFull.
    """

    replayed = False

    def __init__(  # noqa: PLR0913, PLR0917 - where, whose, until when, and how
        self,
        table: Table,
        user_id: str,
        deadline: float,
        clock: Callable[[], int] = time.time_ns,
        key: IdempotencyKey | None = None,
        tenant: str = "",
    ) -> None:
        self._table = table.name
        self._client = table.client
        self._user_id = user_id
        self._partition = items.partition_of(user_id, tenant)
        self._deadline = deadline
        self._clock = clock
        self._key = key
        self._engine = Engine(table, self._partition, deadline, clock, key)

    def create(self, new: NewTask, task_id: str | None = None, *, importing: bool = False) -> Task:
        """Create a task, under the id of the client if there is one: one request, with or without a key.

        With an id of the client it can be repeated: a task at version 1 with the same content is returned.
        The id of an imported task may have any age. Raises UnusableId, VersionMismatch if the id belongs to
        another task, and InvalidTask.
        """
        marks.check(self._engine)
        return self._write(self._creation(new, task_id, importing=importing))

    def get(self, task_id: str) -> Task:
        """Read a task: one request. Raises TaskNotFound."""
        item = self._engine.item(task_id)
        return tasks.get(None if item is None else items.from_item(item))

    def list(self, query: TaskQuery) -> TaskPage:
        """Read a page of a list: one request. Raises InvalidCursor for a cursor of another list.

        A filtered page is filled from the tasks that one query reads, up to 1 MB. It can be short even if more follow.
        """
        scope = (self._partition["S"], *query.scope)
        position = None if query.cursor is None else cursors.decode(query.cursor, *scope)
        request = queries.of_list(self._table, self._partition, query, query.page_size, position)
        found, position = self._page(request, query.page_size)
        now = self._engine.now
        return TaskPage(
            items=[task for task in found if not tasks.is_expired(task, now)],
            next_cursor=None if position is None else cursors.encode(position, *scope),
        )

    def changes(self, query: ChangesQuery) -> Changes:
        """Read a page of changes, the newest first: one request.

        A walk reads several pages. It starts at the newest change and ends at its watermark, a time. The first walk has
        no watermark and reads everything. Writes during a walk are newer than its position, so they cannot prolong it.

        Between two pages, the token contains the watermark of this walk, the watermark of the next walk, and the
        position. After the last page, it contains only the watermark of the next walk. This is SYNC_OVERLAP before the
        beginning of this walk: every write with an older stamp has arrived by then. The next walk returns the changes
        of the overlap again.

        Raises InvalidCursor for a token that was not made for this user, and SyncTokenExpired.
        """
        now, scope = self._engine.now, (self._partition["S"], "changes")
        position: str | None = None
        if query.since is None:
            since, watermark = 0, max(0, now - SYNC_OVERLAP)
        else:
            match cursors.decode(query.since, *scope).split("."):
                case [first] if _TIME.fullmatch(first):
                    since = int(first)
                    watermark = max(since, now - SYNC_OVERLAP)
                case [first, next_first, position] if _TIME.fullmatch(first) and _TIME.fullmatch(next_first):
                    since, watermark = int(first), int(next_first)
                case _:
                    raise InvalidCursor
            if since > watermark:
                raise InvalidCursor
            # A walk that began without a token has not shown tasks whose deletion it could miss.
            if watermark > now or now - (since or watermark) > tasks.RETENTION:
                raise SyncTokenExpired
        request = queries.of_changes(self._table, self._partition, since, query.page_size, position)
        found, position = self._page(request, query.page_size)
        token = items.moment(watermark)
        if position is not None:
            token = f"{items.moment(since)}.{token}.{position}"
        return Changes(
            items=[_change(task) for task in found],
            next_since=cursors.encode(token, *scope),
            has_more=position is not None,
        )

    def update(self, task_id: str, changes: Mapping[str, Any], precondition: Precondition) -> Task:
        """Change some fields of a task: two requests, or one if nothing changes.

        A change without effect writes nothing and keeps the version. Raises TaskNotFound, VersionMismatch and
        InvalidTask.
        """
        return self._write(Write(task_id, lambda found, now: tasks.change(found, changes, precondition, now)))

    def toggle(self, task_id: str, precondition: Precondition) -> Task:
        """Flip a task between open and completed: two requests. Raises TaskNotFound and VersionMismatch."""
        return self._write(Write(task_id, lambda found, now: tasks.toggle(found, precondition, now)))

    def delete(self, task_id: str, precondition: Precondition) -> None:
        """Move a task to the trash: two requests. A task that is already there is unchanged.

        Raises TaskNotFound and VersionMismatch.
        """
        self._write(Write(task_id, lambda found, now: tasks.delete(found, precondition, now)))

    def restore(self, task_id: str, precondition: Precondition) -> Task:
        """Bring a task back from the trash: two requests.

        Raises TaskNotFound if its time there is over, NotDeleted, and VersionMismatch.
        """
        return self._write(Write(task_id, lambda found, now: tasks.restore(found, precondition, now)))

    def move(self, task_id: str, move: Move, precondition: Precondition) -> Task:
        """Put a task at a place of a list, even if its neighbours change meanwhile: three requests.

        With an idempotency key it takes four. A move to the current place writes nothing. Raises
        TaskNotFound, VersionMismatch, NoList, AnchorNotInList, NoRoom, and InvalidTask if the anchor is the task.
        """

        def write(places: Places) -> Sequence[Write]:
            moving = _moving(task_id, move, precondition, places.position)
            return [moving._replace(read=self._key is not None, found=places.items.get(task_id))]

        (task,) = self._commit_with_places({task_id: move}, 1, write)
        return task

    def clear(self, query: ClearQuery) -> Cleared:
        """Move the tasks of a query to the trash, one request each, until 500 are cleared or time is short.

        A task that no longer matches is kept. If DynamoDB fails half-way, or the storage of the user is full,
        the response counts the cleared tasks.
        """
        cleared = 0
        listed = TaskQuery(status=query.status or "all", list=query.list)
        request = queries.of_list(self._table, self._partition, listed, MOST_CLEARED, None)
        page = self._engine.query(request)

        def decide(found: Task | None, now: int) -> Task:
            return tasks.clear(found, query, now)

        for item in map(items.current, page["Items"]):
            if time.monotonic() > self._deadline - RESERVE:
                return Cleared(cleared=cleared, more=True)
            try:
                self._engine.write(Write(items.task_id_of(item), decide, read=False, found=item))
                cleared += 1
            except NotMatching:
                continue
            except (StorageFull, Unavailable):
                if not cleared:
                    raise
                return Cleared(cleared=cleared, more=True)
        return Cleared(cleared=cleared, more="LastEvaluatedKey" in page)

    def batch(self, operations: Sequence[BatchOperation]) -> BatchResults:
        """Apply several operations on different tasks, all or none: two requests, or one if all create tasks.

        Moves take more requests to read their neighbours. Raises KeyMissing without a key, and OperationRefused
        if one cannot be applied.
        """
        if self._key is None:
            raise KeyMissing
        if any(one.op == "create" for one in operations):
            marks.check(self._engine)

        def writes(places: Places) -> Sequence[Write]:
            results: list[Task] = []
            return [
                write._replace(decide=_in_batch(place, one, write.decide, results))
                for place, one in enumerate(operations)
                for write in [self._part_of_batch(one, places, results)]
            ]

        done = self._commit_with_places(
            {one.id: one for one in operations if one.op == "move"}, len(operations), writes
        )

        def result(operation: BatchOperation, task: Task) -> BatchResult:
            return BatchResult(op=operation.op, id=task.id, task=None if operation.op == "delete" else task)

        return BatchResults(results=[result(*pair) for pair in zip(operations, done, strict=True)])

    def erase(self, mark_days: int) -> Erased:
        """Remove all items of the user, as far as the time allows, and leave a mark for some days."""
        from shared.store.erasure import Erasure  # noqa: PLC0415 - one function needs it

        return Erasure(self._engine, self._client, self._user_id, self._deadline, mark_days).run()

    def _page(self, request: QueryInputTypeDef, size: int) -> tuple[Sequence[Task], str | None]:
        """Read a page of at most `size` tasks. Return them and, if more may follow, the position of the last."""
        page = self._engine.query(request)
        shown, last_key = page["Items"], page.get("LastEvaluatedKey")
        found = [items.from_item(item) for item in shown[:size]]
        found = found[: _fitting(found)]
        if len(found) < len(shown):  # a filtered query reads more than a page, and texts can be long
            last_key = shown[len(found) - 1]
        return found, queries.position_of(request, last_key) if last_key else None

    def _creation(self, new: NewTask, client_id: str | None, *, importing: bool = False) -> Write:
        task_id = client_id or str(uuid7(self._clock()))
        # An id can become too old. A retry of a request with a key must find its record before this check.
        read = client_id is not None and self._key is not None

        def decide(found: Task | None, now: int) -> Task:
            return tasks.create(found, task_id, self._user_id, new, now, importing=importing)

        return Write(task_id, decide, read=read)

    def _part_of_batch(self, one: BatchOperation, places: Places, results: Sequence[Task]) -> Write:
        """The write of an operation; `results` are those of the operations before it."""
        if one.op == "create":
            return self._creation(one.task, one.id)
        if one.op == "move":
            return _moving(one.id, one, one.precondition, partial(places.position, earlier=results))
        return Write(one.id, one.decide)

    def _commit_with_places(
        self, moves: Mapping[str, Move], operations: int, writes: Callable[[Places], Sequence[Write]]
    ) -> Sequence[Task]:
        """Commit writes that depend on places in lists. Read the places again if they have changed."""
        retries = Retries(self._deadline)
        while True:
            try:
                return self._commit(*writes(Places(self._engine, moves, operations)))
            except PlaceChanged as changed:
                retries.wait_after_conflict(changed)

    def _write(self, write: Write) -> Task:
        (task,) = self._commit(write)
        return task

    def _commit(self, *writes: Write) -> Sequence[Task]:
        try:
            return self._engine.write(*writes)
        except Replayed as replayed:
            self.replayed = True
            return replayed.results
        except (TaskNotFound, OperationRefused) as refusal:
            # The reason can be an erased user. A write that changes a task needs no other check: its
            # condition requires that the task exists.
            if isinstance(refusal.__cause__ or refusal, TaskNotFound):
                marks.check(self._engine)
            raise


def _moving(task_id: str, move: Move, precondition: Precondition, place: Callable[[Task, str], str]) -> Write:
    return Write(task_id, lambda found, now: tasks.move(found, move.list, place, precondition, now))


def _fitting(page: Sequence[Task]) -> int:
    """The number of tasks of a page that fit into a response: at least one."""
    if len(page) <= SURE_TO_FIT:
        return len(page)
    total = 0
    for place, task in enumerate(page):
        total += len(task.title) + len(task.description or "") + sum(map(len, task.metadata.values()))
        if total > PAGE_TEXT:
            return max(place, 1)
    return len(page)


def _change(task: Task) -> Task | Tombstone:
    """The task or the tombstone that sync shows."""
    if isinstance(task, DeletedTask):
        return Tombstone(id=task.id, deleted=True, version=task.version, deleted_at=task.deleted_at)
    return task


def _in_batch(place: int, one: BatchOperation, decide: Decide, results: list[Task]) -> Decide:
    """Wrap the decision of an operation of a batch: it adds its result to `results`, and its number to an error."""

    def decide_in_batch(found: Task | None, now: int) -> Task:
        del results[place:]  # of an attempt before a conflict
        try:
            results.append(decide(found, now))
        except (
            AnchorNotInList,
            InvalidTask,
            NoList,
            NoRoom,
            NotDeleted,
            TaskNotFound,
            UnusableId,
            VersionMismatch,
        ) as refusal:
            raise OperationRefused(place, {"create": "/task", "update": "/patch"}.get(one.op, "")) from refusal
        return results[place]

    return decide_in_batch
