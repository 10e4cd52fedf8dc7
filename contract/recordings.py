"""Records the responses of each operation: its sample events go to its handler, on a fixed clock and an empty moto.

Time and random numbers are fixed, so that the responses are the same in every run, byte for byte.
"""

import base64
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest.mock import patch

from mypy_boto3_dynamodb import DynamoDBClient

from local import dynamodb as engines
from local.template import Template
from shared import tasks
from shared.http import bodies, problems, requests, telemetry
from shared.http import operation as frame
from shared.http.operation import Declaration
from shared.models import Erased, NewTask, NoQuery, TaskQuery
from shared.positions import CHANCE_BITS, NoRoom
from shared.store import cursors, items
from shared.store.dynamodb import Failure, OutcomeUnknown, StorageFull, Unavailable, new_client
from shared.store.engine import BatchTooLarge
from shared.store.marks import UserErased
from shared.store.task_store import TaskStore

EVENTS = Path(__file__).parent.parent / "events"
_NOW = 1_795_415_874_917  # milliseconds: the time of the events
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "TABLE_NAME": "TaskTable",
    "STACK_ID": "local",
    "SERVICE_CALLERS": "service",
}
_NO_TASK = "01a20720-1d65-7ec7-a429-000000000000"
_NEW_ID = "01a20720-1d65-7ec7-a429-721882d38933"
_OLD_ID = "018f3a5c-0000-7000-8000-000000000000"

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
        """The body, read as JSON; None without a body."""
        return json.loads(self.content) if self.content else None


class Recorder:
    """Sends the events of operations to their handlers. `handlers` maps names to handlers or to declarations."""

    def __init__(self, handlers: Mapping[str, Declaration | Handler], client: DynamoDBClient) -> None:
        self._handlers, self._client = handlers, client
        # The tasks that the sample events refer to, by their ids.
        self._samples: dict[str, items.Item] = {}
        for name, declared in handlers.items():
            path = _event(name).get("pathParameters", {})
            if "task_id" in path:
                new = NewTask(title="Buy milk", description="Two bottles", due="2026-12-24", tags=["shop"])
                task = tasks.create(None, path["task_id"], path["user_id"], new, _NOW - 60_000)
                if isinstance(declared, Declaration) and tasks.NotDeleted in declared.raises:
                    task = tasks.delete(task, tasks.ANY_VERSION, _NOW - 60_000)
                self._samples[task.id] = items.to_item(task, "sample")

    def responses(self, name: str, kinds: Iterable[str]) -> list[Recording]:
        """Return the responses to requests that cause problems of these kinds, and to valid requests.

        Raises ValueError if a request has another response.
        """
        problems_of_kinds = [problem for kind in kinds for problem in self._problems(name, kind)]
        successes = list(self._successes(name))
        for one in successes:
            if one.status >= HTTPStatus.BAD_REQUEST:
                raise ValueError(f"{name} must be successful for events/{name}.json, but returned {one}")
        return [*problems_of_kinds, *successes]

    def _successes(self, name: str) -> Iterator[Recording]:
        first = self._ask(name, self._event(name))
        yield first
        if _event(name)["routeKey"].startswith("POST "):
            keyed = self._event(name)
            keyed["headers"]["idempotency-key"] = f"of {name}"
            for _ in range(2):
                # Only the headers differ from those of the first response.
                yield replace(self._ask(name, keyed), is_example=False)
        declared = self._handlers[name]
        for query in _OTHER_QUERIES.get(declared.query, ()) if isinstance(declared, Declaration) else ():
            yield self._ask(name, _event(name, query=query))
        if isinstance(declared, Declaration) and tasks.UnusableId in declared.raises:
            event = self._event(name)
            if "task_id" in event["pathParameters"]:
                _create(event, _NEW_ID)
                yield self._ask(name, event)
        if isinstance(declared, Declaration) and declared.result is Erased:
            yield from self._erasure(name)
        if "ETag" in first.headers and _event(name)["routeKey"].startswith("GET "):
            yield self._ask(name, _event(name, headers={"if-none-match": first.headers["ETag"]}))

    def _erasure(self, name: str) -> Iterator[Recording]:
        """Yield the response to an erasure that removed a task, and to the one that ends it."""
        event = self._event(name)
        task = tasks.create(None, _NEW_ID, event["pathParameters"]["user_id"], NewTask(title="Buy milk"), _NOW)
        self._client.put_item(TableName="TaskTable", Item=items.to_item(task, "sample"))
        yield self._ask(name, event)
        while (response := self._ask(name, event)).body["more"]:
            pass
        yield response

    def _problems(self, name: str, kind: str) -> Iterator[Recording]:
        yield self._problem(name, kind, _TRIGGERS)
        if kind in _OTHER_TRIGGERS:
            # Only the headers differ from those of the first.
            yield replace(self._problem(name, kind, _OTHER_TRIGGERS), is_example=False)

    def _problem(self, name: str, kind: str, triggers: Mapping[str, Callable[[Event], object]]) -> Recording:
        event, declared = self._event(name), self._handlers[name]
        if kind in _FAILURES and isinstance(declared, Declaration):

            def fail(_: object) -> NoReturn:
                raise _FAILURES[kind]

            recorded = self._ask(name, event, declared._replace(handle=fail))
        else:
            if kind == "idempotency-key-reused":
                event["headers"]["idempotency-key"] = f"used by {name}"
                self._ask(name, event)
            triggers[kind](event)
            recorded = self._ask(name, event)
        if recorded.kind != kind:
            raise ValueError(f"{name} must return {kind}, but returned {recorded}")
        return recorded

    def _event(self, name: str) -> Event:
        """Return the sample event of an operation, after storing the tasks that the samples refer to."""
        puts: Any = [{"PutRequest": {"Item": item}} for item in self._samples.values()]
        self._client.batch_write_item(RequestItems={"TaskTable": puts})
        return _event(name)

    def _ask(self, name: str, event: Event, declared: Declaration | None = None) -> Recording:
        handler = declared or self._handlers[name]
        framed: Handler = frame.framed(handler) if isinstance(handler, Declaration) else handler
        response = framed(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000))
        content = str(response.get("body") or "").encode()
        kind = ""
        if "problem" in response["headers"].get("Content-Type", ""):
            kind = json.loads(content)["type"].rpartition(":")[2]
        return Recording(kind, response["statusCode"], response["headers"], content)


@contextmanager
def recorder(template: Template, handlers: Mapping[str, Declaration | Handler]) -> Iterator[Recorder]:
    """A recorder on a moto of its own."""
    ticks, chances = itertools.count(_NOW * 1_000_000, 1_000_000_000), itertools.count(0x2A << 56)
    store = partial(TaskStore, clock=lambda: next(ticks))
    with (
        engines.moto() as url,
        patch.dict("os.environ", _ENVIRONMENT, AWS_ENDPOINT_URL_DYNAMODB=url),
        patch.object(telemetry, "report"),
        patch.object(requests, "TaskStore", store),
        patch("secrets.randbits", lambda bits: 1 << bits - 1 if bits == CHANCE_BITS else next(chances)),
    ):
        engines.create_tables(template, url)
        yield Recorder(handlers, new_client(url))


def _event(name: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> Event:
    event: Event = json.loads((EVENTS / f"{name}.json").read_text())
    event["queryStringParameters"] = query or event.get("queryStringParameters")
    event["headers"].update(headers or {})
    return event


def body_of(name: str) -> Any:
    """The body of the event of an operation, read as JSON; None where it has none."""
    event = _event(name)
    if "body" not in event:
        return None
    return json.loads(base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"])


def _body(event: Event, content: bytes) -> None:
    event["body"], event["isBase64Encoded"] = base64.b64encode(content).decode(), True


def _batch(event: Event, **operation: str | None) -> None:
    event["headers"]["idempotency-key"] = "not used yet"
    _body(event, json.dumps({"operations": [{"op": "toggle", "id": _TASK_ID, **operation}]}).encode())


def _unknown_task(event: Event) -> None:
    if "task_id" in event["pathParameters"]:
        event["pathParameters"]["task_id"] = _NO_TASK
    else:
        _batch(event, id=_NO_TASK)


def _create(event: Event, task_id: str) -> None:
    if "task_id" in event["pathParameters"]:
        event["headers"]["if-none-match"] = "*"
        event["pathParameters"]["task_id"] = task_id
    else:
        _body(event, json.dumps({"operations": [{"op": "create", "id": task_id, "task": {"title": "x"}}]}).encode())


def _not_in_trash(event: Event) -> None:
    if "task_id" in event["pathParameters"]:
        event["pathParameters"]["task_id"] = _TASK_ID
    else:
        _batch(event, op="restore")


def _at_another_version(event: Event) -> None:
    if "task_id" in event["pathParameters"]:
        event["headers"]["if-match"] = '"9-1"'
    else:
        _batch(event, if_match='"9-1"')


def _move(event: Event, **place: str | None) -> None:
    if "task_id" in event["pathParameters"]:
        _body(event, json.dumps(place).encode())
    else:
        _batch(event, op="move", **place)


def _of_another_user(event: Event) -> None:
    event["pathParameters"]["user_id"] = "caf\u00e9"
    event["requestContext"]["authorizer"]["jwt"]["claims"] |= {"sub": "service", "scope": "tasks/service"}


def _forbidden(event: Event) -> None:
    event["pathParameters"]["user_id"] = "bob"
    event["requestContext"]["authorizer"]["jwt"]["claims"]["scope"] = ""


def _unnamed_service(event: Event) -> None:
    event["requestContext"]["authorizer"]["jwt"]["claims"] |= {"sub": "alice", "scope": "tasks/service"}


def _garbled_cursor(event: Event) -> None:
    parameter = "since" if event["routeKey"].endswith("/changes") else "cursor"
    event["queryStringParameters"] = {parameter: "x"}


# The id of the live task in the events of events/.
_TASK_ID = _event("get_task")["pathParameters"]["task_id"]
_OLD = cursors.encode("000000000000001", "USER#alice", "changes")
# Queries with other kinds of responses.
_OTHER_QUERIES: Mapping[type[NoQuery], Sequence[Mapping[str, str]]] = {
    TaskQuery: [{"limit": "1"}, {"status": "deleted"}]
}
# Changes to a valid event that trigger a kind of problem.
_TRIGGERS: Mapping[str, Callable[[Event], object]] = {
    "bad-query": lambda event: event.update(queryStringParameters={"colour": "red"}),
    "bad-cursor": _garbled_cursor,
    "sync-token-expired": lambda event: event.update(queryStringParameters={"since": _OLD}),
    "bad-user-id": _of_another_user,
    "no-identity": lambda event: event["requestContext"].pop("authorizer"),
    "forbidden": _forbidden,
    "unnamed-service": _unnamed_service,
    "bad-task-id": lambda event: event["pathParameters"].update(task_id="1"),
    "bad-etag": lambda event: event["headers"].update({"if-match": "3-1", "if-none-match": "3-1"}),
    "bad-idempotency-key": lambda event: event["headers"].update({"idempotency-key": '"'}),
    "idempotency-key-required": lambda event: event["headers"].pop("idempotency-key"),
    "idempotency-key-reused": lambda event: event["headers"].update({"if-match": "*"}),
    "task-not-found": _unknown_task,
    "unusable-id": lambda event: _create(event, _OLD_ID),
    "not-deleted": _not_in_trash,
    "no-list": lambda event: _move(event, after=None),
    "anchor-not-in-list": lambda event: _move(event, list="groceries", after=_NO_TASK),
    "precondition-failed": _at_another_version,
    "body-too-large": lambda event: _body(event, b" " * (bodies.LIMIT + 1)),
    "unsupported-media-type": lambda event: event["headers"].update({"content-type": "text/plain"}),
    "bad-encoding": lambda event: _body(event, b'{"title": "\xff"}'),
    "bad-json": lambda event: _body(event, b'{"title": "Buy milk",}'),
    "duplicate-key": lambda event: _body(event, b'{"title": "Buy milk", "title": "Buy bread"}'),
    "invalid-body": lambda event: _body(event, b'{"title": "", "colour": "red"}'),
}
# Other changes that trigger the same kind of problem, with other headers.
_OTHER_TRIGGERS: Mapping[str, Callable[[Event], object]] = {
    "unsupported-media-type": lambda event: event["headers"].update({"content-encoding": "gzip"}),
}
# Errors of the handler that become a kind of problem.
_FAILURES: Mapping[str, Exception] = {
    "database-throttled": Unavailable(Failure.THROTTLED),
    "database-unavailable": Unavailable(Failure.UNREACHABLE),
    "contended": Unavailable(Failure.CONTENDED),
    "outcome-unknown": OutcomeUnknown(),
    "storage-full": StorageFull(),
    "batch-too-large": BatchTooLarge(),
    "no-room": NoRoom(),
    "no-tenant": problems.no_tenant(),
    "user-erased": UserErased(),
    "internal-error": RuntimeError(),
}
