"""A batch has the result of its operations one after the other: rules, neighbours and positions on a store in memory.

The judge sends each operation of a batch as a batch of its own. Random batches contain all operations, both statuses,
and anchors that earlier operations move, complete, delete, restore, create, or put into other lists.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared import positions
from shared.batches import Batch
from shared.models import DeletedTask, Task
from shared.positions import NoRoom
from shared.store import items, task_store
from shared.store.dynamodb import Table
from shared.store.items import IdempotencyKey, Item
from shared.store.task_store import OperationRefused, TaskStore
from shared.store.uuid7 import uuid7
from tests.conftest import sized

NOW = 1_795_415_874_917
LISTS = ("home", "work", None)
PARTITION = items.partition_of("alice")
# Random batches for each of several seeds.
SEEDS, BATCHES = sized(4, 8, 40), sized(200, 1000, 2500)


class Memory:
    """Replaces the DynamoDB client: the items of alice, without conflicts. Counts the requests of each kind."""

    exceptions = type(
        "exceptions",
        (),
        {
            name: type(name, (Exception,), {})
            for name in ("ConditionalCheckFailedException", "TransactionCanceledException")
        },
    )

    def __init__(self, stored: Mapping[str, Item] | None = None) -> None:
        self.items = dict(stored or {})
        self.sent: Counter[str] = Counter()
        self.limits: list[int] = []

    def _item(self, key: Mapping[str, Any]) -> dict[str, Any]:
        item = self.items.get(key["sk"]["S"])
        return {} if item is None else {"Item": item}

    def get_item(self, *, Key: Any, **_: Any) -> Any:  # noqa: N803 - botocore's name
        self.sent["GetItem"] += Key["sk"]["S"] != "ERASED"
        return self._item(Key)

    def batch_get_item(self, *, RequestItems: Any) -> Any:  # noqa: N803
        self.sent["BatchGetItem"] += 1
        ((table, wanted),) = RequestItems.items()
        found = [item for key in wanted["Keys"] for item in self._item(key).values()]
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def transact_get_items(self, *, TransactItems: Any) -> Any:  # noqa: N803
        self.sent["TransactGetItems"] += 1
        return {"Responses": [self._item(one["Get"]["Key"]) for one in TransactItems]}

    def query(self, **request: Any) -> Any:
        """Answer a query of neighbours as DynamoDB does."""
        self.sent["Query"] += 1
        self.limits.append(request["Limit"])
        assert request["KeyConditionExpression"] == "#pk = :pk AND #index BETWEEN :start AND :end"
        assert (request["ConsistentRead"], request["IndexName"]) == (True, "by_list")
        low, high = (request["ExpressionAttributeValues"][name]["S"] for name in (":start", ":end"))
        keyed = {key["S"]: item for item in self.items.values() if (key := item.get("by_list")) is not None}
        keys = sorted((key for key in keyed if low <= key <= high), reverse=not request["ScanIndexForward"])
        return {"Items": [keyed[key] for key in keys[: request["Limit"]]]}

    def put_item(self, *, Item: Any, **_: Any) -> Any:  # noqa: N803
        self.sent["PutItem"] += 1
        self.items[Item["sk"]["S"]] = Item
        return {}

    def transact_write_items(self, *, TransactItems: Any, **_: Any) -> Any:  # noqa: N803
        self.sent["TransactWriteItems"] += 1
        for part in TransactItems:
            if "Put" in part:
                self.items[part["Put"]["Item"]["sk"]["S"]] = part["Put"]["Item"]
        return {}


class Scene:
    """The tasks of alice in memory, and a clock that passes a millisecond for each task and request."""

    def __init__(self, stored: Mapping[str, Item] | None = None, now: int = NOW) -> None:
        self.memory = Memory(stored)
        self.clock = itertools.count(now)
        self.table = Table(cast("Any", self.memory), "tasks")

    def batch(self, operations: Sequence[Mapping[str, Any]]) -> list[str]:
        """Send a batch, and return the ids of its tasks."""
        key = IdempotencyKey(f"{next(self.clock)}", "x", 3600)
        store = TaskStore(self.table, "alice", float("inf"), lambda: next(self.clock) * 1_000_000, key)
        return [one.id for one in store.batch(Batch.model_validate({"operations": operations}).operations).results]

    def create(self, title: str, name: str | None = "home", **fields: Any) -> str:
        task = {"title": title, "list": name, **fields}
        (task_id,) = self.batch([{"op": "create", "id": str(uuid7(next(self.clock) * 1_000_000)), "task": task}])
        return task_id

    def move(self, task_id: str, **move: str | None) -> None:
        self.batch([{"op": "move", "id": task_id, **move}])

    @property
    def tasks(self) -> list[Task]:
        return [items.from_item(item) for sk, item in self.memory.items.items() if sk.startswith("TASK#")]

    def order(self, name: str | None = "home", *, completed: bool = False) -> str:
        """The titles of a list, in its order."""
        found = [one for one in self.tasks if one.list == name and one.completed == completed]
        live = [one for one in found if not isinstance(one, DeletedTask)]
        return "".join(task.title for task in sorted(live, key=lambda task: (str(task.position), task.id)))

    @property
    def state(self) -> dict[str, Any]:
        """All that operations do, without times: the order of each list, and the states of the tasks."""
        orders = {(name, done): self.order(name, completed=done) for name in LISTS for done in (False, True)}
        states = {one.id: (type(one).__name__, one.title, one.list, one.completed, one.version) for one in self.tasks}
        return {"orders": orders, "states": states}


def one_after_the_other(scene: Scene, operations: Iterable[Mapping[str, Any]]) -> tuple[int, str] | None:
    """Send each operation alone. Return the index and the reason of the first that is refused."""
    for index, operation in enumerate(operations):
        try:
            scene.batch([operation])
        except OperationRefused as refused:
            return index, type(refused.__cause__).__name__
    return None


def compare(stored: Mapping[str, Item], operations: Sequence[Mapping[str, Any]]) -> bool:
    """Compare a batch with its operations one after the other. Return whether it was applied."""
    together, single = Scene(stored, NOW + 10**7), Scene(stored, NOW + 10**7)
    refusal = one_after_the_other(single, operations)
    found = None
    try:
        together.batch(operations)
    except OperationRefused as refused:
        found = refused.index, type(refused.__cause__).__name__
    assert found == refusal, operations
    if refusal is None:
        assert together.state == single.state, operations
    else:
        assert together.memory.items == stored
    return refusal is None


def random_batch(dice: random.Random, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Up to eight operations on different tasks. Their anchors are mostly tasks of earlier operations."""
    chosen = dice.sample([task.id for task in tasks], dice.randint(2, min(8, len(tasks))))
    operations: list[dict[str, Any]] = []
    for task_id in chosen:
        kind = dice.choice(["move"] * 6 + ["update", "update", "toggle", "toggle", "delete", "restore", "create"])
        operation: dict[str, Any] = {"op": kind, "id": task_id}
        match kind:
            case "create":
                # An id between those of other tasks.
                operation["id"] = str(uuid7((NOW + dice.randrange(400)) * 1_000_000))
                operation["task"] = {"title": "n", "list": dice.choice(LISTS), "completed": dice.random() < 0.3}
            case "update":
                listed = dice.random() < 0.8
                operation["patch"] = {"list": dice.choice(LISTS)} if listed else {"completed": dice.random() < 0.5}
            case "move":
                near = [one["id"] for one in operations[-3:]] * 2 + [one.id for one in tasks] + [None]
                operation[dice.choice(["after", "before"])] = dice.choice([one for one in near if one != task_id])
                if dice.random() < 0.6:
                    operation["list"] = dice.choice(["home", "home", "work"])
        operations.append(operation)
    return operations


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_batch_has_the_result_of_its_operations_one_after_the_other(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    # Where a task arrives between tasks of the other status is up to chance.
    chance = dice.getrandbits(positions.CHANCE_BITS)
    monkeypatch.setattr(task_store, "secrets", SimpleNamespace(randbits=lambda _: chance))
    applied = 0
    while applied < BATCHES:
        scene = Scene()
        for number in range(dice.randint(4, 14)):
            scene.create("abcdefghijklmn"[number], dice.choice(("home", "home", "work")), completed=dice.random() < 0.4)
        for task in dice.sample(scene.tasks, 2):
            scene.batch([{"op": "delete", "id": task.id}])
        for _ in range(5):
            stored = dict(scene.memory.items)
            operations = random_batch(dice, scene.tasks)
            while not compare(stored, operations):
                # Leave out the operation that cannot be applied.
                refusal = one_after_the_other(Scene(stored, NOW + 10**7), operations)
                assert refusal is not None
                del operations[refusal[0]]
                if not operations:
                    break
            else:
                applied += 1
                scene.batch(operations)


@pytest.mark.parametrize(
    "first",
    [{"op": "delete"}, {"op": "toggle"}, {"op": "update", "patch": {"list": "work"}}, {"op": "move", "after": None}],
)
def test_a_task_moves_next_to_one_that_an_earlier_operation_moved(first: dict[str, Any]) -> None:
    """Its edge is then somewhere else, and the neighbours there have to be read."""
    scene = Scene()
    t1, t2, _, _, t5 = (scene.create(title) for title in "12345")
    moves = [{"op": "move", "id": t1, "after": t5}, {**first, "id": t5}, {"op": "move", "id": t2, "before": t1}]
    assert compare(scene.memory.items, moves)
    scene.batch(moves)
    assert "".join(one for one in scene.order() if one != "5") == "3421"


def test_an_open_task_moves_next_to_a_completed_one_that_was_moved() -> None:
    scene = Scene()
    x, _, _, _, _, b, _, z = (scene.create(title, completed=title in "XAZ") for title in "XPQRSBAZ")
    moves = [{"op": "move", "id": z, "after": x}, {"op": "move", "id": b, "after": z}]
    assert compare(scene.memory.items, moves)


def test_one_move_reads_its_tasks_with_one_request_and_two_neighbours() -> None:
    scene = Scene()
    first, _, third = (scene.create(title) for title in "abc")
    scene.memory.sent.clear()
    scene.move(third, after=first)
    assert scene.memory.sent == {"TransactGetItems": 1, "Query": 1, "TransactWriteItems": 1}
    assert scene.memory.limits == [2]
    assert scene.order() == "acb"


@pytest.mark.parametrize("completed", [False, True])
def test_the_neighbours_are_those_of_the_same_status(completed: bool) -> None:
    scene = Scene()
    anchor = scene.create("1", completed=not completed)
    near, far, moved = (
        scene.create("2", completed=not completed),
        *(scene.create(one, completed=completed) for one in "fm"),
    )
    for side in ({"after": anchor}, {"before": None}, {"after": near}, {"before": far}):
        scene.move(moved, **side)
        assert scene.order(completed=completed) == ("fm" if side == {"before": None} else "mf")


def test_a_task_that_is_already_in_its_place_does_not_move() -> None:
    scene = Scene()
    first, second, third = (scene.create(title) for title in "abc")
    before = scene.tasks
    scene.move(first, after=None)
    scene.move(second, after=first)
    scene.move(second, before=third)
    scene.move(third, before=None)
    assert scene.tasks == before


def test_tasks_at_one_position_are_ordered_by_their_ids() -> None:
    """Clients may write equal positions. A move next to them works, and one between them has no room."""
    scene = Scene()
    a, b, c = (scene.create(title, position="i") for title in "abc")
    for side in ({"after": a}, {"before": c}):
        scene.move(b, **side)
        assert [task.position for task in scene.tasks] == ["i"] * 3
    for task_id, side in ((a, {"after": b}), (c, {"before": b}), (c, {"after": a})):
        with pytest.raises(OperationRefused) as refused:
            scene.move(task_id, **side)
        assert isinstance(refused.value.__cause__, NoRoom)
    scene.move(a, after=c)
    assert scene.order() == "bca"
    scene.move(c, before=b)
    assert scene.order() == "cba"


def test_the_first_task_of_a_list_is_where_its_creation_puts_it() -> None:
    scene = Scene()
    task_id = scene.create("a", "work")
    (before,) = scene.tasks
    scene.move(task_id, after=None, list="home")
    (after,) = scene.tasks
    assert (after.list, after.position) == ("home", before.position)


@pytest.mark.parametrize("side", ["after", "before"])
def test_only_other_tasks_of_the_list_are_anchors(side: str) -> None:
    scene = Scene()
    moved, elsewhere, trashed = scene.create("m"), scene.create("e", "work"), scene.create("t")
    scene.batch([{"op": "delete", "id": trashed}])
    refusals = {elsewhere: "AnchorNotInList", trashed: "AnchorNotInList", str(uuid7(NOW)): "AnchorNotInList"}
    for anchor, reason in {**refusals, moved: "InvalidTask"}.items():
        assert one_after_the_other(scene, [{"op": "move", "id": moved, side: anchor}]) == (0, reason)
