"""`ops.restore`: restored tasks are newer than all versions that clients have seen, and reach every replica."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from local import dynamodb as engines
from local.template import Template
from ops import command, restore
from ops.backfill import RateLimiter, walk
from ops.command import Interrupted
from ops.restore import Restoration
from shared.models import ChangesQuery, NewTask, Task, TaskQuery, Tombstone
from shared.pseudonyms import pseudonym_in
from shared.store import items, marks
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION, Precondition, VersionMismatch
from tests.conftest import deadline_in
from tests.wire import Send, Wire, cut_off, fail_with, lost_after, lost_before_and


@pytest.fixture
def tables(template: Template, engine_url: str) -> Callable[..., Table]:
    """Makes empty tables, with different names unless a test gives one."""

    def make(name: str = "") -> Table:
        (of_all,), name = template.tables, name or f"Table-{uuid.uuid4()}"
        own = replace(of_all, arguments={**of_all.arguments, "TableName": name})
        engines.create_tables(replace(template, tables=(own,)), engine_url)
        return Table(new_client(engine_url), name)

    return make


def copied(table: Table, tables: Callable[..., Table], name: str = "") -> Table:
    """A restored backup: another table with the same items."""
    backup = tables(name)
    for item in table.client.scan(TableName=table.name)["Items"]:
        backup.client.put_item(TableName=backup.name, Item=item)
    return backup


type Restore = Callable[..., dict[str, int]]


@pytest.fixture
def run(
    engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Restore:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", engine_url)

    def run(backup: Table, table: Table, *more: str) -> dict[str, int]:
        status = restore.main(["--from", backup.name, "--table", table.name, *(more or ("--everyone", "--yes"))])
        out, err = capsys.readouterr()
        assert status == 0, err
        return {name.strip(): int(count) for name, _, count in (line.rpartition(" ") for line in out.splitlines())}

    return run


def synced(store: TaskStore, replica: dict[str, Any], since: str | None = None) -> str:
    """The client of docs/http-api.md."""
    page = store.changes(ChangesQuery(since=since, limit=500))
    for item in page.items:
        if item.id not in replica or item.version > replica[item.id].version:
            replica[item.id] = item
    return page.next_since


def test_a_restore_undoes_damage_and_keeps_later_work(tables: Callable[[], Table], run: Restore, user: str) -> None:
    table = tables()
    store = TaskStore(table, user, deadline_in(60))
    kept, damaged, deleted, trashed = (store.create(NewTask(title=name)).id for name in ("kept", "good", "d", "t"))
    store.delete(trashed, ANY_VERSION)
    backup = copied(table, tables)

    replica: dict[str, Any] = {}
    store.update(damaged, {"title": "damaged"}, ANY_VERSION)
    store.delete(deleted, ANY_VERSION)
    store.restore(trashed, ANY_VERSION)
    new = store.create(NewTask(title="new")).id
    token = synced(store, replica)
    seen = {task_id: item.version for task_id, item in replica.items()}

    # The restore of one user reads one partition: a whole table takes days.
    assert run(backup, table, "--user", "somebody else") == {"seen": 0}
    assert run(backup, table, "--user", user, "--dry-run") == {"same": 1, "seen": 4, "to restore": 3}
    assert store.get(damaged).title == "damaged"
    assert run(backup, table, "--user", user) == {"restored": 3, "same": 1, "seen": 4}
    assert run(backup, table) == {"same": 4, "seen": 4}

    assert {task.title for task in store.list(TaskQuery()).items} == {"kept", "good", "d", "new"}
    assert [task.id for task in store.list(TaskQuery(status="deleted")).items] == [trashed]
    for write, task_id in ((store.toggle, damaged), (store.toggle, deleted), (store.restore, trashed)):
        with pytest.raises(VersionMismatch):
            write(task_id, Precondition(frozenset({seen[task_id]})))
    synced(store, replica, token)
    live = {key for key, item in replica.items() if isinstance(item, Task)}
    assert live == {kept, damaged, deleted, new}
    assert isinstance(replica[trashed], Tombstone)
    assert replica[damaged] == store.get(damaged)


@pytest.mark.parametrize("whose", [(), ("--user", "")])
def test_a_restore_needs_the_user(tables: Callable[[], Table], run: Restore, user: str, whose: tuple[str, ...]) -> None:
    """An empty `--user` is an error. It does not mean all users."""
    table = tables()
    store = TaskStore(table, user, deadline_in(60))
    task_id = store.create(NewTask(title="good")).id
    backup = copied(table, tables)
    store.update(task_id, {"title": "newer"}, ANY_VERSION)
    with pytest.raises(SystemExit):
        run(backup, table, "--segments", "1", *whose)
    assert store.get(task_id).title == "newer"


def test_a_restore_into_an_empty_table_uses_versions_that_no_client_has_seen(
    tables: Callable[[], Table], run: Restore, user: str
) -> None:
    table, empty = tables(), tables()
    store = TaskStore(table, user, deadline_in(60))
    task_id = store.create(NewTask(title="backed up")).id
    backup = copied(table, tables)
    for number in range(5):
        store.update(task_id, {"title": f"lost {number}"}, ANY_VERSION)
    replica: dict[str, Any] = {}
    token = synced(store, replica)

    run(backup, empty)
    after = TaskStore(empty, user, deadline_in(60))
    synced(after, replica, token)
    assert replica[task_id].title == "backed up"
    with pytest.raises(VersionMismatch):
        after.toggle(task_id, Precondition(frozenset({6})))
    toggled = after.toggle(task_id, ANY_VERSION)
    assert toggled.version == replica[task_id].version + 1
    # JSON numbers and ETags can hold it.
    assert toggled.version < 2**53
    assert after.toggle(task_id, Precondition(frozenset({toggled.version}))).version == toggled.version + 1


@pytest.fixture
def damaged(
    tables: Callable[[], Table],
    run: Restore,  # noqa: ARG001 - it says where DynamoDB is
    user: str,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[TaskStore, str, Table, Table]:
    """A task that was damaged after the backup: its store and id, the backup, and the table of the restore."""
    table = tables()
    store = TaskStore(table, user, deadline_in(60))
    task_id = store.create(NewTask(title="good")).id
    backup = copied(table, tables)
    store.update(task_id, {"title": "damaged"}, ANY_VERSION)
    ours = Table(command.client("dynamodb", retries={"total_max_attempts": 1}), table.name)
    monkeypatch.setattr(restore, "aws", lambda *_, **__: ours.client)
    return store, task_id, backup, ours


def test_an_erased_user_is_left_out(
    tables: Callable[[], Table], run: Restore, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark in the live table counts. The backup has none."""
    monkeypatch.setattr(marks, "_unmarked", {})
    table, other = tables(), f"{user}2"
    for name in (user, user, other):
        TaskStore(table, name, deadline_in(60)).create(NewTask(title="x"))
    backup = copied(table, tables)
    for name in (user, other):
        assert TaskStore(table, name, deadline_in(60)).erase(40).more
    key: Any = marks.key_in(items.partition_of(other))
    table.client.update_item(
        TableName=table.name,
        Key=key,
        UpdateExpression="SET expires_at = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )
    assert run(backup, table, "--everyone", "--dry-run") == {"erased": 2, "seen": 3, "to restore": 1}
    assert run(backup, table, "--everyone", "--yes") == {"erased": 2, "restored": 1, "seen": 3}
    assert TaskStore(table, user, deadline_in(60)).list(TaskQuery()).items == []


# GetItem of the mark (without a fault) and of the task, and then the write.
BEFORE_THE_WRITE = [None]


def test_a_transaction_of_another_writer_is_waited_for(
    damaged: tuple[TaskStore, str, Table, Table], run: Restore
) -> None:
    store, task_id, backup, ours = damaged
    with Wire(ours) as wire:
        wire.faults = [*BEFORE_THE_WRITE, *[fail_with(400, "TransactionConflictException")] * 2]
        assert run(backup, ours, "--everyone", "--yes", "--segments", "1") == {"restored": 1, "seen": 1}
    assert not wire.faults
    assert store.get(task_id).title == "good"


@pytest.mark.parametrize("lost", [False, True])
def test_a_write_during_a_restore_is_overwritten_with_a_report(
    damaged: tuple[TaskStore, str, Table, Table], run: Restore, lost: bool
) -> None:
    store, task_id, backup, ours = damaged
    with Wire(ours) as wire:
        meanwhile = lost_after if lost else lost_before_and(lambda: store.toggle(task_id, ANY_VERSION))
        wire.faults = [*BEFORE_THE_WRITE, meanwhile]
        counts = run(backup, ours, "--everyone", "--yes", "--segments", "1")
    assert counts == {"restored": 1, "seen": 1}
    task = store.get(task_id)
    assert (task.title, task.completed, task.version) == ("good", False, 3 if lost else 4)


@pytest.mark.parametrize("kind", ["a rate limit", "a stall", "a conflict"])
def test_a_replica_that_syncs_during_a_restore_gets_the_restored_task(
    damaged: tuple[TaskStore, str, Table, Table], run: Restore, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version has the time of the attempt that writes it, so the next sync returns it."""
    store, task_id, backup, ours = damaged
    now = [time.time_ns()]
    clocked = Table(new_client(ours.client.meta.endpoint_url), ours.name)
    store = TaskStore(clocked, store._user_id, deadline_in(60), lambda: now[0])
    monkeypatch.setattr(restore, "_now", lambda: now[0] // 1_000_000)
    replica: dict[str, Any] = {}
    tokens = [synced(store, replica)]

    def a_minute_later() -> None:
        if len(tokens) < 3:
            now[0] += 60_000_000_000
            tokens.append(synced(store, replica, tokens[-1]))

    def later(send: Send) -> AWSResponse:
        a_minute_later()
        return send()

    if kind == "a rate limit":
        monkeypatch.setattr(RateLimiter, "wait", lambda _: a_minute_later())
    with Wire(ours) as wire:
        if kind == "a stall":
            wire.faults = [*BEFORE_THE_WRITE, lost_before_and(a_minute_later)]
        if kind == "a conflict":
            conflict = fail_with(400, "TransactionConflictException")
            wire.faults = [*BEFORE_THE_WRITE, conflict, later]
        assert run(backup, ours, "--everyone", "--yes", "--segments", "1") == {"restored": 1, "seen": 1}
    assert len(tokens) > 1
    now[0] += 1_000_000_000
    synced(store, replica, tokens[-1])
    assert replica[task_id] == store.get(task_id)
    assert replica[task_id].title == "good"


@pytest.mark.parametrize(("seconds", "words"), [(60, "60 s ahead of"), (-60, "60 s behind")])
def test_a_clock_that_differs_from_that_of_dynamodb_stops_the_restore(
    damaged: tuple[TaskStore, str, Table, Table],
    run: Restore,
    seconds: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, task_id, backup, ours = damaged
    clock = SimpleNamespace(time=lambda: time.time() + seconds, time_ns=time.time_ns, sleep=time.sleep)
    monkeypatch.setattr(restore, "time", clock)
    with pytest.raises(AssertionError, match=f"The clock of this machine is {words} DynamoDB's. Set it"):
        run(backup, ours, "--everyone", "--yes")
    assert store.get(task_id).title == "damaged"


def test_a_newer_backup_of_the_same_name_is_not_continued(
    tables: Callable[..., Table],
    run: Restore,
    user: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A restore stops in the middle. Then another backup gets the name of the first one."""
    table, whose = tables(), ("--everyone", "--yes", "--segments", "1")
    store = TaskStore(table, user, deadline_in(60))
    ids = [store.create(NewTask(title="good")).id for _ in range(3)]
    backup = copied(table, tables)
    for task_id in ids:
        store.update(task_id, {"title": "damaged"}, ANY_VERSION)
    with monkeypatch.context() as patch:
        patch.setattr(restore, "walk", lambda client, search, *more: walk(client, {**search, "Limit": 1}, *more))
        done: list[Any] = []
        real = Restoration.__call__

        def stopping(self: Restoration, item: Any) -> str:
            if done:
                raise Interrupted
            done.append(item)
            return real(self, item)

        patch.setattr(Restoration, "__call__", stopping)
        assert restore.main(["--from", backup.name, "--table", table.name, *whose]) == 130
    assert "Run the same command to continue." in capsys.readouterr().err
    state = Path(f".local/restore-{table.name}.restore.json")
    assert json.loads(state.read_text())["counts"] == {"restored": 1, "seen": 1}

    backup.client.delete_table(TableName=backup.name)
    for task_id in ids:
        store.update(task_id, {"title": "newer"}, ANY_VERSION)
    newer = copied(table, tables, backup.name)
    for task_id in ids:
        store.update(task_id, {"title": "damaged"}, ANY_VERSION)
    with pytest.raises(AssertionError, match="has the progress of another run"):
        run(newer, table, *whose)
    assert {store.get(task_id).title for task_id in ids} == {"damaged"}
    state.unlink()
    assert run(newer, table, *whose) == {"restored": 3, "seen": 3}
    assert {store.get(task_id).title for task_id in ids} == {"newer"}


def test_an_error_that_is_cut_off_shows_no_text_of_a_task(
    damaged: tuple[TaskStore, str, Table, Table], capsys: pytest.CaptureFixture[str]
) -> None:
    store, task_id, backup, ours = damaged
    with Wire(ours) as wire:
        wire.write_faults = [cut_off({"title": {"S": "secret"}})]
        assert restore.main(["--from", backup.name, "--table", ours.name, "--everyone", "--yes"]) == 2
    assert capsys.readouterr().err == "A response of AWS is damaged. Run the same command again.\n"
    assert store.get(task_id).title == "damaged"


def test_a_broken_item_is_named_and_does_not_stop_the_others(
    damaged: tuple[TaskStore, str, Table, Table], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, task_id, backup, ours = damaged
    (good,) = backup.client.scan(TableName=backup.name)["Items"]
    broken: list[dict[str, Any]] = [
        {**good, "sk": {"S": f"TASK#{uuid.uuid4()}"}, "title": {"S": "secret"}} for _ in range(4)
    ]
    del broken[0]["version"], broken[1]["schema"]
    broken[2]["created_at"] = {"S": "secret"}
    broken[3]["title"] = {"N": "1"}
    for item in broken:
        backup.client.put_item(TableName=backup.name, Item=item)
    monkeypatch.setattr("ops.stack.outputs", lambda _: {"TableName": ours.name, "StackId": "stack"})
    assert restore.main(["--from", backup.name, "--stack", "tasks", "--everyone", "--yes"]) == 1
    out, err = capsys.readouterr()
    assert dict(line.split() for line in out.splitlines()) == {"failed": "4", "restored": "1", "seen": "5"}
    for item in broken:
        assert f"{item['sk']['S']} of the user {pseudonym_in('stack', items.user_of(item))}: " in err
    assert "secret" not in err
    assert store.get(task_id).title == "good"


def test_a_full_user_does_not_stop_the_others(
    damaged: tuple[TaskStore, str, Table, Table], capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, backup, ours = damaged
    with Wire(ours) as wire:
        wire.faults = [*BEFORE_THE_WRITE, fail_with(400, "ItemCollectionSizeLimitExceededException")]
        assert restore.main(["--from", backup.name, "--table", ours.name, "--everyone", "--yes"]) == 1
    assert "ItemCollectionSizeLimitExceededException" in capsys.readouterr().err


def test_everyone_is_restored_only_after_a_question(
    damaged: tuple[TaskStore, str, Table, Table], run: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, task_id, backup, ours = damaged
    with pytest.raises(AssertionError, match="Nobody can answer here: add --yes"):
        run(backup, ours, "--everyone")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: "no\n"))
    with pytest.raises(AssertionError, match="Nothing was done"):
        run(backup, ours, "--everyone")
    assert store.get(task_id).title == "damaged"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: "yes\n"))
    assert run(backup, ours, "--everyone") == {"restored": 1, "seen": 1}
