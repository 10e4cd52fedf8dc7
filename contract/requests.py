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
_HEAD: Final = """\
# A request for each operation, for VS Code's REST Client, which sends the request under the cursor.
# `make openapi` writes this file. Start `make run`, and set the token to what `make -s token USER=alice` prints.
@url = http://127.0.0.1:8000
@token = TOKEN
@user_id = me
# The task of the last create_task.
@task_id = {{create_task.response.body.$.id}}
"""


def text(contract: Mapping[str, Any]) -> str:
    """Return the file."""
    return _HEAD + "".join(f"\n{request}\n" for request in _requests(contract))


def _requests(contract: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in contract["paths"].items():
        for method, operation in operations.items():
            name, target = operation["operationId"], path.replace("{", "{{").replace("}", "}}")
            target += _QUERIES.get(name, "")
            lines = [f"### {operation['summary']}", f"# @name {name}", f"{method.upper()} {{{{url}}}}{target}"]
            if operation["security"]:
                lines.append("Authorization: Bearer {{token}}")
            if any(
                parameter.get("required") and parameter.get("name") == "Idempotency-Key"
                for parameter in operation["parameters"]
            ):
                lines.append("Idempotency-Key: {{$guid}}")
            if "requestBody" in operation:
                kind, content = next(iter(operation["requestBody"]["content"].items()))
                body = json.dumps(content["example"], indent=2, ensure_ascii=False).replace(_TASK, "{{task_id}}")
                lines += [f"Content-Type: {kind}", "", body]
            yield "\n".join(lines)


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
