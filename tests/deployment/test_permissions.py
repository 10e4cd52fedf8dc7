"""Each function's role allows what the function does, and nothing that it never does.

That nothing is missing is seen by the contract suite too: the moto of all suites refuses what a role does not allow.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from local import dynamodb as engines
from local.template import Template
from tests.api import Api, serving
from tests.conftest import ROOT
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


def test_every_function_uses_all_that_it_may_and_no_more(url: str, permissions: Permissions, user: str) -> None:
    api = Api(url, user)
    task_id = api.made()["id"]
    for status in ("all", "open", "completed", "deleted"):
        assert api.page(status=status).status == 200
    for answer in (
        api.get(task_id),
        api.toggle(task_id),
        api.update(task_id, {"title": "x"}),
        api.update(task_id, {}),
        api.replace(task_id, {"title": "y", "description": None, "completed": True}),
        api.clear(),
        api.changes(),
        api.delete(task_id),
        api.restore(task_id),
        api.toggle(task_id, idempotency_key="toggle"),
        api.delete(task_id),
        api.restore(task_id, idempotency_key="restore"),
        api.create_once("create"),
        api.batch({"op": "toggle", "id": task_id}),
        api.batch({"op": "update", "id": task_id, "patch": {}}),
    ):
        assert answer.status in (200, 201, 204), answer
    assert dict(permissions.used) == {name: allowed for name, allowed in permissions.allowed.items() if allowed}


def test_what_a_role_does_not_allow_is_refused(url: str, permissions: Permissions, user: str) -> None:
    """The guard guards: without this, the suites that rely on it would prove nothing."""
    allowed = permissions.allowed["GetTask"]
    permissions.allowed["GetTask"] = frozenset({("GetItem", "TaskTable/index/by_status")})
    try:
        assert Api(url, user).get("018f3a5c-0000-7000-8000-000000000000").status == 500
    finally:
        permissions.allowed["GetTask"] = allowed


def test_no_role_allows_a_scan_or_anything_beside_dynamodb(translated: dict[str, Any]) -> None:
    statements = [
        statement
        for resource in translated["Resources"].values()
        if resource["Type"] in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}
        for policy in [resource["Properties"], *resource["Properties"].get("Policies", ())]
        if "PolicyDocument" in policy
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = [
        (action, statement["Resource"])
        for statement in statements
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    ]
    assert {action.partition(":")[0] for action, _ in actions} == {"dynamodb", "logs", "xray"}
    assert not [action for action, _ in actions if "*" in action or "Scan" in action or "PartiQL" in action]
    assert {action.partition(":")[0] for action, resource in actions if resource == "*"} == {"xray"}
    managed = {arn["Ref"] for role in _of(translated, "AWS::IAM::Role") for arn in role["ManagedPolicyArns"]}
    assert managed == {"LogAndTrace"}


def _of(translated: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [resource["Properties"] for resource in translated["Resources"].values() if resource["Type"] == kind]
