"""`ops.migrate` on a table of older items, while a new and an old release write; killed half-way and started again."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import boto3
import pytest
from botocore.config import Config

from local import dynamodb as engines
from local.template import Template
from ops import migrate
from ops.backfill import State
from ops.backfill import new_client as new_patient_client
from shared.models import NewTask
from shared.store import items, upgrades
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION
from tests import older_shape
from tests.conftest import ROOT, SCALE, deadline_in, eventually
from tests.wire import Wire, cut_off, fail_with

COUNT = 100_000 if SCALE > 1 else 400
USERS = 50
CREATED = 1_795_415_874_917


@pytest.fixture
def table(template: Template, dynamodb_local_url: str) -> Table:
    """A table for this test only: a migration changes the whole table."""
    (of_all,), name = template.tables, f"Migrated-{uuid.uuid4()}"
    own = replace(of_all, arguments={**of_all.arguments, "TableName": name})
    engines.create_tables(replace(template, tables=(own,)), dynamodb_local_url)
    return Table(new_client(dynamodb_local_url), name)


@pytest.fixture(autouse=True)
def _step(monkeypatch: pytest.MonkeyPatch, dynamodb_local_url: str, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # the folder for state files
    monkeypatch.setattr(upgrades, "STEPS", older_shape.STEPS)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local_url)


def fill(table: Table, count: int) -> dict[tuple[str, str], str]:
    """Put tasks of the older shape into the table, and return their titles by user and id."""
    titles: dict[tuple[str, str], str] = {}
    client = new_patient_client()
    for start in range(0, count, 25):
        puts = []
        for number in range(start, min(start + 25, count)):
            user, task_id = f"user-{number % USERS}", str(uuid7((CREATED + number) * 1_000_000))
            new = NewTask(title=f"task {number}", completed=number % 3 == 0)
            puts.append({"PutRequest": {"Item": older_shape.old_task(user, task_id, new, CREATED + number)}})
            titles[user, task_id] = new.title
        assert not client.batch_write_item(RequestItems={table.name: puts})["UnprocessedItems"]
    return titles


def everything(table: Table) -> dict[tuple[str, str], Any]:
    pages: Any = new_patient_client().get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True)
    return {
        (items.user_of(item), items.task_id_of(item)): item
        for page in pages
        for item in page["Items"]
        if item["sk"]["S"].startswith("TASK#")
    }


def started(table: Table, state: Path, *more: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "tests.older_shape", "--table", table.name, "--state", str(state), *more]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


type Run = Callable[..., tuple[int, dict[str, int], str]]


@pytest.fixture
def run(table: Table, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process, and returns its status, report and messages."""

    def run(*arguments: str) -> tuple[int, dict[str, int], str]:
        status = migrate.main(["--table", table.name, *arguments])
        out, err = capsys.readouterr()
        rows = [line.rpartition(" ") for line in out.splitlines()]
        return status, {name.strip(): int(count) for name, _, count in rows}, err

    return run


class Writers:
    """Writers that toggle and rename their own tasks until they are stopped, and count the acknowledged writes."""

    def __init__(self, table: Table, mine: list[tuple[str, str]]) -> None:
        # The older release here does not know the outcome of a write without a response, so it waits for each response:
        # DynamoDB Local sometimes pauses for seconds.
        config = Config(read_timeout=60, retries={"total_max_attempts": 1})
        self._old = Table(boto3.client("dynamodb", config=config), table.name)
        self.toggles: Counter[tuple[str, str]] = Counter()
        self.titles: dict[tuple[str, str], str] = {}
        self.writes: Counter[tuple[str, str]] = Counter()
        self._ended = threading.Event()
        self._broken: list[BaseException] = []
        # Each writer has its own tasks, so the expected end is known. There are so many that most are
        # written only once or twice: another write could hide damage by the migration.
        new, old, both = mine[::3], mine[1::3], mine[2::3]
        self.threads = [
            threading.Thread(target=self._write, args=[table, tasks, releases])
            for tasks, releases in ((new, ("new",)), (old, ("old",)), (both, ("new", "old")))
        ]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self.threads:
            thread.join()
        assert not self._broken

    def _write(self, table: Table, tasks: list[tuple[str, str]], releases: tuple[str, ...]) -> None:
        choose = random.Random(len(releases))  # noqa: S311 - no secret
        try:
            while not self._ended.wait(0.005):
                user, task_id = task = choose.choice(tasks)
                store = TaskStore(table, user, deadline_in(30))
                if choose.choice(releases) == "old":
                    self.toggles[task] += (done := older_shape.toggle_as_before(self._old, user, task_id))
                    self.writes[task] += done
                    continue
                if choose.random() < 0.5:
                    store.toggle(task_id, ANY_VERSION)
                    self.toggles[task] += 1
                else:
                    self.titles[task] = f"renamed {self.writes[task]}"
                    store.update(task_id, {"title": self.titles[task]}, ANY_VERSION)
                self.writes[task] += 1
        except BaseException as error:
            self._broken.append(error)
            raise


def test_a_migration_killed_under_traffic_loses_nothing(table: Table, run: Run, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    titles = fill(table, COUNT)
    before = everything(table)
    with Writers(table, list(titles)[: COUNT * 3 // 4]) as writers:
        # Slow, so that the migration can be killed half-way. A page may be a whole segment, so there are many segments.
        first = started(table, state, "--segments", "16", "--units", str(COUNT * 2))
        eventually(lambda: state.exists() or None)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        half = json.loads(state.read_text())
        assert state.stat().st_mode & 0o777 == 0o600
        assert 0 < half["counts"]["seen"] < COUNT
        status, counts, _ = run("--state", str(state), "--units", "1000000")
        assert (status, counts["seen"]) == (0, COUNT)
        assert not state.exists()
    # The older release wrote items of its shape meanwhile. Now it has ended, and another run finds them.
    status, counts, _ = run("--units", "1000000")
    assert (status, counts.keys() - {"upgraded"}) == (0, {"seen"})

    after = everything(table)
    assert after.keys() == before.keys()
    assert {item["schema"]["N"] for item in after.values()} == {"1"}
    for task, item in after.items():
        done = ("#done#" in before[task]["by_status"]["S"]) is not (writers.toggles[task] % 2 == 1)
        assert item["by_status"]["S"].startswith("task#done#" if done else "task#open#"), task
        assert ("completed_at" in item) == done, task
        assert item["title"]["S"] == writers.titles.get(task, titles[task])
        assert int(item["version"]["N"]) == 1 + writers.writes[task]
        if not writers.writes[task]:  # clients see no change
            same = ("version", "updated_at", "by_change", "write_tokens", "by_creation", "by_status")
            assert {name: item[name] for name in same} == {name: before[task][name] for name in same}
    assert sum(writers.writes.values()) > 100


def test_a_dry_run_reports_the_changes_and_a_run_applies_them_once(table: Table, run: Run, tmp_path: Path) -> None:
    fill(table, 10)
    assert run("--dry-run")[:2] == (0, {"of schema 0": 10, "seen": 10})
    assert {item["schema"]["N"] for item in everything(table).values()} == {"0"}
    assert run()[:2] == (0, {"seen": 10, "upgraded": 10})
    assert run()[:2] == (0, {"seen": 10})
    assert not list(tmp_path.glob(".local/*.json"))

    unknown = {**next(iter(everything(table).values())), "schema": items.number(-1)}
    table.client.put_item(TableName=table.name, Item=unknown)
    status, counts, err = run()
    assert (status, counts) == (1, {"failed": 1, "seen": 10})
    assert "LookupError" in err
    assert "user-" not in err  # not a plain user id


def test_two_migrations_do_not_share_a_state_file(table: Table, run: Run, tmp_path: Path) -> None:
    fill(table, 1)
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"purpose": "another", "segments": [], "counts": {}}))
    status, _, err = run("--state", str(state))
    assert status == 2
    assert "has the progress of another run: another. This run is: migrate" in err
    state.unlink()
    with State.at(state, "x", 1):
        status, _, err = run("--state", str(state))
    assert status == 2
    assert "in use by another process" in err
    assert {item["schema"]["N"] for item in everything(table).values()} == {"0"}


def test_a_migration_respects_its_rate_and_stops_on_a_signal(table: Table, tmp_path: Path) -> None:
    fill(table, 100)
    since = time.monotonic()
    process = started(table, tmp_path / "state.json", "--units", "100", "--segments", "1")
    eventually(lambda: any(item["schema"]["N"] == "1" for item in everything(table).values()) or None)
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert "to continue" in err
    done = sum(item["schema"]["N"] == "1" for item in everything(table).values())
    # An upgrade consumes four units: one for the item, and one for each index.
    assert 0 < done <= (time.monotonic() - since) * 100 / 4 + 1


def test_a_transaction_of_another_writer_is_waited_for(table: Table, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(table, 2)
    ours = Table(new_patient_client(), table.name)
    monkeypatch.setattr(migrate, "new_client", lambda _: ours.client)
    with Wire(ours) as wire:
        # DescribeTable twice and Scan, then the writes.
        wire.faults = [None] * 3 + [fail_with(400, "TransactionConflictException")] * 2
        assert run("--segments", "1")[:2] == (0, {"seen": 2, "upgraded": 2})
    assert not wire.faults


def test_an_error_that_is_cut_off_shows_no_text_of_a_task(
    table: Table, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(table, 1)
    ours = Table(new_patient_client(), table.name)
    monkeypatch.setattr(migrate, "new_client", lambda _: ours.client)
    with Wire(ours) as wire:
        wire.write_faults = [cut_off({"title": {"S": "secret"}})]
        status, _, err = run("--segments", "1")
    assert (status, err) == (2, "A response of AWS is damaged. Run the same command again.\n")
    assert run()[:2] == (0, {"seen": 1, "upgraded": 1})


def test_a_missing_table_is_a_clear_error(run: Run, table: Table) -> None:
    table.client.delete_table(TableName=table.name)
    status, counts, err = run()
    assert (status, counts) == (2, {})
    assert "ResourceNotFoundException" in err
