"""Tenants and spaces: a request reaches only the tenant of its token, and only the spaces that the token lists."""

import json
import uuid
from typing import Any

import pytest

from local.template import PSEUDO_PARAMETERS
from local.tokens import SERVICE
from shared.pseudonyms import pseudonym_in
from tests.api import OPERATIONS, Api, Backend, Operation
from tests.conftest import mixed
from tests.contract.shapes import is_problem
from tests.isolation.conftest import SPACES, TENANT

STACK_ID = PSEUDO_PARAMETERS["AWS::StackId"]


@pytest.fixture
def acme(tenants: Backend, user: str) -> Api:
    return Api(tenants.url, user, claims={TENANT: "acme"})


def of(api: Api, tenant: object, path_user: str = "", **claims: Any) -> Api:
    """The API for the same caller with a token of another tenant."""
    return Api(api.url, api.caller, path_user, {**api.claims, TENANT: tenant, **claims})


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_the_same_user_id_in_another_tenant_is_another_user(tenants: Backend, acme: Api, operation: Operation) -> None:
    task = operation.task_for(acme)
    kept = tenants.stored(acme.caller, "acme")
    other = of(acme, "acme2")
    response = operation.ask(other, task["id"])
    assert task["title"] not in {one["title"] for one in response.tasks if one["id"] == task["id"]}
    if operation.on_a_task:
        assert is_problem(response, 404, "task-not-found")
    assert tenants.stored(acme.caller, "acme") == kept
    assert operation.ask(acme, task["id"]).status < 300
    assert tenants.stored(acme.caller) == []


@pytest.mark.parametrize(
    ("tenant", "name"),
    mixed([None, "", "caf\u00e9", "x" * 256, ["acme"], ["a", "b"], {}, {"id": "acme"}, "acme\n"], OPERATIONS),
)
def test_without_a_tenant_every_request_is_rejected(tenants: Backend, acme: Api, tenant: object, name: str) -> None:
    task = OPERATIONS[name].task_for(acme)
    kept = tenants.stored(acme.caller, "acme")
    for caller in (of(acme, tenant), of(acme, tenant, acme.caller, scope="tasks/service")):
        assert is_problem(OPERATIONS[name].ask(caller, task["id"]), 403, "no-tenant")
    assert tenants.stored(acme.caller, "acme") == kept


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_the_service_scope_and_spaces_reach_users_of_their_own_tenant(
    tenants: Backend, acme: Api, operation: Operation
) -> None:
    for name, claims in (
        (SERVICE, {"scope": "tasks/service"}),
        (f"caller-{acme.caller}", {SPACES: [f"other-{acme.caller}", acme.caller]}),
    ):
        task = operation.task_for(acme)
        kept = tenants.stored(acme.caller, "acme")
        caller = Api(acme.url, name, acme.caller, {TENANT: "acme2", **claims})
        operation.ask(caller, task["id"])
        assert tenants.stored(acme.caller, "acme") == kept
        assert operation.ask(of(caller, "acme", acme.caller), task["id"]).status < 300


@pytest.mark.parametrize(
    ("spaces", "name"),
    mixed(["{}x", "x{}", ["{}x"], ["a,{}"], "a, {}", "a {}", None, [], "", {"{}": 1}, [["{}"]], "*"], OPERATIONS),
)
def test_a_space_that_is_not_listed_is_403(tenants: Backend, acme: Api, spaces: Any, name: str) -> None:
    task = OPERATIONS[name].task_for(acme)
    kept = tenants.stored(acme.caller, "acme")
    claim = json.loads(json.dumps(spaces).replace("{}", acme.caller))
    caller = Api(acme.url, f"caller-{acme.caller}", acme.caller, {TENANT: "acme", SPACES: claim})
    assert is_problem(OPERATIONS[name].ask(caller, task["id"]), 403, "forbidden")
    assert tenants.stored(acme.caller, "acme") == kept


def test_cursors_tokens_and_keys_belong_to_their_tenant(acme: Api) -> None:
    other = of(acme, "acme2")
    for api in (acme, other):
        for _ in range(2):
            api.made()
    cursor, since = acme.page(limit=1).json["next_cursor"], acme.changes().json["next_since"]
    assert is_problem(other.page(cursor=cursor), 400, "bad-cursor")
    assert is_problem(other.changes(since=since), 400, "bad-cursor")
    key = str(uuid.uuid4())
    first, second = acme.create_once(key, title="one"), other.create_once(key, title="other")
    assert (first.status, second.status) == (201, 201)
    assert second.json["title"] == "other"


@pytest.mark.parametrize(("tenant", "user"), [("a#b", "c"), ("a", "b#c"), ("a%23b", "c"), ("a", "b%23c")])
def test_tenants_and_users_with_hostile_names_are_distinct(tenants: Backend, tenant: str, user: str) -> None:
    """Each pair creates one task and sees no other."""
    mark = str(uuid.uuid4())
    api = Api(tenants.url, f"{user}{mark}", "me", {TENANT: f"{mark}{tenant}"})
    task = api.made()
    assert api.walk() == [task]
    assert task["user_id"] == f"{user}{mark}"
    assert len(tenants.stored(f"{user}{mark}", f"{mark}{tenant}")) == 1


def test_the_log_names_actor_and_space_in_their_tenant(tenants: Backend, acme: Api) -> None:
    caller = Api(acme.url, f"caller-{acme.caller}", acme.caller, {TENANT: "acme", SPACES: [acme.caller]})
    line = tenants.logged(caller.create().headers["apigw-requestid"])
    assert line["actor"] == pseudonym_in(STACK_ID, caller.caller, "acme")
    assert line["user"] == pseudonym_in(STACK_ID, acme.caller, "acme")


def test_without_the_parameters_the_claims_are_ignored(backend: Backend, user: str) -> None:
    api = Api(backend.url, user, claims={TENANT: "acme", SPACES: ["bob"], "": "bob"})
    task = api.made()
    assert [item["pk"]["S"] for item in backend.stored(user)] == [f"USER#{user}"]
    assert Api(backend.url, user).walk() == [task]
    assert is_problem(of(api, "acme", "bob").page(), 403, "forbidden")
