"""The role of each function allows exactly the actions that the function uses.

The contract suite also shows that no permission is missing: moto refuses actions that a role does not allow.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from local import dynamodb as engines
from local.template import Template
from tests.api import Api, serving
from tests.conftest import ROOT
from tests.deployment.conftest import of_type
from tests.permissions import Permissions, moto_with_permissions


@pytest.fixture(scope="module")
def permissions() -> Permissions:
    return Permissions(ROOT / "template.yaml")


@pytest.fixture(scope="module")
def url(template: Template, permissions: Permissions) -> Iterator[str]:
    with moto_with_permissions(permissions) as engine:
        engines.create_tables(template, engine)
        with serving(engine, engine) as backend:
            yield backend.url


def test_every_function_uses_exactly_its_permissions(url: str, permissions: Permissions, user: str) -> None:
    api = Api(url, user)
    task_id = api.made()["id"]
    other_id = api.made(list="a")["id"]
    for status in ("all", "open", "completed", "deleted"):
        assert api.page(status=status).status == 200
    for response in (
        api.get(task_id),
        api.toggle(task_id),
        api.update(task_id, {"title": "x"}),
        api.update(task_id, {}),
        api.replace(task_id, {"title": "y", "description": None, "completed": True}),
        api.move(task_id, {"list": "a", "after": None}),
        api.move(task_id, {"before": other_id}),
        api.page(list="a"),
        api.clear(),
        api.clear("?list=b"),
        api.changes(),
        api.delete(task_id),
        api.restore(task_id),
        api.toggle(task_id, idempotency_key="toggle"),
        api.delete(task_id),
        api.restore(task_id, idempotency_key="restore"),
        api.create_once("create"),
        api.batch({"op": "toggle", "id": task_id}),
        api.batch({"op": "move", "id": task_id, "after": other_id}),
        api.move(task_id, {"before": other_id}, idempotency_key="move"),
        api.batch({"op": "update", "id": task_id, "patch": {}}),
        Api(url, "service", user, {"scope": "tasks/service"}).erase(user),
    ):
        assert response.status in (200, 201, 204), response
    assert dict(permissions.used) == {name: allowed for name, allowed in permissions.allowed.items() if allowed}


def test_actions_outside_a_role_are_refused(url: str, permissions: Permissions, user: str) -> None:
    """The check works: without this test, the suites that rely on it would prove nothing."""
    allowed = permissions.allowed["GetTask"]
    permissions.allowed["GetTask"] = frozenset({("GetItem", "TaskTable/index/by_status")})
    try:
        assert Api(url, user).get("018f3a5c-0000-7000-8000-000000000000").status == 500
    finally:
        permissions.allowed["GetTask"] = allowed


def actions_of(role: dict[str, Any]) -> list[tuple[str, Any]]:
    """The actions that a role or a managed policy allows, each with its resource."""
    documents = [one["PolicyDocument"] for one in (role, *role.get("Policies", ())) if "PolicyDocument" in one]
    return [
        (action, statement["Resource"])
        for document in documents
        for statement in document["Statement"]
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    ]


# The roles that do not belong to a function, and all their permissions.
OTHERS = {
    "DeploymentRole": {
        *("lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"),
        "cloudwatch:DescribeAlarms",
    },
    "MigrateRole": {"dynamodb:DescribeTable", "dynamodb:PutItem", "dynamodb:Scan"},
    "WebhookRole": {"events:InvokeApiDestination"},
}
# The role of the function that publishes events: Lambda and the function read the stream, publish, and report skipped
# records. It has no access to the table.
_STREAM = {"Fn::GetAtt": ["TaskTable", "StreamArn"]}
OF_EVENTS = {
    "dynamodb:DescribeStream": _STREAM,
    "dynamodb:GetRecords": _STREAM,
    "dynamodb:GetShardIterator": _STREAM,
    "dynamodb:ListStreams": {"Fn::Sub": "${TaskTable.Arn}/stream/*"},
    "events:PutEvents": {"Fn::GetAtt": ["EventBus", "Arn"]},
    "sqs:SendMessage": {"Fn::GetAtt": ["UnpublishedEvents", "Arn"]},
}


def test_functions_may_only_use_dynamodb_and_never_scan(translated: dict[str, Any]) -> None:
    roles = {name: one["Properties"] for name, one in of_type(translated, "AWS::IAM::Role").items()}
    functions = of_type(translated, "AWS::Lambda::Function").values()
    of_functions = {one["Properties"]["Role"]["Fn::GetAtt"][0] for one in functions}
    assert set(roles) == of_functions | set(OTHERS)
    assert dict(actions_of(roles["PublishEventsRole"])) == OF_EVENTS
    assert {one["Ref"] for one in roles["PublishEventsRole"]["ManagedPolicyArns"]} == {"LogAndTrace"}
    of_functions.remove("PublishEventsRole")
    assert {one["Ref"] for name in of_functions for one in roles[name]["ManagedPolicyArns"]} == {"LogAndTrace"}
    managed = of_type(translated, "AWS::IAM::ManagedPolicy")["LogAndTrace"]["Properties"]
    actions = [pair for role in (managed, *(roles[name] for name in of_functions)) for pair in actions_of(role)]
    assert {action.partition(":")[0] for action, _ in actions} == {"dynamodb", "logs", "xray"}
    assert not [action for action, _ in actions if "*" in action or "Scan" in action or "PartiQL" in action]
    assert {action.partition(":")[0] for action, resource in actions if resource == "*"} == {"xray"}
    for name in of_functions:
        (trust,) = roles[name]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_only_one_function_may_delete(permissions: Permissions) -> None:
    deleting = {"BatchWriteItem", "DeleteItem", "UpdateItem"}
    assert [name for name, allowed in permissions.allowed.items() if deleting & {action for action, _ in allowed}] == [
        "EraseUser"
    ]


def test_the_other_roles_have_exactly_their_permissions(translated: dict[str, Any]) -> None:
    roles = of_type(translated, "AWS::IAM::Role")
    for name, allowed in OTHERS.items():
        actions = actions_of(roles[name]["Properties"])
        assert {action for action, _ in actions} == allowed
        assert {action for action, resource in actions if resource == "*"} <= {"cloudwatch:DescribeAlarms"}
        assert "ManagedPolicyArns" not in roles[name]["Properties"]
    (trust,) = roles["DeploymentRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "codedeploy.amazonaws.com"}
    (trust,) = roles["WebhookRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert actions_of(roles["WebhookRole"]["Properties"])[0][1] == {"Fn::GetAtt": ["WebhookDestination", "Arn"]}
    (trust,) = roles["MigrateRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
