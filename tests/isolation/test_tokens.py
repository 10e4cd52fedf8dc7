"""Only a named caller with the service scope reaches the tasks of other users: no other caller, no similar token."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from local.tokens import SERVICE
from tests.api import OPERATIONS, Api, Backend, Operation
from tests.conftest import mixed
from tests.contract.shapes import is_problem
from tests.isolation.conftest import Bob

WITH_SCOPE: dict[str, dict[str, Any]] = {
    "scope": {"scope": "tasks/service"},
    "scope among others": {"scope": "openid tasks/service email"},
    "scp as text": {"scp": "tasks/service"},
    "scp as text among others": {"scp": "openid tasks/service"},
    "scp as an array": {"scp": ["tasks/service"]},
    "scp as an array of several": {"scp": ["openid", "tasks/service", "email"]},
    "scp where scope is another": {"scope": "openid", "scp": ["tasks/service"]},
    "a role": {"roles": ["tasks/service"]},
    "a role among others": {"scp": "openid", "roles": ["reader", "tasks/service"]},
}
WITHOUT_SCOPE: dict[str, dict[str, Any]] = {
    "none": {},
    "no claim": {"scope": None},
    "longer": {"scope": "tasks/servicex"},
    "longer before": {"scope": "xtasks/service"},
    "shorter": {"scope": "tasks/servic"},
    "its first part": {"scope": "tasks"},
    "its first part and a slash": {"scope": "tasks/"},
    "its last part": {"scope": "service"},
    "two halves": {"scope": "tasks /service"},
    "two halves in two claims": {"scope": "tasks/", "scp": "service"},
    "below it": {"scope": "tasks/service/read"},
    "capitals": {"scope": "TASKS/SERVICE"},
    "a comma": {"scope": "openid,tasks/service"},
    "a semicolon": {"scope": "tasks/service;"},
    "a newline": {"scope": "openid\ntasks/service\n"},
    "a tab": {"scope": "openid\ttasks/service"},
    "a no-break space": {"scope": "openid\u00a0tasks/service"},
    "quotes": {"scope": '"tasks/service"'},
    "half a bracket": {"scope": "[tasks/service"},
    "the other half": {"scope": "tasks/service]"},
    "a star": {"scope": "tasks/*"},
    "everything": {"scope": "*"},
    "an empty scp": {"scp": []},
    "an scp array of others": {"scp": ["tasks/servicex", "xtasks/service"]},
    "an scp array of halves": {"scp": ["tasks/", "service"]},
    "another claim": {"scopes": "tasks/service", "permissions": ["tasks/service"], "cognito:groups": ["tasks/service"]},
    "a group": {"groups": ["tasks/service"], "roles": ["tasks"]},
    "an ID token with the scope": {"scope": "tasks/service", "token_use": "id"},
    "an ID token": {"token_use": "id"},
    "bob's name in other claims": {
        "username": "{bob}",
        "cognito:username": "{bob}",
        "email": "{bob}",
        "user_id": "{bob}",
    },
    "bob as the subject's end": {"sub": "x|{bob}"},
    "bob in capitals": {"sub": "{BOB}"},
    "bob with a blank": {"sub": "{bob} "},
    "bob with a newline": {"sub": "{bob}\n"},
    "bob with a NUL": {"sub": "{bob}\0"},
    "bob among others": {"aud": ["tasks-local", "{bob}"], "act": {"sub": "{bob}"}},
}


@pytest.mark.parametrize(("claims", "name"), mixed(WITHOUT_SCOPE, OPERATIONS))
@pytest.mark.usefixtures("untouched")
def test_a_token_without_the_service_scope_cannot_reach_other_users(
    alice: Api, bob: Bob, claims: str, name: str
) -> None:
    named = json.loads(json.dumps(WITHOUT_SCOPE[claims]).replace("{bob}", bob.id).replace("{BOB}", bob.id.upper()))
    for caller in (alice.caller, SERVICE):
        response = OPERATIONS[name].ask(Api(alice.url, caller, bob.id, named), bob.task["id"])
        assert is_problem(response, 403, "forbidden")
        assert "secret" not in response.content.decode()


@pytest.mark.parametrize(("claims", "name"), mixed(WITH_SCOPE, OPERATIONS))
@pytest.mark.usefixtures("untouched")
def test_the_service_scope_of_a_caller_without_a_name_opens_nothing(
    alice: Api, bob: Bob, claims: str, name: str
) -> None:
    for path_user in (bob.id, "me", alice.caller):
        caller = Api(alice.url, alice.caller, path_user, WITH_SCOPE[claims])
        response = OPERATIONS[name].ask(caller, bob.task["id"])
        assert is_problem(response, 403, "unnamed-service")
        assert "secret" not in response.content.decode()


@pytest.mark.parametrize("subject", ["Service", "service ", " service", "service,", "servic", "service@clients", ","])
@pytest.mark.usefixtures("untouched")
def test_a_subject_that_is_similar_to_a_named_one_is_not_named(alice: Api, bob: Bob, subject: str) -> None:
    named = {"scope": "tasks/service", "azp": SERVICE, "appid": SERVICE, "username": SERVICE}
    response = Api(alice.url, subject, bob.id, named).get(bob.task["id"])
    assert is_problem(response, 403, "unnamed-service")


@pytest.mark.parametrize(("claims", "name"), mixed(WITH_SCOPE, OPERATIONS))
def test_the_service_scope_allows_every_operation_for_any_user(
    backend: Backend, user: str, claims: str, name: str
) -> None:
    operation = OPERATIONS[name]
    task = operation.task_for(Api(backend.url, user))
    service = Api(backend.url, SERVICE, user, WITH_SCOPE[claims])
    before = backend.stored(SERVICE)
    response = operation.ask(service, task["id"])
    assert response.status in (200, 201, 204)
    assert all(one["user_id"] == user for one in response.tasks)
    assert backend.stored(SERVICE) == before
    # A batch also leaves the record of its key.
    assert len(backend.stored(user)) == {"create_task": 2, "batch_tasks": 3}.get(operation.name, 1)


def test_me_in_the_path_of_a_service_is_the_service(backend: Backend, user: str, operation: Operation) -> None:
    task = Api(backend.url, user).made()
    before = backend.stored(user)
    service = Api(backend.url, SERVICE, "me", {"scope": "tasks/service"})
    response = operation.ask(service, task["id"])
    assert response.status == (404 if operation.on_a_task else 201 if operation.name == "create_task" else 200)
    assert backend.stored(user) == before


@pytest.mark.parametrize(("path_user", "name"), mixed(["caf\u00e9", "x" * 256, "a\n", "\0"], OPERATIONS))
def test_a_service_gets_400_for_an_invalid_user_id(backend: Backend, path_user: str, name: str) -> None:
    service = Api(backend.url, SERVICE, quote(path_user, safe=""), {"scope": "tasks/service"})
    response = OPERATIONS[name].ask(service, "018f3a5c-0000-7000-8000-000000000000")
    assert is_problem(response, 400, "bad-user-id")
    assert backend.stored(path_user) == []


def test_a_service_can_follow_the_links_of_a_user(backend: Backend, user: str) -> None:
    owner = Api(backend.url, user)
    tasks = [owner.made() for _ in range(3)]
    service = Api(backend.url, SERVICE, user, {"scope": "tasks/service"})
    assert service.walk(limit=1) == tasks
    cursor = owner.page(limit=1).json["next_cursor"]
    assert service.page(cursor=cursor).json["items"] == tasks[1:]


def test_a_log_line_names_the_caller_and_the_user(backend: Backend, user: str) -> None:
    service = Api(backend.url, SERVICE, user, {"scope": "tasks/service"})
    line = backend.logged(service.page().headers["apigw-requestid"])
    assert line["actor"] != line["user"]
