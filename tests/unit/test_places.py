"""The places of moves, on a store in memory: a task arrives directly behind or in front of its anchor."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import positions, tasks
from shared.models import Move, NewTask, Task
from shared.positions import NoRoom
from shared.store import items
from shared.store.engine import Engine
from shared.store.items import Item
from shared.store.places import PlaceChanged, Places
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION, AnchorNotInList, InvalidTask

NOW = 1_795_415_874_917


@dataclass
class Store:
    """Replaces the engine: the tasks of alice, and the requests that were sent."""

    tasks: dict[str, Task] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    table: str = "tasks"
    partition = items.partition_of("alice")

    def create(self, name: str | None = "home", *, completed: bool = False) -> str:
        task_id = str(uuid7((NOW + len(self.tasks)) * 1_000_000))
        new = NewTask(title="a task", list=name, completed=completed)
        self.tasks[task_id] = tasks.create(None, task_id, "alice", new, NOW)
        return task_id

    def items(self, task_ids: Collection[str]) -> dict[str, Item]:
        self.requests.append(set(task_ids))
        return {one: items.to_item(self.tasks[one]) for one in task_ids if one in self.tasks}

    def query(self, request: Any) -> Any:
        """Answer a query of neighbours as DynamoDB does."""
        self.requests.append(request)
        assert request["KeyConditionExpression"] == "#pk = :pk AND #index BETWEEN :start AND :end"
        low, high = (request["ExpressionAttributeValues"][name]["S"] for name in (":start", ":end"))
        stored = {key["S"]: item for item in map(items.to_item, self.tasks.values()) if (key := item.get("by_list"))}
        keys = sorted((key for key in stored if low <= key <= high), reverse=not request["ScanIndexForward"])
        return {"Items": [stored[key] for key in keys[: request["Limit"]]]}

    def places(self, moves: dict[str, Move], operations: int | None = None) -> Places:
        return Places(cast("Engine", self), moves, operations or len(moves))

    def move(self, moves: dict[str, Move]) -> None:
        """Do the moves of one request."""
        places, results = self.places(moves), list[Task]()
        for task_id, move in moves.items():

            def place(task: Task, name: str) -> str:
                return places.position(task, name, results)

            results.append(tasks.move(self.tasks[task_id], move.list, place, ANY_VERSION, NOW))
        self.tasks |= {task.id: task for task in results}

    def order(self, name: str, *, completed: bool = False) -> list[str]:
        found = [one for one in self.tasks.values() if one.list == name and one.completed == completed]
        return [task.id for task in sorted(found, key=lambda task: (str(task.position), task.id))]


class Lists:
    """A reference model of the moves of a request, with lists of Python."""

    def __init__(self, store: Store) -> None:
        self.tasks = {task.id: task.completed for task in store.tasks.values()}
        self.lists = {
            (name, completed): store.order(name, completed=completed)
            for name in ("home", "work")
            for completed in (False, True)
        }

    def move(self, task_id: str, move: Move) -> None:
        for one in self.lists.values():
            if task_id in one:
                one.remove(task_id)
        there = self.lists[move.list, self.tasks[task_id]]
        if move.anchor is None:
            there.insert(0 if move.is_after else len(there), task_id)
        else:
            there.insert(there.index(move.anchor) + move.is_after, task_id)


# Each move: the task, the anchor (None for an end), the side, and the list.
picks = st.integers(0, 9)
moves = st.tuples(picks, st.none() | picks, st.booleans(), st.sampled_from(["home", "home", "work"]))


@given(st.lists(st.lists(moves, min_size=1, max_size=5), max_size=8), st.booleans())
def test_several_moves_in_a_request_are_applied_in_order(
    requests: list[list[tuple[int, int | None, bool, str]]], completed: bool
) -> None:
    store = Store()
    ids = [store.create("home" if place < 6 else "work", completed=completed) for place in range(10)]
    for request in requests:
        expected, asked = Lists(store), dict[str, Move]()
        for picked, anchored, is_after, name in request:
            task_id, there = ids[picked], expected.lists[name, completed]
            others = [one for one in there if one != task_id]
            anchor = others[anchored % len(others)] if anchored is not None and others else None
            if task_id not in asked:
                side = {"after": anchor} if is_after else {"before": anchor}
                asked[task_id] = Move.model_validate({**side, "list": name})
                expected.move(task_id, asked[task_id])
        before = {one: store.tasks[one] for one in ids if one not in asked}
        store.move(asked)
        for (name, status), order in expected.lists.items():
            assert store.order(name, completed=status) == order
        assert {one: store.tasks[one] for one in before} == before


def test_one_move_reads_the_tasks_and_two_neighbours() -> None:
    store = Store()
    first, second, third = (store.create() for _ in range(3))
    store.move({third: Move(after=first)})
    read, query = store.requests
    assert read == {first, third}
    assert (query["Limit"], query["ConsistentRead"], query["IndexName"]) == (2, True, "by_list")
    assert query["TableName"] == store.table
    assert store.order("home") == [first, third, second]


def test_without_moves_there_are_no_reads() -> None:
    store = Store()
    assert store.places({}, 3).items == {}
    assert store.requests == []


def test_neighbours_of_an_anchor_that_was_moved_before_are_known() -> None:
    store = Store()
    first, second, third, fourth = (store.create() for _ in range(4))
    store.move({fourth: Move(after=first), third: Move(after=fourth)})
    assert len(store.requests) == 2
    assert store.order("home") == [first, fourth, third, second]


@pytest.mark.parametrize("completed", [False, True])
def test_the_neighbours_are_those_of_the_same_status(completed: bool) -> None:
    store = Store()
    anchor = store.create(completed=not completed)
    near, far, moved = store.create(completed=not completed), *(store.create(completed=completed) for _ in range(2))
    for side in ({"after": anchor}, {"before": None}, {"after": near}, {"before": far}):
        store.move({moved: Move.model_validate(side)})
        order = store.order("home", completed=completed)
        assert order == ([far, moved] if side == {"before": None} else [moved, far])


def test_a_task_that_is_already_in_its_place_does_not_move() -> None:
    store = Store()
    first, second, third = (store.create() for _ in range(3))
    before = dict(store.tasks)
    for task_id, move in (
        (first, Move(after=None)),
        (second, Move(after=first)),
        (second, Move(before=third)),
        (third, Move(before=None)),
    ):
        store.move({task_id: move})
    assert store.tasks == before


def test_a_task_at_the_position_of_its_anchor_moves_to_its_side() -> None:
    """Two tasks can have one position if they were created in lists under ids that differ only at their ends."""
    store = Store()
    first, second = store.create(), store.create()
    store.tasks[second] = store.tasks[second].model_copy(update={"position": store.tasks[first].position})
    store.move({first: Move(after=second)})
    assert store.order("home") == [second, first]


def test_the_first_task_of_a_list_is_where_its_creation_puts_it() -> None:
    store = Store()
    task_id = store.create("work")
    store.move({task_id: Move(after=None, list="home")})
    assert store.tasks[task_id].position == positions.of_id(task_id)


def test_only_tasks_of_the_list_are_anchors() -> None:
    store = Store()
    moved, elsewhere, trashed = store.create(), store.create("work"), store.create()
    store.tasks[trashed] = tasks.delete(store.tasks[trashed], ANY_VERSION, NOW)
    for anchor in (elsewhere, trashed, str(uuid7(NOW * 1_000_000))):
        with pytest.raises(AnchorNotInList):
            store.move({moved: Move(after=anchor)})


@pytest.mark.parametrize("side", ["after", "before"])
def test_a_task_is_not_its_own_anchor(side: str) -> None:
    store = Store()
    task_id = store.create()
    with pytest.raises(InvalidTask) as refused:
        store.move({task_id: Move.model_validate({side: task_id})})
    assert (refused.value.field, refused.value.message) == (side, "Must be the id of another task")


def test_places_hold_for_the_list_and_the_status_that_they_were_read_for() -> None:
    store = Store()
    anchor, moved = store.create(), store.create()
    places = store.places({moved: Move(before=anchor)})
    completed = tasks.toggle(store.tasks[moved], ANY_VERSION, NOW)
    for task, name in ((completed, "home"), (store.tasks[moved], "work"), (store.tasks[anchor], "home")):
        with pytest.raises((PlaceChanged, KeyError)):
            places.position(task, name)
    assert places.position(store.tasks[moved], "home") < str(store.tasks[anchor].position)


def test_a_missing_task_is_read_again() -> None:
    store = Store()
    anchor = store.create()
    task_id = str(uuid7(NOW * 1_000_000))
    places = store.places({task_id: Move(after=anchor)})
    task = tasks.create(None, task_id, "alice", NewTask(title="new", list="home"), NOW)
    with pytest.raises(PlaceChanged):
        places.position(task, "home")


def test_moves_fail_when_no_position_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "LONGEST", 20)
    store = Store()
    first, second, third = (store.create() for _ in range(3))
    with pytest.raises(NoRoom):  # noqa: PT012 - after how many moves is not promised
        for _ in range(100):
            store.move({second: Move(after=first)})
            store.move({third: Move(after=first)})
