"""Records the responses of every operation: sends the events of events/ to the handlers, with moto as DynamoDB.

The responses are the same bytes in every run, because the clock and the random numbers are patched.
"""

import base64
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from mypy_boto3_dynamodb import DynamoDBClient

from local import dynamodb as engines
from local.template import Template
from shared import tasks
from shared.http import bodies, requests, telemetry
from shared.http import operation as frame
from shared.http.operation import Declaration
from shared.models import NewTask, NoQuery, TaskQuery
from shared.store import cursors, items
from shared.store.dynamodb import Failure, OutcomeUnknown, StorageFull, Unavailable, new_client
from shared.store.task_store import TaskStore

EVENTS = Path(__file__).parent.parent / "events"
_NOW = 1_795_415_874_917  # in ms: the time in the events
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "TABLE_NAME": "TaskTable",
}
_NO_TASK = "01a20720-1d65-7ec7-a429-000000000000"

type Event = dict[str, Any]
type Handler = Callable[..., Any]


@dataclass(frozen=True)
class Recording:
    """A response. `kind` is the kind of the problem, or empty."""

    kind: str
    status: int
    headers: Mapping[str, str]
    content: bytes
    is_example: bool = True

    @property
    def body(self) -> Any:
        """The body, parsed as JSON, or None."""
        return json.loads(self.content) if self.content else None


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 10_000


class Recorder:
    """Sends events to handlers. `handlers` maps the name of an operation to its declaration or its handler."""

    def __init__(self, handlers: Mapping[str, Declaration | Handler], client: DynamoDBClient) -> None:
        self._handlers, self._client = handlers, client

    def responses(self, name: str, kinds: Iterable[str]) -> list[Recording]:
        """Return the responses of an operation: one problem of each of these kinds, and the successful ones."""
        return [*(self._problem(name, kind) for kind in kinds), *self._successes(name)]

    def _successes(self, name: str) -> Iterator[Recording]:
        first = self._send(name, self._event(name))
        yield first
        if _event(name)["routeKey"].startswith("POST "):
            keyed = self._event(name)
            keyed["headers"]["idempotency-key"] = f"of {name}"
            for _ in range(2):
                # Only its headers differ from those of the first response.
                yield replace(self._send(name, keyed), is_example=False)
        declared = self._handlers[name]
        for query in _MORE_QUERIES.get(declared.query, ()) if isinstance(declared, Declaration) else ():
            yield self._send(name, _event(name, query=query))
        if "ETag" in first.headers and _event(name)["routeKey"].startswith("GET "):
            yield self._send(name, _event(name, headers={"if-none-match": first.headers["ETag"]}))

    def _problem(self, name: str, kind: str) -> Recording:
        event, declared = self._event(name), self._handlers[name]
        if kind in _FAILURES and isinstance(declared, Declaration):

            def fail(_: object) -> NoReturn:
                raise _FAILURES[kind]

            recorded = self._send(name, event, declared._replace(handle=fail))
        else:
            if kind == "idempotency-key-reused":
                event["headers"]["idempotency-key"] = f"used by {name}"
                self._send(name, event)
            _BAD_REQUESTS[kind](event)
            recorded = self._send(name, event)
        if recorded.kind != kind:
            raise AssertionError(f"{name} returned {recorded}, not {kind}")
        return recorded

    def _event(self, name: str) -> Event:
        """Return the event of an operation, after writing the tasks that the events need."""
        for other, declared in self._handlers.items():
            path = _event(other).get("pathParameters", {})
            if "task_id" in path:
                new = NewTask(title="Buy milk", description="Two bottles")
                task = tasks.create(None, path["task_id"], path["user_id"], new, _NOW - 60_000)
                if isinstance(declared, Declaration) and tasks.NotDeleted in declared.raises:
                    task = tasks.delete(task, tasks.ANY_VERSION, _NOW - 60_000)
                self._client.put_item(TableName="TaskTable", Item=items.to_item(task, "sample"))
        return _event(name)

    def _send(self, name: str, event: Event, declared: Declaration | None = None) -> Recording:
        handler = declared or self._handlers[name]
        framed: Handler = frame.framed(handler) if isinstance(handler, Declaration) else handler
        response = framed(event, _Context())
        content = str(response.get("body") or "").encode()
        kind = ""
        if "problem" in response["headers"].get("Content-Type", ""):
            kind = json.loads(content)["type"].rpartition(":")[2]
        return Recording(kind, response["statusCode"], response["headers"], content)


@contextmanager
def recorder(template: Template, handlers: Mapping[str, Declaration | Handler]) -> Iterator[Recorder]:
    """Yield a recorder with a new moto server."""
    ticks, chances = itertools.count(_NOW * 1_000_000, 1_000_000_000), itertools.count(0x2A << 56)
    store = partial(TaskStore, clock=lambda: next(ticks))
    with (
        engines.moto() as url,
        patch.dict("os.environ", _ENVIRONMENT, AWS_ENDPOINT_URL_DYNAMODB=url),
        patch.object(telemetry, "report"),
        patch.object(requests, "TaskStore", store),
        patch("shared.store.uuid7.secrets.randbits", lambda _: next(chances)),
    ):
        engines.create_tables(template, url)
        yield Recorder(handlers, new_client(url))


def _event(name: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Event:
    event: Event = json.loads((EVENTS / f"{name}.json").read_text())
    event["queryStringParameters"] = query or event.get("queryStringParameters")
    event["headers"].update(headers or {})
    return event


def body_of(name: str) -> Any:
    """Return the body of an operation's event, parsed as JSON, or None."""
    event = _event(name)
    if "body" not in event:
        return None
    return json.loads(base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"])


def _set_body(event: Event, content: bytes) -> None:
    event["body"], event["isBase64Encoded"] = base64.b64encode(content).decode(), True


def _set_batch(event: Event, **operation: str) -> None:
    event["headers"]["idempotency-key"] = "not used yet"
    _set_body(event, json.dumps({"operations": [{"op": "toggle", "id": _TASK_ID, **operation}]}).encode())


def _name_missing_task(event: Event) -> None:
    if "task_id" in event["pathParameters"]:
        event["pathParameters"]["task_id"] = _NO_TASK
    else:
        _set_batch(event, id=_NO_TASK)


def _name_live_task(event: Event) -> None:
    if "task_id" in event["pathParameters"]:
        event["pathParameters"]["task_id"] = _TASK_ID
    else:
        _set_batch(event, op="restore")


def _send_other_etag(event: Event) -> None:
    if "task_id" in event["pathParameters"]:
        event["headers"]["if-match"] = '"9-1"'
    else:
        _set_batch(event, if_match='"9-1"')


def _name_unusable_user(event: Event) -> None:
    event["pathParameters"]["user_id"] = "caf\u00e9"
    event["requestContext"]["authorizer"]["jwt"]["claims"]["scope"] = "tasks/service"


def _send_garbled_token(event: Event) -> None:
    parameter = "since" if event["routeKey"].endswith("/changes") else "cursor"
    event["queryStringParameters"] = {parameter: "x"}


# The id of the live task in the events.
_TASK_ID = _event("get_task")["pathParameters"]["task_id"]
_EXPIRED_TOKEN = cursors.encode("000000000000001", "alice", "changes")
# More queries whose responses are good examples.
_MORE_QUERIES: Mapping[type[NoQuery], Sequence[Mapping[str, str]]] = {
    TaskQuery: [{"limit": "1"}, {"status": "deleted"}]
}
# For each kind of problem, the change to a valid event that causes it.
_BAD_REQUESTS: Mapping[str, Callable[[Event], object]] = {
    "bad-query": lambda event: event.update(queryStringParameters={"colour": "red"}),
    "bad-cursor": _send_garbled_token,
    "sync-token-expired": lambda event: event.update(queryStringParameters={"since": _EXPIRED_TOKEN}),
    "bad-user-id": _name_unusable_user,
    "no-identity": lambda event: event["requestContext"].pop("authorizer"),
    "forbidden": lambda event: event["pathParameters"].update(user_id="bob"),
    "bad-task-id": lambda event: event["pathParameters"].update(task_id="1"),
    "bad-etag": lambda event: event["headers"].update({"if-match": "3-1", "if-none-match": "3-1"}),
    "bad-idempotency-key": lambda event: event["headers"].update({"idempotency-key": '"'}),
    "idempotency-key-required": lambda event: event["headers"].pop("idempotency-key"),
    "idempotency-key-reused": lambda event: event["headers"].update({"if-match": "*"}),
    "task-not-found": _name_missing_task,
    "not-deleted": _name_live_task,
    "precondition-failed": _send_other_etag,
    "body-too-large": lambda event: _set_body(event, b" " * (bodies.LIMIT + 1)),
    "unsupported-media-type": lambda event: event["headers"].update({"content-type": "text/plain"}),
    "bad-encoding": lambda event: _set_body(event, b'{"title": "\xff"}'),
    "bad-json": lambda event: _set_body(event, b'{"title": "Buy milk",}'),
    "duplicate-key": lambda event: _set_body(event, b'{"title": "Buy milk", "title": "Buy bread"}'),
    "invalid-body": lambda event: _set_body(event, b'{"title": "", "colour": "red"}'),
}
# Problems that no request can cause: the handler raises these exceptions instead.
_FAILURES: Mapping[str, Exception] = {
    "database-throttled": Unavailable(Failure.THROTTLED),
    "database-unavailable": Unavailable(Failure.UNREACHABLE),
    "contended": Unavailable(Failure.CONTENDED),
    "outcome-unknown": OutcomeUnknown(),
    "storage-full": StorageFull(),
    "internal-error": RuntimeError(),
}
