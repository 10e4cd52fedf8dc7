"""Two lives of one id: a task is removed, and an import, or a create during an erasure, makes another one.

No write, ETag, event or copy of the first life is taken for one of the second.
"""

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from rich.progress import Progress

from ops import import_
from shared.batches import BatchOperation
from shared.events import happened
from shared.models import ChangesQuery, ImportedTask, Move, NewTask, Task, TaskQuery
from shared.store import items, marks
from shared.store.dynamodb import OutcomeUnknown, Table
from shared.store.items import IdempotencyKey
from shared.store.task_store import SyncTokenExpired, TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION, Precondition, VersionMismatch
from tests.conftest import COMPLETED, deadline_in, table_at
from tests.faults.test_event_faults import copied
from tests.inprocess import Functions, functions
from tests.integration.test_export import InProcess, exported
from tests.integration.test_journeys import walk
from tests.integration.test_sync import Replica
from tests.wire import Held, Wire, late, lost_after_and, lost_before

OPERATIONS: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])
DAY = 86_400_000


@dataclass
class Scene:
    """A user with two clients: those of `client` send over a wire with faults, and `other` over one without."""

    table: Table
    wire: Wire
    user: str
    other: TaskStore
    task_id: str = field(default_factory=lambda: str(uuid7(time.time_ns())))

    def client(self, *, keyed: bool = False) -> TaskStore:
        key = IdempotencyKey(uuid.uuid4().hex, "fingerprint", 3600) if keyed else None
        return TaskStore(self.table, self.user, deadline_in(60), key=key)

    def create(self, **fields: Any) -> Task:
        return self.other.create(NewTask(title="x", list="home", **fields), self.task_id)

    def remove(self) -> None:
        """Remove all items of the user, as an erasure does."""
        client, partition = self.other._client, items.partition_of(self.user)
        found = client.query(
            TableName=self.table.name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": partition},
            ConsistentRead=True,
        )
        for item in found["Items"]:
            client.delete_item(TableName=self.table.name, Key={"pk": partition, "sk": item["sk"]})

    def create_again(self) -> Task:
        """Create the task again, at the version of its first life, as a function does that remembers no mark."""
        self.remove()
        time.sleep(0.002)  # two lives never begin in one millisecond: a request is between them
        return self.create()


@pytest.fixture
def scene(engine_url: str, user: str) -> Iterator[Scene]:
    table = table_at(engine_url, "two lives")
    with Wire(table) as wire:
        yield Scene(table, wire, user, TaskStore(table_at(engine_url, "other"), user, deadline_in(60)))


def batched(scene: Scene) -> object:
    operations = [{"op": "toggle", "id": scene.task_id}, {"op": "create", "task": {"title": "y"}}]
    return scene.client(keyed=True).batch(OPERATIONS.validate_python(operations))


WRITES: Mapping[str, Callable[[Scene], object]] = {
    "update": lambda scene: scene.client().update(scene.task_id, {"title": "new"}, ANY_VERSION),
    "toggle": lambda scene: scene.client().toggle(scene.task_id, ANY_VERSION),
    "toggle, keyed": lambda scene: scene.client(keyed=True).toggle(scene.task_id, ANY_VERSION),
    "move": lambda scene: scene.client().move(scene.task_id, Move(list="work", after=None), ANY_VERSION),
    "delete": lambda scene: scene.client().delete(scene.task_id, ANY_VERSION),
    "batch": batched,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_late_write_of_an_earlier_life_is_not_applied_to_a_later_one(
    scene: Scene, write: Callable[[Scene], object]
) -> None:
    scene.create()
    held = Held()
    scene.wire.write_faults = [late(held), *[lost_before] * 4]
    with pytest.raises(OutcomeUnknown):
        write(scene)
    second = scene.create_again()
    assert held.arrive() == [400]
    assert scene.other.get(scene.task_id) == second


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("then", ["removed", "created again"])
def test_a_write_that_was_applied_before_its_task_was_removed_is_not_reported_as_refused(
    scene: Scene, write: Callable[[Scene], object], then: str
) -> None:
    scene.create()
    scene.wire.write_faults = [lost_after_and(scene.remove if then == "removed" else scene.create_again)]
    with suppress(OutcomeUnknown):  # DynamoDB acknowledges a transaction again when it is repeated
        write(scene)
    assert len(scene.wire.writes) == 1


def test_a_create_that_was_applied_before_another_life_is_not_reported_as_refused(scene: Scene) -> None:
    scene.wire.write_faults = [lost_after_and(scene.create_again)]
    with pytest.raises(OutcomeUnknown):
        scene.client().create(NewTask(title="y"), scene.task_id)


def test_a_clear_does_not_delete_the_later_life_of_a_task(scene: Scene) -> None:
    scene.create(completed=True)
    held = Held()
    scene.wire.write_faults = [late(held), *[lost_before] * 4]
    with pytest.raises(OutcomeUnknown):
        scene.client().clear(COMPLETED)
    second = scene.create_again()
    held.arrive()
    assert scene.other.get(scene.task_id) == second


def test_an_import_begins_above_every_version_of_an_earlier_life(scene: Scene) -> None:
    """It is recognized when it is repeated, as long as nobody has changed it."""
    task = scene.create()
    for _ in range(5):
        task = scene.other.toggle(scene.task_id, ANY_VERSION)
    scene.remove()
    imported = ImportedTask(NewTask(title="x", list="home"), None, None)
    again = scene.other.import_task(scene.task_id, imported)
    assert again.version > task.version
    assert abs(again.version - time.time_ns() // 1_000_000) < 600_000
    assert scene.client().import_task(scene.task_id, imported) == again
    assert scene.client().create(imported.new, scene.task_id) == again
    assert scene.client().toggle(scene.task_id, ANY_VERSION).version == again.version + 1
    with pytest.raises(VersionMismatch):
        scene.client().import_task(scene.task_id, imported)
    with pytest.raises(VersionMismatch):
        scene.client().update(scene.task_id, {"title": "y"}, Precondition(frozenset({task.version})))


@dataclass
class Deployment:
    """A deployment: its table, its functions, and the time of their clocks."""

    table: Table
    call: Functions
    days: list[float]

    def store(self, user: str) -> TaskStore:
        return TaskStore(self.table, user, deadline_in(600), lambda: self.now * 1_000_000)

    @property
    def now(self) -> int:
        return time.time_ns() // 1_000_000 + int(self.days[0] * DAY)


@contextmanager
def deployed(table: Table) -> Iterator[Deployment]:
    days = [0.0]
    with functions(table, lambda: time.time_ns() + int(days[0] * DAY) * 1_000_000) as call:
        yield Deployment(table, call, days)


class Keeper:
    """A client that keeps a copy of all tasks, and the ETags of its last responses."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.etags: dict[str, str] = {}
        self.replica = Replica(lambda since: since)

    def sync(self, there: Deployment) -> None:
        """Sync with a deployment. A client whose token has expired starts again without one."""
        self.replica.ask = lambda since: there.store(self.user).changes(ChangesQuery(since=since, limit=7))
        try:
            self.replica.sync()
        except SyncTokenExpired:
            self.replica.since = None
            self.replica.sync()

    def matches(self, there: Deployment) -> bool:
        """Whether the copy has the tasks of the deployment."""
        tasks = walk(there.store(self.user), TaskQuery(limit=100))
        return self.replica.live == {task.id: task for task in tasks}

    def has_stale_etags(self, there: Deployment) -> None:
        """Assert that no ETag of the client names a state of the deployment."""
        for task_id, etag in self.etags.items():
            read = there.call("get_task", self.user, task_id, headers={"if-none-match": etag})
            assert read.status == 200
            assert read.json["etag"] != etag
            for name, body in (("update_task", {"title": "lost"}), ("toggle_task", None), ("delete_task", None)):
                wrote = there.call(name, self.user, task_id, body=body, headers={"if-match": etag})
                assert (wrote.status, wrote.kind) == (412, "precondition-failed")

    def follows(self, there: Deployment, *, keeps_token: bool) -> None:
        """Assert that no ETag is valid, and that the copy follows the second life, from its beginning on."""
        self.has_stale_etags(there)
        if not keeps_token:
            self.replica.since = None
        self.sync(there)
        assert self.matches(there)
        changed(there, self.user)
        self.sync(there)
        assert self.matches(there)


def filled(there: Deployment, user: str) -> Keeper:
    """A user with tasks at different versions, and a client that has seen all of them."""
    store, keeper = there.store(user), Keeper(user)
    made = [store.create(NewTask(title=f"{number}", list="home")).id for number in range(8)]
    for number, task_id in enumerate(made):
        for _ in range(number % 4):
            store.toggle(task_id, ANY_VERSION)
            keeper.sync(there)
    store.move(made[0], Move(before=None), ANY_VERSION)
    store.delete(made[7], ANY_VERSION)
    keeper.sync(there)
    assert keeper.matches(there)
    keeper.etags = {one: there.call("get_task", user, one).json["etag"] for one in made[:7]}
    return keeper


def bring(there: Deployment, user: str, lines: list[dict[str, Any]]) -> None:
    wanted = {task["id"]: import_.Line("line", task) for task in lines}
    with Progress(disable=True) as progress:
        counts = import_.Import(InProcess(there.call, user), wanted, threading.Event(), progress).run()
    assert counts == {"created": 8}


def changed(there: Deployment, user: str) -> None:
    """Change a task, delete one, and restore one: the second life goes on."""
    store = there.store(user)
    first, second, *_ = walk(store, TaskQuery(list="home", limit=100))
    store.update(first.id, {"title": "changed"}, ANY_VERSION)
    store.delete(second.id, ANY_VERSION)
    (*_, trashed) = walk(store, TaskQuery(status="deleted", limit=100))
    if trashed.id != second.id:
        store.restore(trashed.id, ANY_VERSION)


@pytest.mark.parametrize("keeps_token", [True, False])
def test_a_client_follows_an_import_into_another_deployment(
    moto_url: str, dynamodb_local_url: str, user: str, tmp_path: Path, keeps_token: bool
) -> None:
    with deployed(table_at(moto_url)) as there:
        keeper = filled(there, user)
        lines = exported(InProcess(there.call, user), tmp_path)
    with deployed(table_at(dynamodb_local_url)) as there:
        bring(there, user, lines)
        keeper.follows(there, keeps_token=keeps_token)


@pytest.mark.parametrize("keeps_token", [True, False])
def test_a_client_follows_an_erasure_and_an_import_into_the_same_deployment(
    engine_url: str, user: str, tmp_path: Path, keeps_token: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import comes when the mark of the erasure has expired, or right after an administrator has removed it."""
    monkeypatch.setattr(marks, "_unmarked", {})
    with deployed(table_at(engine_url)) as there:
        keeper = filled(there, user)
        lines = exported(InProcess(there.call, user), tmp_path)
        more = True
        while more:
            query = {"confirm": user}
            erased = there.call("erase_user", "service", path_user=user, query=query, scope="tasks/service")
            more = erased.json["more"]
            there.days[0] += 10 / 86_400
        key = marks.key_in(items.partition_of(user))
        there.table.client.delete_item(TableName=there.table.name, Key=key)  # as TTL does
        bring(there, user, lines)
        keeper.follows(there, keeps_token=keeps_token)


@pytest.mark.parametrize("seed", range(20))
def test_a_consumer_of_events_ends_with_the_later_life(scene: Scene, seed: int) -> None:
    """In any order, with duplicates, and without a gap: the jump to the later life is none."""
    dice, states = random.Random(seed), list[Task | None]([None])  # noqa: S311 - no secret
    states.append(scene.create())
    states += [scene.other.toggle(scene.task_id, ANY_VERSION) for _ in range(dice.randint(0, 5))]
    scene.remove()
    states.append(None)
    states.append(scene.other.import_task(scene.task_id, ImportedTask(NewTask(title="x", list="home"), None, None)))
    states += [scene.other.toggle(scene.task_id, ANY_VERSION) for _ in range(dice.randint(0, 5))]
    events = [happened(*pair) for pair in itertools.pairwise(states)]
    sent: list[Any] = [
        {
            "detail-type": event.detail_type,
            "time": "2026-11-30T12:00:00Z",
            "detail": event.detail("", "", full=True),
        }
        for event in events
        if event is not None
    ]
    assert [one["detail-type"] for one in sent].count("task.created") == 2
    last = sent[-1]["detail"]
    received = [*sent, *dice.choices(sent, k=3)]
    dice.shuffle(received)
    assert copied(received) == ({(scene.user, scene.task_id): (last["version"], last["task"])}, 0)
    # A version that is really missing is a gap, in each of the two lives.
    for missing in sent[:-1]:
        if missing["detail-type"] not in {"task.created", "task.purged"}:
            assert copied([one for one in received if one != missing])[1] == 1
