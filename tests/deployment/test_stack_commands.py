"""The commands for a deployed stack, against moto's CloudFormation and Cognito."""

import json
import re
from collections.abc import Iterator

import boto3
import jwt
import pytest
import requests

from local.tokens import make_token
from ops import smoke, stack
from ops.stack import main
from tests.api import serving

EMAIL = "alice@example.org"


@pytest.fixture(autouse=True)
def _stacks(aws: None) -> Iterator[None]:  # noqa: ARG001 - it must come first
    """A stack with its own user pool, and one without."""
    cognito, stacks = boto3.client("cognito-idp"), boto3.client("cloudformation")
    pool = cognito.create_user_pool(PoolName="x", UsernameAttributes=["email"])["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="x", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    foreign = {"ApiUrl": "https://api.example", "TableName": "tasks"}
    own = {**foreign, "UserPoolId": pool, "UserPoolClientId": client}
    machine = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="machine", GenerateSecret=True, AllowedOAuthScopes=["tasks/service"]
    )["UserPoolClient"]["ClientId"]
    # Nothing listens there.
    services = {**own, "MachineClientId": machine, "MachineTokenUrl": "http://127.0.0.1:1/oauth2/token"}
    for name, values in (("tasks-dev", own), ("tasks-services", services), ("tasks-foreign", foreign)):
        outputs = {key: {"Value": value} for key, value in values.items()}
        queue = {"Queue": {"Type": "AWS::SQS::Queue"}}
        stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": queue, "Outputs": outputs}))
    yield
    for name in ("tasks-dev", "tasks-services", "tasks-foreign"):
        stacks.delete_stack(StackName=name)


@pytest.fixture(scope="module")
def backend_url(moto_url: str) -> Iterator[str]:
    with serving(moto_url, moto_url) as backend:
        yield backend.url


def test_url(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["url", "tasks-dev"]) == 0
    assert capsys.readouterr().out == "https://api.example\n"


def test_a_user_that_was_added_gets_a_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "Correct-horse-1-battery")
    assert main(["user", "tasks-dev", EMAIL]) == 0
    assert capsys.readouterr().out == ""
    assert main(["token", "tasks-dev", EMAIL]) == 0
    token = capsys.readouterr().out.removesuffix("\n")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["token_use"], "sub" in claims) == ("access", True)

    monkeypatch.setenv("PASSWORD", "wrong")
    assert main(["token", "tasks-dev", EMAIL]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "NotAuthorizedException" in err


@pytest.mark.parametrize("command", ["user", "token", "e2e"])
def test_a_stack_without_a_user_pool_is_a_clear_error(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "x")
    assert main([command, "tasks-foreign", *([EMAIL] if command != "e2e" else [])]) == 2
    assert "has no user pool" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tasks-foreign", "has no user pool"),
        ("tasks-dev", "tasks-dev has no machine client: deploy it with MachineClient=yes."),
        ("tasks-services", "http://127.0.0.1:1/oauth2/token cannot be reached"),
    ],
)
def test_a_service_token_that_cannot_exist_is_one_line(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """tests/issuer/test_documents.py gets a token."""
    assert main(["token", name, "--machine"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert message in line


def test_e2e_runs_the_conformance_suite_with_two_temporary_users(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, backend_url: str
) -> None:
    cognito = boto3.client("cognito-idp")
    pool = stack.outputs("tasks-dev")["UserPoolId"]

    def token(name: str, email: str, password: str) -> str:
        assert real_token(name, email, password)  # the users can sign in
        assert len(cognito.list_users(UserPoolId=pool)["Users"]) == 2
        return make_token(email)

    real_token, real_outputs = stack.access_token, stack.outputs
    monkeypatch.setattr(stack, "access_token", token)
    monkeypatch.setattr(stack, "outputs", lambda name: {**real_outputs(name), "ApiUrl": backend_url})
    assert main(["e2e", "tasks-dev", "--only", "get"]) == 0
    assert re.search(r"\b[1-9]\d* passed, 0 FAILED, 0 not judged\.", capfd.readouterr().out)
    assert cognito.list_users(UserPoolId=pool)["Users"] == []

    monkeypatch.setattr(stack, "access_token", lambda *_: "x.y.z")
    assert main(["e2e", "tasks-dev"]) == 2
    assert "cannot create a task" in capfd.readouterr().err
    assert cognito.list_users(UserPoolId=pool)["Users"] == []


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, backend_url: str) -> str:
    """A backend in place of the stack tasks-dev, with its tokens."""
    real_outputs = stack.outputs
    monkeypatch.setattr(stack, "access_token", lambda _, email, __: make_token(email))
    monkeypatch.setattr(stack, "outputs", lambda name: {**real_outputs(name), "ApiUrl": backend_url})
    return backend_url


def test_a_working_deployment_passes_the_smoke_test(
    deployed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert smoke.main(["--stack", "tasks-dev"]) == 0
    assert capsys.readouterr().out == f"{deployed} serves.\n"
    assert boto3.client("cognito-idp").list_users(UserPoolId=stack.outputs("tasks-dev")["UserPoolId"])["Users"] == []
    assert smoke.main(["--url", deployed]) == 0
    assert "no task was created" in capsys.readouterr().out
    monkeypatch.setenv("TOKEN", make_token("alice"))
    assert smoke.main(["--url", deployed]) == 0
    assert capsys.readouterr().out == f"{deployed} serves.\n"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/openapi.json", 404, "GET /v1/openapi.json without a token returned 404 instead of 200"),
        ("/v1/users/me/tasks", 200, "GET /v1/users/me/tasks without a token returned 200 instead of 401"),
    ],
)
def test_a_deployment_without_routes_or_without_an_authorizer_fails_the_smoke_test(
    path: str, status: int, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(url: str, **_: object) -> requests.Response:
        response = requests.Response()
        response.status_code = status if url.endswith(path) else 401 if "users" in url else 200
        return response

    monkeypatch.setattr(requests, "get", get)
    assert smoke.main(["--url", "https://api.example"]) == 1
    assert message in capsys.readouterr().err


def test_a_deployment_that_cannot_write_fails_the_smoke_test(
    deployed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", make_token("alice", token_use="id"))  # noqa: S106 - not a secret
    assert smoke.main(["--url", deployed]) == 1
    assert "403" in capsys.readouterr().err


def test_an_unknown_stack_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["url", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["url"], ["x", "y", "z"]),
        *(["token", "tasks-dev"], ["token", "tasks-dev", ""], ["token", "tasks-dev", EMAIL, "--machine"]),
    ],
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")
