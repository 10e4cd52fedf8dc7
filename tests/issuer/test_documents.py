"""The code of docs/sign-in.md for a backend, and `ops.stack token --machine`, with an OpenID Connect provider."""

import json
import time
from typing import Any

import boto3
import jwt
import pytest
import requests

from ops.stack import main
from tests.conftest import forget
from tests.issuer.conftest import endpoint, provider, served
from tests.markdown import code


def test_the_backend_keeps_its_token_until_it_expires(
    issuer: str, moto_url: str, user: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = endpoint(issuer, "token")
    with served(issuer, moto_url) as api:
        settings = {
            "API_URL": api,
            "TOKEN_URL": url,
            "CLIENT_ID": "backend",
            "CLIENT_SECRET": "secret",
            "USER_ID": user,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        program: dict[str, Any] = {}
        exec(code("docs/sign-in.md", "python"), program)  # noqa: S102 - it is ours
    assert "'items': []" in capsys.readouterr().out
    first = program["service_token"]()
    assert program["service_token"]() == first
    an_hour, now = 3600, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + an_hour - 30)  # tokens are valid for an hour
    assert program["service_token"]() != first
    monkeypatch.setenv("CLIENT_SECRET", "wrong")
    monkeypatch.setattr(time, "monotonic", lambda: now() + 2 * an_hour)
    with pytest.raises(requests.HTTPError, match="401"):
        program["service_token"]()
    forget(user)


def test_ops_stack_prints_a_service_token(
    moto_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    cognito, stacks = boto3.client("cognito-idp"), boto3.client("cloudformation")
    pool = cognito.create_user_pool(PoolName="x")["UserPool"]["Id"]
    machine = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="x", GenerateSecret=True, AllowedOAuthScopes=["tasks/service"]
    )["UserPoolClient"]
    client, secret = machine["ClientId"], machine["ClientSecret"]
    queue = {"Queue": {"Type": "AWS::SQS::Queue"}}
    with provider(BACKEND=client, SECRET=secret) as issuer:
        named = {
            "ApiUrl": "x",
            "TableName": "x",
            "UserPoolId": pool,
            "MachineClientId": client,
            "MachineTokenUrl": endpoint(issuer, "token"),
        }
        outputs = {name: {"Value": value} for name, value in named.items()}
        stacks.create_stack(StackName="services", TemplateBody=json.dumps({"Resources": queue, "Outputs": outputs}))
        assert main(["token", "services", "--machine"]) == 0
        out, err = capsys.readouterr()
    assert err == ""
    claims = jwt.decode(out.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["scope"]) == (client, "tasks/service")
    with provider() as other:  # which does not know this client
        outputs["MachineTokenUrl"] = {"Value": endpoint(other, "token")}
        stacks.update_stack(StackName="services", TemplateBody=json.dumps({"Resources": queue, "Outputs": outputs}))
        assert main(["token", "services", "--machine"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
    assert "gave no token: 401" in line
    assert secret not in line
    stacks.delete_stack(StackName="services")
