"""A guard on botocore: every DynamoDB request of an operation names only the partition of the addressed user."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest

from local.tokens import SERVICE
from shared.http import problems
from shared.models import NewTask, TaskQuery
from shared.store import items, queries
from shared.store.task_store import TaskStore
from shared.tasks import TaskNotFound
from tests import guard
from tests.api import OPERATIONS, Operation
from tests.conftest import COMPLETED, deadline_in, mixed, table_at
from tests.inprocess import Functions, Reply, functions

type Invoke = Callable[..., Reply]


@dataclass
class Seen:
    """Every sent request, and the partitions that it names."""

    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def see(self, request: AWSPreparedRequest, **_: object) -> None:
        self.requests.append(guard.action_of(request))

    @property
    def partitions(self) -> set[str]:
        """The named partitions; fails for actions that can reach others."""
        return {partition for name, body in self.requests for partition in guard.named(name, body)}


@pytest.fixture(scope="module")
def watched(moto_url: str) -> Iterator[tuple[Seen, Functions]]:
    """Every handler of the template, with a client whose requests are recorded."""
    seen, table = Seen(), table_at(moto_url, "watched")
    table.client.meta.events.register("before-send.dynamodb", seen.see)
    with functions(table) as call:
        yield seen, call


@pytest.fixture
def seen(watched: tuple[Seen, Functions]) -> Seen:
    watched[0].requests.clear()
    return watched[0]


@pytest.fixture
def invoke(watched: tuple[Seen, Functions]) -> Invoke:
    def invoke(
        operation: Operation, caller: str, path_user: str, task_id: str = "", query: Any = None, scope: str = ""
    ) -> Reply:
        return watched[1](
            operation.name,
            caller,
            task_id,
            path_user=path_user,
            query=query or ({"status": "completed"} if operation.name == "clear_tasks" else None),
            body=operation.body,
            headers={"idempotency-key": "k"} if operation.keyed else {},
            scope=scope,
        )

    return invoke


def create(invoke: Invoke, user: str) -> str:
    response = invoke(OPERATIONS["create_task"], user, "me")
    assert response.status == 201, response
    task_id: str = response.json["id"]
    return task_id


@pytest.mark.parametrize("addressed", ["me", "self", "another"])
@pytest.mark.parametrize("there", [True, False], ids=["a task", "no task"])
def test_every_request_names_the_addressed_users_partition_only(
    seen: Seen, invoke: Invoke, operation: Operation, user: str, addressed: str, there: bool
) -> None:
    owner = f"owner-{user}" if addressed == "another" else user
    task_id = create(invoke, owner) if there else "018f3a5c-0000-7000-8000-000000000000"
    seen.requests.clear()
    path_user = {"me": "me", "self": user, "another": owner}[addressed]
    caller, scope = (SERVICE, "tasks/service") if addressed == "another" else (user, "")
    response = invoke(operation, caller, path_user, task_id, scope=scope)
    assert response.status in (200, 201, 204, 404, 409)
    assert seen.requests
    assert seen.partitions == {f"USER#{owner}"}


ALIKE = [
    ("a", "a#b"),
    ("a#b", "a%23b"),
    ("a%23b", "a%2523b"),
    ("a b", "a%20b"),
    ("a/b", "a%2Fb"),
    ("USER#a", "a"),
    ("a#TASK", "a"),
    ("a", "A"),
    ("a", "a "),
    ("me", "ME"),
]


@pytest.mark.parametrize(("one", "other"), [*ALIKE, *(pair[::-1] for pair in ALIKE)])
def test_users_with_similar_ids_share_nothing(seen: Seen, invoke: Invoke, one: str, other: str) -> None:
    task_id = create(invoke, one)
    (partition,) = seen.partitions
    assert (partition, partition.count("#")) == (guard.partition_of(one), 1)
    seen.requests.clear()
    for operation in OPERATIONS.values():
        response = invoke(operation, other, "me", task_id)
        assert operation.on_a_task is (response.status == 404), response
        assert task_id not in str(response.json if response.status == 200 else "")
    assert seen.partitions == {guard.partition_of(other)} != {partition}
    assert invoke(OPERATIONS["get_task"], one, "me", task_id).json["version"] == 1


def test_a_cursor_of_another_user_reaches_no_request(seen: Seen, invoke: Invoke, user: str) -> None:
    owner = f"owner-{user}"
    for _ in range(2):
        create(invoke, owner)
    page = invoke(OPERATIONS["list_tasks"], owner, "me", query={"limit": "1"})
    seen.requests.clear()
    query = {"cursor": page.json["next_cursor"]}
    assert invoke(OPERATIONS["list_tasks"], user, "me", query=query).status == 400
    assert seen.requests == []


@pytest.mark.parametrize(
    ("path_user", "name"),
    mixed(["owner", "%6de", "me ", "ME", "me\0", "", "USER#owner", "owner#TASK"], OPERATIONS),
)
def test_a_path_that_names_another_user_reaches_no_request(
    seen: Seen, invoke: Invoke, user: str, path_user: str, name: str
) -> None:
    response = invoke(OPERATIONS[name], user, path_user, "018f3a5c-0000-7000-8000-000000000000")
    assert response.status == 403
    assert seen.requests == []


def test_every_operation_uses_the_same_check(
    seen: Seen, invoke: Invoke, operation: Operation, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the tests of this folder send each spelling to only one operation."""
    asked: list[tuple[object, ...]] = []

    def check(actor: str, claims: Mapping[str, str], path_user: str, _: str, *, may_act_for_all: bool) -> str:
        asked.append((actor, claims["sub"], path_user, may_act_for_all))
        raise problems.forbidden("the one check")

    monkeypatch.setattr("shared.http.identity.addressed_user", check)
    # The rest of the request is also invalid: this check must come first.
    response = invoke(operation, user, "me", "no id", query={"colour": "red"})
    assert (response.status, response.json["detail"]) == (403, "the one check")
    assert asked == [(user, user, "me", False)]
    assert seen.requests == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Scan", {"TableName": "TaskTable"}),
        ("ExecuteStatement", {"Statement": "SELECT * FROM TaskTable"}),
        (
            "Query",
            {
                "KeyConditionExpression": "#by = :pk",
                "ExpressionAttributeNames": {"#by": "by_change"},
                "ExpressionAttributeValues": {":pk": {"S": "USER#x"}},
            },
        ),
    ],
    ids=["Scan", "PartiQL", "another key"],
)
def test_the_guard_rejects_actions_that_can_reach_every_partition(name: str, body: dict[str, Any]) -> None:
    with pytest.raises(guard.ForeignPartition):
        guard.named(name, body)


def test_the_guard_sees_a_start_key_of_another_partition() -> None:
    task_id = str(uuid.uuid4())
    mine, other = (
        dict(queries.of_list("TaskTable", items.partition_of(user), TaskQuery(), 1, f"task#{task_id}"))
        for user in ("alice", "bob")
    )
    seen = Seen([("Query", mine | {"ExclusiveStartKey": other["ExclusiveStartKey"]})])
    assert seen.partitions == {"USER#alice", "USER#bob"}


def test_the_guard_fails_a_test_whose_store_reaches_another_partition(
    moto_url: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every suite uses the guard, so any test with a broken store fails like this."""
    store = TaskStore(table_at(moto_url), user, deadline_in(10))
    task = store.create(NewTask(title="mine"))
    other = TaskStore(table_at(moto_url), f"other-{user}", deadline_in(10))
    with pytest.raises(TaskNotFound):
        other.get(task.id)
    for name in ("_engine", "_partition"):
        monkeypatch.setattr(other, name, getattr(store, name))
    for reach in (lambda: other.get(task.id), lambda: other.clear(COMPLETED), lambda: other.create(NewTask(title="x"))):
        with pytest.raises(guard.ForeignPartition):
            reach()


def test_the_guard_fails_a_handler_with_the_store_of_another_user(
    invoke: Invoke, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard takes the user from the event, not from the code that reads it."""
    monkeypatch.setattr("shared.http.identity.addressed_user", lambda actor, *_, **__: f"other-{actor}")
    for operation in OPERATIONS.values():
        with pytest.raises(guard.ForeignPartition):
            invoke(operation, user, "me", str(uuid.uuid4()))
