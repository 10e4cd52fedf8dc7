"""`make run JWT_ISSUER=...` accepts the tokens of an OpenID Connect provider, as API Gateway does, and no others."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from jwt import PyJWKClientError

from local import issuers
from local.gateway import serve
from local.tokens import make_token, verify
from tests.api import TEMPLATE, Response, send
from tests.conftest import eventually, free_port
from tests.integration.test_make_run import make_run
from tests.issuer.conftest import AUDIENCE, machine_token, provider, user_tokens


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "log"


@pytest.fixture(scope="module")
def url(issuer: str, log: Path) -> Iterator[str]:
    port = free_port()
    with make_run(log, port, JWT_ISSUER=issuer, JWT_AUDIENCE=f"other,{AUDIENCE}", SERVICE_CALLERS="x,backend"):
        yield f"http://127.0.0.1:{port}"


def ask(url: str, token: str, user: str = "me", method: str = "GET") -> Response:
    body = b'{"title": "x"}' if method == "POST" else b""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Content-Length": str(len(body))}
    return send(url, method, f"/v1/users/{user}/tasks", body, headers)


def test_users_see_their_own_tasks(issuer: str, url: str) -> None:
    alice, bob = (user_tokens(issuer, user)["access_token"] for user in ("alice", "bob"))
    created = ask(url, alice, method="POST")
    assert created.status == 201
    assert ask(url, alice).json["items"] == ask(url, alice, "alice").json["items"] == [created.json]
    assert ask(url, bob).json["items"] == []
    assert ask(url, bob, "alice").status == 403


def test_only_named_services_act_for_users(issuer: str, url: str) -> None:
    assert ask(url, machine_token(issuer), "carol", "POST").status == 201
    assert len(ask(url, user_tokens(issuer, "carol")["access_token"]).json["items"]) == 1
    for token in (
        machine_token(issuer, "stranger"),
        user_tokens(issuer, "carol", "openid tasks/service")["access_token"],
    ):
        refused = ask(url, token, "carol")
        assert (refused.status, refused.json["type"]) == (403, "urn:problem:tasks:unnamed-service")


def unsigned(token: str) -> str:
    """The token without a signature, as `alg: none` allows."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


@pytest.mark.parametrize(
    "make",
    [
        *(
            pytest.param(lambda issuer, one=one: machine_token(issuer, resource=one), id=one)
            for one in ("urn:expired", "urn:other-audience", "urn:other-issuer", "urn:es256", "urn:rs512")
        ),
        pytest.param(lambda issuer: unsigned(machine_token(issuer)), id="alg none"),
        pytest.param(lambda issuer: user_tokens(issuer, "alice")["id_token"], id="an ID token"),
        pytest.param(lambda _: make_token("alice"), id="a token of make token"),
        pytest.param(lambda issuer: make_token("alice", iss=issuer, aud=AUDIENCE), id="signed by make token"),
        pytest.param(lambda _: "x", id="no JWT"),
    ],
)
def test_other_tokens_are_unauthorized(issuer: str, url: str, make: Callable[[str], str]) -> None:
    assert ask(url, machine_token(issuer)).status == 200
    refused = ask(url, make(issuer))
    assert (refused.status, refused.json) == (401, {"message": "Unauthorized"})
    assert refused.headers["www-authenticate"] == "Bearer"


def test_keys_may_rotate(issuer: str, url: str) -> None:
    def accepted(token: str) -> Any:
        return ask(url, token).status == 200 or None

    def rotate(how: str) -> None:
        requests.post(f"{issuer}/rotate/{how}", timeout=10).raise_for_status()

    first = machine_token(issuer)
    assert accepted(first)
    rotate("keep")
    second = machine_token(issuer)
    eventually(lambda: accepted(second))
    assert accepted(first)
    rotate("drop")
    rotate("keep")
    third = machine_token(issuer)
    eventually(lambda: accepted(third))  # so the keys were read again, and the first one is gone
    assert [ask(url, one).status for one in (first, second, third)] == [401, 200, 200]


def test_the_texts_promise_no_token_that_does_not_work(issuer: str, url: str, log: Path) -> None:
    page = requests.get(f"{url}/docs", timeout=10).text
    welcome = log.read_text()
    for text in (page, welcome):
        assert f"token of {issuer}" in text
    assert "make -s token" not in welcome
    assert "preauthorizeApiKey('Jwt'" not in page


def test_a_provider_that_is_down_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    template = replace(TEMPLATE, issuer=issuer, audiences=(AUDIENCE,))
    with serve(template, {}) as url:
        refused = ask(url, make_token("alice", iss=issuer))
    assert (refused.status, refused.json) == (401, {"message": "Unauthorized"})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"The keys of the issuer cannot be read from {issuer}/.well-known/openid-configuration")
    with provider(PORT=str(port)):
        token = machine_token(issuer)
        assert verify(token, template)["sub"] == "backend"
    assert verify(token, template)["sub"] == "backend"  # the keys are known
    assert capsys.readouterr().err == ""


class Counted(issuers.Keys):
    reads = 0

    def fetch_data(self) -> Any:
        self.reads += 1
        return super().fetch_data()


def test_invented_key_ids_are_no_flood_of_requests(issuer: str) -> None:
    keys = Counted(issuer)
    for number in range(100):
        with pytest.raises(PyJWKClientError):
            keys.get_signing_key(str(number))
    assert keys.reads <= 2  # the second one on a slow machine
