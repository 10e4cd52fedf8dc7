"""Places in lists: reads the tasks around the requested place of a move, and makes a position there."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from shared import positions
from shared.models import DeletedTask, Move, Task
from shared.store import items, queries
from shared.store.engine import Engine
from shared.tasks import AnchorNotInList, InvalidTask


class PlaceChanged(Exception):
    """After its neighbours were read, the task was moved to another list, completed or opened."""


class Places:
    """The requested places of the moves of one request, by the ids of the tasks to move.

    Reads the tasks and their anchors with one request, and neighbours with one for each move, unless its anchor is
    moved by an earlier operation of the batch. `operations` is the number of operations of the request.
    """

    def __init__(self, engine: Engine, moves: Mapping[str, Move], operations: int) -> None:
        self._moves = moves
        self._operations = operations
        anchors = {move.anchor for move in moves.values() if move.anchor is not None}
        self.items = engine.items({*moves, *anchors}) if moves else {}
        self._known = {task_id: items.from_item(item) for task_id, item in self.items.items()}
        # The list and the completion of a task at the time when its neighbours were read.
        self._read_for: dict[str, tuple[str | None, bool]] = {}
        moved: set[str] = set()
        for task_id, move in moves.items():
            if task_id in self._known:
                task = self._known[task_id]
                name = move.list or task.list
                self._read_for[task_id] = name, task.completed
                if name is not None and move.anchor not in moved:
                    self._read_neighbours(engine, move, name, completed=task.completed)
                moved.add(task_id)

    def position(self, task: Task, name: str, earlier: Sequence[Task] = ()) -> str:
        """Return the requested position in the list `name`, or the position of the task if it is already there.

        `earlier` has the results of earlier operations of the batch. Raises AnchorNotInList, NoRoom, PlaceChanged, and
        InvalidTask if the anchor is the task itself.
        """
        move = self._moves[task.id]
        if move.anchor == task.id:
            raise InvalidTask("after" if move.is_after else "before", "Must be the id of another task")
        if self._read_for.get(task.id) != (name, task.completed):
            raise PlaceChanged
        known = {**self._known, **{other.id: other for other in earlier}}
        edge = None if move.anchor is None else _position_in(name, known.get(move.anchor))
        if edge is None and move.anchor is not None:
            raise AnchorNotInList
        others = [
            position
            for other in known.values()
            if other.id != task.id
            and other.completed == task.completed
            and (position := _position_in(name, other)) is not None
            and (edge is None or (position > edge if move.is_after else position < edge))
        ]
        low, high = (edge, min(others, default=None)) if move.is_after else (max(others, default=None), edge)
        if task.list == name and _is_between(low, task.position, high):
            return str(task.position)
        if low is None and high is None:
            return positions.of_id(task.id)
        return positions.between(low, high, secrets.randbelow)

    def _read_neighbours(self, engine: Engine, move: Move, name: str, *, completed: bool) -> None:
        edge = None
        if move.anchor is not None:
            # An anchor that the batch restores returns to its old position. One that the batch creates, or moves into
            # the list by an update, gets its first position.
            anchor = self._known.get(move.anchor)
            edge = anchor.position if anchor is not None and anchor.list == name else positions.of_id(move.anchor)
        # The batch may move or delete the nearest tasks.
        request = queries.of_neighbours(
            engine.table, engine.partition, name, completed, edge, move.is_after, self._operations + 1
        )
        for item in engine.query(request)["Items"]:
            self._known.setdefault(items.task_id_of(item), items.from_item(item))


def _position_in(name: str, task: Task | None) -> str | None:
    """The position of a task in a list, or None if it is not there."""
    return None if task is None or isinstance(task, DeletedTask) or task.list != name else task.position


def _is_between(low: str | None, position: str | None, high: str | None) -> bool:
    return position is not None and (low is None or low < position) and (high is None or position < high)
