"""Requests that arrive late: their client has stopped waiting, and has had a response or an error in the meantime.

Each test decides when the held request arrives. The response to the client must stay true after that.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.batches import BatchOperation
from shared.models import Cleared, Move, NewTask, Task, TaskQuery
from shared.store.dynamodb import Failure, OutcomeUnknown, Table, Unavailable
from shared.store.items import IdempotencyKey
from shared.store.task_store import OperationRefused, TaskStore
from shared.tasks import ANY_VERSION, NoList, NotDeleted, Precondition, TaskNotFound, VersionMismatch
from tests.conftest import COMPLETED, deadline_in, table_at
from tests.wire import Held, Send, Wire, fail_with, late, late_after_reset, late_again, lost_after_and, lost_before

OPERATIONS: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])


@dataclass
class Scene:
    """A user with two clients: `store` sends over a wire with faults, and `other` over one without."""

    table: Table
    wire: Wire
    user: str
    store: TaskStore
    other: TaskStore

    def client(self, *, ahead: float = 0, key: IdempotencyKey | None = None) -> TaskStore:
        """Another client on the wire with faults. Its clock stands still, some seconds ahead of the others."""
        now = time.time_ns() + int(ahead * 1e9)
        return TaskStore(self.table, self.user, deadline_in(60), lambda: now, key)

    def item(self, task_id: str) -> Any:
        """The stored item of a task."""
        key: Any = {"pk": {"S": f"USER#{self.user}"}, "sk": {"S": f"TASK#{task_id}"}}
        return self.table.client.get_item(TableName=self.table.name, Key=key, ConsistentRead=True)["Item"]


@pytest.fixture
def scene(engine_url: str, user: str) -> Iterator[Scene]:
    table, other = table_at(engine_url, "late"), table_at(engine_url, "other")
    with Wire(table) as wire:
        stores = [TaskStore(one, user, deadline_in(60)) for one in (table, other)]
        yield Scene(table, wire, user, *stores)


# An acknowledged toggle is applied once.


def test_a_toggle_whose_token_was_pushed_out_by_a_late_write_is_not_applied_again(
    scene: Scene,
) -> None:
    task = scene.other.create(NewTask(title="old"))
    patch, toggle = Held(), Held()
    scene.wire.write_faults = [late(patch), *[lost_before] * 4]
    with pytest.raises(OutcomeUnknown):
        scene.client(ahead=-2).update(task.id, {"title": "late"}, ANY_VERSION)
    scene.wire.write_faults = [late(toggle)]
    assert scene.store.toggle(task.id, ANY_VERSION).version == 2
    patch.arrive()
    for number in range(3):
        scene.other.update(task.id, {"title": f"other {number}"}, ANY_VERSION)
    before = scene.item(task.id)
    toggle.arrive()
    assert scene.item(task.id) == before
    assert scene.other.get(task.id).completed
    assert set(scene.wire.applied.values()) == {1}


def test_a_toggle_with_a_slow_response_is_not_applied_again_after_a_late_write(scene: Scene) -> None:
    task = scene.other.create(NewTask(title="old"))
    patch = Held()
    scene.wire.write_faults = [late(patch), *[lost_before] * 4]
    with pytest.raises(OutcomeUnknown):
        scene.client(ahead=-4).update(task.id, {"title": "late"}, ANY_VERSION)

    def meanwhile() -> None:
        patch.arrive()
        for number in range(3):
            scene.other.update(task.id, {"title": f"other {number}"}, ANY_VERSION)

    scene.wire.write_faults = [lost_after_and(meanwhile)]
    flipped = scene.store.toggle(task.id, ANY_VERSION)
    assert set(scene.wire.applied.values()) == {1}
    assert (flipped.version, flipped.completed) == (2, True)
    assert scene.other.get(task.id).completed


def test_five_toggles_by_different_clocks_are_all_applied(scene: Scene) -> None:
    task = scene.other.create(NewTask(title="old"))
    held = Held()
    scene.wire.write_faults = [late_after_reset(held)]
    scene.client(ahead=1.9).toggle(task.id, ANY_VERSION)
    for _ in range(4):
        scene.other.toggle(task.id, ANY_VERSION)
    held.arrive()
    after = scene.other.get(task.id)
    assert (after.version, after.completed) == (6, True)


def test_a_writer_with_a_slow_clock_can_write_a_busy_task(scene: Scene) -> None:
    task = scene.other.create(NewTask(title="old"))

    def write() -> None:
        for _ in range(4):
            scene.other.toggle(task.id, ANY_VERSION)

    def overtaken(send: Send) -> Any:
        write()
        return send()

    write()
    scene.wire.write_faults = [overtaken, overtaken]
    behind = scene.client(ahead=-1)
    assert behind.toggle(task.id, ANY_VERSION).version == 14


# A refusal is final. Each case: the request of the client, its error, and two writes of others. The first is made
# while the request is delayed and is the reason for the response. The second restores the state for which the request
# was made.

type Act = Callable[[TaskStore, str], object]


@dataclass
class Refusal:
    """A late write, its error, and the writes of others that make the error false if the write were applied."""

    ask: Act
    first: Act
    second: Act
    raises: type[Exception] | None = None
    returns: object = None
    begin: Act = lambda _, __: None


def toggle(store: TaskStore, task_id: str) -> object:
    return store.toggle(task_id, ANY_VERSION)


def delete(store: TaskStore, task_id: str) -> object:
    store.delete(task_id, ANY_VERSION)
    return None


def restore(store: TaskStore, task_id: str) -> object:
    return store.restore(task_id, ANY_VERSION)


def to_home(store: TaskStore, task_id: str) -> object:
    return store.move(task_id, Move(list="home", after=None), ANY_VERSION)


def to_home_with_another(store: TaskStore, task_id: str) -> object:
    store.create(NewTask(title="another", list="home"))
    return to_home(store, task_id)


def out_of_lists(store: TaskStore, task_id: str) -> object:
    return store.update(task_id, {"list": None}, ANY_VERSION)


def titled(title: str) -> Act:
    return lambda store, task_id: store.update(task_id, {"title": title}, ANY_VERSION)


def title_unless_at_2(store: TaskStore, task_id: str) -> object:
    return store.update(task_id, {"title": "late"}, Precondition(None, frozenset({2})))


REFUSALS = {
    "404, in the trash": Refusal(toggle, delete, restore, raises=TaskNotFound),
    "412, If-None-Match": Refusal(title_unless_at_2, titled("other"), titled("newer"), raises=VersionMismatch),
    "404, moved": Refusal(to_home, delete, restore, raises=TaskNotFound),
    "200, there already": Refusal(
        lambda store, task_id: store.move(task_id, Move(list="home", after=None), ANY_VERSION).version,
        to_home,
        out_of_lists,
        returns=2,
    ),
    "409, in no list": Refusal(
        lambda store, task_id: store.move(task_id, Move(before=None), ANY_VERSION),
        out_of_lists,
        to_home,
        raises=NoList,
        begin=to_home_with_another,
    ),
    "204, deleted already": Refusal(delete, delete, restore),
    "200, unchanged": Refusal(
        lambda store, task_id: store.update(task_id, {"title": "same"}, ANY_VERSION).version,
        titled("same"),
        titled("newer"),
        returns=2,
    ),
    "409, not deleted": Refusal(restore, restore, delete, raises=NotDeleted, begin=delete),
    "200, cleared 0": Refusal(
        lambda store, _: store.clear(COMPLETED), toggle, toggle, returns=Cleared(cleared=0, more=False), begin=toggle
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_write_is_not_applied_when_it_arrives_late(scene: Scene, refusal: Refusal) -> None:
    task_id = scene.other.create(NewTask(title="old")).id
    refusal.begin(scene.other, task_id)
    held = Held()
    scene.wire.write_faults = [late(held, lambda: refusal.first(scene.other, task_id))]
    if refusal.raises is not None:
        with pytest.raises(refusal.raises):
            refusal.ask(scene.store, task_id)
    else:
        assert refusal.ask(scene.store, task_id) == refusal.returns
    refusal.second(scene.other, task_id)
    before = scene.item(task_id)
    assert held.arrive() == [400]
    assert scene.item(task_id) == before
    assert not scene.wire.applied


def test_a_write_without_effect_is_not_applied_when_it_arrives_late(scene: Scene) -> None:
    task = scene.other.create(NewTask(title="old"))
    held, throttled = Held(), fail_with(400, "ThrottlingException")
    scene.wire.write_faults = [late(held, lambda: toggle(scene.other, task.id)), None, *[throttled] * 4]
    with pytest.raises(Unavailable) as refused:
        scene.store.update(task.id, {"title": "late", "completed": True}, ANY_VERSION)
    assert refused.value.failure is Failure.THROTTLED
    toggle(scene.other, task.id)
    before = scene.item(task.id)
    assert held.arrive() == [400]
    assert scene.item(task.id) == before


# The response is the state that this operation wrote, without later writes of others.


@pytest.mark.parametrize(
    ("begin", "ask"),
    [
        (None, lambda store, _: store.create(NewTask(title="new"))),
        (toggle, titled("new")),
        (toggle, toggle),
        (toggle, to_home),
        (delete, restore),
    ],
    ids=["create", "update", "toggle", "move", "restore"],
)
def test_after_a_lost_response_the_caller_gets_what_it_wrote(
    scene: Scene, begin: Act | None, ask: Callable[[TaskStore, str], Task]
) -> None:
    version, task_id = 1, ""
    if begin is not None:
        task_id = scene.other.create(NewTask(title="old")).id
        begin(scene.other, task_id)
        version = 3

    def deleted() -> None:
        (task,) = scene.other.list(TaskQuery()).items
        scene.other.delete(task.id, ANY_VERSION)

    scene.wire.write_faults = [lost_after_and(deleted)]
    seen = ask(scene.store, task_id)
    assert seen.version == version
    assert not hasattr(seen, "deleted_at")
    (trashed,) = scene.other.list(TaskQuery(status="deleted")).items
    assert (trashed.id, trashed.version) == (seen.id, version + 1)


# Writes with a key and batches: the transaction is late.


@dataclass
class Keyed:
    """An operation with a key, on an open task and on one in the trash."""

    ask: Callable[[TaskStore, str, str], object]
    # Writes of others that make the operation impossible, and possible again; a create is always possible.
    prevent: Act | None = None
    allow: Act | None = None
    refused: type[Exception] = Exception


def _batch(store: TaskStore, live: str, trashed: str) -> object:
    operations = [
        {"op": "create", "task": {"title": "new"}},
        {"op": "toggle", "id": live},
        {"op": "restore", "id": trashed},
    ]
    return store.batch(OPERATIONS.validate_python(operations))


KEYED = {
    "create": Keyed(lambda store, _, __: store.create(NewTask(title="new"))),
    "toggle": Keyed(lambda store, live, _: toggle(store, live), delete, restore, TaskNotFound),
    "move": Keyed(lambda store, live, _: to_home(store, live), delete, restore, TaskNotFound),
    "restore": Keyed(lambda store, _, trashed: restore(store, trashed), restore, delete, NotDeleted),
    "batch": Keyed(_batch, delete, restore, OperationRefused),
}


@pytest.fixture(params=KEYED.values(), ids=list(KEYED))
def keyed(request: pytest.FixtureRequest) -> Keyed:
    chosen: Keyed = request.param
    return chosen


@pytest.fixture
def once() -> IdempotencyKey:
    return IdempotencyKey(uuid.uuid4().hex, "fingerprint", 3600)


def two_tasks(scene: Scene) -> tuple[str, str]:
    """An open task, and one in the trash."""
    live, trashed = (scene.other.create(NewTask(title="old")).id for _ in range(2))
    scene.other.delete(trashed, ANY_VERSION)
    return live, trashed


def stored(scene: Scene) -> list[Task]:
    """All tasks, including those in the trash."""
    return [task for status in ("all", "deleted") for task in scene.other.list(TaskQuery(status=status)).items]


@pytest.mark.parametrize("lateness", [late, late_after_reset, late_again])
def test_a_late_transaction_changes_nothing_after_its_retry_was_applied(
    scene: Scene, keyed: Keyed, once: IdempotencyKey, lateness: Callable[[Held], Any]
) -> None:
    tasks = two_tasks(scene)
    held = Held()
    scene.wire.write_faults = [lateness(held)]
    done = keyed.ask(scene.client(key=once), *tasks)
    for task in scene.other.list(TaskQuery()).items:
        scene.other.toggle(task.id, ANY_VERSION)
    before = stored(scene)
    assert len(held.arrive()) == 1
    assert stored(scene) == before
    again = scene.client(key=once)
    assert keyed.ask(again, *tasks) == done
    assert again.replayed


@pytest.mark.parametrize(
    "keyed", [one for one in KEYED.values() if one.prevent], ids=[n for n in KEYED if KEYED[n].prevent]
)
def test_a_late_transaction_changes_nothing_after_its_retry_was_refused(
    scene: Scene, keyed: Keyed, once: IdempotencyKey
) -> None:
    live, trashed = two_tasks(scene)
    task_id = trashed if keyed is KEYED["restore"] else live
    prevent, allow = keyed.prevent, keyed.allow
    assert prevent is not None
    assert allow is not None
    held = Held()
    scene.wire.write_faults = [late(held, lambda: prevent(scene.other, task_id))]
    with pytest.raises(keyed.refused):
        keyed.ask(scene.client(key=once), live, trashed)
    allow(scene.other, task_id)
    before = stored(scene)
    assert held.arrive() == [400]
    assert stored(scene) == before
    # The key was not used, so the client can retry.
    again = scene.client(key=once)
    keyed.ask(again, live, trashed)
    assert not again.replayed


def test_a_late_transaction_changes_nothing_after_the_client_retried(
    scene: Scene, keyed: Keyed, once: IdempotencyKey
) -> None:
    """The outcome was unknown, and a second request with the key settled it."""
    tasks = two_tasks(scene)
    held = Held()
    scene.wire.write_faults = [late(held), *[lost_before] * 4]
    with pytest.raises(OutcomeUnknown):
        keyed.ask(scene.client(key=once), *tasks)
    again = scene.client(key=once)
    keyed.ask(again, *tasks)
    assert not again.replayed
    before = stored(scene)
    assert held.arrive() == [400]
    assert stored(scene) == before


def test_a_batch_that_lost_a_race_is_applied_once(scene: Scene, once: IdempotencyKey) -> None:
    """The first transaction is late; the second is decided on what another wrote in the meantime."""
    live, trashed = two_tasks(scene)
    held = Held()
    scene.wire.write_faults = [late(held, lambda: toggle(scene.other, live))]
    _batch(scene.client(key=once), live, trashed)
    before = stored(scene)
    assert sorted(task.version for task in before) == [1, 3, 3]
    assert held.arrive() == [400]
    assert stored(scene) == before
