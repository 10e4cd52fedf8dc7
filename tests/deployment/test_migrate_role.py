"""`ops.migrate --stack ...` uses the migration role of the stack, not the permissions of its caller."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from local import dynamodb as engines
from local.template import Template
from ops import backfill, migrate


@pytest.mark.usefixtures("aws")
def test_the_table_of_a_stack_is_migrated_with_its_role(
    moto_url: str,
    template: Template,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    translated: dict[str, Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    engines.create_tables(template, moto_url)
    role = boto3.client("iam").create_role(RoleName="migration", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    queue = {"Queue": {"Type": "AWS::SQS::Queue"}}
    values = {"ApiUrl": "https://x", "MigrateRoleArn": role, "TableName": template.tables[0].arguments["TableName"]}
    outputs = {name: {"Value": value} for name, value in values.items()}
    stacks = boto3.client("cloudformation")
    stacks.create_stack(StackName="migrated", TemplateBody=json.dumps({"Resources": queue, "Outputs": outputs}))
    made: list[Any] = []

    def new_client(arn: str | None) -> Any:
        made.append(backfill.new_client(arn))
        return made[-1]

    monkeypatch.setattr(migrate, "new_client", new_client)
    assert migrate.main(["--stack", "migrated", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("seen ")
    (client,) = made
    credentials = client._request_signer._credentials
    assert (credentials.method, credentials.access_key[:4]) == ("assume-role", "ASIA")
    # The real stack outputs the role under the same name.
    assert translated["Outputs"]["MigrateRoleArn"]["Value"] == {"Fn::GetAtt": ["MigrateRole", "Arn"]}
