"""The API as one user calls it, over HTTP alone; remembers what it makes, so that it can be taken away again."""

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
_TOO_MANY = 429
_MOST_PAGES = 50


class Failed(Exception):
    """The API does not keep its contract; the words say how."""


class NotJudged(Exception):
    """What stands here cannot be judged on this API; the words say why."""


@dataclass(frozen=True)
class Answer:
    """What came back; `what` names the request, for messages."""

    what: str
    status: int
    headers: Message
    content: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON. Raises Failed where it is none."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise Failed(f"{self.what} answered {self.status} with a body that is no JSON") from None

    def expect(self, *statuses: int) -> "Answer":
        """The answer itself, if it has one of these statuses. Raises Failed for any other."""
        if self.status not in statuses:
            wanted = " or ".join(map(str, statuses))
            told = self.content[:200].decode(errors="replace")
            raise Failed(f"{self.what} answered {self.status}, not {wanted}: {told}")
        return self

    def problem(self, status: int, kind: str) -> "Answer":
        """The answer itself, if it is this problem (RFC 9457). Raises Failed for anything else."""
        self.expect(status)
        if self.headers["Content-Type"] != PROBLEM:
            raise Failed(f"{self.what} answered {status} as {self.headers['Content-Type']}, not as {PROBLEM}")
        body = self.json
        missing = {"type", "title", "status", "detail", "instance"} - set(body)
        if missing or (body["status"], body["type"]) != (status, f"urn:problem:tasks:{kind}"):
            raise Failed(f"{self.what} answered {body}, not the problem {kind}")
        return self

    def header(self, name: str, expected: str | None = None) -> str:
        """A header. Raises Failed where it is missing, or is not what is expected."""
        value = self.headers[name]
        if value is None or expected not in (None, value):
            wanted = "" if expected is None else f", not {expected}"
            raise Failed(f"{self.what} answered with {name}: {value or 'missing'}{wanted}")
        return str(value)


@dataclass
class Caller:
    """A user, by a token; `made` holds the ids of the tasks that were made for them here."""

    url: str
    token: str
    path_user: str = "me"
    made: list[str] = field(default_factory=list)

    @property
    def tasks(self) -> str:
        """The path of their tasks."""
        return f"/v1/users/{quote(self.path_user, safe='')}/tasks"

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send a request. A body that is no bytes goes as JSON; a header that is None takes out a usual one."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        usual: dict[str, str | None] = {"Authorization": f"Bearer {self.token}", "Accept": "*/*"}
        if content is not None:
            usual["Content-Type"] = JSON
        sent = {name: value for name, value in {**usual, **(headers or {})}.items() if value is not None}
        for pause in _PAUSES:
            answer = _send(self.url, method, path, content, sent)
            if answer.status != _TOO_MANY or not pause:
                break
            time.sleep(pause)  # the stage throttles, which says nothing of the contract
        self._remember(answer)
        return answer

    def create(self, title: str = "a task of the conformance suite", **fields: object) -> Any:
        """Create a task, and return it."""
        return self.send("POST", self.tasks, {"title": title, **fields}).expect(201).json

    def get(self, task_id: str, **headers: str) -> Answer:
        """Fetch a task. Headers are named as in `if_match=...`, here and below."""
        return self.send("GET", f"{self.tasks}/{task_id}", headers=_named(headers))

    def replace(self, task_id: str, body: object, **headers: str) -> Answer:
        """Replace a task."""
        return self.send("PUT", f"{self.tasks}/{task_id}", body, _named(headers))

    def update(self, task_id: str, body: object, **headers: str) -> Answer:
        """Change some fields of a task."""
        content_type = {"Content-Type": "application/merge-patch+json"}
        return self.send("PATCH", f"{self.tasks}/{task_id}", body, {**content_type, **_named(headers)})

    def toggle(self, task_id: str, **headers: str) -> Answer:
        """Flip a task."""
        return self.send("POST", f"{self.tasks}/{task_id}/toggle", headers=_named(headers))

    def delete(self, task_id: str, **headers: str) -> Answer:
        """Move a task to the trash."""
        return self.send("DELETE", f"{self.tasks}/{task_id}", headers=_named(headers))

    def restore(self, task_id: str, **headers: str) -> Answer:
        """Bring a task back from the trash."""
        return self.send("POST", f"{self.tasks}/{task_id}/restore", headers=_named(headers))

    def batch(self, *operations: object, key: str | None = None) -> Answer:
        """Do several operations, under a key of their own where none is given."""
        return self.send(
            "POST", f"{self.tasks}/batch", {"operations": operations}, {"Idempotency-Key": key or new_key()}
        )

    def page(self, **query: object) -> Answer:
        """Fetch a page of tasks."""
        return self.send("GET", f"{self.tasks}?{urlencode(query)}" if query else self.tasks)

    def newest(self, since: str, between: Callable[[], object] = lambda: None, **query: object) -> list[Any]:
        """The tasks from the newest back to the one with the id `since`, page by page; `between` runs after each page.

        What the user had before is not walked through. Raises Failed where the list does not end.
        """
        found: list[Any] = []
        cursor: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            body = self.page(order="desc", **query, **cursor).expect(200).json
            if body["items"] and {task["id"] for task in body["items"]} <= {task["id"] for task in found}:
                raise Failed("the list does not go on: a page shows nothing but what was shown before")
            found += [task for task in body["items"] if task["id"] >= since]
            if body["next_cursor"] is None or any(task["id"] < since for task in body["items"]):
                return found
            cursor = {"cursor": body["next_cursor"]}
            between()
        raise Failed(f"the list does not end: {_MOST_PAGES} pages, and still a next_cursor")

    def _remember(self, answer: Answer) -> None:
        """Note the ids of tasks that an answer says were made, even an answer that it should not have been."""
        if answer.status not in (200, 201) or not answer.what.startswith("POST"):
            return
        try:
            body = json.loads(answer.content)
            shown = [result["id"] for result in body.get("results", ())] + ([body["id"]] if "id" in body else [])
        except (ValueError, AttributeError, KeyError, TypeError):
            return
        self.made += shown


def clean_up(callers: Sequence[Caller]) -> tuple[int, list[str]]:
    """Delete all that was made; returns how many tasks that were, and the ids of those that could not be deleted.

    A task is deleted by whoever can: an API that takes one user for another may have made it anybody's.
    """
    made = list(dict.fromkeys(task_id for caller in callers for task_id in caller.made))
    return len(made), [one for one in made if not any(_deleted(caller, one) for caller in callers)]


def at_once[Result](count: int, act: Callable[[int], Result]) -> list[Result]:
    """What `count` threads return that all start together; the first error of one is raised."""
    barrier = threading.Barrier(count)
    results: dict[int, Result] = {}
    errors: list[Exception] = []

    def run(number: int) -> None:
        try:
            barrier.wait(TIMEOUT)
            results[number] = act(number)
        except Exception as error:  # noqa: BLE001 - raised again below, where it is seen
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
    """An Idempotency-Key that was never used."""
    return str(uuid.uuid4())


def _deleted(caller: Caller, task_id: str) -> bool:
    try:
        return caller.delete(task_id).status == 204
    except Failed:
        return False


def _named(headers: Mapping[str, str]) -> dict[str, str | None]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}


def _send(url: str, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
    base = urlsplit(url)
    kind = HTTPSConnection if base.scheme == "https" else HTTPConnection
    what = f"{method} {path}"
    try:
        with closing(kind(base.netloc, timeout=TIMEOUT)) as connection:
            connection.request(method, base.path.rstrip("/") + path, content, dict(headers))
            response = connection.getresponse()
            return Answer(what, response.status, response.headers, response.read())
    except (OSError, HTTPException, ValueError) as error:  # the last for a host or a token that cannot be sent
        raise Failed(f"{what} got no answer: {type(error).__name__} {error}") from error
