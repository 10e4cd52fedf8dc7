"""The peer with boto3's resource and pydantic: what most tutorials show. It validates, and logs nothing."""

import json

from peers import tasks

ROUTES = {
    "POST /v1/users/{user_id}/tasks": lambda user, _, body: tasks.create(user, tasks.NewTask.model_validate_json(body)),
    "GET /v1/users/{user_id}/tasks": lambda user, *_: tasks.list_(user),
    "GET /v1/users/{user_id}/tasks/{task_id}": lambda user, task_id, _: tasks.get(user, task_id),
    "PATCH /v1/users/{user_id}/tasks/{task_id}": lambda user, task_id, body: tasks.update(
        user, task_id, tasks.Patch.model_validate_json(body)
    ),
    "POST /v1/users/{user_id}/tasks/{task_id}/toggle": lambda user, task_id, _: tasks.toggle(user, task_id),
}


def handler(event, context):
    user = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    route = event["routeKey"]
    try:
        body = ROUTES[route](user, event["pathParameters"].get("task_id"), event.get("body"))
        status, text = 201 if route == "POST /v1/users/{user_id}/tasks" else 200, body.model_dump_json()
    except tasks.Refused as refused:
        status, text = refused.args[0], json.dumps({"message": refused.args[1]})
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": text}
