"""The bare peer that writes blindly: each change is one UpdateItem, without a read and without a version.

It is not correct: it overwrites what others wrote, and a request that is sent twice is applied twice. It replaces
metadata instead of merging it, and forgets some index keys of a changed task. It shows what optimistic
locking costs.
"""

import json
import time

from peers import bare
from peers.bare import client, shown, table

ENCODERS = {
    **bare.ENCODERS,
    "metadata": lambda members: {"M": {name: {"S": one} for name, one in members.items() if one is not None}},
}


def update(event, now):
    changes = json.loads(event["body"])
    names = {f"#{name}": name for name in changes}
    values = {f":{name}": ENCODERS[name](value) for name, value in changes.items()}
    if "due" in changes:
        due, names["#by_status"] = changes["due"], "by_status"
        slot = f"{due if 'T' in due else due + 'T24:00:00'}Z"
        values[":by_status"] = {"S": f"task#open#{slot}#{event['pathParameters']['task_id']}"}
    return write(event, now, ", ".join(f"{name} = :{name[1:]}" for name in names), values, names)


def toggle(event, now):
    # The item also has its other status, and a toggle exchanges the two. An item without it counts as open.
    sets = "by_status = if_not_exists(other_status, :done), other_status = by_status"
    done = f"task#done#{now:>015}#{event['pathParameters']['task_id']}"
    return write(event, now, sets, {":done": {"S": done}})


def write(event, now, sets, values, names=None):
    user = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    task_id = event["pathParameters"]["task_id"]
    response = client.update_item(
        TableName=table,
        Key={"pk": {"S": f"USER#{user}"}, "sk": {"S": f"TASK#{task_id}"}},
        UpdateExpression=f"SET {sets}, updated_at = :now, by_change = :change, version = version + :one",
        ConditionExpression="attribute_exists(by_creation)",
        ExpressionAttributeValues={
            **values,
            ":now": {"N": now},
            ":change": {"S": f"{now:>015}#task#{task_id}"},
            ":one": {"N": "1"},
        },
        ReturnValues="ALL_NEW",
        **({"ExpressionAttributeNames": names} if names else {}),
    )
    return shown(response["Attributes"])


ROUTES = {
    "PATCH /v1/users/{user_id}/tasks/{task_id}": update,
    "POST /v1/users/{user_id}/tasks/{task_id}/toggle": toggle,
}


def handler(event, context):
    body = ROUTES[event["routeKey"]](event, str(time.time_ns() // 1_000_000))
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
