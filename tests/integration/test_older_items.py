"""Items of an older and of a newer release: every operation works on them, and keeps them complete."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.batches import BatchOperation
from shared.models import ChangesQuery, NewTask, TaskQuery, Tombstone
from shared.store import items, upgrades
from shared.store.dynamodb import Table
from shared.store.items import IdempotencyKey, Item, text
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION, Precondition, TaskNotFound, VersionMismatch
from tests import older_shape
from tests.conftest import COMPLETED, deadline_in, table_at
from tests.wire import Wire, lost_after, lost_before, lost_before_and

CREATED = 1_795_415_874_917
OPERATIONS: TypeAdapter[list[BatchOperation]] = TypeAdapter(list[BatchOperation])


@pytest.fixture(autouse=True)
def _step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrades, "STEPS", older_shape.STEPS)


@pytest.fixture
def old(table: Table, user: str) -> Callable[..., str]:
    """Puts a task of schema 0 into the table, live or in the trash, and returns its id."""

    def put(*, completed: bool = False, trashed: bool = False) -> str:
        task_id = str(uuid7(CREATED * 1_000_000))
        new = NewTask(title="old", description="as it was", completed=completed)
        item = older_shape.old_task(user, task_id, new, CREATED, trashed=trashed)
        table.client.put_item(TableName=table.name, Item=item)
        return task_id

    return put


def stored(table: Table, user: str, task_id: str) -> Any:
    return table.client.get_item(
        TableName=table.name, Key=items.key_of(items.partition_of(user), task_id), ConsistentRead=True
    )["Item"]


def once(key: str = "") -> IdempotencyKey:
    return IdempotencyKey(key or uuid.uuid4().hex, "x", 3600)


def keyed(table: Table, user: str, key: str = "") -> TaskStore:
    return TaskStore(table, user, deadline_in(10), key=once(key))


def test_reads_upgrade_an_older_item_without_a_write(
    store: TaskStore, table: Table, user: str, old: Callable[..., str]
) -> None:
    done, trashed = old(completed=True), old(trashed=True)
    before = [stored(table, user, one) for one in (done, trashed)]
    task = store.get(done)
    assert (task.title, task.description, task.completed, task.completed_at) == ("old", "as it was", True, CREATED)
    assert [one.id for one in store.list(TaskQuery()).items] == [done]
    assert [one.id for one in store.list(TaskQuery(status="completed")).items] == [done]
    assert [one.id for one in store.list(TaskQuery(status="deleted")).items] == [trashed]
    changed = {one.id: one for one in store.changes(ChangesQuery()).items}
    assert changed[done] == task
    assert isinstance(changed[trashed], Tombstone)
    assert [stored(table, user, one) for one in (done, trashed)] == before


type Write = Callable[[TaskStore, str], object]
WRITES: dict[str, Write] = {
    "update": lambda store, task_id: store.update(task_id, {"title": "new"}, ANY_VERSION),
    "complete": lambda store, task_id: store.update(task_id, {"completed": True}, ANY_VERSION),
    "toggle": lambda store, task_id: store.toggle(task_id, ANY_VERSION),
    "delete": lambda store, task_id: store.delete(task_id, ANY_VERSION),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_upgrades_an_older_item(name: str, engine_url: str, user: str, old: Callable[..., str]) -> None:
    table, task_id = table_at(engine_url, "counted"), old()
    store = TaskStore(table, user, deadline_in(10))
    with Wire(table) as wire:
        WRITES[name](store, task_id)
        assert len(wire.requests) == 2
        item = stored(table, user, task_id)
        assert (item["schema"]["N"], item["version"]["N"]) == ("1", "2")
        assert "colour" not in item
        assert ("completed_at" in item) == (name in {"complete", "toggle"})
        wire.requests.clear()
        if name != "delete":
            store.toggle(task_id, ANY_VERSION)
            assert len(wire.requests) == 2
            assert store.get(task_id).version == 3


def test_restore_and_clear(store: TaskStore, table: Table, user: str, old: Callable[..., str]) -> None:
    trashed, done, still_open = old(trashed=True), old(completed=True), old()
    assert store.restore(trashed, ANY_VERSION).description == "as it was"
    assert store.clear(COMPLETED).cleared == 1
    assert [task.id for task in store.list(TaskQuery(status="deleted")).items] == [done]
    assert {stored(table, user, one)["schema"]["N"] for one in (trashed, done)} == {"1"}
    assert {task.id for task in store.list(TaskQuery()).items} == {trashed, still_open}


def test_writes_with_a_key_upgrade_an_item_in_their_transaction(
    table: Table, user: str, old: Callable[..., str]
) -> None:
    toggled, trashed, batched = old(), old(trashed=True), old(completed=True)
    assert keyed(table, user).toggle(toggled, ANY_VERSION).completed
    assert not keyed(table, user).restore(trashed, ANY_VERSION).completed
    operations = [{"op": "update", "id": batched, "patch": {"title": "new"}}]
    keyed(table, user).batch(OPERATIONS.validate_python(operations))
    for task_id in (toggled, trashed, batched):
        item = stored(table, user, task_id)
        assert item["schema"]["N"] == "1"
        assert item["by_status"]["S"].startswith("task#done#" if "completed_at" in item else "task#open#")


def test_the_stored_response_of_a_key_is_upgraded(table: Table, user: str, old: Callable[..., str]) -> None:
    task_id, key = old(completed=True), uuid.uuid4().hex
    response = {
        name: value
        for name, value in stored(table, user, task_id).items()
        if name not in {"by_creation", "by_change", "write_tokens"}
    }
    record = items.to_record(items.partition_of(user), once(key), [], "old", 4_000_000_000_000)
    record |= {"schema": items.number(0), "results": {"L": [{"M": response}]}}
    table.client.put_item(TableName=table.name, Item=record)
    again = keyed(table, user, key)
    assert again.toggle(task_id, ANY_VERSION).completed_at == CREATED
    assert again.replayed


def test_a_rejected_write_does_not_upgrade_the_item(
    store: TaskStore, table: Table, user: str, old: Callable[..., str]
) -> None:
    task_id = old()
    with pytest.raises(VersionMismatch):
        store.toggle(task_id, Precondition(frozenset({7})))
    assert store.update(task_id, {"title": "old"}, ANY_VERSION).version == 1
    with pytest.raises(TaskNotFound):
        store.restore(str(uuid.uuid4()), ANY_VERSION)
    assert stored(table, user, task_id)["schema"]["N"] == "0"


@pytest.mark.parametrize("lost", [lost_before, lost_after])
@pytest.mark.parametrize("place", [0, 1])
def test_a_lost_response_of_an_upgrade_changes_nothing(
    lost: Any, place: int, engine_url: str, user: str, old: Callable[..., str]
) -> None:
    table, task_id = table_at(engine_url, "lossy"), old()
    with Wire(table) as wire:
        wire.faults = [*[None] * place, lost]
        assert TaskStore(table, user, deadline_in(10)).toggle(task_id, ANY_VERSION).completed
    assert stored(table, user, task_id)["version"]["N"] == "2"


def test_a_write_before_the_upgrade_wins(engine_url: str, user: str, old: Callable[..., str]) -> None:
    table, task_id = table_at(engine_url, "overtaken"), old()
    other = TaskStore(table_at(engine_url), user, deadline_in(10))
    with Wire(table) as wire:
        wire.faults = [None, lost_before_and(lambda: other.update(task_id, {"title": "theirs"}, ANY_VERSION))]
        task = TaskStore(table, user, deadline_in(10)).toggle(task_id, ANY_VERSION)
    assert (task.title, task.completed, task.version) == ("theirs", True, 3)


def test_an_older_release_can_use_the_items_of_this_release(
    store: TaskStore, table: Table, user: str, old: Callable[..., str]
) -> None:
    """As in a canary deployment: both releases toggle a task in turns, and each can read what the other wrote."""
    task_id = old()
    for turn in range(3):
        assert older_shape.toggle_as_before(table, user, task_id)
        assert store.get(task_id).completed
        assert not store.toggle(task_id, ANY_VERSION).completed
        assert store.get(task_id).version == 3 + 2 * turn


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Turns this release into the next one: schema 2, whose items also have their title in capitals."""

    def shout(item: Item) -> Item:
        return {**item, "shout": text(item["title"]["S"].upper())}

    def become() -> None:
        for module in (items, upgrades):
            monkeypatch.setattr(module, "SCHEMA", 2)
        monkeypatch.setattr(upgrades, "STEPS", {**older_shape.STEPS, 1: shout})

    return become  # type: ignore[return-value]


NEWER: dict[str, Callable[[Table, str, str], object]] = {
    "update": lambda table, user, task_id: TaskStore(table, user, deadline_in(10)).update(
        task_id, {"title": "ours"}, ANY_VERSION
    ),
    "batch": lambda table, user, task_id: keyed(table, user).batch(
        OPERATIONS.validate_python([{"op": "update", "id": task_id, "patch": {"title": "ours"}}])
    ),
}


@pytest.mark.parametrize("name", NEWER)
def test_this_release_can_use_the_items_of_a_newer_release(
    name: str, store: TaskStore, table: Table, user: str, newer: Callable[[], None]
) -> None:
    """Attributes of the newer release are kept and marked as outdated, and that release computes them again."""
    task_id = store.create(NewTask(title="theirs")).id
    item = {**stored(table, user, task_id), "schema": items.number(2), "shout": text("THEIRS"), "due": text("soon")}
    table.client.put_item(TableName=table.name, Item=item)
    assert store.get(task_id).title == "theirs"
    NEWER[name](table, user, task_id)
    written = stored(table, user, task_id)
    assert (written["schema"]["N"], written["shout"]["S"], written["due"]["S"]) == ("1", "THEIRS", "soon")
    newer()
    assert store.toggle(task_id, ANY_VERSION).title == "ours"
    written = stored(table, user, task_id)
    assert (written["schema"]["N"], written["shout"]["S"], written["due"]["S"]) == ("2", "OURS", "soon")
    assert written["version"]["N"] == "3"


def test_a_missing_step_is_a_clear_error(
    store: TaskStore, old: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrades, "STEPS", {})
    with pytest.raises(LookupError, match="no step from schema 0"):
        store.get(old())
