"""Tokens of each issuer, through the gateway: only a machine that the deployment names acts for other users.

The name of a test says the issuer, the token, the request and the answer. Each gateway accepts the tokens of one issuer
with the parameters that docs/issuers.md gives for it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from local.gateway import serve
from local.tokens import public_key
from tests.api import TEMPLATE, Api, Backend
from tests.conftest import forget, table_at
from tests.contract.shapes import is_problem
from tests.issuers import ISSUERS, Claims, Issuer

ATTACKED = {"tenant": "another-tenant", "space": "bob"}

# The token, whether the deployment names the machine, whose tasks the token asks for, and the answer.
ANSWERS = [
    ("user", "named", "own", "200"),
    ("user", "named", "another user's", "403 forbidden"),
    ("user with the scope", "named", "own", "403 unnamed-service"),
    ("user with the scope", "named", "another user's", "403 unnamed-service"),
    ("machine", "named", "another user's", "200"),
    ("machine", "unnamed", "own", "403 unnamed-service"),
    ("machine", "unnamed", "another user's", "403 unnamed-service"),
    ("machine without the scope", "named", "another user's", "403 forbidden"),
]

# A gateway for the tokens of an issuer, whose deployment names the machine or not.
type Deploy = Callable[[str, str], Backend]


@pytest.fixture(scope="module")
def deploy(moto_url: str) -> Iterator[Deploy]:
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        # Nobody can have the keys of these issuers, so the local key signs all tokens.
        patch.setattr("local.issuers.key_of", lambda *_: public_key())

        @cache
        def deploy(name: str, machine: str) -> Backend:
            issuer, parameters = ISSUERS[name], ISSUERS[name].parameters
            accepting = replace(
                TEMPLATE, issuer=parameters["JwtIssuer"], audiences=tuple(parameters["JwtAudience"].split(","))
            )
            # A deployment that names an application by mistake must not open anything for its users.
            callers = [issuer.application, *([issuer.machine["sub"]] if machine == "named" else [])]
            environment = {
                "AWS_ENDPOINT_URL_DYNAMODB": moto_url,
                "SERVICE_SCOPE": parameters["ServiceScope"],
                "SERVICE_CALLERS": ",".join(callers),
                "TENANT_CLAIM": parameters["TenantClaim"],
                "SPACES_CLAIM": parameters["SpacesClaim"],
            }
            url = running.enter_context(serve(accepting, environment, workers=1))
            return Backend(url, Path(), table_at(moto_url))

        yield deploy


def caller(backend: Backend, issuer: Issuer, claims: Claims, path_user: str = "") -> Api:
    whole = issuer.whole(claims)
    return Api(backend.url, whole["sub"], path_user, whole)


@pytest.mark.parametrize("name", ISSUERS)
@pytest.mark.parametrize(("token", "machine", "whose", "answer"), ANSWERS, ids=[" - ".join(one) for one in ANSWERS])
def test_tokens_of_issuers(deploy: Deploy, name: str, token: str, machine: str, whose: str, answer: str) -> None:
    issuer = ISSUERS[name]
    path_user = "me" if whose == "own" else "bob"
    response = caller(deploy(name, machine), issuer, issuer.tokens[token], path_user).page()
    kind = response.json.get("type", "").rpartition(":")[2]
    assert f"{response.status} {kind}".strip() == answer


@pytest.mark.parametrize("name", ISSUERS)
def test_a_named_machine_sees_the_tasks_of_a_user(deploy: Deploy, name: str) -> None:
    issuer = ISSUERS[name]
    backend = deploy(name, "named")
    owner = caller(backend, issuer, issuer.user)
    try:
        task = owner.made()
        machine = caller(backend, issuer, issuer.machine, quote(owner.caller, safe=""))
        assert machine.page().json["items"] == [task]
    finally:
        forget(owner.caller)


def written_by_the_user(issuer: Issuer) -> Claims:
    text = json.dumps(issuer.editable)
    for name, value in ATTACKED.items():
        text = text.replace(f"{{{name}}}", value)
    editable: Claims = json.loads(text)
    return {**issuer.user, **editable}


@pytest.mark.parametrize("name", ISSUERS)
def test_claims_that_a_user_writes_name_no_tenant_and_no_space(deploy: Deploy, name: str) -> None:
    issuer, backend = ISSUERS[name], deploy(name, "named")
    claims = written_by_the_user(issuer)
    user = caller(backend, issuer, claims)
    try:
        user.made()
        assert len(backend.stored(user.caller, issuer.tenant)) == 1
        assert backend.stored(user.caller, ATTACKED["tenant"]) == []
    finally:
        forget(user.caller)
    assert is_problem(caller(backend, issuer, claims, ATTACKED["space"]).page(), 403, "forbidden")
    without: dict[str, Any] = {**claims, issuer.parameters["TenantClaim"]: None}
    assert is_problem(caller(backend, issuer, without).page(), 403, "no-tenant")


@pytest.mark.parametrize("name", ISSUERS)
def test_the_configured_claim_lists_the_spaces(deploy: Deploy, name: str) -> None:
    issuer, backend = ISSUERS[name], deploy(name, "named")
    spaces = issuer.user[issuer.parameters["SpacesClaim"]]
    for space in spaces:
        assert caller(backend, issuer, issuer.user, space).page().status == 200
    assert is_problem(caller(backend, issuer, issuer.user, f"{spaces[0]}x").page(), 403, "forbidden")


@pytest.mark.parametrize("name", ISSUERS)
def test_tokens_for_another_audience_or_of_another_issuer_are_401(deploy: Deploy, name: str) -> None:
    issuer, backend = ISSUERS[name], deploy(name, "named")
    audience = "aud" if "aud" in issuer.user else "client_id"
    for wrong in ({audience: "another"}, {"iss": "https://issuer.example"}):
        for claims in (issuer.user, issuer.machine):
            assert caller(backend, issuer, {**claims, **wrong}).page().status == 401
