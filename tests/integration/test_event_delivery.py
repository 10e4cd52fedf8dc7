"""Events outside of AWS: `make run EVENTS=yes`, `sam local`, the schema, and `ops.replay`."""

import io
import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import boto3
import jsonschema_rs
import pytest

from contract import events as contract
from local import dynamodb as engines
from local import template as templates
from local.events import publishing
from local.gateway import serve
from local.streams import StreamMapping
from local.template import Template
from local.tokens import PARAMETERS
from ops import replay, stack
from shared.models import NewTask
from shared.store import items, marks
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.api import Api
from tests.conftest import ROOT, TABLE, deadline_in, eventually, sized
from tests.publisher import invoking


@pytest.fixture(scope="module")
def with_events() -> Template:
    return templates.load(ROOT / "template.yaml", {**PARAMETERS, "Events": "yes"})


def with_its_own_table_and_bus(template: Template, url: str) -> Template:
    """The template with a table and a bus that no other test uses."""
    name = f"events-{uuid.uuid4()}"
    (table,) = template.tables
    own = replace(
        template,
        tables=(replace(table, arguments={**table.arguments, "TableName": name}),),
        functions=tuple(
            replace(one, environment={**one.environment, "TABLE_NAME": name, "EVENT_BUS": name})
            for one in template.functions
        ),
    )
    engines.create_tables(own, url)
    return own


def end_erasure(url: str, table: str, user: str) -> None:
    """Write the mark of an erased user: at the begin and the end of the erasure, and once more."""
    mark = {**marks.key_in(items.partition_of(user)), "marked_at": items.number(1)}
    for more in ({}, {"completed_at": items.number(2)}, {"completed_at": items.number(2), "version": items.number(3)}):
        new_client(url).put_item(TableName=table, Item={**mark, **more})


def test_the_schema_of_events_matches_the_models() -> None:
    """After a change of the task, run `make openapi`."""
    assert contract.DOCUMENT.read_text() == contract.text()


def test_a_local_api_publishes_through_a_real_bus(
    dynamodb_local_url: str, with_events: Template, user: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "events.jsonl"

    def mine() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [one for one in lines if one["detail"]["user_id"] == user]

    own = with_its_own_table_and_bus(with_events, dynamodb_local_url)
    with (
        engines.moto() as bus,
        publishing(own, dynamodb_local_url, bus, log),
        serve(own, {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local_url}) as url,
    ):
        api = Api(url, user)
        task_id = api.create().json["id"]
        api.update(task_id, {"title": "y", "completed": True})
        api.update(task_id, {"title": "y"})
        deleted = api.delete(task_id)
        assert deleted.status == 204
        end_erasure(dynamodb_local_url, own.tables[0].arguments["TableName"], user)
        eventually(lambda: len(mine()) >= 4 or None)
    *found, erased = mine()
    assert (erased["detail-type"], "task_id" in erased["detail"]) == ("user.erased", False)
    assert [one["detail-type"] for one in found] == ["task.created", "task.completed", "task.deleted"]
    assert [one["detail"]["version"] for one in found] == [1, 2, 3]
    assert found[1]["detail"]["changed"] == ["completed", "completed_at", "title"]
    validator = jsonschema_rs.validator_for(json.loads(contract.DOCUMENT.read_text()))
    for one in (*found, erased):
        validator.validate(one["detail"])
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines if user in line and line.startswith("task.")] == [
        [one["detail-type"], user, task_id] for one in found
    ]


class _Broken(io.StringIO):
    """A standard stream that nobody reads any more."""

    def __init__(self) -> None:
        super().__init__()
        self.was_used = threading.Event()

    def write(self, _: str) -> int:
        self.was_used.set()
        raise BrokenPipeError


def test_publishing_goes_on_after_every_error_and_says_what_is_missing(
    with_events: Template, user: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "events.jsonl"
    log.symlink_to("/dev/full")  # its disk is full
    errors = ""

    def until(text: str) -> str:
        """Wait until the standard error has this text. Return its line."""

        def read() -> str | None:
            nonlocal errors
            errors += capfd.readouterr().err
            return next((line for line in errors.splitlines() if text in line), None)

        return eventually(read, 30)

    with engines.moto() as url:
        own = with_its_own_table_and_bus(with_events, url)
        store = TaskStore(Table(new_client(url), own.tables[0].arguments["TableName"]), user, deadline_in(100))
        with publishing(own, url, url, log):
            lost = until(f'"task_id": "{store.create(NewTask(title="lost")).id}"')
            assert lost.startswith(f"events: not written into {log} (OSError: [Errno 28] No space left on device) {{")
            log.unlink()
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", _Broken())
                unprinted = until(store.create(NewTask(title="not printed")).id)
                assert unprinted.startswith("events: not printed (BrokenPipeError: ")
                patch.setattr(sys, "stderr", broken := _Broken())
                store.create(NewTask(title="not reported"))
                assert broken.was_used.wait(30)
            with monkeypatch.context() as patch:
                patch.setattr(StreamMapping, "poll", Mock(side_effect=RuntimeError("on purpose")))
                until("events: did not read the stream (RuntimeError: on purpose)")
            last = store.create(NewTask(title="last")).id
            eventually(lambda: last in log.read_text() or None, 30)
    titles = [json.loads(line)["detail"]["task"]["title"] for line in log.read_text().splitlines()]
    assert titles == ["not printed", "not reported", "last"]


FULL = """
import resource, sys
from pathlib import Path
from local.events import _append
log = Path(sys.argv[1])
_append("first", log)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
try:
    _append("too long", log)
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
_append("last", log)
"""


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """The limit of a file is 10 bytes, in another process: it would also be that of the files of pytest."""
    log = tmp_path / "events.jsonl"
    arguments = [sys.executable, "-c", FULL, str(log)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, log.read_text()) == ("File too large\n", "first\nlast\n")


@pytest.mark.parametrize("engine", ["moto", "dynamodb_local"])
def test_every_version_is_published_although_transactions_conflict(
    engine: str, request: pytest.FixtureRequest, with_events: Template, user: str, tmp_path: Path
) -> None:
    """A write with a key is a transaction. Of simultaneous ones for a task, one succeeds and the others fail."""
    log, toggles = tmp_path / "events.jsonl", sized(60, 120, 480)

    def versions(task_id: str) -> list[int]:
        details = [json.loads(line)["detail"] for line in log.read_text().splitlines()]
        return [one["version"] for one in details if one.get("task_id") == task_id]

    with engines.moto() as bus:
        engine_url = bus if engine == "moto" else request.getfixturevalue("dynamodb_local_url")
        own = with_its_own_table_and_bus(with_events, engine_url)
        with (
            publishing(own, engine_url, bus, log),
            serve(own, {"AWS_ENDPOINT_URL_DYNAMODB": engine_url}, workers=4) as url,
            ThreadPoolExecutor(8) as pool,
        ):
            api = Api(url, user)
            task_id = api.create().json["id"]
            toggled = pool.map(lambda _: api.toggle(task_id, idempotency_key=str(uuid.uuid4())), range(toggles))
            assert {one.status for one in toggled} <= {200, 503}  # a slow machine has no time for another attempt
            version = api.get(task_id).json["version"]
            last = api.create().json["id"]
            eventually(lambda: versions(last) or None)
    assert versions(task_id) == list(range(1, version + 1))


@pytest.fixture
def published(moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """A stack with its own table, and a bus that keeps the published events."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(stack, "outputs", lambda _: {"TableName": TABLE, "EventBusName": "events", "StackId": "stack"})
    monkeypatch.setattr(stack, "parameters", lambda _: {"EventContent": "full"})
    client: Any = boto3.client("events")
    client.create_event_bus(Name="events")
    client.meta.events.register(
        "provide-client-params.events.PutEvents", lambda params, **_: sent.extend(params["Entries"])
    )
    monkeypatch.setattr("ops.replay.bus.new_client", lambda: client)
    yield sent
    client.delete_event_bus(Name="events")


def test_a_replay_publishes_the_current_version_of_each_task_written_since(
    published: list[dict[str, Any]], moto_url: str, user: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = TaskStore(Table(new_client(moto_url), TABLE), user, deadline_in(10))
    old, new = store.create(NewTask(title="old")), store.create(NewTask(title="new"))
    completed = store.toggle(new.id, ANY_VERSION)
    store.delete(old.id, ANY_VERSION)

    def replayed(since: str, *more: str) -> list[tuple[str, int]]:
        published.clear()
        assert replay.main(["--stack", "tasks", "--since", since, *more]) == 0, capsys.readouterr()
        details = [(one["DetailType"], json.loads(one["Detail"])) for one in published]
        return sorted((kind, detail["version"]) for kind, detail in details if detail["user_id"] == user)

    assert replayed("2026-01-01T00:00:00Z") == [("task.completed", completed.version), ("task.deleted", 2)]
    assert all(json.loads(one["Detail"])["changed"] is None for one in published)
    assert replayed("2026-01-01T00:00:00+01:00", "--dry-run") == []
    assert replayed("2126-01-01T00:00:00Z") == []


def test_a_replay_publishes_the_erasures_that_ended_since(
    published: list[dict[str, Any]], moto_url: str, user: str, capsys: pytest.CaptureFixture[str]
) -> None:
    end_erasure(moto_url, TABLE, user)
    begun = {**marks.key_in(items.partition_of(f"{user}-begun")), "schema": items.number(1), "version": items.number(1)}
    times = {"marked_at": items.number(1_795_415_874_917), "expires_at": items.number(4_000_000_000)}
    new_client(moto_url).put_item(TableName=TABLE, Item={**begun, **times})

    def erased(since: str) -> list[str]:
        published.clear()
        assert replay.main(["--stack", "tasks", "--since", since]) == 0, capsys.readouterr()
        found = [json.loads(one["Detail"]) for one in published if one["DetailType"] == "user.erased"]
        return [one["user_id"] for one in found if one["user_id"].startswith(user)]

    assert erased("1970-01-01T00:00:00Z") == [user]
    assert erased("2126-01-01T00:00:00Z") == []


@pytest.mark.parametrize("since", ["yesterday", "2026-11-25T09:00:00"])
def test_the_time_of_a_replay_has_an_offset(since: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        replay.main(["--stack", "tasks", "--since", since])
    assert "--since" in capsys.readouterr().err


def test_a_replay_on_a_stack_without_events_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "outputs", lambda _: {"TableName": TABLE})
    assert replay.main(["--stack", "tasks", "--since", "2026-01-01T00:00:00Z"]) == 2
    assert "Events=yes" in capsys.readouterr().err


def test_the_sample_event_has_the_format_of_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_BUS", "events")
    monkeypatch.setenv("EVENT_CONTENT", "full")
    from functions.publish_events import app  # noqa: PLC0415 - it reads the environment

    sent: list[dict[str, Any]] = []

    class Bus:
        def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - botocore's name
            sent.extend(Entries)
            return {"Entries": [{"EventId": "x"}] * len(Entries)}

    monkeypatch.setattr(app, "_client", Bus)
    event = json.loads((ROOT / "events" / "publish_events.json").read_text())
    assert invoking(app.handler, 10)(event) == {"batchItemFailures": []}
    assert [one["DetailType"] for one in sent] == ["task.created", "task.completed", "task.purged"]
