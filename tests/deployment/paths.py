"""Every path of every function, run by test_artifact_paths.py in a process that can only import the artifacts.

    python -I -S paths.py ROUTES ARTIFACT ...

ROUTES is a JSON object of the routes by operation. The script prints the responses that were not as expected, the
modules that came from elsewhere, and the endpoint in each region.
"""

import importlib
import json
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

ROUTES: dict[str, str] = json.loads(sys.argv[1])
ARTIFACTS = sys.argv[2:]
sys.path[:0] = ARTIFACTS
USER = f"paths-{uuid.uuid4()}"
CONTRACT = "get_openapi"
NOBODY = "01a20720-1d65-7ec7-a429-721882d38931"
CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000)

handlers = {name: importlib.import_module(f"functions.{name}.app").handler for name in ROUTES}
succeeded: set[str] = set()
wrong: list[str] = []


def call(expected: int, name: str, task_id: str = "", body: object = None, **more: Any) -> Any:
    """Call a function; note where its status is not the expected one."""
    headers = {"content-type": "application/json", **more.get("headers", {})}
    claims = more.get("claims", {"sub": USER, "token_use": "access"})
    event = {
        "routeKey": ROUTES[name],
        "rawQueryString": urlencode(more.get("query") or {}),
        "headers": headers,
        "pathParameters": {"user_id": more.get("user", "me"), **({"task_id": task_id} if task_id else {})},
        "queryStringParameters": more.get("query"),
        "requestContext": {"requestId": "paths", "authorizer": {"jwt": {"claims": claims}}},
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }
    response = handlers[name](event, CONTEXT)
    if response["statusCode"] < 300:
        succeeded.add(name)
    if response["statusCode"] != expected:
        wrong.append(f"{name} returned {response['statusCode']}, not {expected}: {response['body']}")
    return json.loads(response["body"] or "{}")


def key() -> dict[str, str]:
    return {"idempotency-key": str(uuid.uuid4())}


# Successful requests of every operation.
task = call(201, "create_task", body={"title": "Buy milk", "description": "Two bottles"})
one = task["id"]
same = key()
kept = call(201, "create_task", body={"title": "kept"}, headers=same)
call(201, "create_task", body={"title": "kept"}, headers=same)
call(422, "create_task", body={"title": "another"}, headers=same)
call(200, "get_task", one)
call(304, "get_task", one, headers={"if-none-match": task["etag"]})
page = call(200, "list_tasks", query={"limit": "1"})
call(200, "list_tasks", query={"limit": "1", "cursor": page["next_cursor"]})
for status in ("open", "completed", "deleted", "all"):
    call(200, "list_tasks", query={"status": status, "order": "desc"})
call(200, "replace_task", one, {"title": "Buy more milk", "description": None, "completed": False})
call(200, "update_task", one, {"completed": True})
call(200, "update_task", one, {"title": "a wrong guess of its status", "completed": True})
call(200, "update_task", one, {})
call(200, "toggle_task", one)
call(200, "toggle_task", one, headers=key())
call(200, "move_task", one, {"list": "a", "after": None})
call(200, "move_task", one, {"before": None}, headers=key())
call(200, "move_task", kept["id"], {"list": "a", "before": one})
call(200, "list_tasks", query={"list": "a"})
call(204, "delete_task", one)
call(204, "delete_task", one)
call(200, "restore_task", one, headers=key())
call(204, "delete_task", one)
call(200, "restore_task", one)
operations = [
    {"op": "create", "task": {"title": "of a batch"}},
    {"op": "update", "id": one, "patch": {"title": "in a batch"}},
    {"op": "toggle", "id": kept["id"]},
]
moves = [{"op": "move", "id": kept["id"], "after": one}, {"op": "move", "id": one, "before": None}]
call(200, "batch_tasks", body={"operations": operations}, headers=key())
call(200, "batch_tasks", body={"operations": moves}, headers=key())
call(200, "clear_tasks", query={"list": "b"})
call(200, "clear_tasks", query={"status": "completed"})
changes = call(200, "list_changes")
call(200, "list_changes", query={"since": changes["next_since"]})
with patch("shared.store.pages.SURE_TO_FIT", 0):  # the page is measured, as one of many tasks
    call(200, "list_changes")
    call(200, "list_tasks", query={"status": "deleted"})

# Rejected requests of every operation.
for name, route in ROUTES.items():
    on_a_task = NOBODY if "task_id" in route else ""
    call(401, name, on_a_task, claims={})
    call(403, name, on_a_task, user="somebody-else")
    call(400, name, on_a_task, query={"unknown": "1"})
for name in ("create_task", "replace_task", "update_task", "move_task", "batch_tasks"):
    on_a_task = NOBODY if "task_id" in ROUTES[name] else ""
    call(400, name, on_a_task, "{")
    call(400, name, on_a_task, '{"title": "\\ud800"}')
    call(413, name, on_a_task, "x" * 1_400_000)
    call(415, name, on_a_task, "{}", headers={"content-type": "text/plain"})
    call(422, name, on_a_task, {"title": "\0", "unknown": 1})
live = call(201, "create_task", body={"title": "live"})["id"]
BODIES: dict[str, object] = {
    "get_task": None,
    "toggle_task": None,
    "move_task": {"list": "a", "after": None},
    "restore_task": None,
    "delete_task": None,
    "update_task": {"title": "x"},
    "replace_task": {"title": "x", "description": None, "completed": True},
}
for name, body in BODIES.items():
    call(404, name, NOBODY, body)
    call(400, name, "no-uuid", body)
    if name not in {"get_task", "restore_task"}:
        call(412, name, live, body, headers={"if-match": '"99-1"'})
        call(400, name, live, body, headers={"if-match": "no etag"})
call(409, "restore_task", live)
call(409, "move_task", live, {"after": None})
call(409, "move_task", live, {"list": "a", "after": NOBODY})
call(422, "move_task", live, {"list": "a", "after": live})
call(400, "create_task", body={"title": "x"}, headers={"idempotency-key": " "})
call(400, "list_tasks", query={"cursor": "x"})
call(400, "list_changes", query={"since": "x"})
call(400, "clear_tasks")
call(400, "batch_tasks", body={"operations": operations})
call(404, "batch_tasks", body={"operations": [{"op": "toggle", "id": NOBODY}]}, headers=key())

# Erasure of the user.
service = {"sub": "service", "token_use": "access", "scope": "tasks/service"}
call(403, "erase_user", query={"confirm": USER})
call(400, "erase_user", query={"confirm": "x"}, claims=service, user=USER)
old = "01812345-1d65-7ec7-a429-721882d38931"
put = {"title": "x", "description": None, "completed": True}
imported = {"query": {"import": "true"}, "user": USER, "headers": {"if-none-match": "*"}}
call(403, "replace_task", old, put, **{**imported, "user": "me"})
call(201, "replace_task", old, put, claims=service, **imported)
call(200, "erase_user", query={"confirm": USER}, claims=service, user=USER)
call(200, "erase_user", query={"confirm": USER}, claims=service, user=USER)
importlib.import_module("shared.store.marks")._unmarked.clear()  # it caches for 30 s that there was no mark
call(403, "toggle_task", NOBODY)

wrong += [f"{name} never succeeded" for name in ROUTES.keys() - succeeded]

# The contract. Its only input is If-None-Match.
contract = importlib.import_module(f"functions.{CONTRACT}.app").handler
asked = {"routeKey": "GET /v1/openapi.json", "headers": {}}
shown = contract(asked, CONTEXT)
known = contract({**asked, "headers": {"if-none-match": shown["headers"]["ETag"]}}, CONTEXT)
if (shown["statusCode"], known["statusCode"]) != (200, 304) or "paths" not in json.loads(shown["body"]):
    wrong.append(f"{CONTRACT} returned {shown['statusCode']} and {known['statusCode']}")

# The endpoint of each region of AWS, and the response without a reachable database.
import os  # noqa: E402

from shared.store import dynamodb  # noqa: E402

del os.environ["AWS_ENDPOINT_URL_DYNAMODB"]
endpoints: dict[str, str] = {}


class Sent(Exception):
    """A request was about to be sent."""


def stop(request: Any, **_: object) -> None:
    endpoints[f"{region} {fips}"] = request.url
    raise Sent


for fips in ("false", "true"):
    os.environ["AWS_USE_FIPS_ENDPOINT"] = fips
    dynamodb.session.cache_clear()
    session = dynamodb.session()
    partitions = session.get_available_partitions()
    regions = [region for partition in partitions for region in session.get_available_regions("dynamodb", partition)]
    # The last is newer than botocore.
    for region in (*regions, "eu-central-9"):
        session.set_config_variable("region", region)
        client = dynamodb.new_client()
        client.meta.events.register("before-send.dynamodb", stop)
        with suppress(Sent):
            client.get_item(TableName="tasks", Key={"pk": {"S": "x"}, "sk": {"S": "x"}})
del os.environ["AWS_USE_FIPS_ENDPOINT"]
os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = "http://127.0.0.1:9"
dynamodb.client.cache_clear()
dynamodb.session.cache_clear()
call(503, "get_task", live)

library = str(Path(json.__file__).parent.parent)
elsewhere = [
    name
    for name, module in sys.modules.items()
    if (file := getattr(module, "__file__", None))
    and name != "__main__"
    and not file.startswith(tuple(ARTIFACTS))
    and (not file.startswith(library) or "site-packages" in file)
]
sys.stderr.write("\n" + json.dumps({"wrong": wrong, "elsewhere": elsewhere, "endpoints": endpoints}))
