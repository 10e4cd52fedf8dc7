"""A release: when a version is published, how traffic shifts to it, who may deploy, and the settings of each one."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import template
from ops import release
from ops.command import CommandError
from tests.conftest import ROOT
from tests.deployment.conftest import FUNCTIONS, OPERATIONS, Translate, built, of_type, sam


def versions(translated: dict[str, Any]) -> dict[str, str]:
    """The logical id of the version of each function: a different id is a new version."""
    return {
        resource["Properties"]["FunctionName"]["Ref"]: name
        for name, resource in of_type(translated, "AWS::Lambda::Version").items()
    }


def test_the_api_calls_the_alias_of_the_newest_version(translated: dict[str, Any]) -> None:
    newest = versions(translated)
    assert set(newest) == set(FUNCTIONS)
    aliases = of_type(translated, "AWS::Lambda::Alias")
    for function, version in newest.items():
        alias = aliases[f"{function}Aliaslive"]
        assert alias["Properties"]["FunctionVersion"] == {"Fn::GetAtt": [version, "Version"]}
        assert alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"] == {
            "Ref": f"{function}DeploymentGroup"
        }
        # Old versions are kept for a rollback.
        assert translated["Resources"][version]["DeletionPolicy"] == "Retain"
    (api,) = of_type(translated, "AWS::ApiGatewayV2::Api").values()
    uris = re.findall(r"\$\{(\w+)\.Arn\}|'Ref': '(\w+Aliaslive)'|\$\{(\w+Aliaslive)\}", str(api["Properties"]["Body"]))
    # Lambda calls the alias of the function that publishes events.
    (mapping,) = of_type(translated, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["Properties"]["FunctionName"] == {"Ref": "PublishEventsAliaslive"}
    assert {name for found in uris for name in found if name} == {f"{name}Aliaslive" for name in OPERATIONS}


def test_code_properties_and_the_release_publish_versions(translate: Translate) -> None:
    before = versions(translate())
    assert versions(translate()) == before

    def all_differ(after: dict[str, str]) -> bool:
        return not set(before.values()) & set(after.values())

    # `sam deploy` uploads an artifact under the hash of its content.
    assert all_differ(versions(translate(code_uri="s3://bucket/another-hash")))
    assert all_differ(versions(translate(Release="0123456789")))
    # The reason for the parameter Release: SAM does not see the values of parameters.
    assert versions(translate(LogLevel="DEBUG")) == before


def test_every_function_names_the_release() -> None:
    resources = template.read(ROOT / "template.yaml")["Resources"]
    assert {str(resources[name]["Properties"].get("AutoPublishCodeSha256")) for name in FUNCTIONS} == {
        str({"Ref": "Release"})
    }


@pytest.fixture
def build(tmp_path: Path, folder: Path) -> Path:
    """An artifact as `sam build` writes it."""
    return Path(shutil.copytree(built(folder, "GetTask", "arm64"), tmp_path / "build"))


def test_any_change_of_code_dependency_or_setting_gives_another_release(build: Path) -> None:
    def one(*given: str) -> str:
        (found,) = [text for text in release.parameters_of("prod", given, build) if text.startswith("Release=")]
        return found

    before, checksum = one("LogLevel=INFO"), sam("checksum", str(build))
    assert one("LogLevel=INFO") == before
    assert one("LogLevel=DEBUG") != before
    for changed in ("functions/get_task/app.py", "shared/store/items.py", "urllib3/_version.py"):
        path = build / changed
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        assert one("LogLevel=INFO") != before, changed
        # SAM also names the upload by its content.
        assert sam("checksum", str(build)) != checksum
        path.write_bytes(content)
    assert one("LogLevel=INFO") == before
    (build / "new.py").touch()
    assert one("LogLevel=INFO") != before


def test_building_twice_gives_the_same_release(tmp_path: Path) -> None:
    artifacts = [built(tmp_path / name, "GetTask", "arm64") for name in ("one", "two")]
    assert sam("checksum", str(artifacts[0])) == sam("checksum", str(artifacts[1]))


def test_arguments_override_the_configuration(build: Path) -> None:
    given = ["DeploymentType=AllAtOnce", "JwtAudience=a,b", "Architecture=x86_64"]
    text = " ".join(release.parameters_of("prod", given, build))
    found = sam("parameters", text)
    assert found.pop("Release")
    assert found == {
        "DeploymentType": "AllAtOnce",
        "DeletionProtection": "yes",
        "JwtAudience": "a,b",
        "Architecture": "x86_64",
    }
    with pytest.raises(CommandError, match="no environment"):
        release.parameters_of("staging", [], build)


@pytest.fixture
def deploy(tmp_path: Path) -> Callable[..., list[str]]:
    """Runs `make deploy` with a `sam` that only records its arguments, and returns those of `sam deploy`."""
    log, folder = tmp_path / "log", tmp_path / "bin"
    folder.mkdir()
    for name, command in (("python", f'exec {sys.executable} "$@"'), ("sam", f"printf '%s\\n' \"$@\" > {log}")):
        (folder / name).write_text(f"#!/bin/sh\n{command}\n")
        (folder / name).chmod(0o700)

    def deploy(*arguments: str, **environment: str) -> list[str]:
        made = ["make", "deploy", "ENV=prod", f"BIN={folder}", f"SAM={folder}/sam", *arguments]
        subprocess.run(made, cwd=ROOT, check=True, capture_output=True, env={**os.environ, **environment})
        return log.read_text().splitlines()

    return deploy


def test_make_deploy_prints_what_it_deploys(deploy: Callable[..., list[str]]) -> None:
    asked = deploy("PARAMETERS=LogLevel=DEBUG JwtAudience=a,b", CI="")
    assert asked[:3] == ["deploy", "--config-env", "prod"]
    given = asked[asked.index("--parameter-overrides") + 1 :]
    assert {"Architecture=arm64", "LogLevel=DEBUG", "JwtAudience=a,b", "DeletionProtection=yes"} <= set(given)
    assert "--no-confirm-changeset" not in asked
    # A workflow cannot ask for confirmation: the approval comes before it.
    assert "--no-confirm-changeset" in deploy(CI="true")


def test_inputs_of_a_workflow_are_not_run_as_commands(deploy: Callable[..., list[str]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    typed = f"LogLevel=INFO;touch>{run} A=$(shell touch {run}) B=`touch {run}` C=* D=$(touch>{run})"
    # The workflow passes it by the environment; words that are not NAME=VALUE are rejected.
    with pytest.raises(subprocess.CalledProcessError):
        deploy(PARAMETERS=typed)
    asked = deploy(PARAMETERS=f"LogLevel=INFO;touch>{run} C=*")
    assert {f"LogLevel=INFO;touch>{run}", "C=*"} <= set(asked)
    assert not run.exists()


def configured(environment: str) -> dict[str, str]:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    return dict(one.split("=") for one in config[environment]["deploy"]["parameters"]["parameter_overrides"])


def test_dev_shifts_all_traffic_at_once_and_prod_uses_a_canary_with_alarms(translate: Translate) -> None:
    for environment, kind, protected in (("default", "AllAtOnce", "no"), ("prod", "Canary10Percent10Minutes", "yes")):
        parameters = configured(environment)
        assert parameters == {"DeploymentType": kind, "DeletionProtection": protected}
        translated = translate(**parameters)
        groups = of_type(translated, "AWS::CodeDeploy::DeploymentGroup")
        assert len(groups) == len(FUNCTIONS)
        for group in groups.values():
            properties = group["Properties"]
            assert properties["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": kind}
            condition, gradual, at_once = properties["AlarmConfiguration"]["Fn::If"]
            assert translated["Conditions"][condition] == {
                "Fn::Not": [{"Fn::Equals": [{"Ref": "DeploymentType"}, "AllAtOnce"]}]
            }
            assert (gradual["Enabled"], at_once) == (True, {})
            alarms = {one["Name"]["Ref"] for one in gradual["Alarms"]}
            assert {"FaultAlarm", "DefectAlarm"} <= alarms <= set(of_type(translated, "AWS::CloudWatch::Alarm"))
            assert "DEPLOYMENT_STOP_ON_ALARM" in properties["AutoRollbackConfiguration"]["Events"]
            assert properties["ServiceRoleArn"] == {"Fn::GetAtt": ["DeploymentRole", "Arn"]}


def test_an_alarm_fires_before_the_canary_ends(translated: dict[str, Any]) -> None:
    minutes = int(re.findall(r"Canary10Percent(\d+)Minutes", configured("prod")["DeploymentType"])[0])
    for name in ("FaultAlarm", "DefectAlarm", "LatencyAlarm", "OutcomeAlarm"):
        alarm = translated["Resources"][name]["Properties"]
        period = alarm.get("Period") or alarm["Metrics"][1]["MetricStat"]["Period"]
        # Metrics arrive one or two minutes late.
        assert period * alarm["EvaluationPeriods"] / 60 + 2 < minutes, name


def test_production_has_deletion_protection(translated: dict[str, Any]) -> None:
    assert translated["Conditions"]["Protected"] == {"Fn::Equals": [{"Ref": "DeletionProtection"}, "yes"]}
    table, pool = (translated["Resources"][name]["Properties"] for name in ("TaskTable", "UserPool"))
    assert table["DeletionProtectionEnabled"] == {"Fn::If": ["Protected", True, False]}
    assert pool["DeletionProtection"] == {"Fn::If": ["Protected", "ACTIVE", "INACTIVE"]}


def test_the_tables_key_and_its_bounds_are_parameters(translated: dict[str, Any]) -> None:
    table = translated["Resources"]["TaskTable"]["Properties"]
    key = {"Fn::If": ["WithTableKey", {"Ref": "TableKey"}, {"Ref": "AWS::NoValue"}]}
    assert table["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}
    assert table["OnDemandThroughput"] == {
        "MaxReadRequestUnits": {"Ref": "MaxReadUnits"},
        "MaxWriteRequestUnits": {"Ref": "MaxWriteUnits"},
    }
