"""Tasks on boto3's resource with pydantic models, for the peers `resource`, `powertools` and `fastapi_mangum`."""

import os
import time
import uuid
from typing import Annotated

import boto3
from boto3.dynamodb.conditions import Attr, Key
from pydantic import BaseModel, Field

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


DUE = r"^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?$"


class Refused(Exception):
    """A status and a message."""


class NewTask(BaseModel):
    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(None, max_length=8192)
    due: str | None = Field(None, pattern=DUE)
    time_zone: str | None = Field(None, max_length=50)
    priority: int = Field(0, ge=0, le=9)
    tags: list[Annotated[str, Field(min_length=1, max_length=50)]] = Field([], max_length=20)
    metadata: dict[str, str] = Field({}, max_length=20)
    list: str | None = Field(None, min_length=1, max_length=64)


class Patch(NewTask):
    title: str = Field("", min_length=1, max_length=255)
    metadata: dict[str, str | None] | None = Field(None, max_length=20)


class Task(BaseModel):
    id: str
    title: str
    description: str | None
    completed: bool
    due: str | None
    time_zone: str | None
    priority: int
    tags: list[str]
    metadata: dict[str, str]
    list: str | None
    position: str | None
    created_at: int
    updated_at: int
    version: int


class Page(BaseModel):
    items: list[Task]
    next: dict | None


def create(user, new):
    task_id, now = str(uuid.uuid4()), time.time_ns() // 1_000_000
    item = {
        **key(user, task_id),
        **new.model_dump(exclude_none=True),
        "created_at": now,
        "updated_at": now,
        "version": 1,
        "by_creation": f"task#{task_id}",
        "by_change": f"{now:015}#task#{task_id}",
    }
    index(item)
    table.put_item(Item=item, ConditionExpression=Attr("sk").not_exists())
    return shown(item)


def get(user, task_id):
    return shown(read(user, task_id))


def list_(user, limit=50):
    page = table.query(
        IndexName="by_creation",
        KeyConditionExpression=Key("pk").eq(f"USER#{user}"),
        ConsistentRead=True,
        Limit=limit,
    )
    return Page(items=[shown(item) for item in page["Items"]], next=page.get("LastEvaluatedKey"))


def update(user, task_id, patch):
    item, changes = read(user, task_id), patch.model_dump(exclude_unset=True)
    if changes.get("metadata"):
        merged = {**item.get("metadata", {}), **changes["metadata"]}
        changes["metadata"] = {name: value for name, value in merged.items() if value is not None}
    for name, value in changes.items():
        if value is None:
            item.pop(name, None)
        else:
            item[name] = value
    return write(item, time.time_ns() // 1_000_000)


def toggle(user, task_id):
    item, now = read(user, task_id), time.time_ns() // 1_000_000
    if not item.pop("completed_at", None):
        item["completed_at"] = now
    return write(item, now)


def index(item):
    task_id, done = item["sk"][5:], "completed_at" in item
    if done:
        item["by_status"] = f"task#done#{int(item['completed_at']):015}#{task_id}"
    else:
        due = item.get("due", "9999-99-99T99:99:99")
        item["by_status"] = f"task#open#{due if 'T' in due else due + 'T24:00:00'}Z#{task_id}"
    if "list" in item:
        item.setdefault("position", f"{int(item['created_at']):015}")
        item["by_list"] = f"task#{item['list']}#{done:d}#{item['position']}#{task_id}"


def read(user, task_id):
    item = table.get_item(Key=key(user, task_id), ConsistentRead=True).get("Item")
    if item is None or "by_creation" not in item:
        raise Refused(404, "There is no such task.")
    return item


def write(item, now):
    index(item)
    version = item["version"]
    item.update(version=version + 1, updated_at=now, by_change=f"{now:015}#task#{item['sk'][5:]}")
    try:
        table.put_item(Item=item, ConditionExpression=Attr("version").eq(version))
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        raise Refused(409, "The task was changed by another request.") from None
    return shown(item)


def key(user, task_id):
    return {"pk": f"USER#{user}", "sk": f"TASK#{task_id}"}


def shown(item):
    return Task(
        id=item["sk"][5:],
        title=item["title"],
        description=item.get("description"),
        completed=item["by_status"].startswith("task#done#"),
        due=item.get("due"),
        time_zone=item.get("time_zone"),
        priority=item.get("priority", 0),
        tags=item.get("tags", []),
        metadata=item.get("metadata", {}),
        list=item.get("list"),
        position=item.get("position"),
        created_at=item["created_at"],
        updated_at=item["updated_at"],
        version=item["version"],
    )
