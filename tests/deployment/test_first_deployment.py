"""Mistakes at a first deployment are rejected before anything is created, or leave nothing behind."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from local import template
from ops import adopt, stack
from tests.conftest import ROOT

READ = template.read(ROOT / "template.yaml")
ISSUER = {"JwtIssuer": "https://issuer.example/"}


# The functions of CloudFormation's rules and conditions that the template uses.
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "Fn::Not": lambda one: not one,
    "Fn::And": lambda *several: all(several),
    "Fn::Or": lambda *several: any(several),
    "Fn::Select": lambda index, several: several[index],
    "Fn::Equals": lambda one, other: one == other,
    "Fn::Contains": lambda several, one: one in several,
    "Fn::EachMemberEquals": lambda several, one: all(member == one for member in several),
}


def value(expression: Any, values: Mapping[str, Any]) -> Any:
    """Evaluate a rule or condition for these values of parameters."""
    if not isinstance(expression, dict):
        return expression
    ((name, argument),) = expression.items()
    if name == "Ref":
        return values[argument]
    if name == "Condition":
        return value(READ["Conditions"][argument], values)
    return FUNCTIONS[name](*(value(one, values) for one in argument))


def refused(region: str = "eu-central-1", **parameters: Any) -> list[str]:
    """The beginnings of the errors of CloudFormation for these parameters."""
    defaults = {name: parameter["Default"] for name, parameter in READ["Parameters"].items()}
    values = {"AWS::Region": region, **defaults, **parameters}
    return [
        assertion["AssertDescription"].partition(".")[0]
        for rule in READ["Rules"].values()
        if value(rule["RuleCondition"], values)
        for assertion in rule["Assertions"]
        if not value(assertion["Assert"], values)
    ]


@pytest.mark.parametrize(
    ("parameters", "refusals"),
    [
        ({}, []),
        ({**ISSUER, "JwtAudience": ["tasks"]}, []),
        # CloudFormation reads an empty list as one empty string; ministack as an empty list.
        ({**ISSUER, "JwtAudience": [""]}, ["JwtIssuer needs a JwtAudience"]),
        ({**ISSUER, "JwtAudience": []}, ["JwtIssuer needs a JwtAudience"]),
        (
            {**ISSUER, "JwtAudience": ["tasks"], "MachineClient": "yes"},
            ["MachineClient needs the user pool of the stack, which does not exist with JwtIssuer"],
        ),
        ({"SignInUrls": ["https://app.example/callback"], "SelfSignUp": "yes"}, []),
        (
            {**ISSUER, "JwtAudience": ["tasks"], "SignInUrls": ["https://app.example/callback"]},
            ["SignInUrls needs the user pool of the stack, which does not exist with JwtIssuer"],
        ),
        ({"SelfSignUp": "yes", "SignInUrls": [""]}, ["SelfSignUp needs SignInUrls"]),
        ({"SelfSignUp": "yes", **ISSUER, "JwtAudience": ["tasks"]}, ["SelfSignUp needs SignInUrls"]),
        ({"MachineClient": "yes", "ServiceScope": ""}, ["MachineClient needs a ServiceScope"]),
        ({"region": "cn-north-1"}, ["The regions in China have no Cognito user pools"]),
        ({"region": "cn-northwest-1", **ISSUER, "JwtAudience": ["tasks"]}, []),
        ({"WebhookUrl": "https://hook.example"}, ["WebhookUrl needs Events=yes", "WebhookUrl needs a WebhookSecret"]),
    ],
)
def test_incompatible_parameters_are_rejected(parameters: dict[str, Any], refusals: list[str]) -> None:
    assert refused(**parameters) == refusals


def test_an_api_with_an_unreachable_issuer_is_not_deployed(translated: dict[str, Any]) -> None:
    (api,) = (one for one in translated["Resources"].values() if one["Type"] == "AWS::ApiGatewayV2::Api")
    assert api["Properties"]["FailOnWarnings"] is True


def test_stacks_do_not_share_artifacts() -> None:
    """`sam delete` removes everything below the prefix."""
    for part in tomllib.loads((ROOT / "samconfig.toml").read_text()).values():
        if isinstance(part, dict):
            assert part["deploy"]["parameters"]["s3_prefix"] == part["global"]["parameters"]["stack_name"]


@pytest.mark.parametrize(
    "scope", ["tasks/service", "tasks:service", "Tasks.Service", "https://api.example/.default", ""]
)
def test_the_service_scope_is_any_scope_of_oauth(scope: str) -> None:
    assert re.fullmatch(READ["Parameters"]["ServiceScope"]["AllowedPattern"], scope)


@pytest.mark.parametrize("scope", ["two scopes", 'a"b', "a\\b", "ä"])
def test_the_service_scope_is_one_scope(scope: str) -> None:
    assert not re.fullmatch(READ["Parameters"]["ServiceScope"]["AllowedPattern"], scope)


@pytest.mark.parametrize("output", ["MachineTokenUrl", "SignInUrl"])
@pytest.mark.parametrize(("partition", "host"), [("aws", "auth"), ("aws-us-gov", "auth-fips")])
def test_the_urls_of_the_domain_are_those_of_the_partition(output: str, partition: str, host: str) -> None:
    text, names = READ["Outputs"][output]["Value"]["Fn::Sub"]
    condition, one, other = names["Auth"]["Fn::If"]
    assert (one if value({"Condition": condition}, {"AWS::Partition": partition}) else other) == host
    assert text.startswith("https://${UserPoolDomain}.${Auth}.${AWS::Region}.amazoncognito.com")


def cognito(**parameters: Any) -> dict[str, Any]:
    """The properties of the resources of Cognito for these parameters, with conditions evaluated."""
    values = {name: parameter["Default"] for name, parameter in READ["Parameters"].items()} | parameters
    values["SignInUrls"] = parameters.get("SignInUrls", [""])

    def chosen(node: Any) -> Any:
        match node:
            case {"Fn::If": [condition, yes, no]}:
                return chosen(yes if value({"Condition": condition}, values) else no)
            case dict():
                inner = {name: chosen(one) for name, one in node.items()}
                return {name: one for name, one in inner.items() if one != {"Ref": "AWS::NoValue"}}
        return node

    return {
        name: chosen(one["Properties"])
        for name, one in READ["Resources"].items()
        if one["Type"].startswith("AWS::Cognito") and value({"Condition": one["Condition"]}, values)
    }


def test_without_sign_in_the_pool_has_no_pages_and_no_sign_up() -> None:
    pool = cognito()
    assert set(pool) == {"UserPool", "UserPoolClient"}
    assert pool["UserPool"]["UserPoolTier"] == "LITE"
    assert pool["UserPool"]["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert not [name for name in pool["UserPoolClient"] if re.search("OAuth|URL|Providers", name)]
    machines = cognito(MachineClient="yes")
    assert {name: machines[name] for name in pool} == pool
    assert machines["UserPoolDomain"]["ManagedLoginVersion"] == 1


def test_sign_in_adds_pages_for_a_public_client_with_codes_only() -> None:
    urls = ["https://app.example/callback", "com.example.app://callback"]
    pool = cognito(SignInUrls=urls)
    assert set(pool) == {"UserPool", "UserPoolClient", "UserPoolPages", "UserPoolDomain"}
    assert pool["UserPool"]["UserPoolTier"] == "ESSENTIALS"
    assert pool["UserPool"]["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert pool["UserPoolDomain"]["ManagedLoginVersion"] == 2
    assert pool["UserPoolPages"] == {
        "UserPoolId": {"Ref": "UserPool"}, "ClientId": {"Ref": "UserPoolClient"}, "UseCognitoProvidedValues": True
    }  # fmt: skip
    client = pool["UserPoolClient"]
    assert "GenerateSecret" not in client
    assert client["AllowedOAuthFlowsUserPoolClient"] is True
    assert client["AllowedOAuthFlows"] == ["code"]
    assert client["AllowedOAuthScopes"] == ["openid", "email", "profile"]  # not the service scope
    assert client["CallbackURLs"] == client["LogoutURLs"] == {"Ref": "SignInUrls"}
    both = cognito(SignInUrls=urls, MachineClient="yes", SelfSignUp="yes")
    assert {"UserPoolMachineClient", "UserPoolScopes", *pool} == set(both)
    assert both["UserPool"]["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": False}
    assert both["UserPool"]["AutoVerifiedAttributes"] == ["email"]
    assert cognito(JwtIssuer="https://issuer.example/", SignInUrls=urls) == {}


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("", True),
        ("https://app.example/callback", True),
        ("http://localhost:3000/callback", True),
        ("http://127.0.0.1/", True),
        ("com.example.app:/callback", True),
        ("com.example.app://callback", True),
        ("http://app.example/callback", False),
        ("http://localhost.example/callback", False),
        ("http://localhost@app.example/", False),
        ("https://app.example/callback#part", False),
        ("javascript:alert(1)", False),
        ("app.example/callback", False),
    ],
)
def test_the_urls_for_signing_in_are_safe(url: str, accepted: bool) -> None:
    # CloudFormation matches each member of a list.
    assert bool(re.fullmatch(READ["Parameters"]["SignInUrls"]["AllowedPattern"], url)) is accepted


def test_the_domain_of_the_user_pool_is_valid_for_any_stack_name() -> None:
    text, names = READ["Resources"]["UserPoolDomain"]["Properties"]["Domain"]["Fn::Sub"]
    arn = "arn:aws:cloudformation:eu-central-1:123456789012:stack/My-AWS-Tasks/d0d59e70-0000-11f0-a5c5-0a1b2c3d4e5f"
    selected, (separator, of) = names["Id"]["Fn::Select"][0], names["Id"]["Fn::Select"][1]["Fn::Split"]
    assert of == {"Ref": "AWS::StackId"}
    domain = text.replace("${Id}", arn.split(separator)[selected])
    # The pattern and the reserved words of Cognito's CreateUserPoolDomain.
    assert re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", domain)
    assert not re.search("aws|amazon|cognito", domain)


class Cognito:
    """Refuses a weak password, as Cognito does where a user is created with it. moto would accept it."""

    def admin_create_user(self, **arguments: Any) -> None:
        response = {"Error": {"Code": "InvalidPasswordException", "Message": arguments["TemporaryPassword"]}}
        raise ClientError(response, "AdminCreateUser")  # type: ignore[arg-type]


def test_a_rejected_password_leaves_no_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "outputs", lambda _: {"UserPoolId": "pool"})
    monkeypatch.setattr(boto3, "client", lambda *_, **__: Cognito())
    monkeypatch.setenv("PASSWORD", "short")
    assert stack.main(["user", "tasks-dev", "you@example.org"]) == 2
    assert "InvalidPasswordException" in capsys.readouterr().err


def test_a_new_stack_adopts_the_resources_of_a_deleted_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    client = boto3.client("cloudformation", region_name="eu-central-1")
    monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
    with Stubber(client) as responses:
        names = {"StackName": "tasks-dev", "ChangeSetName": "adopt"}
        imports = [
            ("AWS::DynamoDB::Table", "TaskTable", {"TableName": "tasks-dev-TaskTable-1"}),
            ("AWS::Cognito::UserPool", "UserPool", {"UserPoolId": "eu-central-1_x"}),
        ]
        wanted = {
            **names,
            "ChangeSetType": "IMPORT",
            "TemplateBody": ANY,
            "ResourcesToImport": [
                dict(zip(("ResourceType", "LogicalResourceId", "ResourceIdentifier"), one, strict=True))
                for one in imports
            ],
        }
        responses.add_response("create_change_set", {}, wanted)
        responses.add_response("describe_change_set", {"Status": "CREATE_COMPLETE"}, names)
        responses.add_response("execute_change_set", {}, names)
        done: Any = {"StackName": "tasks-dev", "StackStatus": "IMPORT_COMPLETE", "CreationTime": datetime.now(UTC)}
        responses.add_response("describe_stacks", {"Stacks": [done]}, {"StackName": "tasks-dev"})
        arguments = ["tasks-dev", "--table", "tasks-dev-TaskTable-1", "--pool", "eu-central-1_x"]
        assert adopt.main(arguments) == 0
        responses.assert_no_pending_responses()
        responses.add_client_error("create_change_set", "ValidationError", "is already managed by stack")
        assert adopt.main(arguments) == 2
    assert "already managed" in capsys.readouterr().err
    # The linter finds references to missing resources.
    file = tmp_path / "template.json"
    file.write_text(json.dumps(adopt.reduced(["TaskTable", "UserPool"])))
    cfn_lint: list[str | Path] = [
        ROOT / ".build" / "sam" / "bin" / "cfn-lint",
        "--ignore-checks",
        "W2001",
        "W8001",
        "--",
        file,
    ]
    linted = subprocess.run(cfn_lint, capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")
