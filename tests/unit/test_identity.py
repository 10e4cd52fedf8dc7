"""The caller of a request, and the user whose tasks it addresses."""

from typing import Any, cast

import pytest

from shared.http import requests, telemetry
from shared.http.identity import actor_of, addressed_user, is_service, tenant_of
from shared.http.problems import Problem
from shared.models import NoQuery
from shared.store.dynamodb import Table

SERVICE = "tasks/service"
NO_IDENTITY = "The request has no verified identity. Send an access token."
OTHER_USE = "This token is not an access token. Send an access token."
BAD_SUBJECT = "The subject of this token must be 1 to 255 printable ASCII characters."


@pytest.mark.parametrize(
    "subject",
    [
        "a",
        "x" * 255,
        "u8Lk3/9fQ+0=",
        "-lK3_9fQ",
        "eu-central-1:018f3a5c-0000-4000-8000-000000000000",
        "alice#TASK#1",
        "CORP\\jdoe",
        " ~",
        "auth0|abc",
        "alice@example.org",
        "01a20720-1d65-7ec7-a429-721882d38931",
        "_a.b~c+d=e'f:g-h",
        "me",
    ],
)
def test_subjects(subject: str) -> None:
    assert actor_of({"sub": subject, "token_use": "access"}) == subject
    assert actor_of({"sub": subject}) == subject  # not every issuer states the purpose of a token


@pytest.mark.parametrize(
    ("claims", "status", "detail"),
    [
        ({}, 401, NO_IDENTITY),
        ({"sub": ""}, 401, NO_IDENTITY),
        ({"sub": "<nil>"}, 401, NO_IDENTITY),
        ({"sub": "alice", "token_use": "id"}, 403, OTHER_USE),
        ({"sub": "alice", "token_use": ""}, 403, OTHER_USE),
        *(({"sub": bad}, 403, BAD_SUBJECT) for bad in ("x" * 256, "a\n", "a\t", "\u00e9", "\u0430lice", "\0", "\x7f")),
    ],
)
def test_claims_without_a_valid_subject(claims: dict[str, str], status: int, detail: str) -> None:
    with pytest.raises(Problem) as problem:
        actor_of(claims)
    assert (problem.value.status, problem.value.detail) == (status, detail)


def reached(actor: str, claims: dict[str, str], path: str, scope: str, spaces: str = "", *, named: bool = True) -> str:
    """The user whose tasks a path addresses, for a caller that is named as a service, or not."""
    return addressed_user(actor, claims, path, spaces, may_act_for_all=is_service(claims, scope, named=named))


@pytest.mark.parametrize("path", ["alice", "me"])
def test_callers_may_use_their_own_tasks(path: str) -> None:
    for named in (True, False):
        assert reached("alice", {}, path, SERVICE, named=named) == "alice"


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": SERVICE},
        {"scope": f"openid {SERVICE} email"},
        {"scp": SERVICE},
        {"scp": f"[openid {SERVICE}]"},
        {"scope": "", "scp": f"[{SERVICE}]"},
        {"roles": f"[reader {SERVICE}]"},
        {"roles": SERVICE},
    ],
)
def test_the_service_scope_allows_the_tasks_of_every_user(claims: dict[str, str]) -> None:
    assert reached("backend", claims, "bob", SERVICE) == "bob"
    with pytest.raises(Problem) as problem:
        reached("backend", claims, "bob\n", SERVICE)
    assert problem.value.kind == "bad-user-id"
    assert problem.value.detail == "The user id in the path must be 1 to 255 printable ASCII characters."
    for path in ("bob", "me", "backend"):
        with pytest.raises(Problem, match="unnamed-service"):
            reached("backend", claims, path, SERVICE, named=False)


@pytest.mark.parametrize("path", ["bob", "Alice", "alice ", "ME", "", "alice#", "..", "nobody/", "\u0430lice"])
@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"scope": "openid"},
        {"scope": f"{SERVICE}s"},
        {"scope": f"x{SERVICE}"},
        {"scope": SERVICE.upper()},
        {"scope": "tasks service"},
        {"scope": f"openid,{SERVICE}"},
        {"scope": f"[{SERVICE}"},
        {"scope": f"openid\t{SERVICE}"},
        {"scopes": SERVICE},
        {"permissions": SERVICE},
        {"scope": f"map[a:x {SERVICE} y b:z]"},
        {"scp": f"[map[a:x {SERVICE} y]]"},
        {"scope": "<nil>"},
    ],
)
def test_the_tasks_of_others_are_forbidden_with_one_message(path: str, claims: dict[str, str]) -> None:
    with pytest.raises(Problem) as problem:
        reached("alice", claims, path, SERVICE)
    assert (problem.value.status, str(problem.value)) == (403, "forbidden")
    assert problem.value.detail == (
        "This token does not give access to the tasks of this user. Use your own user id, or me, in the path."
    )


# Null, arrays and objects, as API Gateway writes them.
NO_TEXTS = ("<nil>", "[acme]", "[a b]", "[]", "[<nil>]", "map[]", "map[id:org_1 rol:member slg:acme]")


@pytest.mark.parametrize("tenant", ["acme", "a", "x" * 255, "a b", "a#b%c", "[acme", "acme]"])
def test_a_claim_names_the_tenant(tenant: str) -> None:
    assert tenant_of({"sub": "alice", "t": tenant}, "t") == tenant
    assert not tenant_of({"sub": "alice", "t": tenant}, "")


@pytest.mark.parametrize(
    "claims",
    [{}, {"T": "acme"}, *({"t": value} for value in ("", "x" * 256, "caf\u00e9", "a\n", *NO_TEXTS))],
)
def test_without_a_good_claim_there_is_no_tenant(claims: dict[str, str]) -> None:
    with pytest.raises(Problem) as problem:
        tenant_of({"sub": "alice", **claims}, "t")
    assert (problem.value.status, str(problem.value)) == (403, "no-tenant")


@pytest.mark.parametrize("value", ["team", "[team]", "[a team]", "[team a]", "a,team", "team,a"])
def test_a_claim_lists_the_spaces_of_the_caller(value: str) -> None:
    assert reached("alice", {"s": value}, "team", "", "s") == "team"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("", "team"),
        ("[]", "team"),
        ("teams", "team"),
        ("[teams a,team]", "team"),
        ("a team", "team"),
        ("a team", "a team"),
        ("a, team", "team"),
        ("a, team", " team"),
        ("[a team]", "a team"),
        ("[team", "team"),
        ("team]", "team"),
        ("Team", "team"),
        ("caf\u00e9", "caf\u00e9"),
        ("a,,b", ""),
        ("<nil>", "<nil>"),
        ("[<nil> team]", "team"),
        ("map[team:team]", "team"),
        ("map[a:x team y:z]", "team"),
        ("[map[a:x] team]", "team"),
        ("[[a team] b]", "team"),
        ("[a [team]]", "team"),
    ],
)
def test_spaces_that_are_not_listed_are_forbidden(value: str, path: str) -> None:
    for claims, claim in (({"s": value}, "s"), ({"x": path}, "s"), ({"s": path, "": path}, "")):
        with pytest.raises(Problem, match="forbidden"):
            reached("alice", claims, path, "", claim)


def test_without_a_service_scope_no_caller_acts_for_others() -> None:
    with pytest.raises(Problem):
        reached("alice", {"scope": "  "}, "bob", "")


@pytest.mark.parametrize("authorizer", [None, {}, {"jwt": None}, {"jwt": {}}, {"jwt": {"claims": None}}])
def test_an_event_without_claims_is_unauthorized(authorizer: object) -> None:
    event = {
        "routeKey": "GET /v1/users/{user_id}/tasks",
        "rawQueryString": "",
        "pathParameters": {"user_id": "me"},
        "requestContext": {"requestId": "r", "authorizer": authorizer},
    }
    table, record = Table(cast("Any", None), "tasks"), telemetry.Record("list_tasks", "", "", "")
    with pytest.raises(Problem) as problem:
        requests.read(event, record, None, NoQuery, table, 0)
    assert (problem.value.status, problem.value.kind) == (401, "no-identity")
