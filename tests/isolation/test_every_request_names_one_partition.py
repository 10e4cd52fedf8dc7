"""A guard on botocore: whatever an operation sends to DynamoDB names the addressed user's partition and no other."""

import importlib.util
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from botocore.awsrequest import AWSPreparedRequest

from shared import dynamodb, expressions
from tests.api import OPERATIONS, Operation
from tests.conftest import ROOT, table_at

# Whatever else DynamoDB can do (Scan, PartiQL ...) may reach more than one partition.
READING_ONE_KEY = {"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"}
TRANSACTIONS = {"TransactGetItems", "TransactWriteItems"}


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 10_000


@dataclass
class Guard:
    """Sees every request as it goes out, and which partitions it names."""

    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def see(self, request: AWSPreparedRequest, **_: object) -> None:
        target = request.headers["X-Amz-Target"]
        name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        self.requests.append((name, json.loads(cast("bytes", request.body))))

    @property
    def partitions(self) -> set[str]:
        """The partitions named; fails on what could reach an unnamed one."""
        return {partition for name, body in self.requests for partition in named(name, body)}


def named(name: str, body: dict[str, Any]) -> set[str]:
    if name in TRANSACTIONS:
        actions = [(kind, part) for item in body["TransactItems"] for kind, part in item.items()]
        return {partition for kind, part in actions for partition in named(f"{kind}Item", part)}
    assert name in READING_ONE_KEY or name == "ConditionCheckItem", f"{name} may reach every partition"
    if name != "Query":
        return {body[part]["pk"]["S"] for part in ("Key", "Item") if part in body}
    condition, *others = body["KeyConditionExpression"].split(" AND ")
    place, value = condition.split(" = ")
    assert body.get("ExpressionAttributeNames", {}).get(place, place) == "pk", condition
    assert " OR " not in " ".join(others)
    start = {body["ExclusiveStartKey"]["pk"]["S"]} if "ExclusiveStartKey" in body else set()
    return {body["ExpressionAttributeValues"][value]["S"]} | start


type Invoke = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def guarded(moto_url: str) -> tuple[Guard, Mapping[str, Callable[..., Any]]]:
    """Every handler of the template, loaded anew around a client that the guard watches."""
    guard, client = Guard(), table_at(moto_url).client
    client.meta.events.register("before-send.dynamodb", guard.see)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamodb, "client", lambda: client)
        handlers = {name: _load(name) for name in OPERATIONS}
    return guard, handlers


def _load(name: str) -> Callable[..., Any]:
    path = ROOT / "functions" / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"functions.{name}.app", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Callable[..., Any] = module.handler
    return handler


@pytest.fixture
def guard(guarded: tuple[Guard, Mapping[str, Callable[..., Any]]]) -> Guard:
    guarded[0].requests.clear()
    return guarded[0]


@pytest.fixture
def invoke(guarded: tuple[Guard, Mapping[str, Callable[..., Any]]]) -> Invoke:
    def invoke(
        operation: Operation, caller: str, path_user: str, task_id: str = "", query: Any = None, scope: str = ""
    ) -> dict[str, Any]:
        event = {
            "version": "2.0",
            "routeKey": f"{operation.method} {operation.path}",
            "headers": {"content-type": "application/json", **({"idempotency-key": "k"} if operation.keyed else {})},
            "pathParameters": {"user_id": path_user, **({"task_id": task_id} if operation.on_a_task else {})},
            "queryStringParameters": query or ({"status": "completed"} if operation.name == "clear_tasks" else None),
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "authorizer": {"jwt": {"claims": {"sub": caller, "scope": scope, "token_use": "access"}}},
            },
            "body": None if operation.body is None else json.dumps(operation.body),
            "isBase64Encoded": False,
        }
        answer: dict[str, Any] = guarded[1][operation.name](event, Context())
        return answer

    return invoke


def create(invoke: Invoke, user: str) -> str:
    answer = invoke(OPERATIONS["create_task"], user, "me")
    assert answer["statusCode"] == 201, answer
    task_id: str = json.loads(answer["body"])["id"]
    return task_id


@pytest.mark.parametrize("addressed", ["me", "self", "another"])
@pytest.mark.parametrize("there", [True, False], ids=["a task", "no task"])
def test_every_request_names_the_addressed_users_partition_only(
    guard: Guard, invoke: Invoke, operation: Operation, user: str, addressed: str, there: bool
) -> None:
    owner = f"owner-{user}" if addressed == "another" else user
    task_id = create(invoke, owner) if there else "018f3a5c-0000-7000-8000-000000000000"
    guard.requests.clear()
    path_user = {"me": "me", "self": user, "another": owner}[addressed]
    answer = invoke(operation, user, path_user, task_id, scope="tasks/service" if addressed == "another" else "")
    assert answer["statusCode"] in (200, 201, 204, 404, 409)
    assert guard.requests
    assert guard.partitions == {f"USER#{owner}"}


def test_a_write_in_two_requests_names_one_partition(guard: Guard, invoke: Invoke, user: str) -> None:
    task_id = create(invoke, user)
    assert invoke(OPERATIONS["toggle_task"], user, "me", task_id)["statusCode"] == 200
    guard.requests.clear()
    assert invoke(OPERATIONS["replace_task"], user, "me", task_id)["statusCode"] == 200
    assert [name for name, _ in guard.requests] == ["UpdateItem"] * 2
    assert guard.partitions == {f"USER#{user}"}


@pytest.mark.parametrize("status", ["all", "open", "deleted"])
def test_a_page_goes_on_from_a_key_of_the_same_partition(guard: Guard, invoke: Invoke, user: str, status: str) -> None:
    for _ in range(3):
        task_id = create(invoke, user)
        if status == "deleted":
            invoke(OPERATIONS["delete_task"], user, "me", task_id)
    query = {"limit": "1", "status": status}
    while query.get("cursor", "") is not None:
        guard.requests.clear()
        answer = invoke(OPERATIONS["list_tasks"], user, "me", query=query)
        (_, body), *others = guard.requests
        assert (others, "ExclusiveStartKey" in body) == ([], "cursor" in query)
        assert guard.partitions == {f"USER#{user}"}
        query["cursor"] = json.loads(answer["body"])["next_cursor"]


def test_a_cursor_of_another_user_reaches_no_request(guard: Guard, invoke: Invoke, user: str) -> None:
    owner = f"owner-{user}"
    for _ in range(2):
        create(invoke, owner)
    page = invoke(OPERATIONS["list_tasks"], owner, "me", query={"limit": "1"})
    guard.requests.clear()
    query = {"cursor": json.loads(page["body"])["next_cursor"]}
    assert invoke(OPERATIONS["list_tasks"], user, "me", query=query)["statusCode"] == 400
    assert guard.requests == []


@pytest.mark.parametrize("path_user", ["owner", "%6de", "me ", "ME", "me\0", "", "USER#owner", "owner#TASK"])
def test_a_path_that_names_another_user_reaches_no_request(
    guard: Guard, invoke: Invoke, operation: Operation, user: str, path_user: str
) -> None:
    answer = invoke(operation, user, path_user, "018f3a5c-0000-7000-8000-000000000000")
    assert answer["statusCode"] == 403
    assert guard.requests == []


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
def test_the_guard_refuses_what_could_reach_every_partition(name: str, body: dict[str, Any]) -> None:
    guard = Guard([(name, body)])
    with pytest.raises(AssertionError):
        _ = guard.partitions


def test_the_guard_sees_a_start_key_of_another_partition() -> None:
    task_id = str(uuid.uuid4())
    mine, other = (expressions.Partition("TaskTable", user) for user in ("alice", "bob"))
    request = dict(mine.list("all", "asc", 1, task_id))
    guard = Guard(
        [("Query", request | {"ExclusiveStartKey": other.list("all", "asc", 1, task_id)["ExclusiveStartKey"]})]
    )
    assert guard.partitions == {"USER#alice", "USER#bob"}
