"""An HTTP client for one user. It remembers the tasks that it creates, so that they can be deleted."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

JSON = "application/json"
PROBLEM = "application/problem+json"
TIMEOUT = 60
_PAUSES = (1.0, 2.0, 4.0, 0.0)
_THROTTLED = 429
_MAX_PAGES = 50


class Failed(Exception):
    """The API does not keep its contract. The message says how."""


class NotJudged(Exception):
    """This check is impossible with this deployment. The message says why."""


@dataclass(frozen=True)
class Response:
    """A response. `what` describes the request, for messages."""

    what: str
    status: int
    headers: Message
    content: bytes

    @property
    def json(self) -> Any:
        """The body, parsed as JSON. Raises Failed if it is not JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise Failed(f"{self.what} returned {self.status} with a body that is not JSON") from None

    def expect(self, *statuses: int) -> "Response":
        """Return this response if it has one of these status codes, else raise Failed."""
        if self.status not in statuses:
            wanted = " or ".join(map(str, statuses))
            content = self.content[:200].decode(errors="replace")
            raise Failed(f"{self.what} returned {self.status}, not {wanted}: {content}")
        return self

    def problem(self, status: int, kind: str) -> "Response":
        """Return this response if it is this problem (RFC 9457), else raise Failed."""
        self.expect(status)
        if self.headers["Content-Type"] != PROBLEM:
            raise Failed(f"{self.what} returned {status} as {self.headers['Content-Type']}, not as {PROBLEM}")
        body = self.json
        missing = {"type", "title", "status", "detail", "instance"} - set(body)
        if missing or (body["status"], body["type"]) != (status, f"urn:problem:tasks:{kind}"):
            raise Failed(f"{self.what} returned {body}, not the problem {kind}")
        return self

    def header(self, name: str, expected: str | None = None) -> str:
        """Return a header. Raises Failed if it is missing or has another value."""
        value = self.headers[name]
        if value is None or expected not in (None, value):
            wanted = "" if expected is None else f", not {expected}"
            raise Failed(f"{self.what} returned {name}: {value or 'missing'}{wanted}")
        return str(value)


@dataclass
class Caller:
    """A user with a token. `created` has the ids of the tasks that were created with this token."""

    url: str
    token: str
    path_user: str = "me"
    created: list[str] = field(default_factory=list)

    @property
    def tasks(self) -> str:
        """The path of the user's tasks."""
        return f"/v1/users/{quote(self.path_user, safe='')}/tasks"

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Response:
        """Send a request. A body other than bytes is sent as JSON. None removes a default header."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        default: dict[str, str | None] = {"Authorization": f"Bearer {self.token}", "Accept": "*/*"}
        if content is not None:
            default["Content-Type"] = JSON
        sent = {name: value for name, value in {**default, **(headers or {})}.items() if value is not None}
        for pause in _PAUSES:
            response = _send(self.url, method, path, content, sent)
            if response.status != _THROTTLED or not pause:
                break
            time.sleep(pause)  # throttling is not a violation of the contract
        self._remember(response)
        return response

    def create(self, title: str = "a task of the conformance suite", **fields: object) -> Any:
        """Create and return a task."""
        return self.send("POST", self.tasks, {"title": title, **fields}).expect(201).json

    def get(self, task_id: str, **headers: str) -> Response:
        """Fetch a task. Headers are keyword arguments such as `if_match=...`, here and below."""
        return self.send("GET", f"{self.tasks}/{task_id}", headers=_named(headers))

    def replace(self, task_id: str, body: object, **headers: str) -> Response:
        """Replace a task."""
        return self.send("PUT", f"{self.tasks}/{task_id}", body, _named(headers))

    def update(self, task_id: str, body: object, **headers: str) -> Response:
        """Change some fields of a task."""
        content_type = {"Content-Type": "application/merge-patch+json"}
        return self.send("PATCH", f"{self.tasks}/{task_id}", body, {**content_type, **_named(headers)})

    def toggle(self, task_id: str, **headers: str) -> Response:
        """Toggle a task."""
        return self.send("POST", f"{self.tasks}/{task_id}/toggle", headers=_named(headers))

    def move(self, task_id: str, body: object, **headers: str) -> Response:
        """Move a task to a place of a list."""
        return self.send("POST", f"{self.tasks}/{task_id}/move", body, _named(headers))

    def delete(self, task_id: str, **headers: str) -> Response:
        """Move a task to the trash."""
        return self.send("DELETE", f"{self.tasks}/{task_id}", headers=_named(headers))

    def restore(self, task_id: str, **headers: str) -> Response:
        """Restore a task from the trash."""
        return self.send("POST", f"{self.tasks}/{task_id}/restore", headers=_named(headers))

    def batch(self, *operations: object, key: str | None = None) -> Response:
        """Send a batch, with a new idempotency key unless one is given."""
        return self.send(
            "POST", f"{self.tasks}/batch", {"operations": operations}, {"Idempotency-Key": key or new_key()}
        )

    def page(self, **query: object) -> Response:
        """Fetch a page of tasks."""
        return self.send("GET", f"{self.tasks}?{urlencode(query)}" if query else self.tasks)

    def newest(self, since: str, between: Callable[[], object] = lambda: None, **query: object) -> list[Any]:
        """Return the tasks from the newest back to the id `since`. `between` runs after each page.

        Older tasks of the user are not read. Raises Failed if the list does not end.
        """
        found: list[Any] = []
        cursor: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            body = self.page(order="desc", **query, **cursor).expect(200).json
            if body["items"] and {task["id"] for task in body["items"]} <= {task["id"] for task in found}:
                raise Failed("the list does not continue: a page has only tasks of earlier pages")
            found += [task for task in body["items"] if task["id"] >= since]
            if body["next_cursor"] is None or any(task["id"] < since for task in body["items"]):
                return found
            cursor = {"cursor": body["next_cursor"]}
            between()
        raise Failed(f"the list does not end: next_cursor is set after {_MAX_PAGES} pages")

    def _remember(self, response: Response) -> None:
        """Remember the ids of tasks that a response contains, also if the API should not have created them."""
        if response.status not in (200, 201) or not response.what.startswith("POST"):
            return
        try:
            body = json.loads(response.content)
            shown = [result["id"] for result in body.get("results", ())] + ([body["id"]] if "id" in body else [])
        except (ValueError, AttributeError, KeyError, TypeError):
            return
        self.created += shown


def clean_up(callers: Sequence[Caller]) -> tuple[int, list[str]]:
    """Delete all created tasks; return their number, and the ids of those that could not be deleted.

    Each caller tries to delete each task: a broken API may have created a task for another user.
    """
    created = list(dict.fromkeys(task_id for caller in callers for task_id in caller.created))
    return len(created), [one for one in created if not any(_deleted(caller, one) for caller in callers)]


def at_once[Result](count: int, act: Callable[[int], Result]) -> list[Result]:
    """Run `act` in `count` simultaneous threads and return the results. Raises the first exception of a thread."""
    barrier = threading.Barrier(count)
    results: dict[int, Result] = {}
    errors: list[Exception] = []

    def run(number: int) -> None:
        try:
            barrier.wait(TIMEOUT)
            results[number] = act(number)
        except Exception as error:  # noqa: BLE001 - raised again below, in the calling thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[number] for number in range(count)]


def new_key() -> str:
    """Return a new Idempotency-Key."""
    return str(uuid.uuid4())


def new_id() -> str:
    """Return a new id for a task: a UUID of version 7 (RFC 9562, section 5.7)."""
    milliseconds, random = time.time_ns() // 1_000_000, uuid.uuid4().int
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | random & ((1 << 76) - 1) & ~(0b11 << 62) | 0b10 << 62))


def _deleted(caller: Caller, task_id: str) -> bool:
    try:
        return caller.delete(task_id).status == 204
    except Failed:
        return False


def _named(headers: Mapping[str, str]) -> dict[str, str | None]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}


def _send(url: str, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Response:
    base = urlsplit(url)
    kind = HTTPSConnection if base.scheme == "https" else HTTPConnection
    what = f"{method} {path}"
    try:
        with closing(kind(base.netloc, timeout=TIMEOUT)) as connection:
            connection.request(method, base.path.rstrip("/") + path, content, dict(headers))
            response = connection.getresponse()
            return Response(what, response.status, response.headers, response.read())
    except (OSError, HTTPException, ValueError) as error:  # ValueError for a host or a token that cannot be sent
        raise Failed(f"{what} failed: {type(error).__name__} {error}") from error
