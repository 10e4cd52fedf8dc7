"""The commands for a deployed stack, against moto's CloudFormation and Cognito."""

import json
from collections.abc import Iterator

import boto3
import jwt
import pytest

from tools.stack import main

EMAIL = "alice@example.org"


@pytest.fixture(autouse=True)
def _stacks(aws: None) -> Iterator[None]:  # noqa: ARG001 - it must come first
    """A stack with a user pool of its own, and one without."""
    cognito, stacks = boto3.client("cognito-idp"), boto3.client("cloudformation")
    pool = cognito.create_user_pool(PoolName="x", UsernameAttributes=["email"])["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="x", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    own = {"ApiUrl": "https://api.example", "UserPoolId": pool, "UserPoolClientId": client}
    for name, values in (("tasks-dev", own), ("tasks-foreign", {"ApiUrl": "https://api.example"})):
        outputs = {key: {"Value": value} for key, value in values.items()}
        queue = {"Queue": {"Type": "AWS::SQS::Queue"}}
        stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": queue, "Outputs": outputs}))
    yield
    for name in ("tasks-dev", "tasks-foreign"):
        stacks.delete_stack(StackName=name)


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
    assert main(["token", "tasks-dev", EMAIL]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "NotAuthorizedException" in err


@pytest.mark.parametrize("command", ["user", "token"])
def test_a_stack_without_a_pool_says_so(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "x")
    assert main([command, "tasks-foreign", EMAIL]) == 1
    assert "no user pool of its own" in capsys.readouterr().err


def test_a_stack_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["url", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["url"], ["token", "tasks-dev"], ["token", "tasks-dev", ""], ["x", "y", "z"]]
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("Usage: ")
