"""The template translated by SAM: assertions on the parts that moto does not support."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from local import template
from shared.store.task_store import SYNC_OVERLAP
from tests.conftest import ROOT
from tests.deployment.conftest import FUNCTIONS, OPERATIONS, Translate, of_type, sam


def test_the_template_is_read_as_sam_reads_it() -> None:
    assert template.read(ROOT / "template.yaml") == sam("read", str(ROOT / "template.yaml"))


def test_the_included_files_of_the_template_are_linted(tmp_path: Path) -> None:
    """`make validate` does not read the included files."""
    whole = tmp_path / "template.json"
    whole.write_text(json.dumps(sam("included", str(ROOT / "template.yaml"))))
    linted = subprocess.run(
        [ROOT / ".build" / "sam" / "bin" / "cfn-lint", "--regions", "eu-central-1", "--", whole],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.usefixtures("aws")
def test_a_deployment_uploads_the_included_files(tmp_path: Path) -> None:
    dashboard = template.read(ROOT / "template.yaml")["Resources"]["Dashboard"]
    alone = {"Transform": "AWS::Serverless-2016-10-31", "Resources": {"Dashboard": dashboard}}
    (tmp_path / "template.yaml").write_text(json.dumps(alone))
    shutil.copy(ROOT / "dashboard.yaml", tmp_path)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="includes", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    command = [str(ROOT / ".build" / "sam" / "bin" / "sam"), "package", "--s3-bucket", "includes", "--use-json"]
    packaged = subprocess.run(
        [*command, "--template-file", "template.yaml", "--output-template-file", "packaged"],
        cwd=tmp_path,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert packaged.returncode == 0, packaged.stderr
    body = json.loads((tmp_path / "packaged").read_text())["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    # CloudFormation documents no other key of Fn::Transform.
    assert set(body["Fn::Transform"]) == {"Name", "Parameters"}
    bucket, _, key = body["Fn::Transform"]["Parameters"]["Location"].removeprefix("s3://").partition("/")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == (ROOT / "dashboard.yaml").read_bytes()


def test_every_function_runs_the_same_way(translated: dict[str, Any]) -> None:
    functions = of_type(translated, "AWS::Lambda::Function")
    assert set(functions) == set(FUNCTIONS)
    for name, function in functions.items():
        properties = function["Properties"]
        operation = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        assert properties["Handler"] == f"functions.{operation}.app.handler"
        assert (ROOT / "functions" / operation / "app.py").exists()
        assert properties["Runtime"] == "python3.13"
        assert properties["Architectures"] == [{"Ref": "Architecture"}] or properties["Architectures"] == ["arm64"]
        assert properties["TracingConfig"] == {"Mode": "Active"}
        assert properties["LoggingConfig"]["LogGroup"] == {"Ref": "FunctionLogs"}
        assert properties["Timeout"] < 30
        assert properties["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}


@pytest.mark.parametrize(("parameter", "applies"), [("no", "None"), ("yes", "PublishedVersions")])
def test_a_parameter_switches_snapstart(parameter: str, applies: str, translate: Translate) -> None:
    translated = translate(SnapStart=parameter)
    assert translated["Conditions"]["WithSnapStart"] == {"Fn::Equals": [{"Ref": "SnapStart"}, "yes"]}
    for function in of_type(translated, "AWS::Lambda::Function").values():
        kind, (condition, *choices) = next(iter(function["Properties"]["SnapStart"]["ApplyOn"].items()))
        assert (kind, condition) == ("Fn::If", "WithSnapStart")
        assert choices[parameter == "no"] == applies


def test_every_route_except_the_contract_needs_a_token(translated: dict[str, Any]) -> None:
    (api,) = of_type(translated, "AWS::ApiGatewayV2::Api").values()
    body = api["Properties"]["Body"]
    operations = [
        (path, operation)
        for path, methods in body["paths"].items()
        for method, operation in methods.items()
        if method in {"get", "head", "put", "post", "patch", "delete"}
    ]
    assert len(operations) == len(OPERATIONS) + sum("get" in methods for methods in body["paths"].values())
    assert all(("get" in methods) is ("head" in methods) for methods in body["paths"].values())
    for path, operation in operations:
        assert operation.get("security") == ([{"NONE": []}] if path == "/v1/openapi.json" else [{"Jwt": []}])
    (scheme,) = body["components"]["securitySchemes"].values()
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert (authorizer["type"], authorizer["identitySource"]) == ("jwt", "$request.header.Authorization")


def test_no_write_is_too_late_for_sync(translated: dict[str, Any]) -> None:
    """The guarantee of sync: clocks within 2 s, and no request applied more than 5 s after the end of its function."""
    late, skew = 5_000, 2_000
    for function in of_type(translated, "AWS::Lambda::Function").values():
        assert function["Properties"]["Timeout"] * 1000 + late + skew < SYNC_OVERLAP


def test_the_stage_is_throttled_and_logs_json_without_users(translated: dict[str, Any]) -> None:
    (stage,) = of_type(translated, "AWS::ApiGatewayV2::Stage").values()
    properties = stage["Properties"]
    assert (properties["StageName"], properties["AutoDeploy"]) == ("$default", True)
    assert set(properties["DefaultRouteSettings"]) >= {"ThrottlingRateLimit", "ThrottlingBurstLimit"}
    line = json.loads(properties["AccessLogSettings"]["Format"])
    assert {"requestId", "route", "status", "latency", "sourceIp"} <= set(line)
    assert not re.search(r"claims|authorizer\.sub|context\.path|\$context\.http", json.dumps(line))


def test_events_are_read_from_the_start_of_the_stream_and_failures_are_kept(translated: dict[str, Any]) -> None:
    (mapping,) = of_type(translated, "AWS::Lambda::EventSourceMapping").values()
    properties = mapping["Properties"]
    assert properties["EventSourceArn"] == {"Fn::GetAtt": ["TaskTable", "StreamArn"]}
    assert translated["Resources"]["TaskTable"]["Properties"]["StreamSpecification"] == {
        "StreamViewType": "NEW_AND_OLD_IMAGES"
    }
    assert properties["StartingPosition"] == "TRIM_HORIZON"
    assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert properties["BisectBatchOnFunctionError"] is True
    # Less than the 24 hours for which a stream keeps a record.
    assert properties["MaximumRecordAgeInSeconds"] < 24 * 3600
    failed = {"Fn::GetAtt": ["UnpublishedEvents", "Arn"]}
    assert properties["DestinationConfig"]["OnFailure"]["Destination"] == failed


def test_by_default_no_resource_of_events_is_deployed(translated: dict[str, Any]) -> None:
    assert translated["Parameters"]["Events"]["Default"] == "no"
    assert translated["Conditions"]["WithEvents"] == {"Fn::Equals": [{"Ref": "Events"}, "yes"]}
    kinds = ("AWS::Events::", "AWS::SQS::", "AWS::Lambda::EventSourceMapping")
    parts = {name: one for name, one in translated["Resources"].items() if one["Type"].startswith(kinds)}
    of_function = {name: one for name, one in translated["Resources"].items() if name.startswith("PublishEvents")}
    assert len(parts) == 9
    assert len(of_function) >= 5  # with its role, version, alias, deployment group and mapping
    for name, one in {**parts, **of_function}.items():
        assert one.get("Condition") == ("WithWebhook" if name.startswith(("Webhook", "Undel")) else "WithEvents"), name


def test_the_webhook_uses_secrets_manager_and_keeps_undelivered_events(
    translated: dict[str, Any],
) -> None:
    resources = translated["Resources"]
    key = resources["WebhookConnection"]["Properties"]["AuthParameters"]["ApiKeyAuthParameters"]["ApiKeyValue"]
    assert key == {"Fn::Sub": "{{resolve:secretsmanager:${WebhookSecret}:SecretString}}"}
    (target,) = resources["WebhookRule"]["Properties"]["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["UndeliveredEvents", "Arn"]}}
    (statement,) = resources["UndeliveredEventsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["WebhookRule", "Arn"]}}}
    assert translated["Rules"]["WebhookWithEvents"]["RuleCondition"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "WebhookUrl"}, ""]}]
    }


def test_without_an_issuer_there_is_a_user_pool_and_with_one_there_is_none(translated: dict[str, Any]) -> None:
    assert translated["Conditions"]["OwnUserPool"] == {"Fn::Equals": [{"Ref": "JwtIssuer"}, ""]}
    cognito = [one for one in translated["Resources"].values() if one["Type"].startswith("AWS::Cognito")]
    assert {one["Type"].rpartition("::")[2]: one["Condition"] for one in cognito} == {
        "UserPool": "OwnUserPool",
        "UserPoolClient": "WithMachineClient",  # the last of two
        "UserPoolResourceServer": "WithMachineClient",
        "UserPoolDomain": "WithUserPoolDomain",
        "ManagedLoginBranding": "WithSignIn",
    }
    pool = translated["Resources"]["UserPool"]["Properties"]
    assert pool["Policies"]["PasswordPolicy"]["MinimumLength"] >= 12


def test_the_machine_client_gets_the_service_scope_only_by_client_credentials(translated: dict[str, Any]) -> None:
    machine = translated["Resources"]["UserPoolMachineClient"]["Properties"]
    assert machine["AllowedOAuthFlows"] == ["client_credentials"]
    assert machine["AllowedOAuthScopes"] == [{"Ref": "ServiceScope"}]
    assert machine["GenerateSecret"] is True
    people = translated["Resources"]["UserPoolClient"]["Properties"]
    assert "ALLOW_USER_PASSWORD_AUTH" not in people["ExplicitAuthFlows"]


def test_the_table_expires_items_and_can_be_restored(translated: dict[str, Any]) -> None:
    table = translated["Resources"]["TaskTable"]["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize("name", ["TaskTable", "UserPool"])
def test_the_data_of_users_is_retained_without_the_stack(translated: dict[str, Any], name: str) -> None:
    resource = translated["Resources"][name]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_every_parameter_is_described_and_bounded(translated: dict[str, Any]) -> None:
    parameters = translated["Parameters"]
    assert len(parameters) <= 40
    for name, parameter in parameters.items():
        assert parameter["Description"].endswith("."), name
        assert "Default" in parameter, name
        bounded = {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter)
        assert bounded or parameter["Type"] == "CommaDelimitedList", name


def test_every_parameter_is_documented() -> None:
    documented = (ROOT / "docs" / "settings.md").read_text()
    parameters = re.findall(
        r"^  (\w+):\n    Type: (?:String|Number|CommaDelimitedList)", (ROOT / "template.yaml").read_text(), re.MULTILINE
    )
    assert parameters
    assert not [name for name in parameters if f"| `{name}` |" not in documented]


@pytest.mark.parametrize("scope", ["tasks/service", "https-api/act.for_all", ""])
@pytest.mark.parametrize(
    "issuer", ["https://cognito-idp.eu-central-1.amazonaws.com/x", "https://example.eu.auth0.com/", ""]
)
def test_good_parameters(translated: dict[str, Any], issuer: str, scope: str) -> None:
    parameters = translated["Parameters"]
    assert re.fullmatch(parameters["JwtIssuer"]["AllowedPattern"], issuer)
    assert re.fullmatch(parameters["ServiceScope"]["AllowedPattern"], scope)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("JwtIssuer", "example.org"), ("JwtIssuer", "http://x"), ("ServiceScope", "a b"), ("Release", "x")),
        *(("AlarmTopic", "alarms"), ("TableKey", "alias/mine")),
        *(("WebhookUrl", "http://x"), ("WebhookSecret", "mine"), ("WebhookHeader", "X: y")),
    ],
)
def test_bad_parameters(translated: dict[str, Any], name: str, value: str) -> None:
    assert not re.fullmatch(translated["Parameters"][name]["AllowedPattern"], value)


def test_prod_and_dev_are_separate_stacks() -> None:
    samconfig = (ROOT / "samconfig.toml").read_text()
    assert len(set(re.findall(r'stack_name = "(.+)"', samconfig))) == 2


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_architecture_is_a_parameter(translate: Translate, architecture: str) -> None:
    functions = of_type(translate(Architecture=architecture), "AWS::Lambda::Function")
    assert {json.dumps(one["Properties"]["Architectures"]) for one in functions.values()} <= {
        json.dumps([architecture]),
        json.dumps([{"Ref": "Architecture"}]),
    }
