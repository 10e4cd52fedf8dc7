"""Reads the neighbours of the place that a move requests."""

from __future__ import annotations

from collections.abc import Mapping

from shared.models import Task
from shared.positions import Place
from shared.store import items, queries
from shared.store.engine import Engine
from shared.tasks import Target, place_in


def nearest(engine: Engine, target: Target, earlier: Mapping[str, Task]) -> Place | None:
    """Read the task behind the edge of a target. None is the end of the list.

    `earlier` has the results of earlier operations of the batch, by id: they are not written yet, but count.
    """
    # The task itself and those of earlier operations may have other places in the table.
    request = queries.of_neighbours(engine.table, engine.partition, target, len(earlier) + 2)
    known = {items.task_id_of(item): items.from_item(item) for item in engine.query(request)["Items"]}
    places = [
        place
        for task in {**known, **earlier}.values()
        if task.id != target.task.id and task.completed == target.task.completed
        if (place := place_in(target.list, task)) is not None
        if target.edge is None or (place > target.edge if target.is_after else place < target.edge)
    ]
    return min(places, default=None) if target.is_after else max(places, default=None)
