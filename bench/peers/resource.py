"""The peer with boto3's resource and pydantic: what most tutorials show. It validates, and logs nothing."""

import os
import time
import uuid

import boto3
from boto3.dynamodb.conditions import Attr, Key
from pydantic import BaseModel, Field

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


class NewTask(BaseModel):
    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(None, max_length=1000)


class Patch(BaseModel):
    title: str = Field("", min_length=1, max_length=255)
    description: str | None = Field(None, max_length=1000)


class Task(BaseModel):
    id: str
    title: str
    description: str | None
    completed: bool
    created_at: int
    updated_at: int
    version: int


class Page(BaseModel):
    items: list[Task]
    next: dict | None


def create(user, event):
    new = NewTask.model_validate_json(event["body"])
    task_id, now = str(uuid.uuid4()), time.time_ns() // 1_000_000
    item = {
        "pk": f"USER#{user}",
        "sk": f"TASK#{task_id}",
        "title": new.title,
        "description": new.description,
        "created_at": now,
        "updated_at": now,
        "version": 1,
        "by_position": task_id,
        "by_status": f"open#{task_id}",
        "other_status": f"done#{task_id}",
        "by_change": f"{now}#{task_id}",
    }
    table.put_item(Item=item, ConditionExpression=Attr("sk").not_exists())
    return 201, shown(item)


def get(user, event):
    return 200, shown(table.get_item(Key=key(user, event), ConsistentRead=True)["Item"])


def list_(user, event):
    page = table.query(
        IndexName="by_position",
        KeyConditionExpression=Key("pk").eq(f"USER#{user}"),
        ConsistentRead=True,
        Limit=50,
    )
    return 200, Page(items=[shown(item) for item in page["Items"]], next=page.get("LastEvaluatedKey"))


def update(user, event):
    changes = Patch.model_validate_json(event["body"]).model_dump(exclude_unset=True)
    names = {f"#{name}": name for name in changes}
    values = {f":{name}": value for name, value in changes.items()}
    return 200, change(user, event, ", ".join(f"#{name} = :{name}" for name in changes), names, values)


def toggle(user, event):
    return 200, change(user, event, "by_status = other_status, other_status = by_status", {}, {})


def change(user, event, sets, names, values):
    now = time.time_ns() // 1_000_000
    more = {"ExpressionAttributeNames": names} if names else {}
    answer = table.update_item(
        Key=key(user, event),
        UpdateExpression=f"SET {sets}, updated_at = :now, by_change = :change, version = version + :one",
        ConditionExpression=Attr("by_position").exists(),
        ExpressionAttributeValues={
            **values,
            ":now": now,
            ":change": f"{now}#{event['pathParameters']['task_id']}",
            ":one": 1,
        },
        ReturnValues="ALL_NEW",
        **more,
    )
    return shown(answer["Attributes"])


def key(user, event):
    return {"pk": f"USER#{user}", "sk": f"TASK#{event['pathParameters']['task_id']}"}


def shown(item):
    return Task(
        id=item["sk"][5:],
        title=item["title"],
        description=item.get("description"),
        completed=item["by_status"].startswith("done#"),
        created_at=item["created_at"],
        updated_at=item["updated_at"],
        version=item["version"],
    )


ROUTES = {
    "POST /v1/users/{user_id}/tasks": create,
    "GET /v1/users/{user_id}/tasks": list_,
    "GET /v1/users/{user_id}/tasks/{task_id}": get,
    "PATCH /v1/users/{user_id}/tasks/{task_id}": update,
    "POST /v1/users/{user_id}/tasks/{task_id}/toggle": toggle,
}


def handler(event, context):
    user = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    status, body = ROUTES[event["routeKey"]](user, event)
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json"},
        "body": body.model_dump_json(),
    }
