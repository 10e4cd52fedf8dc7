"""The peer that brings a web framework along: FastAPI behind Mangum, on boto3's resource. It logs nothing."""

import os
import time
import uuid
from typing import Annotated

import boto3
from boto3.dynamodb.conditions import Attr, Key
from fastapi import Depends, FastAPI, Query, Request
from mangum import Mangum
from pydantic import BaseModel, Field

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
app = FastAPI()


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


def caller(request: Request) -> str:
    return request.scope["aws.event"]["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]


Caller = Annotated[str, Depends(caller)]


@app.post("/v1/users/{user_id}/tasks", status_code=201)
def create(user_id: str, new: NewTask, user: Caller) -> Task:
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
    return shown(item)


@app.get("/v1/users/{user_id}/tasks")
def list_(user_id: str, user: Caller, limit: Annotated[int, Query(ge=1, le=100)] = 50) -> Page:
    page = table.query(
        IndexName="by_position",
        KeyConditionExpression=Key("pk").eq(f"USER#{user}"),
        ConsistentRead=True,
        Limit=limit,
    )
    return Page(items=[shown(item) for item in page["Items"]], next=page.get("LastEvaluatedKey"))


@app.get("/v1/users/{user_id}/tasks/{task_id}")
def get(user_id: str, task_id: str, user: Caller) -> Task:
    return shown(table.get_item(Key=key(user, task_id), ConsistentRead=True)["Item"])


@app.patch("/v1/users/{user_id}/tasks/{task_id}")
def update(user_id: str, task_id: str, patch: Patch, user: Caller) -> Task:
    changes = patch.model_dump(exclude_unset=True)
    names = {f"#{name}": name for name in changes}
    values = {f":{name}": value for name, value in changes.items()}
    return change(user, task_id, ", ".join(f"#{name} = :{name}" for name in changes), names, values)


@app.post("/v1/users/{user_id}/tasks/{task_id}/toggle")
def toggle(user_id: str, task_id: str, user: Caller) -> Task:
    return change(user, task_id, "by_status = other_status, other_status = by_status", {}, {})


def change(user, task_id, sets, names, values):
    now = time.time_ns() // 1_000_000
    more = {"ExpressionAttributeNames": names} if names else {}
    answer = table.update_item(
        Key=key(user, task_id),
        UpdateExpression=f"SET {sets}, updated_at = :now, by_change = :change, version = version + :one",
        ConditionExpression=Attr("by_position").exists(),
        ExpressionAttributeValues={**values, ":now": now, ":change": f"{now}#{task_id}", ":one": 1},
        ReturnValues="ALL_NEW",
        **more,
    )
    return shown(answer["Attributes"])


def key(user, task_id):
    return {"pk": f"USER#{user}", "sk": f"TASK#{task_id}"}


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


handler = Mangum(app, lifespan="off")
