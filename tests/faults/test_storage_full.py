"""A user without free storage (10 GB): every write is 507 immediately, changes nothing, and is logged as a warning."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from shared.models import NewTask, TaskQuery
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.conftest import deadline_in, table_at
from tests.inprocess import Functions, Reply, functions
from tests.wire import Fault, Send, Wire, cancelled, fail_with, lost_after, lost_before, make_response

KEY = {"idempotency-key": "full"}
REPLACEMENT = {"title": "new", "description": None, "completed": True}


@dataclass
class Scene:
    """A user with an open task, a completed one and one in the trash."""

    call: Functions
    user: str
    open: str
    trashed: str


WRITES: dict[str, Callable[[Scene], Reply]] = {
    "create": lambda one: one.call("create_task", one.user, body={"title": "new"}),
    "create, keyed": lambda one: one.call("create_task", one.user, body={"title": "new"}, headers=KEY),
    "replace": lambda one: one.call("replace_task", one.user, one.open, body=REPLACEMENT),
    "update": lambda one: one.call("update_task", one.user, one.open, body={"title": "new"}),
    "toggle": lambda one: one.call("toggle_task", one.user, one.open),
    "toggle, keyed": lambda one: one.call("toggle_task", one.user, one.open, headers=KEY),
    "delete": lambda one: one.call("delete_task", one.user, one.open),
    "restore": lambda one: one.call("restore_task", one.user, one.trashed),
    "restore, keyed": lambda one: one.call("restore_task", one.user, one.trashed, headers=KEY),
    "move": lambda one: one.call("move_task", one.user, one.open, body={"list": "home", "after": None}),
    "clear": lambda one: one.call("clear_tasks", one.user, query={"status": "completed"}),
    "batch": lambda one: one.call(
        "batch_tasks",
        one.user,
        body={"operations": [{"op": "create", "task": {"title": "new"}}, {"op": "toggle", "id": one.open}]},
        headers=KEY,
    ),
}
FULL: dict[str, Fault] = {
    "of a transaction": cancelled("None", "ItemCollectionSizeLimitExceeded"),
    "of one item": fail_with(400, "ItemCollectionSizeLimitExceededException"),
}


def is_write(body: dict[str, Any]) -> bool:
    parts = body.get("TransactItems", [])
    return "Item" in body or any("Put" in part for part in parts)


def fault_on(body: dict[str, Any]) -> Fault | None:
    """The error of DynamoDB for a write; reads continue."""
    return FULL["of a transaction" if "TransactItems" in body else "of one item"] if is_write(body) else None


@pytest.fixture
def other(moto_url: str, user: str) -> TaskStore:
    return TaskStore(table_at(moto_url, "other"), user, deadline_in(60))


@pytest.fixture
def wire(moto_url: str) -> Iterator[Wire]:
    full = Wire(table_at(moto_url, "full"), lambda: fault_on(full.requests[-1]))
    with full:
        yield full


@pytest.fixture
def scene(moto_url: str, wire: Wire, other: TaskStore, user: str) -> Iterator[Scene]:  # noqa: ARG001 - it is to stand there
    kept = other.create(NewTask(title="open")).id
    other.create(NewTask(title="done", completed=True))
    trashed = other.create(NewTask(title="trashed")).id
    other.delete(trashed, ANY_VERSION)
    with functions(table_at(moto_url, "full")) as call:
        yield Scene(call, user, kept, trashed)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_is_507_at_once(
    scene: Scene, wire: Wire, other: TaskStore, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [other.list(TaskQuery(status=status)) for status in ("all", "deleted")]
    capsys.readouterr()
    reply = WRITES[name](scene)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert (reply.status, reply.kind) == (507, "storage-full")
    assert "Retry-After" not in reply.headers
    assert [is_write(body) for body in wire.requests].count(True) == 1, "it was sent again"
    assert [other.list(TaskQuery(status=status)) for status in ("all", "deleted")] == before
    metrics = {name for line in lines for name in line if line.get("_aws")}
    assert "StorageFull" in metrics
    assert "InternalError" not in metrics


@pytest.mark.parametrize("lost", [lost_before, lost_after])
@pytest.mark.parametrize("name", WRITES)
def test_after_an_unanswered_request_the_outcome_is_unknown(scene: Scene, wire: Wire, name: str, lost: Fault) -> None:
    """The storage may be full because the first request was applied."""
    wire.write_faults = [lost]
    reply = WRITES[name](scene)
    assert (reply.status, reply.kind) == (503, "outcome-unknown")
    assert [is_write(body) for body in wire.requests].count(True) == 2


def test_a_failed_condition_is_reported_before_full_storage(scene: Scene, wire: Wire, other: TaskStore) -> None:
    """It shows the outcome of the write."""

    def raced(send: Send) -> AWSResponse:
        other.update(scene.open, {"title": "raced"}, ANY_VERSION)
        error = json.loads(send().content)
        assert [reason["Code"] for reason in error["CancellationReasons"]] == ["ConditionalCheckFailed", "None"]
        error["CancellationReasons"][1]["Code"] = "ItemCollectionSizeLimitExceeded"
        return make_response(400, json.dumps(error).encode())

    wire.write_faults = [raced, None]
    assert WRITES["toggle, keyed"](scene).status == 200
    assert other.get(scene.open).version == 3


def test_reads_go_on(scene: Scene) -> None:
    assert scene.call("get_task", scene.user, scene.open).status == 200
    assert scene.call("list_tasks", scene.user).status == 200


def test_it_is_logged_as_a_warning(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    WRITES["create"](scene)
    assert [(line.levelname, line.message) for line in caplog.records] == [("WARNING", "create_task 507")]
