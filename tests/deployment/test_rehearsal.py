"""A deployment of the stack in moto's CloudFormation, with and without events: the resources that moto supports."""

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
    """The resources of the template that moto supports, as a separate template."""
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
def test_events_are_deployed_only_on_request(translated: dict[str, Any], value: str) -> None:
    stacks, stack = boto3.client("cloudformation"), f"with-{value}"
    # moto reads an empty list as one without members, and CloudFormation as one with an empty member.
    given = {"Events": value, "SignInUrls": "https://app.example"}
    parameters: Any = [{"ParameterKey": name, "ParameterValue": one} for name, one in given.items()]
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
