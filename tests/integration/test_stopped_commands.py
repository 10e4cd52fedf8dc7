"""Commands that are stopped while nothing answers, and commands that are killed at any of their requests."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.httpsession import URLLib3Session

from local import dynamodb as engines
from local.template import Template
from ops import migrate, replay, restore, stack
from ops.backfill import walk
from shared.models import NewTask
from shared.store import items, marks, upgrades
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION
from tests import older_shape
from tests.conftest import ROOT, deadline_in
from tests.integration.test_odd_commands import GOOD_STACK, Answer, Aws

CREATED = 1_795_415_874_917
AGAIN, CONTINUE = "Stopped. Run the same command again.\n", "Stopped. Run the same command to continue.\n"
DESCRIBED = Answer(200, b'{"Table": {"TableId": "1", "ItemCount": 0}}')
# The command, and the good answers before the one that does not come.
STOPPED: list[tuple[str, int, str]] = [
    ("ops.stack url x", 0, AGAIN),
    ("ops.migrate --table x", 2, CONTINUE),
    ("ops.restore --from y --table x --everyone --yes", 3, CONTINUE),
    ("ops.replay --stack x --since 2026-01-01T00:00:00Z", 4, CONTINUE),
    ("ops.export --stack x --user me alice.jsonl", 1, CONTINUE),
    ("ops.import_ --stack x --user me alice.jsonl", 1, CONTINUE),
]


class Silent(Aws):
    """Answers some requests, and then leaves the connection open."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.good, self.is_silent, self.ended = good, threading.Event(), threading.Event()
        outputs = GOOD_STACK.body.replace(b"http://127.0.0.1:9", self.url.encode())
        self.odd_of_aws = (
            Answer(
                200,
                outputs.replace(
                    b"<Outputs>",
                    b"<Parameters><member><ParameterKey>EventContent</ParameterKey>"
                    b"<ParameterValue>ids</ParameterValue></member></Parameters><Outputs>",
                ),
                "text/xml",
            ),
            DESCRIBED,
        )
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()

    def answer(self, request: Any) -> Answer:
        self.requests.append(request.path)
        if len(self.requests) > self.good:
            self.is_silent.set()
            self.ended.wait()
        return super().answer(request)


def test_a_stop_while_nothing_answers_ends_soon_and_says_how_to_go_on(tmp_path: Path) -> None:
    """All at once, because each needs two seconds. A request alone would wait 5 to 35 seconds, and is sent again."""
    started = []
    for number, (command, good, _) in enumerate(STOPPED):
        server, folder = Silent(good), tmp_path / str(number)
        folder.mkdir()
        if "import_" in command:
            (folder / "alice.jsonl").write_text("")
        environment = {**os.environ, "AWS_ENDPOINT_URL": server.url, "TOKEN": "x", "PYTHONPATH": str(ROOT)}
        arguments = [sys.executable, "-m", *command.split()]
        process = subprocess.Popen(arguments, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        started.append((process, server))
    try:
        for number, (process, server) in enumerate(started):
            assert server.is_silent.wait(60), (STOPPED[number], server.requests)
            process.send_signal((signal.SIGINT, signal.SIGTERM)[number % 2])
        since = time.monotonic()
        ended = [(process.communicate(timeout=30)[1], process.returncode) for process, _ in started]
        assert time.monotonic() - since < 5  # the grace of two seconds, and a slow machine
        assert ended == [(sentence, 130) for *_, sentence in STOPPED]
    finally:
        for process, server in started:
            process.kill()
            process.communicate()
            server.ended.set()
            server.shutdown()
            server.server_close()
    left = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert {re.sub(r"\d/", "", str(path)) for path in left if path.suffix != ".lock"} <= {"alice.jsonl"}


class Killed(BaseException):
    """The process ends here."""


type Kill = Callable[[int, str], list[str]]


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moto_url: str) -> Iterator[Kill]:
    """Ends the process once, before or after the request of this number. Returns the actions that were sent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    send, lock = URLLib3Session.send, threading.Lock()
    plan: dict[str, Any] = {"number": -1, "when": "", "sent": []}

    def counted(self: Any, request: Any) -> Any:
        with lock:
            target = request.headers["X-Amz-Target"]
            plan["sent"].append((target if isinstance(target, str) else target.decode()).rpartition(".")[2])
            dies = len(plan["sent"]) - 1 == plan["number"]
        if dies and plan["when"] == "before":
            raise Killed
        response = send(self, request)
        if dies:
            raise Killed
        return response

    def kill(number: int, when: str) -> list[str]:
        sent: list[str] = []
        plan.update(number=number, when=when, sent=sent)
        return sent

    with monkeypatch.context() as patch:
        patch.setattr(URLLib3Session, "send", counted)
        yield kill


def everywhere(
    kill: Kill, prepare: Callable[[], list[str]], main: Callable[[list[str]], int], check: Callable[[list[str]], None]
) -> None:
    """Kill a command at each request, run it again, and check the end."""
    for when in ("before", "after"):
        for number in range(100):
            kill(-1, when)
            arguments = prepare()
            sent = kill(number, when)
            try:
                assert main(arguments) == 0
            except Killed:
                assert len(sent) == number + 1
                assert main(arguments) == 0
            else:
                break  # it ended before this request
            kill(-1, when)
            check(arguments)
        assert 5 < number < 100, sent
    assert not list(Path(".local").iterdir())


@pytest.fixture
def tables(template: Template, moto_url: str) -> Callable[[], Table]:
    def make() -> Table:
        (of_all,), name = template.tables, f"Killed-{uuid.uuid4()}"
        own = replace(of_all, arguments={**of_all.arguments, "TableName": name})
        engines.create_tables(replace(template, tables=(own,)), moto_url)
        return Table(new_client(moto_url), name)

    return make


def in_small_pages(client: Any, search: Any, *more: Any) -> Any:
    return walk(client, {**search, "Limit": 2}, *more)


def stored(name: str, moto_url: str) -> list[Any]:
    found: list[Any] = new_client(moto_url).scan(TableName=name)["Items"]
    return sorted(found, key=lambda item: str(item["sk"]))


def test_a_migration_that_is_killed_at_any_request(
    kill: Kill, tables: Callable[[], Table], moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrades, "STEPS", older_shape.STEPS)
    monkeypatch.setattr(migrate, "walk", in_small_pages)
    ids = [str(uuid7((CREATED + number) * 1_000_000)) for number in range(3)]
    old = [older_shape.old_task("alice", one, NewTask(title=one), CREATED) for one in ids]
    wanted = [items.to_item(items.from_item(one), before=items.current(one), partition=one["pk"]) for one in old]

    def prepare() -> list[str]:
        table = tables()
        for item in old:
            table.client.put_item(TableName=table.name, Item=item)
        return ["--table", table.name, "--segments", "1", "--units", "100000"]

    everywhere(kill, prepare, migrate.main, lambda arguments: _equal(stored(arguments[1], moto_url), wanted))


def _equal(found: object, wanted: object) -> None:
    assert found == wanted


def test_a_restore_that_is_killed_at_any_request(
    kill: Kill, tables: Callable[[], Table], moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version of a task grows by one, however often the command begins again."""
    monkeypatch.setattr(restore, "walk", in_small_pages)
    backup = tables()
    ids = [TaskStore(backup, "alice", deadline_in(60)).create(NewTask(title="good")).id for _ in range(3)]
    good = stored(backup.name, moto_url)

    def prepare() -> list[str]:
        monkeypatch.setattr(marks, "_unmarked", {})
        table = tables()
        for item in good[1:]:  # one task is missing
            table.client.put_item(TableName=table.name, Item=item)
        TaskStore(table, "alice", deadline_in(60)).update(ids[1], {"title": "damaged"}, ANY_VERSION)
        return ["--table", table.name, "--from", backup.name, "--everyone", "--yes", "--segments", "1"]

    def check(arguments: list[str]) -> None:
        found = stored(arguments[1], moto_url)
        assert [one["title"]["S"] for one in found] == ["good"] * 3
        assert [int(one["version"]["N"]) for one in found[1:]] == [3, 1]
        assert int(found[0]["version"]["N"]) > 10**12  # the time, once

    everywhere(kill, prepare, restore.main, check)


def test_a_replay_that_is_killed_at_any_request_publishes_every_task(
    kill: Kill, tables: Callable[[], Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consumers ignore what they get twice."""
    monkeypatch.setattr(replay, "walk", in_small_pages)
    table, published = tables(), set[str]()
    ids = {TaskStore(table, "alice", deadline_in(60)).create(NewTask(title="x")).id for _ in range(3)}
    outputs = {"TableName": table.name, "EventBusName": "killed", "StackId": "stack"}
    monkeypatch.setattr(stack, "outputs", lambda _: outputs)
    monkeypatch.setattr(stack, "parameters", lambda _: {"EventContent": "full"})
    bus: Any = boto3.client("events")
    bus.create_event_bus(Name="killed")

    def on_request(params: Any, **_: object) -> None:
        sending.append([json.loads(one["Detail"])["task_id"] for one in params["Entries"]])

    sending: list[list[str]] = []
    bus.meta.events.register("provide-client-params.events.PutEvents", on_request)
    bus.meta.events.register("after-call.events.PutEvents", lambda **_: published.update(sending[-1]))
    monkeypatch.setattr("ops.replay.bus.new_client", lambda: bus)

    def prepare() -> list[str]:
        published.clear()
        return ["--stack", "x", "--since", "2026-01-01T00:00:00Z", "--segments", "1"]

    everywhere(kill, prepare, replay.main, lambda _: _equal(published, ids))
