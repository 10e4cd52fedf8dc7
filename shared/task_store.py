"""The tasks of one user: sends the requests of shared.expressions, and knows what became of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from shared import cursors, expressions
from shared.dynamodb import OutcomeUnknown, Sends, Table
from shared.expressions import Changes, Item, Partition, Stamp
from shared.models import NewTask, Task, TaskPage, TaskQuery
from shared.preconditions import Precondition
from shared.uuid7 import uuid7

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UpdateItemInputTypeDef

# How far, in milliseconds, the clocks of two functions may differ. When a write is sent again, the times that others
# have stamped on the item are trusted only this far.
CLOCK_SKEW = 2000


class TaskNotFound(Exception):
    """The user has no such task, or has it only in the trash."""


class VersionMismatch(Exception):
    """The task is at a version that the precondition does not allow."""

    def __init__(self, version: int) -> None:
        super().__init__(f"at version {version}")
        self.version = version


class TaskStore:
    """The tasks of one user, and of no other: no method takes a user id.

    `deadline` is when the function must have answered, on the clock of time.monotonic; `clock` gives nanoseconds since
    1970. Every method raises Unavailable when DynamoDB cannot be used in time, and every write OutcomeUnknown when it
    may or may not have been applied.
    """

    def __init__(self, table: Table, user_id: str, deadline: float, clock: Callable[[], int] = time.time_ns) -> None:
        self._client = table.client
        self._user_id = user_id
        self._partition = Partition(table.name, user_id)
        self._deadline = deadline
        self._clock = clock

    def create(self, new: NewTask) -> Task:
        """Create a task: one request."""
        task_id = str(uuid7(self._clock()))

        def put(stamp: Stamp) -> Item:
            request = self._partition.create(task_id, new, stamp)
            self._client.put_item(**request)
            return cast("Item", request["Item"])

        return expressions.to_task(self._write(put, lambda _: None))

    def get(self, task_id: str) -> Task:
        """Read a task: one request. Raises TaskNotFound."""
        request = self._partition.get(task_id)
        return expressions.to_task(_live(self._read(lambda: self._client.get_item(**request)).get("Item")))

    def list(self, query: TaskQuery) -> TaskPage:
        """Read a page of a list: one request. Raises InvalidCursor for a cursor of any other list."""
        scope = (self._user_id, query.status, query.order)
        position = None if query.cursor is None else cursors.decode(query.cursor, *scope)
        request = self._partition.list(query.status, query.order, query.page_size, position)
        page = self._read(lambda: self._client.query(**request))
        last_key = page.get("LastEvaluatedKey")
        return TaskPage(
            items=[expressions.to_task(item) for item in page["Items"] if expressions.is_kept(item, self._now())],
            next_cursor=cursors.encode(expressions.position_of(last_key, query.status), *scope) if last_key else None,
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
            task = _allowed(expressions.to_task(_live(refused)), precondition)
            guess = task.completed
            return refused if all(getattr(task, field) == value for field, value in changes.items()) else None

        return expressions.to_task(self._write(change, judge))

    def toggle(self, task_id: str, precondition: Precondition) -> Task:
        """Flip a task between open and completed: one request. Raises TaskNotFound and VersionMismatch."""

        def flip(stamp: Stamp) -> Item:
            return self._update(self._partition.toggle(task_id, precondition, stamp))

        def judge(refused: Item | None) -> None:
            _allowed(expressions.to_task(_live(refused)), precondition)

        return expressions.to_task(self._write(flip, judge))

    def delete(self, task_id: str, precondition: Precondition) -> None:
        """Move a task to the trash: one request. A task that lies there already is left as it is.

        Raises TaskNotFound and VersionMismatch.
        """

        def discard(stamp: Stamp) -> Item:
            return self._update(self._partition.delete(task_id, precondition, stamp))

        def judge(refused: Item | None) -> Item | None:
            if refused is None or not expressions.is_kept(refused, self._now()):
                raise TaskNotFound
            if not expressions.is_live(refused):
                return refused
            _allowed(expressions.to_task(refused), precondition)
            return None

        self._write(discard, judge)

    def _update(self, request: UpdateItemInputTypeDef) -> Item:
        return self._client.update_item(**request)["Attributes"]

    def _write(self, send: Callable[[Stamp], Item], judge: Callable[[Item | None], Item | None]) -> Item:
        """Send a write until it is known what became of it, and return the item as it then is.

        A write whose answer is lost is sent again with the same token. The item remembers the tokens of its last
        writes, and a send is refused when it finds its token there - it was applied - or when the item may have
        forgotten it. `judge` sees the item that refused a write which was not applied: it raises, returns what
        answers the caller all the same, or returns None to try again.
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
                item: Item | None = refusal.response.get("Item")  # type: ignore[assignment]  # the stubs lack Item
                if item is not None and expressions.remembers(item, stamp):
                    return item
                if item is not None and sends.unsure and expressions.has_forgotten(item, stamp):
                    raise OutcomeUnknown from refusal
                answer = judge(item)
                if answer is not None:
                    return answer
                sends.refused()
                since = None
            except Exception as error:  # noqa: BLE001 - failed() raises whatever it does not know
                sends.failed(error)

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
    if item is None or not expressions.is_live(item):
        raise TaskNotFound
    return item


def _allowed(task: Task, precondition: Precondition) -> Task:
    if not precondition.allows(task.version):
        raise VersionMismatch(task.version)
    return task
