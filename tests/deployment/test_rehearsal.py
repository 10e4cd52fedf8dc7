"""A deployment, an update and a removal of the stack in moto's CloudFormation: the parts of it that moto knows."""

import json
from contextlib import suppress
from typing import Any

import boto3
import pytest

KNOWN = {
    "AWS::DynamoDB::Table",
    "AWS::Logs::LogGroup",
    "AWS::Lambda::Function",
    "AWS::IAM::Role",
    "AWS::IAM::ManagedPolicy",
    "AWS::SQS::Queue",
    "AWS::Events::EventBus",
    "AWS::Events::Archive",
}


def part(translated: dict[str, Any], **changes: Any) -> str:
    """The resources of the template that moto can make, as a template of their own."""
    resources = {name: one for name, one in translated["Resources"].items() if one["Type"] in KNOWN}
    outputs = {"TableName": translated["Outputs"]["TableName"]}
    kept = {name: translated[name] for name in ("AWSTemplateFormatVersion", "Parameters", "Conditions")}
    return json.dumps({**kept, "Resources": {**resources, **changes}, "Outputs": outputs})


@pytest.fixture
def artifact(aws: None) -> None:  # noqa: ARG001 - it is in moto's region
    """The artifact that the template names: an empty zip."""
    s3 = boto3.client("s3")
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="bucket", Key="key", Body=b"PK\5\6" + bytes(18))


@pytest.mark.usefixtures("aws", "artifact")
@pytest.mark.parametrize("value", ["no", "yes"])
def test_the_parts_of_events_are_deployed_where_they_are_asked_for(translated: dict[str, Any], value: str) -> None:
    stacks, stack = boto3.client("cloudformation"), f"with-{value}"
    parameters: Any = [{"ParameterKey": "Events", "ParameterValue": value}]
    capabilities: Any = {"Capabilities": ["CAPABILITY_IAM"]}
    stacks.create_stack(StackName=stack, TemplateBody=part(translated), Parameters=parameters, **capabilities)
    (made,) = stacks.describe_stacks(StackName=stack)["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE"
    clients: Any = {name: boto3.client(name) for name in ("events", "sqs", "lambda", "iam")}
    buses = {one["Name"] for one in clients["events"].list_event_buses()["EventBuses"]}
    archives = clients["events"].list_archives()["Archives"]
    queues = [url for url in clients["sqs"].list_queues().get("QueueUrls", ()) if stack in url]
    functions = {one["FunctionName"] for one in clients["lambda"].list_functions()["Functions"]}
    roles = {one["RoleName"] for one in clients["iam"].list_roles(MaxItems=1000)["Roles"]}
    there = [
        f"{stack}-events" in buses,
        any(f"{stack}-events" in one["EventSourceArn"] for one in archives),
        len(queues) == 1,
        any(stack in name and "PublishEvents" in name for name in functions),
        any(stack in name and "PublishEvents" in name for name in roles),
    ]
    assert there == [value == "yes"] * len(there)
    stacks.delete_stack(StackName=stack)


@pytest.mark.usefixtures("aws", "artifact")
def test_an_update_keeps_the_data_and_a_removal_too(translated: dict[str, Any]) -> None:
    stacks, tables = boto3.client("cloudformation"), boto3.client("dynamodb")
    capabilities: Any = {"Capabilities": ["CAPABILITY_IAM"]}
    stacks.create_stack(StackName="tasks", TemplateBody=part(translated), **capabilities)
    (stack,) = stacks.describe_stacks(StackName="tasks")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    (output,) = stack["Outputs"]
    name = output["OutputValue"]

    table = tables.describe_table(TableName=name)["Table"]
    assert {index["IndexName"] for index in table["LocalSecondaryIndexes"]} == {
        "by_creation",
        "by_status",
        "by_list",
        "by_change",
        "by_reserve",
    }
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    functions = boto3.client("lambda").list_functions()["Functions"]
    assert {function["Environment"]["Variables"]["TABLE_NAME"] for function in functions} == {name}

    key: Any = {"pk": {"S": "USER#alice"}, "sk": {"S": "TASK#1"}}
    tables.put_item(TableName=name, Item=key)
    table_resource = translated["Resources"]["TaskTable"]
    changed = json.loads(json.dumps(table_resource))
    changed["Properties"]["PointInTimeRecoverySpecification"] = {"PointInTimeRecoveryEnabled": False}
    stacks.update_stack(StackName="tasks", TemplateBody=part(translated, TaskTable=changed), **capabilities)
    (stack,) = stacks.describe_stacks(StackName="tasks")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert tables.get_item(TableName=name, Key=key)["Item"] == key

    stacks.delete_stack(StackName="tasks")
    assert tables.get_item(TableName=name, Key=key)["Item"] == key


@pytest.mark.usefixtures("aws")
def test_without_retain_the_rehearsal_would_lose_the_table(translated: dict[str, Any]) -> None:
    """The rehearsal can fail: moto does remove a table that nothing retains."""
    table = {name: value for name, value in translated["Resources"]["TaskTable"].items() if name != "DeletionPolicy"}
    kept = {name: translated[name] for name in ("Parameters", "Conditions")}
    template = json.dumps({**kept, "Resources": {"TaskTable": table}})
    stacks, tables = boto3.client("cloudformation"), boto3.client("dynamodb")
    stacks.create_stack(StackName="forgetful", TemplateBody=template)
    made = [name for name in tables.list_tables()["TableNames"] if name.startswith("forgetful")]
    assert made
    stacks.delete_stack(StackName="forgetful")
    assert not set(tables.list_tables()["TableNames"]) & set(made)
