"""httpYac sends the requests of docs/requests.http to `make run`, one after the other."""

import json
import re
from pathlib import Path
from typing import Any

from contract import requests
from contract.checker import contract
from local.tokens import SERVICE, make_token
from tests.client.conftest import run


def test_every_request_of_the_file_succeeds(tmp_path: Path, node_modules: Path, url: str, user: str) -> None:
    file, text = tmp_path / "requests.http", requests.DOCUMENT.read_text()

    def send(*options: str, **values: str) -> dict[str, Any]:
        """Fill in the values and send requests; return the responses by the names of the requests."""
        file.write_text(re.sub(r"^@(\w+) = .*", lambda one: f"@{one[1]} = {values[one[1]]}", text, flags=re.MULTILINE))
        # Into a file: httpYac ends before a pipe has taken all of its output.
        shell = ("sh", "-c", '"$@" > responses.json', "sh")
        run(tmp_path, *shell, node_modules / ".bin" / "httpyac", "send", file, "--json", *options)
        sent = json.loads((tmp_path / "responses.json").read_text())["requests"]
        return {one["name"]: one["response"] for one in sent}

    values = {"url": url, "token": make_token(SERVICE, scope="tasks/service"), "user_id": user}
    created = send("--name", "create_task", **values, task_id="ID")["create_task"]
    responses = send("--all", **values, task_id=json.loads(created["body"])["id"])
    assert list(responses) == [request.name for request in requests.requests()]
    assert responses.keys() == {operation["operationId"] for operation in contract().operations}
    assert {name: one["statusCode"] for name, one in responses.items() if one["statusCode"] >= 300} == {}
