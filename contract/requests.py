"""Makes docs/requests.http from the contract: a request for each operation, for editors that send them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "requests.http"
# The task of the examples, in events/.
_TASK: Final = "01a20720-1d65-7ec7-a429-721882d38931"
# Operations that need a query.
_QUERIES: Final = {"clear_tasks": "?status=completed", "erase_user": "?confirm={{user_id}}"}
# Operations that come last, in this order: every request works if they are sent from the first to the last.
_LAST: Final = ("delete_task", "restore_task", "batch_tasks", "list_changes", "clear_tasks", "erase_user")
# Only syntax that all of these editors have. They name a value of an earlier response in different ways, so the user
# copies the id of the task; and they make a UUID in different ways, so an idempotency key is a time here.
_HEAD: Final = """\
# A request for each operation, for VS Code's REST Client, httpYac and the HTTP client of JetBrains.
# `make openapi` writes this file. Start `make run`, and set the token to what `make -s token USER=alice` prints.
# Send create_task, and set task_id to the id in its response.
# erase_user needs the token of USER=service SCOPE=tasks/service.
@url = http://127.0.0.1:8000
@token = TOKEN
@user_id = alice
@task_id = ID
"""


def text(contract: Mapping[str, Any]) -> str:
    """Return the file."""
    return _HEAD + "".join(f"\n{request}\n" for request in _requests(contract))


def _requests(contract: Mapping[str, Any]) -> Iterator[str]:
    every = [(path, *one) for path, operations in contract["paths"].items() for one in operations.items()]
    for path, method, operation in sorted(every, key=lambda one: _place(one[2]["operationId"])):
        name, target = operation["operationId"], path.replace("{", "{{").replace("}", "}}")
        target += _QUERIES.get(name, "")
        lines = [f"### {operation['summary']}", f"# @name {name}", f"{method.upper()} {{{{url}}}}{target}"]
        if operation["security"]:
            lines.append("Authorization: Bearer {{token}}")
        if any(
            parameter.get("required") and parameter.get("name") == "Idempotency-Key"
            for parameter in operation["parameters"]
        ):
            lines.append("Idempotency-Key: {{$timestamp}}")
        if "requestBody" in operation:
            kind, content = next(iter(operation["requestBody"]["content"].items()))
            body = json.dumps(content["example"], indent=2, ensure_ascii=False).replace(_TASK, "{{task_id}}")
            lines += [f"Content-Type: {kind}", "", body]
        yield "\n".join(lines)


def _place(name: str) -> int:
    return _LAST.index(name) + 1 if name in _LAST else 0


class Request(NamedTuple):
    """A request of the file. Its parts may contain variables such as {{task_id}}."""

    name: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: str

    def filled(self, **values: str) -> Request:
        """Replace the variables by values."""

        def fill(text: str) -> str:
            return re.sub(r"{{\$?(.+?)}}", lambda found: values[found[1]], text)

        headers = {name: fill(value) for name, value in self.headers.items()}
        return self._replace(path=fill(self.path), headers=headers, body=fill(self.body))


def requests() -> Iterator[Request]:
    """The requests of the file, without the address and the token."""
    for part in DOCUMENT.read_text(encoding="utf-8").split("\n### ")[1:]:
        head, _, body = part.partition("\n\n")
        _, name, line, *lines = head.splitlines()
        method, path = line.split(" ")
        headers = dict(one.split(": ", 1) for one in lines if not one.startswith("Authorization"))
        yield Request(name.removeprefix("# @name "), method, path.removeprefix("{{url}}"), headers, body.strip())
