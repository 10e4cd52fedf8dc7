"""A small typed client of the HTTP API, and the operations that template.yaml defines."""

import json
import multiprocessing
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.message import Message
from functools import cache
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from contract.checker import contract
from contract.recordings import body_of
from local import template as templates
from local.gateway import serve
from local.tokens import PARAMETERS, make_token
from shared.models import NewTask
from shared.store.dynamodb import Table
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from tests import guard
from tests.conftest import ROOT, deadline_in, eventually, table_at

WORKERS = 2
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
TIMEOUT = 35
_PROCESSES = multiprocessing.get_context("spawn")
# No test changes the code of these functions, so their processes start with it.
multiprocessing.set_forkserver_preload(["tests.guard", "shared.http.operation"])

type Task = dict[str, Any]
# None removes a default header. A sequence is sent as several headers of the same name.
type Headers = Mapping[str, str | Sequence[str] | None]


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    headers: Message
    content: bytes
    # The path of the request.
    path: str = ""

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.content)

    @property
    def tasks(self) -> list[Any]:
        """The tasks in the body."""
        body = self.json if self.content else {}
        if "results" in body:
            return [result["task"] for result in body["results"] if result["task"] is not None]
        return [body] if "id" in body else list(body.get("items", []))

    @property
    def next_path(self) -> str | None:
        """The path of the next page, from the Link header."""
        link = self.headers["Link"]
        if link is None:
            return None
        target, _, relation = link.partition(">; ")
        assert (target[0], relation) == ("<", 'rel="next"'), link
        return str(urljoin(self.path, target[1:]))

    @property
    def location(self) -> str:
        """The path of the new task, from the Location header."""
        return str(urljoin(self.path, self.headers["Location"]))


@dataclass(frozen=True)
class Api:
    """The API for one caller. `path_user` is the user id in the path, percent-encoded; the default is the caller."""

    url: str
    caller: str
    path_user: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> str:
        """The path of the tasks."""
        return f"/v1/users/{self.path_user or quote(self.caller, safe='')}/tasks"

    def send(self, method: str, path: str, body: object = None, headers: Headers | None = None) -> Response:
        """Send a request, with the path unchanged. A body that is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        sent: dict[str, str | Sequence[str] | None] = {"Content-Type": JSON} if body is not None else {}
        if "Authorization" not in (headers or {}):
            sent["Authorization"] = f"Bearer {_token(self.caller, json.dumps(dict(self.claims)))}"
        sent.update(headers or {})
        if content:
            sent["Content-Length"] = str(len(content))
        return send(self.url, method, path, content, sent)

    def create(self, **fields: object) -> Response:
        """Create a task; without a title it is `a task`."""
        return self.send("POST", self.tasks, {"title": "a task", **fields})

    def create_once(self, key: str, **fields: object) -> Response:
        """Create a task under an Idempotency-Key."""
        return self.send("POST", self.tasks, {"title": "a task", **fields}, {"Idempotency-Key": key})

    def made(self, **fields: object) -> Task:
        """Create a task and return it."""
        response = self.create(**fields)
        assert response.status == 201, response
        task: Task = response.json
        return task

    def get(self, task_id: str, **headers: str) -> Response:
        """Fetch a task. Headers are named as in `if_none_match=...`, here and below."""
        return self.send("GET", f"{self.tasks}/{task_id}", headers=_named(headers))

    def page(self, **query: object) -> Response:
        """Fetch a page of tasks."""
        return self.send("GET", f"{self.tasks}?{urlencode(query)}" if query else self.tasks)

    def walk(self, **query: object) -> list[Task]:
        """Fetch every page of a list, by following the links."""
        response = self.page(**query)
        tasks: list[Task] = response.json["items"]
        while (path := response.next_path) is not None:
            response = self.send("GET", path)
            tasks += response.json["items"]
        return tasks

    def replace(self, task_id: str, body: object, **headers: str) -> Response:
        """Replace a task."""
        return self.send("PUT", f"{self.tasks}/{task_id}", body, _named(headers))

    def update(self, task_id: str, body: object, **headers: str) -> Response:
        """Change some fields of a task."""
        return self.send("PATCH", f"{self.tasks}/{task_id}", body, {"Content-Type": MERGE_PATCH, **_named(headers)})

    def toggle(self, task_id: str, **headers: str) -> Response:
        """Flip a task between open and completed."""
        return self.send("POST", f"{self.tasks}/{task_id}/toggle", headers=_named(headers))

    def move(self, task_id: str, body: object, **headers: str) -> Response:
        """Put a task at a place of a list."""
        return self.send("POST", f"{self.tasks}/{task_id}/move", body, headers=_named(headers))

    def delete(self, task_id: str, **headers: str) -> Response:
        """Move a task to the trash."""
        return self.send("DELETE", f"{self.tasks}/{task_id}", headers=_named(headers))

    def restore(self, task_id: str, **headers: str) -> Response:
        """Bring a task back from the trash."""
        return self.send("POST", f"{self.tasks}/{task_id}/restore", headers=_named(headers))

    def clear(self, query: str = "?status=completed") -> Response:
        """Move completed tasks, or those of the query, to the trash."""
        return self.send("DELETE", f"{self.tasks}{query}")

    def erase(self, confirm: str | None = None) -> Response:
        """Erase the user."""
        path = self.tasks.removesuffix("/tasks")
        return self.send("DELETE", f"{path}?{urlencode({'confirm': self.caller if confirm is None else confirm})}")

    def changes(self, **query: object) -> Response:
        """Fetch a page of changes."""
        path = f"{self.tasks.removesuffix('tasks')}changes"
        return self.send("GET", f"{path}?{urlencode(query)}" if query else path)

    def batch(self, *operations: object, key: str | None = None) -> Response:
        """Send a batch. Without `key` it gets a random idempotency key."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self.send("POST", f"{self.tasks}/batch", {"operations": operations}, headers)


def send(url: str, method: str, path: str, content: bytes, headers: Headers) -> Response:
    """Send one request on a new connection, with exactly these headers, and check the response against the contract."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
    try:
        connection.putrequest(method, path)
        for name, value in headers.items():
            for line in (value,) if isinstance(value, str) else value or ():
                connection.putheader(name, line)
        with suppress(ConnectionError):  # a server may reject a body by its length, and close before it reads the body
            connection.endheaders(content)
        received = connection.getresponse()
        response = Response(received.status, received.headers, received.read(), path)
    finally:
        connection.close()
    contract().check(method, path, response.status, response.headers, response.content)
    return response


@dataclass(frozen=True)
class Operation:
    """An operation of template.yaml. `name` is its folder; `body` and `query` are from its sample event."""

    name: str
    method: str
    path: str
    body: object
    query: str

    @property
    def on_a_task(self) -> bool:
        """Whether its path names a task."""
        return "{task_id}" in self.path

    def path_of(self, path_user: str, task_id: str = "") -> str:
        """Return its path with the user and the task filled in."""
        return self.path.replace("{user_id}", path_user).replace("{task_id}", task_id)

    @property
    def keyed(self) -> bool:
        """Whether it requires an Idempotency-Key."""
        parameters = map(contract().resolved, self._contract["parameters"])
        return any(one["name"] == "Idempotency-Key" and one["required"] for one in parameters)

    @property
    def _contract(self) -> dict[str, Any]:
        (operation,) = (one for one in contract().operations if one["operationId"] == self.name)
        return operation

    def task_for(self, api: Api) -> Task:
        """Create a task in the state that the operation needs: deleted for a restore, else open."""
        task = api.made()
        conflict = contract().resolved(self._contract["responses"].get("409", {}))
        if self.on_a_task and "`not-deleted`" in conflict.get("description", ""):
            api.delete(task["id"])
        return task

    def ask(
        self, api: Api, task_id: str = "", query: str = "", headers: Headers | None = None, body: object = None
    ) -> Response:
        """Send a request of this operation. It is valid unless the arguments say otherwise. Each gets its own key."""
        path = self.path_of(api.path_user or quote(api.caller, safe=""), task_id)
        query = query or self.query
        if self.keyed:
            headers = {"Idempotency-Key": str(uuid.uuid4()), **(headers or {})}
        return api.send(self.method, f"{path}?{query}" if query else path, self.body if body is None else body, headers)


def _body_and_query(name: str) -> tuple[object, str]:
    """Return body and query of the sample event. A batch keeps only operations that need no existing task."""
    event = json.loads((ROOT / "events" / f"{name}.json").read_text())
    body = body_of(name)
    if body is not None and "operations" in body:
        body["operations"] = [one for one in body["operations"] if "id" not in one]
    return body, urlencode(event.get("queryStringParameters") or {})


# Each function has its own credentials, so that tests/permissions.py knows who sends a request, and runs behind the
# guard of tests/guard.py.
_TEMPLATE = templates.load(ROOT / "template.yaml", PARAMETERS)
TEMPLATE = replace(
    _TEMPLATE,
    functions=tuple(
        replace(
            function,
            handler=f"tests.guard.{function.handler.split('.')[1]}",
            environment={
                **function.environment,
                "AWS_ACCESS_KEY_ID": function.name,
            },
        )
        for function in _TEMPLATE.functions
    ),
)
# HEAD belongs to the operation of GET.
_ROUTES = [
    (function.handler.rpartition(".")[2], route)
    for function in TEMPLATE.functions
    for route in function.routes
    if route.method != "HEAD"
]
_EVERY = {
    name: (route.public, Operation(name, route.method, route.path, *_body_and_query(name))) for name, route in _ROUTES
}
# Operations for services only; operations on the tasks of a user; operations without a token.
FOR_SERVICES = {name: operation for name, (_, operation) in _EVERY.items() if name == "erase_user"}
OPERATIONS = {name: one for name, (public, one) in _EVERY.items() if not public and name not in FOR_SERVICES}
PUBLIC = {name: operation for name, (public, operation) in _EVERY.items() if public}
# Otherwise a route that lost its authorizer would silently not be tested.
assert set(PUBLIC) == {"get_openapi"}, "an operation on tasks needs no token"


@dataclass(frozen=True)
class Backend:
    """A running gateway, the log of its functions, and the table behind it."""

    url: str
    log: Path
    table: Table

    def stored(self, user: str, tenant: str = "") -> list[dict[str, Any]]:
        """Return all items of the user's partition."""
        pages = self.table.client.get_paginator("query").paginate(
            TableName=self.table.name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": guard.partition_of(user, tenant)}},
            ConsistentRead=True,
        )
        return [dict(item) for page in pages for item in page["Items"]]

    @staticmethod
    def stored_at(shown: str) -> int:
        """Convert a time of a response to seconds since 1970."""
        return int(datetime.fromisoformat(shown).timestamp())

    def fill(self, user: str, count: int) -> None:
        """Store tasks directly, without the gateway."""
        store = TaskStore(self.table, user, deadline_in(60))
        for number in range(count):
            store.create(NewTask(title=f"task {number}"))

    def expire(self, user: str, task_id: str) -> None:
        """Make a deleted task expire. Its item stays, as before TTL removes it."""
        self.table.client.update_item(
            TableName=self.table.name,
            Key={"pk": {"S": guard.partition_of(user)}, "sk": {"S": f"TASK#{task_id}"}},
            UpdateExpression="SET expires_at = :now",
            ExpressionAttributeValues={":now": {"N": str(int(time.time()))}},
        )

    def logged(self, request_id: str) -> dict[str, Any]:
        """Return the log line of a request, when it is written."""

        def line() -> dict[str, Any] | None:
            for text in self.log.read_text().splitlines():
                if request_id in text and text.startswith("{"):
                    for found in _objects(text):
                        if found.get("request_id") == request_id:
                            return found
            return None

        return eventually(line)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a line: two processes can write into the same line."""
    place = 0
    while place < len(text):
        found, place = json.JSONDecoder().raw_decode(text, place)
        yield found


@contextmanager
def serving(endpoint: str, table_url: str, log: Path | None = None, **environment: str) -> Iterator[Backend]:
    """Run a gateway whose functions use this endpoint as DynamoDB.

    With `log`, the gateway runs in a separate process, and the output of the functions goes there.
    """
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": endpoint, **environment}
    table = table_at(table_url)
    if log is None:
        with serve(TEMPLATE, environment, workers=WORKERS) as url:
            yield Backend(url, Path(os.devnull), table)
        return
    here, there = _PROCESSES.Pipe()
    process = _PROCESSES.Process(target=_serve, args=(there, environment, log))
    process.start()
    there.close()
    try:
        yield Backend(here.recv(), log, table)
    finally:
        here.close()
        process.join(10)
        process.kill()


def _serve(until_closed: Connection, environment: Mapping[str, str], log: Path) -> None:
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
    with serve(TEMPLATE, environment, workers=WORKERS) as url, suppress(EOFError):
        until_closed.send(url)
        until_closed.recv()


def new_id(days_ago: float = 0) -> str:
    """Return a task id as a client makes it, now or some days ago."""
    return str(uuid7(time.time_ns() - round(days_ago * 86_400e9)))


@cache
def _token(user: str, claims: str) -> str:
    # Signing a token takes 40 ms.
    return make_token(user, **json.loads(claims))


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}
