"""The bare peer: boto3.client and nothing else. It validates nothing, logs nothing, and trusts every request."""

import json
import os
import time
import uuid

import boto3

client = boto3.client("dynamodb")
table = os.environ["TABLE_NAME"]


def create(user, event):
    new = json.loads(event["body"])
    task_id, now = str(uuid.uuid4()), str(time.time_ns() // 1_000_000)
    item = {
        "pk": {"S": f"USER#{user}"},
        "sk": {"S": f"TASK#{task_id}"},
        "title": {"S": new["title"]},
        "description": {"S": new.get("description", "")},
        "created_at": {"N": now},
        "updated_at": {"N": now},
        "version": {"N": "1"},
        "by_position": {"S": task_id},
        "by_status": {"S": f"open#{task_id}"},
        "other_status": {"S": f"done#{task_id}"},
        "by_change": {"S": f"{now}#{task_id}"},
    }
    client.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(sk)")
    return 201, shown(item)


def get(user, event):
    return 200, shown(client.get_item(TableName=table, Key=key(user, event), ConsistentRead=True)["Item"])


def list_(user, event):
    page = client.query(
        TableName=table,
        IndexName="by_position",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"USER#{user}"}},
        ConsistentRead=True,
        Limit=50,
    )
    return 200, {"items": [shown(item) for item in page["Items"]], "next": page.get("LastEvaluatedKey")}


def update(user, event):
    changes = json.loads(event["body"])
    names = {f"#{name}": name for name in changes}
    values = {f":{name}": {"S": value} for name, value in changes.items()}
    sets = ", ".join(f"#{name} = :{name}" for name in changes)
    return 200, change(user, event, sets, names, values)


def toggle(user, event):
    return 200, change(user, event, "by_status = other_status, other_status = by_status", {}, {})


def change(user, event, sets, names, values):
    now = str(time.time_ns() // 1_000_000)
    more = {"ExpressionAttributeNames": names} if names else {}
    answer = client.update_item(
        TableName=table,
        Key=key(user, event),
        UpdateExpression=f"SET {sets}, updated_at = :now, by_change = :change, version = version + :one",
        ConditionExpression="attribute_exists(by_position)",
        ExpressionAttributeValues={
            **values,
            ":now": {"N": now},
            ":change": {"S": f"{now}#{event['pathParameters']['task_id']}"},
            ":one": {"N": "1"},
        },
        ReturnValues="ALL_NEW",
        **more,
    )
    return shown(answer["Attributes"])


def key(user, event):
    return {"pk": {"S": f"USER#{user}"}, "sk": {"S": f"TASK#{event['pathParameters']['task_id']}"}}


def shown(item):
    return {
        "id": item["sk"]["S"][5:],
        "title": item["title"]["S"],
        "description": item.get("description", {"S": None})["S"],
        "completed": item["by_status"]["S"].startswith("done#"),
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
    status, body = ROUTES[event["routeKey"]](user, event)
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
