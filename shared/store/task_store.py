"""The tasks of one user: each method is one operation of the API, on DynamoDB."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared import positions, tasks
from shared.models import (
    BatchResult,
    BatchResults,
    Changes,
    ChangesQuery,
    Cleared,
    ClearQuery,
    DeletedTask,
    Erased,
    ImportedTask,
    Move,
    NewTask,
    Task,
    TaskPage,
    TaskQuery,
    Tombstone,
)
from shared.positions import NoRoom
from shared.store import cursors, items, marks, pages, places, queries
from shared.store.cursors import InvalidCursor
from shared.store.dynamodb import SETTLED, StorageFull, Table, Unavailable
from shared.store.engine import Decide, Engine, Replayed
from shared.store.items import IdempotencyKey
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

_TIME = re.compile(r"[0-9]{15}")
# The errors of an operation of a batch.
_REFUSALS = (
    AnchorNotInList,
    InvalidTask,
    NoList,
    NoRoom,
    NotDeleted,
    TaskNotFound,
    UnusableId,
    VersionMismatch,
)


class KeyMissing(Exception):
    """An operation requires an idempotency key, and has none."""


class OperationRefused(Exception):
    """One operation of a batch failed, so none was applied. The cause of this error is the reason."""

    def __init__(self, index: int, part: str) -> None:
        super().__init__(f"operation {index}")
        self.index = index
        # The path of the task's fields in the operation: the beginning of a JSON Pointer.
        self.part = part


class SyncTokenExpired(Exception):
    """A sync token is too old, or the clock that made it was ahead."""


class TaskStore:
    """The tasks of one user, in a tenant if there is one. No method takes a user id: no store reaches other users.

    `actor` is the caller: a version of a task that another user than the owner makes names them.

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
        actor: str | None = None,
    ) -> None:
        self._table = table.name
        self._client = table.client
        self._user_id = user_id
        self._partition = items.partition_of(user_id, tenant)
        self._deadline = deadline
        self._clock = clock
        self._key = key
        self._actor = None if actor == user_id else actor
        self._engine = Engine(table, self._partition, deadline, clock, key)

    def create(self, new: NewTask, task_id: str | None = None) -> Task:
        """Create a task, under the id of the client if there is one: one request, with or without a key.

        With an id of the client it can be repeated: an unchanged task with the same content is returned. Raises
        UnusableId, VersionMismatch if the id belongs to another task, and InvalidTask.
        """
        marks.check(self._engine)
        new_id = task_id or self._new_id()
        # An id can become too old. A retry of a request with a key must find its record before this check.
        read = [new_id] if task_id is not None and self._key is not None else []
        return self._write(new_id, lambda found, now: tasks.create(found, new_id, self._user_id, new, now), read)

    def import_task(self, task_id: str, imported: ImportedTask) -> Task:
        """Create a task of an export, under its old id: one request. It can be repeated as a create.

        Raises UnusableId if its time is in the future, VersionMismatch if the id belongs to another task, and
        InvalidTask.
        """
        marks.check(self._engine)

        def decide(found: Mapping[str, Task], now: int) -> Sequence[Task]:
            return [tasks.import_task(found.get(task_id), task_id, self._user_id, imported, now)]

        (task,) = self._engine.write(decide)  # the export says who wrote the task
        return task

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
        return self._write(task_id, lambda found, now: tasks.change(found, changes, precondition, now))

    def toggle(self, task_id: str, precondition: Precondition) -> Task:
        """Flip a task between open and completed: two requests. Raises TaskNotFound and VersionMismatch."""
        return self._write(task_id, lambda found, now: tasks.toggle(found, precondition, now))

    def delete(self, task_id: str, precondition: Precondition) -> Task:
        """Move a task to the trash: two requests. A task that is already there is unchanged.

        Raises TaskNotFound and VersionMismatch.
        """
        return self._write(task_id, lambda found, now: tasks.delete(found, precondition, now))

    def restore(self, task_id: str, precondition: Precondition) -> Task:
        """Bring a task back from the trash: two requests.

        Raises TaskNotFound if its time there is over, NotDeleted, and VersionMismatch.
        """
        return self._write(task_id, lambda found, now: tasks.restore(found, precondition, now))

    def move(self, task_id: str, move: Move, precondition: Precondition) -> Task:
        """Put a task at a place of a list, even if its neighbours change meanwhile: three requests.

        A move to the current place writes nothing. Raises TaskNotFound, VersionMismatch, NoList, AnchorNotInList,
        NoRoom, and InvalidTask if the anchor is the task.
        """

        def decide(found: Mapping[str, Task], now: int) -> Sequence[Task]:
            return [self._moved(task_id, move, precondition, found, {}, now)]

        (task,) = self._commit(decide, [task_id], [] if move.anchor is None else [move.anchor])
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

        for item in page["Items"]:
            task_id = items.task_id_of(item)

            def decide(found: Mapping[str, Task], now: int, task_id: str = task_id) -> Sequence[Task]:
                return [tasks.clear(found.get(task_id), query, now)]

            try:
                self._engine.write(_written_by(self._actor, decide), found={task_id: item})
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

        The result is that of the operations one after the other. Each move takes one more request to read its
        neighbours. Raises KeyMissing without a key, and OperationRefused if one cannot be applied.
        """
        if self._key is None:
            raise KeyMissing
        if any(one.op == "create" for one in operations):
            marks.check(self._engine)
        task_ids = [one.id or self._new_id() for one in operations]

        def decide(found: Mapping[str, Task], now: int) -> Sequence[Task]:
            results: dict[str, Task] = {}
            for index, (one, task_id) in enumerate(zip(operations, task_ids, strict=True)):
                try:
                    results[task_id] = self._result(one, task_id, found, results, now)
                except _REFUSALS as refusal:
                    raise OperationRefused(index, {"create": "/task", "update": "/patch"}.get(one.op, "")) from refusal
            return list(results.values())

        read = {one.id for one in operations if one.id is not None}
        anchors = {one.anchor for one in operations if one.op == "move" and one.anchor is not None}
        done = self._commit(decide, read, anchors - read)

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
        found = found[: pages.fitting(found)]
        if len(found) < len(shown):  # a filtered query reads more than a page, and tasks can be large
            last_key = shown[len(found) - 1]
        return found, queries.position_of(request, last_key) if last_key else None

    def _result(
        self, one: BatchOperation, task_id: str, found: Mapping[str, Task], earlier: Mapping[str, Task], now: int
    ) -> Task:
        """The result of an operation of a batch; `earlier` has those of the operations before it."""
        if one.op == "create":
            return tasks.create(found.get(task_id), task_id, self._user_id, one.task, now)
        if one.op == "move":
            return self._moved(task_id, one, one.precondition, found, earlier, now)
        return one.decide(found.get(task_id), now)

    def _moved(  # noqa: PLR0913, PLR0917 - a move, and the state before it
        self,
        task_id: str,
        move: Move,
        precondition: Precondition,
        found: Mapping[str, Task],
        earlier: Mapping[str, Task],
        now: int,
    ) -> Task:
        """The result of a move: reads the neighbours of its target, and decides."""
        anchor = None if move.anchor is None else {**found, **earlier}.get(move.anchor)
        target = tasks.target_of(found.get(task_id), move, anchor, precondition)
        chance = secrets.randbits(positions.CHANCE_BITS)
        return tasks.move(target, places.nearest(self._engine, target, earlier), chance, now)

    def _new_id(self) -> str:
        return str(uuid7(self._clock()))

    def _write(
        self, task_id: str, decide: Callable[[Task | None, int], Task], read: Collection[str] | None = None
    ) -> Task:
        """Commit the new state of one task, which is read before, unless `read` says otherwise."""
        (task,) = self._commit(
            lambda found, now: [decide(found.get(task_id), now)], [task_id] if read is None else read
        )
        return task

    def _commit(self, decide: Decide, read: Collection[str], around: Collection[str] = ()) -> Sequence[Task]:
        try:
            return self._engine.write(_written_by(self._actor, decide), read, around=around)
        except Replayed as replayed:
            self.replayed = True
            return replayed.results
        except (TaskNotFound, OperationRefused) as refusal:
            # The reason can be an erased user. A write that changes a task needs no other check: its
            # condition requires that the task exists.
            if isinstance(refusal.__cause__ or refusal, TaskNotFound):
                marks.check(self._engine)
            raise


def _written_by(actor: str | None, decide: Decide) -> Decide:
    """The same decision, whose new states name the actor."""

    def decided(found: Mapping[str, Task], now: int) -> Sequence[Task]:
        return [tasks.written_by(actor, task, found.get(task.id)) for task in decide(found, now)]

    return decided


def _change(task: Task) -> Task | Tombstone:
    """The task or the tombstone that sync shows."""
    if isinstance(task, DeletedTask):
        return Tombstone(id=task.id, deleted=True, version=task.version, deleted_at=task.deleted_at)
    return task
