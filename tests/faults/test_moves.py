"""Moves while others write: the place changes after it was read, keys stay unread, and no position is free."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from pydantic import TypeAdapter

from shared.batches import BatchOperation
from shared.models import Move, NewTask, TaskQuery
from shared.store.dynamodb import Table
from shared.store.items import IdempotencyKey
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION
from tests.conftest import deadline_in, table_at
from tests.inprocess import functions
from tests.wire import Fault, Send, Wire, late, make_response

OPERATIONS: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])


@dataclass
class Scene:
    """A user with two clients: those of `client` send over a wire with faults, and `other` over one without."""

    table: Table
    wire: Wire
    user: str
    other: TaskStore

    def client(self, *, keyed: bool = False) -> TaskStore:
        key = IdempotencyKey(uuid.uuid4().hex, "fingerprint", 3600) if keyed else None
        return TaskStore(self.table, self.user, deadline_in(60), key=key)

    def create(self, title: str, milliseconds: int, name: str, *, completed: bool = False) -> str:
        """Create a task whose first position is that of a task made so many milliseconds from now."""
        task_id = str(uuid7(time.time_ns() + milliseconds * 1_000_000))
        return self.other.create(NewTask(title=title, list=name, completed=completed), task_id).id

    def order(self, name: str) -> str:
        """The titles of a list, in its order."""
        return "".join(task.title for task in self.other.list(TaskQuery(list=name)).items)


@pytest.fixture
def scene(engine_url: str, user: str) -> Iterator[Scene]:
    table = table_at(engine_url, "moving")
    with Wire(table) as wire:
        yield Scene(table, wire, user, TaskStore(table_at(engine_url, "other"), user, deadline_in(60)))


type Ask = Callable[[Scene, str, Move], object]


def batched(scene: Scene, task_id: str, move: Move) -> object:
    place = {"after": move.after} if move.is_after else {"before": move.before}
    operations = [{"op": "create", "task": {"title": "new"}}, {"op": "move", "id": task_id, **place}]
    return scene.client(keyed=True).batch(OPERATIONS.validate_python(operations))


ASKS: dict[str, Ask] = {
    "plain": lambda scene, task_id, move: scene.client().move(task_id, move, ANY_VERSION),
    "keyed": lambda scene, task_id, move: scene.client(keyed=True).move(task_id, move, ANY_VERSION),
    "in a batch": batched,
}


def then(act: Callable[[], object]) -> Fault:
    """The request gets its response, and then another client acts."""

    def fault(send: Send) -> AWSResponse:
        response = send()
        act()
        return response

    return fault


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_task_completed_during_a_move_goes_to_its_place_among_completed_tasks(scene: Scene, ask: Ask) -> None:
    a = scene.create("a", 0, "home")
    scene.create("e", 1, "home", completed=True)
    scene.create("b", 1000, "home")
    scene.create("f", 1001, "home", completed=True)
    x = scene.create("x", 2000, "home")
    scene.wire.faults = [None, then(lambda: scene.other.toggle(x, ANY_VERSION))]
    ask(scene, x, Move(after=a))
    # The middle between the open neighbours is behind e.
    assert scene.order("home") == "abxef"
    assert scene.other.get(x).version == 3


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_task_that_changes_its_list_during_a_move_gets_its_place_there(scene: Scene, ask: Ask) -> None:
    scene.create("w", 0, "work")
    scene.create("a", 1000, "home")
    x = scene.create("x", 2000, "home")
    scene.wire.faults = [None, then(lambda: scene.other.update(x, {"list": "work"}, ANY_VERSION))]
    ask(scene, x, Move(after=None))
    # In front of a is still behind w.
    assert (scene.order("work"), scene.order("home")) == ("xw", "a")


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("side", ["after", "before"])
def test_a_move_that_loses_a_conflict_follows_its_anchor(scene: Scene, ask: Ask, side: str) -> None:
    """The anchor moves, and then the task changes: both are acknowledged before the move."""
    ids = {title: scene.create(title, place * 1000, "home") for place, title in enumerate("abxcd")}
    anchor, far = (ids["a"], {"before": None}) if side == "after" else (ids["d"], {"after": None})

    def elsewhere() -> None:
        scene.other.move(anchor, Move.model_validate(far), ANY_VERSION)
        scene.other.update(ids["x"], {"description": "new"}, ANY_VERSION)

    scene.wire.faults = [None, then(elsewhere)]
    ask(scene, ids["x"], Move.model_validate({side: anchor}))
    assert scene.order("home") == ("bcdax" if side == "after" else "xdabc")
    assert scene.other.get(ids["x"]).description == "new"


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("leave", ["delete", "move"])
def test_a_move_succeeds_while_its_neighbours_move(scene: Scene, ask: Ask, leave: str) -> None:
    a, b, _, x = (scene.create(title, place * 1000, "home") for place, title in enumerate("abcx"))

    def scatter() -> None:
        for task_id in (a, b):
            if leave == "delete":
                scene.other.delete(task_id, ANY_VERSION)
            else:
                scene.other.move(task_id, Move(before=None, list="work"), ANY_VERSION)

    scene.wire.faults = [None, then(scatter)]
    ask(scene, x, Move(after=a))
    assert scene.order("home") == "xc"
    assert len(scene.wire.writes) == 1


def test_a_late_move_does_not_undo_a_later_move(scene: Scene) -> None:
    """Its retry was applied, and a later move must stay."""
    a, _, x = (scene.create(title, place * 1000, "home") for place, title in enumerate("abx"))
    held: list[Send] = []
    scene.wire.write_faults = [late(held.append)]
    scene.client().move(x, Move(after=a), ANY_VERSION)
    assert scene.order("home") == "axb"
    scene.other.move(x, Move(after=None), ANY_VERSION)
    assert [send().status_code for send in held] == [400]
    assert scene.order("home") == "xab"


def unread(send: Send) -> AWSResponse:
    """DynamoDB leaves the last key unread, as it does when it throttles."""
    body: dict[str, Any] = json.loads(send().content)
    ((table, items),) = body["Responses"].items()
    assert len(items) == 2
    left = items.pop()
    key = {name: left[name] for name in ("pk", "sk")}
    body["UnprocessedKeys"] = {table: {"Keys": [key]}}
    return make_response(200, json.dumps(body).encode())


def test_keys_that_were_not_read_are_read_again(scene: Scene) -> None:
    a, _, x = (scene.create(title, place * 1000, "home") for place, title in enumerate("abx"))
    scene.wire.faults = [unread] * 3
    scene.client().move(x, Move(after=a), ANY_VERSION)
    assert scene.order("home") == "axb"


def test_keys_that_stay_unread_count_as_throttling(scene: Scene) -> None:
    a, _, x = (scene.create(title, place * 1000, "home") for place, title in enumerate("abx"))
    scene.wire.faults = [unread] * 99
    with functions(scene.table) as call:
        reply = call("move_task", scene.user, x, body={"after": a})
    assert (reply.status, reply.kind) == (503, "database-throttled")
    assert "Retry-After" in reply.headers
    assert len(scene.wire.requests) == 5
    assert scene.order("home") == "abx"
