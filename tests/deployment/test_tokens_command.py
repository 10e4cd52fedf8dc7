"""`python -m ops.tokens` says what is wrong with a token, against the local gateway and against servers of no use."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import jwt
import pytest

from local.tokens import PARAMETERS, SERVICE, make_token
from ops import tokens
from tests.api import serving
from tests.issuers import ISSUERS

TENANT, SPACES = "tenant", "spaces"
SCOPE = "tasks/service"
GIVEN = {**PARAMETERS, "TenantClaim": TENANT, "SpacesClaim": SPACES}
GOOD: dict[str, Any] = {TENANT: "acme", SPACES: ["household"]}

type Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def url(moto_url: str) -> Iterator[str]:
    with serving(moto_url, moto_url, TENANT_CLAIM=TENANT, SPACES_CLAIM=SPACES) as backend:
        yield backend.url


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command, and return its exit code and its output. No token may be in the output."""

    def run(
        user: str | None = None, service: str | None = None, at: str = "", given: dict[str, str] | None = None
    ) -> tuple[int, str]:
        for name, token in (("USER_TOKEN", user), ("SERVICE_TOKEN", service)):
            monkeypatch.setenv(name, token or "")
        named = [f"{name}={value}" for name, value in (GIVEN if given is None else given).items()]
        code = tokens.main(["--url", at or url, "--parameters", *named])
        out, err = capsys.readouterr()
        assert not any(token in out + err for token in (user, service) if token and len(token) > 20)
        return code, out + err

    return run


def user_token(**claims: Any) -> str:
    return make_token("alice", **{**GOOD, **claims})


def service_token(subject: str = SERVICE, **claims: Any) -> str:
    return make_token(subject, **{"scope": SCOPE, **GOOD, **claims})


def test_good_tokens(run: Run) -> None:
    code, out = run(user_token(), service_token())
    assert code == 0, out
    assert out.count("as it must be") == 3
    assert "WRONG" not in out


def test_one_token_is_enough(run: Run) -> None:
    code, out = run(user_token())
    assert (code, out.count("as it must be")) == (0, 2)
    assert "SERVICE_TOKEN is not set" in out
    code, out = run(None, service_token())
    assert (code, out.count("as it must be")) == (0, 1)


def test_without_a_token_nothing_is_tried(run: Run) -> None:
    code, out = run()
    assert code == 2
    assert "Set USER_TOKEN" in out


def signed(algorithm: str, key: str) -> str:
    return jwt.encode({"sub": "alice", "iss": "https://tasks.local", "exp": 9_999_999_999}, key, algorithm)


# How to make the token, and what the command says.
WRONG_OF_A_USER: dict[str, tuple[Callable[[], str], str]] = {
    "opaque": (lambda: "e30x7WmUnF3rA8vQyLxP0opaque", "is not a JWT"),
    "encrypted": (lambda: "e30.e30.e30.e30.e30", "is not a JWT"),
    "no object": (lambda: "e30.WzFd.x", "is not a JWT"),
    "blanks": (lambda: "Bearer a b", "has blanks or other characters"),
    "not ASCII": (lambda: "caf\u00e9", "has blanks or other characters"),
    "HMAC": (lambda: signed("HS256", "x" * 32), "is signed with HS256"),
    "expired": (lambda: user_token(exp=1), "minutes ago"),
    "no exp": (lambda: user_token(exp=None), "has no exp"),
    "not yet": (lambda: user_token(nbf=9_999_999_999), "(nbf)"),
    "issuer": (lambda: user_token(iss="https://other.example"), "accepts only https://tasks.local (JwtIssuer)"),
    "slash": (lambda: user_token(iss="https://tasks.local/"), "only in the slash"),
    "audience": (lambda: user_token(aud=["a", "b"]), "has the aud [a b], and the deployment accepts only tasks-local"),
    "odd audience": (lambda: user_token(aud=[{"a": 1}]), "has the aud [map[a:1]]"),
    "client": (lambda: user_token(client_id="other"), "has the client_id other"),
    "no audience": (lambda: user_token(client_id=None), "has neither aud nor client_id"),
    "ID token": (lambda: user_token(token_use="id"), "is an ID token of Cognito"),  # noqa: S106 - not a secret
    "odd subject": (lambda: user_token(sub="\u0430lice"), "has the sub '\\u0430lice'. The subject"),
    "no subject": (lambda: user_token(sub=None), "has the sub None"),
    "no tenant": (lambda: user_token(tenant=None), "has no tenant: the claim `tenant` (TenantClaim) is missing"),
    "tenants": (lambda: user_token(tenant=["a"]), "has no tenant: the claim `tenant` (TenantClaim) is ['a']"),
    "tenant as an object": (lambda: user_token(tenant={"id": "a"}), "an object in the claim `tenant` (TenantClaim)"),
    "spaces as an object": (lambda: user_token(spaces={"a": 1}), "an object in the claim `spaces` (SpacesClaim)"),
    "spaces with blanks": (lambda: user_token(spaces=["a b", 5]), "not an id without blanks: 'a b', 5"),
    "the scope": (lambda: user_token(scope=f"openid {SCOPE}"), "Remove it, as in docs/issuers.md"),
}


@pytest.mark.parametrize("wrong", WRONG_OF_A_USER)
def test_a_wrong_token_of_a_user(run: Run, wrong: str) -> None:
    make, sentence = WRONG_OF_A_USER[wrong]
    code, out = run(make(), service_token())
    assert code == 1
    assert sentence in out
    assert "WRONG" in out
    # The token of the service is still tried.
    assert out.count("as it must be") >= 1


def test_null_is_named(run: Run) -> None:
    for claim in (TENANT, SPACES):
        claims = {**jwt.decode(user_token(), options={"verify_signature": False}), claim: None}
        code, out = run(jwt.encode(claims, "x" * 32, "HS256"))
        assert code == 1
        assert f"has null in the claim `{claim}`" in out


@pytest.mark.parametrize("name", ISSUERS)
def test_a_scope_that_an_issuer_gives_to_a_user_is_named_with_a_remedy(run: Run, name: str) -> None:
    issuer = ISSUERS[name]
    token = issuer.token({**issuer.user, **issuer.scope})
    _, out = run(token, issuer.token(issuer.machine), given={**issuer.parameters, "ServiceCallers": "x"})
    assert f"has the service scope {issuer.parameters['ServiceScope']}: this issuer gives it to users" in out
    assert any(f"unnamed-service. {advice}" in out for advice in tokens._REMOVE_SCOPE.values())
    assert f"PARAMETERS='ServiceCallers=x,{issuer.machine['sub']}'" in out
    assert "JwtIssuer" not in out
    assert "JwtAudience" not in out


def test_a_user_that_is_named_as_a_service(run: Run) -> None:
    code, out = run(make_token(SERVICE, **GOOD))
    assert code == 1
    assert "Remove the sub from ServiceCallers" in out


@pytest.mark.parametrize(
    ("token", "given", "sentence"),
    [
        (service_token("backend"), {}, f"PARAMETERS='ServiceCallers={SERVICE},backend'"),
        (service_token("backend"), {"ServiceCallers": ""}, "PARAMETERS='ServiceCallers=backend'"),
        (service_token("a,b"), {}, "a sub with a comma"),
        (
            service_token(scope="openid", roles=["x"]),
            {},
            f"not have the service scope {SCOPE}. It has scope: openid, roles: [x]",
        ),
        (service_token(scope=None), {}, "It has no scope, scp or roles"),
        (service_token(), {"ServiceScope": ""}, "no service scope (ServiceScope is empty)"),
    ],
    ids=["unnamed", "nobody is named", "comma", "other scopes", "no scope", "no service scope"],
)
def test_a_wrong_token_of_a_service(run: Run, token: str, given: dict[str, str], sentence: str) -> None:
    code, out = run(user_token(), token, given={**GIVEN, **given})
    assert code == 1
    assert sentence in out
    if "ServiceScope" not in given:
        assert "Reading the tasks of any user with the service's token: 403" in out


def test_without_parameters_the_answers_still_say_what_is_wrong(run: Run) -> None:
    code, out = run(user_token(scope=SCOPE), service_token("backend"), given={})
    assert code == 1
    assert out.count("403 unnamed-service instead of") == 3


def test_spaces_may_be_missing(run: Run) -> None:
    code, out = run(user_token(spaces=None))
    assert code == 0
    assert "so its caller has no spaces" in out


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server that gives each request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if status:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "code", "sentence"),
    [
        (200, b"<html>", 1, "200 without JSON of this API"),
        (200, b"[]", 1, "200 without JSON of this API"),
        (200, b"\xff", 1, "200 without JSON of this API"),
        (200, b"{}", 1, "200 without JSON of this API"),
        (204, b"", 1, "204 without JSON of this API"),
        (302, b"", 1, "302 without JSON of this API"),
        (404, b'{"message": "Not Found"}', 1, "404 instead of 200. Not Found"),
        (403, b'{"type": 5, "detail": ["x"]}', 1, "403 5 instead of 200. ['x']"),
        (429, b'{"message": "Too Many Requests"}', 2, "429. Too Many Requests Try again later."),
        (503, b"<html>", 2, "Try again later"),
        (0, b"", 2, "ConnectionError"),
    ],
)
def test_answers_that_are_of_no_use(run: Run, status: int, body: bytes, code: int, sentence: str) -> None:
    with answering(status, body, Location="http://127.0.0.1:1/") as other:
        seen, out = run(user_token(), at=other)
    assert sentence in out
    assert seen == code


def test_a_deployment_that_shows_a_user_the_tasks_of_others_is_dangerous(run: Run) -> None:
    with answering(200, json.dumps({"items": []}).encode()) as other:
        code, out = run(user_token(), at=other)
    assert code == 1
    assert "200 instead of 403 forbidden. DANGEROUS" in out


def test_a_401_shows_the_reason_of_api_gateway(run: Run) -> None:
    reason = 'Bearer scope="" error="invalid_token" error_description="the token has expired"'
    with answering(401, b'{"message":"Unauthorized"}', **{"WWW-Authenticate": reason}) as other:
        code, out = run(user_token(), at=other)
    assert code == 1
    assert "the token has expired" in out


def test_a_server_that_does_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "TIMEOUT", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, out = run(user_token(), at=f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert (code, "Timeout" in out) == (2, True)


def test_an_address_that_leads_nowhere(run: Run) -> None:
    code, out = run(user_token(), at="http://127.0.0.1:1")
    assert (code, "NOT TRIED" in out) == (2, True)


def deployed(name: str, outputs: dict[str, str], parameters: dict[str, str]) -> None:
    template = {
        "Parameters": {key: {"Type": "String"} for key in parameters},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    boto3.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )


@pytest.mark.usefixtures("aws")
def test_the_parameters_of_a_stack(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"UserPoolId": "eu-west-1_x", "UserPoolClientId": "web", "MachineClientId": "machine"}
    api = {"ApiUrl": url, "TableName": "tasks"}
    names = {"tasks-foreign": api, "tasks-own": {**api, **own}, "tasks-none": {"Other": "x"}}
    for name, outputs in names.items():
        deployed(name, outputs, {**GIVEN, **({"JwtIssuer": "", "ServiceCallers": "a"} if "own" in name else {})})
    try:
        monkeypatch.setenv("USER_TOKEN", user_token())
        monkeypatch.setenv("SERVICE_TOKEN", service_token())
        assert tokens.main(["--stack", "tasks-foreign"]) == 0
        capsys.readouterr()
        assert tokens.main(["--stack", "tasks-own"]) == 1
        out = capsys.readouterr().out
        assert "accepts only https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x (JwtIssuer)" in out
        assert "accepts only web, machine (JwtAudience)" in out
        assert f"PARAMETERS='ServiceCallers=machine,a,{SERVICE}'" in out
        for name in ("tasks-none", "nowhere"):
            assert tokens.main(["--stack", name]) == 2
            assert name in capsys.readouterr().err
    finally:
        for name in names:
            boto3.client("cloudformation").delete_stack(StackName=name)


@pytest.mark.parametrize(
    "arguments", [[], ["--url"], ["--url", "x", "--stack", "y"], ["--url", "x", "--parameters", "y"]]
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tokens.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")
