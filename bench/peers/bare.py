"""The bare peer: boto3.client and nothing else. It validates nothing, logs nothing, and trusts every request.

It changes a task with optimistic locking: it reads the task, and writes it on condition that the version is unchanged.
"""

import json
import os
import time
import uuid

import boto3

client = boto3.client("dynamodb")
table = os.environ["TABLE_NAME"]


def text(value):
    return {"S": value}


ENCODERS = {
    "title": text,
    "description": text,
    "due": text,
    "time_zone": text,
    "list": text,
    "priority": lambda number: {"N": str(number)},
    "tags": lambda tags: {"L": [text(tag) for tag in tags]},
    "metadata": lambda members: {"M": {name: text(value) for name, value in members.items()}},
}


class Refused(Exception):
    pass


def create(user, event):
    new = json.loads(event["body"])
    task_id, now = str(uuid.uuid4()), str(time.time_ns() // 1_000_000)
    item = {
        "pk": {"S": f"USER#{user}"},
        "sk": {"S": f"TASK#{task_id}"},
        **{name: ENCODERS[name](value) for name, value in new.items() if value is not None},
        "created_at": {"N": now},
        "updated_at": {"N": now},
        "version": {"N": "1"},
        "by_creation": {"S": f"task#{task_id}"},
        "by_change": {"S": f"{now:>015}#task#{task_id}"},
    }
    index(item)
    client.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(sk)")
    return 201, shown(item)


def get(user, event):
    return 200, shown(read(user, event))


def list_(user, event):
    page = client.query(
        TableName=table,
        IndexName="by_creation",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"USER#{user}"}},
        ConsistentRead=True,
        Limit=50,
    )
    return 200, {"items": [shown(item) for item in page["Items"]], "next": page.get("LastEvaluatedKey")}


def update(user, event):
    changes = json.loads(event["body"])
    item = read(user, event)
    if changes.get("metadata"):
        merged = {**shown(item)["metadata"], **changes["metadata"]}
        changes["metadata"] = {name: value for name, value in merged.items() if value is not None}
    for name, value in changes.items():
        if value is None:
            item.pop(name, None)
        else:
            item[name] = ENCODERS[name](value)
    index(item)
    return 200, write(item, str(time.time_ns() // 1_000_000))


def toggle(user, event):
    item, now = read(user, event), str(time.time_ns() // 1_000_000)
    if not item.pop("completed_at", None):
        item["completed_at"] = {"N": now}
    index(item)
    return 200, write(item, now)


def index(item):
    task_id, done = item["sk"]["S"][5:], "completed_at" in item
    if done:
        item["by_status"] = {"S": f"task#done#{item['completed_at']['N']:>015}#{task_id}"}
    else:
        due = item.get("due", {"S": "9999-99-99T99:99:99"})["S"]
        item["by_status"] = {"S": f"task#open#{due if 'T' in due else due + 'T24:00:00'}Z#{task_id}"}
    if "list" in item:
        item.setdefault("position", {"S": f"{item['created_at']['N']:>015}"})
        item["by_list"] = {"S": f"task#{item['list']['S']}#{done:d}#{item['position']['S']}#{task_id}"}


def read(user, event):
    item = client.get_item(TableName=table, Key=key(user, event), ConsistentRead=True).get("Item")
    if item is None or "by_creation" not in item:
        raise Refused(404, "There is no such task.")
    return item


def write(item, now):
    version = item["version"]
    item["version"] = {"N": str(int(version["N"]) + 1)}
    item["updated_at"] = {"N": now}
    item["by_change"] = {"S": f"{now:>015}#task#{item['sk']['S'][5:]}"}
    try:
        client.put_item(
            TableName=table,
            Item=item,
            ConditionExpression="version = :version",
            ExpressionAttributeValues={":version": version},
        )
    except client.exceptions.ConditionalCheckFailedException:
        raise Refused(409, "The task was changed by another request.") from None
    return shown(item)


def key(user, event):
    return {"pk": {"S": f"USER#{user}"}, "sk": {"S": f"TASK#{event['pathParameters']['task_id']}"}}


def shown(item):
    return {
        "id": item["sk"]["S"][5:],
        "title": item["title"]["S"],
        "description": item.get("description", {"S": None})["S"],
        "completed": item["by_status"]["S"].startswith("task#done#"),
        "due": item.get("due", {"S": None})["S"],
        "time_zone": item.get("time_zone", {"S": None})["S"],
        "priority": int(item.get("priority", {"N": "0"})["N"]),
        "tags": [tag["S"] for tag in item.get("tags", {"L": []})["L"]],
        "list": item.get("list", {"S": None})["S"],
        "position": item.get("position", {"S": None})["S"],
        "metadata": {name: value["S"] for name, value in item.get("metadata", {"M": {}})["M"].items()},
        "created_at": int(item["created_at"]["N"]),
        "updated_at": int(item["updated_at"]["N"]),
        "version": int(item["version"]["N"]),
    }


ROUTES = {
    "POST /v1/users/{user_id}/tasks": create,
    "GET /v1/users/{user_id}/tasks": list_,
    "GET /v1/users/{user_id}/tasks/{task_id}": get,
    "PATCH /v1/users/{user_id}/tasks/{task_id}": update,
    "POST /v1/users/{user_id}/tasks/{task_id}/toggle": toggle,
}


def handler(event, context):
    user = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    try:
        status, body = ROUTES[event["routeKey"]](user, event)
    except Refused as refused:
        status, body = refused.args[0], {"message": refused.args[1]}
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
