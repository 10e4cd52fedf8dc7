"""DELETE /v1/users/{user_id}: a service erases a user. tests/faults/test_erasure.py has the proofs."""

import uuid
from collections.abc import Mapping
from urllib.parse import quote

import pytest

from tests.api import FOR_SERVICES, Api, Backend, new_id, serving
from tests.contract.conftest import Kept
from tests.contract.shapes import is_gateways, is_problem
from tests.inprocess import functions

SERVICE = {"scope": "tasks/service"}
(ERASE,) = FOR_SERVICES.values()


@pytest.fixture
def service(api: Api) -> Api:
    """A service that addresses the user of the test."""
    return Api(api.url, "service", quote(api.caller, safe=""), SERVICE)


def test_an_erasure_removes_everything_and_then_waits(backend: Backend, api: Api, service: Api) -> None:
    neighbour = Api(api.url, f"{api.caller}2")
    kept = neighbour.made()
    task = api.made()
    api.create_once("a key")
    api.delete(api.made()["id"])
    response = service.erase(api.caller)
    assert (response.status, response.json) == (200, {"erased": 4, "more": True, "receipt": None})
    assert response.headers["Retry-After"] is None
    (mark,) = backend.stored(api.caller)
    assert mark["sk"] == {"S": "ERASED"}
    assert "title" not in mark
    again = service.erase(api.caller)
    assert (again.json, again.headers["Retry-After"]) == ({"erased": 0, "more": True, "receipt": None}, "10")

    assert (api.get(task["id"]).status, api.walk(), api.walk(status="deleted")) == (404, [], [])
    assert api.changes().json["items"] == []
    assert neighbour.walk() == [kept]


def test_the_last_response_is_a_receipt(backend: Backend, user: str) -> None:
    now = [1_795_415_874_917]
    with functions(backend.table, lambda: now[0] * 1_000_000) as call:
        call("create_task", user, body={"title": "x"})

        def erase() -> Mapping[str, object]:
            reply = call("erase_user", "service", path_user=user, query={"confirm": user}, scope="tasks/service")
            assert reply.status == 200
            return dict(reply.json)

        assert erase()["erased"] == 1
        now[0] += 100_000
        done = {
            "erased": 0,
            "more": False,
            "receipt": {
                "user_id": user,
                "marked_at": "2026-11-23T06:37:54.917Z",
                "completed_at": "2026-11-23T06:39:34.917Z",
                "expires_at": "2027-01-02T06:39:34.000Z",
            },
        }
        assert erase() == done
        now[0] += 100_000
        assert erase() == done


def test_a_write_to_an_erased_user_is_403(backend: Backend, user: str) -> None:
    """Also with an id, with a key and in a batch, for users and services."""
    with serving(backend.table.client.meta.endpoint_url, backend.table.client.meta.endpoint_url) as fresh:
        api, service = Api(fresh.url, user), Api(fresh.url, "service", user, SERVICE)
        assert service.erase(user).status == 200
        never = str(uuid.uuid4())
        body = {"title": "x", "description": None, "completed": False}
        for one in (api, service):
            for response in (
                one.create(),
                one.create_once("key"),
                one.replace(new_id(), body, if_none_match="*"),
                one.replace(never, body),
                one.update(never, {"title": "x"}),
                one.toggle(never),
                one.toggle(never, idempotency_key="key"),
                one.delete(never),
                one.restore(never),
                one.move(never, {"list": "a", "after": None}),
                one.batch({"op": "create", "task": {"title": "x"}}),
                one.batch({"op": "toggle", "id": never}),
            ):
                assert is_problem(response, 403, "user-erased")
            # A read finds nothing, and there is nothing to clear.
            assert (one.walk(), one.get(never).status, one.clear().json["cleared"]) == ([], 404, 0)
        assert [item["sk"]["S"] for item in backend.stored(user)] == ["ERASED"]


@pytest.mark.parametrize("confirm", ["", "{}x", "x{}", "me", " {}", "{} ", "*"])
def test_the_user_id_must_be_confirmed(kept: Kept, confirm: str) -> None:
    service = Api(kept.api.url, "service", kept.api.caller, SERVICE)
    assert is_problem(service.erase(confirm.replace("{}", kept.api.caller)), 400, "bad-query")


@pytest.mark.parametrize("query", ["", "confirm", "confirm=a&confirm=a", "confirm={}&all=true"])
def test_no_other_query_is_accepted(kept: Kept, query: str) -> None:
    service = Api(kept.api.url, "service", kept.api.caller, SERVICE)
    path = f"/v1/users/{kept.api.caller}?{query.replace('{}', kept.api.caller)}"
    assert is_problem(service.send("DELETE", path), 400, "bad-query")


@pytest.mark.parametrize("scope", ["", "tasks/servic", "tasks/service2", "tasks", "xtasks/service"])
def test_only_a_service_can_erase(kept: Kept, scope: str) -> None:
    """Not even the user: a stolen token of a user must not remove everything for good."""
    user = kept.api.caller
    for caller, path_user in ((user, "me"), (user, user), ("mallory", user)):
        assert is_problem(Api(kept.api.url, caller, path_user, {"scope": scope}).erase(user), 403, "forbidden")


def test_an_erasure_without_a_token_is_401_and_needs_no_body(kept: Kept) -> None:
    path = f"/v1/users/{kept.api.caller}?confirm={kept.api.caller}"
    assert is_gateways(kept.api.send("DELETE", path, headers={"Authorization": None}), 401, "Unauthorized")
    service = Api(kept.api.url, "service", kept.api.caller, SERVICE)
    assert is_problem(service.send("DELETE", path, b"x" * 1_400_000), 413, "body-too-large")


def test_a_service_can_erase_itself_as_me(user: str, backend: Backend) -> None:
    url = backend.table.client.meta.endpoint_url
    with serving(url, url, SERVICE_CALLERS=user) as api:
        service = Api(api.url, user, "me", SERVICE)
        service.made()
        assert service.erase(user).json["erased"] == 1
        assert len(backend.stored(user)) == 1


@pytest.mark.parametrize("user_id", ["auth0|abc", "a+b@example.com", "user=1", "x" * 255])
def test_any_user_id_can_be_confirmed(backend: Backend, user_id: str) -> None:
    name = f"{user_id[:-37]}{uuid.uuid4()}" if len(user_id) > 100 else f"{user_id}-{uuid.uuid4()}"
    Api(backend.url, name, quote(name, safe="")).made()
    service = Api(backend.url, "service", quote(name, safe=""), SERVICE)
    assert service.erase(name).json["erased"] == 1


def test_the_tenant_of_an_erased_user_is_that_of_the_token(backend: Backend, user: str) -> None:
    url = backend.table.client.meta.endpoint_url
    with serving(url, url, TENANT_CLAIM="tenant") as tenants:
        for tenant in ("acme", "other"):
            Api(tenants.url, user, user, {"tenant": tenant}).made()
        before = tenants.stored(user, "other")
        service = Api(tenants.url, "service", user, {**SERVICE, "tenant": "acme"})
        assert service.erase(user).json["erased"] == 1
        assert is_problem(Api(tenants.url, "service", user, SERVICE).erase(user), 403, "no-tenant")
        assert tenants.stored(user, "other") == before
        assert len(tenants.stored(user, "acme")) == 1


def test_members_cannot_erase_a_space(backend: Backend, user: str) -> None:
    url = backend.table.client.meta.endpoint_url
    with serving(url, url, SPACES_CLAIM="groups") as spaces:
        member = Api(spaces.url, user, f"{user}-team", {"groups": [f"{user}-team"]})
        member.made()
        assert is_problem(member.erase(f"{user}-team"), 403, "forbidden")
        assert len(spaces.stored(f"{user}-team")) == 1


def test_an_erasure_continues_after_the_database_fails(failing: Backend, user: str) -> None:
    for code, status in (("ThrottlingException", 503), ("InternalServerError", 503), ("AccessDeniedException", 500)):
        name = f"{code}-{user}"
        response = Api(failing.url, "service", name, SERVICE).erase(name)
        assert response.status == status
        assert "secret" not in response.content.decode()


def test_the_erasure_is_declared_like_other_operations() -> None:
    assert (ERASE.method, ERASE.path, ERASE.query) == ("DELETE", "/v1/users/{user_id}", "confirm=carol")
