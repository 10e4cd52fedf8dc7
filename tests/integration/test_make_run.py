"""`make run`, `make events` and `make token`, as a newcomer uses them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import parse_headers
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer
from typing import Any

import pytest

from tests.api import Api, send
from tests.conftest import ROOT, eventually, free_port
from tests.markdown import blocks, code

START_SECONDS = 30


@contextmanager
def make_run(log: Path, port: int, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """`make run` in its own process group, ready for requests."""
    arguments = ["make", "run", f"PORT={port}", *(f"{name}={value}" for name, value in settings.items())]
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    try:
        eventually(lambda: process.poll() is not None or "curl" in log.read_text() or None, START_SECONDS)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


def left_of(group: int) -> list[str]:
    """The remaining processes of a session."""
    listed = subprocess.run(["ps", "-eo", "sid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] == str(group)]


def test_the_printed_commands_work_when_pasted_and_ctrl_c_ends_it_all(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with make_run(log, free_port()) as process:
        screen = log.read_text()
        # A terminal has 80 columns and 24 lines.
        assert sum(1 + max(0, len(line) - 1) // 80 for line in screen.splitlines()) <= 24
        commands = screen[screen.index("TOKEN=") :]
        pasted = subprocess.run(commands, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
        responses = pasted.stdout.splitlines()
        assert len(responses) == 3
        assert '"title":"Buy milk"' in responses[0]
        assert responses[0].strip() in responses[1]
        assert '"status": 403' in responses[2]
        (docs,) = re.findall(r"^Try it in a browser: (\S+)$", log.read_text(), re.MULTILINE)
        page = send(docs.removesuffix("/docs"), "GET", "/docs", b"", {})
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        (token,) = re.findall(r"preauthorizeApiKey\('Jwt', \"([^\"]+)\"\)", page.content.decode())
        filled_in = {"Authorization": f"Bearer {token}"}
        assert send(docs.removesuffix("/docs"), "GET", "/v1/users/alice/tasks", b"", filled_in).status == 200
        os.killpg(process.pid, signal.SIGINT)
        process.wait(5)
        assert "Traceback" not in log.read_text()
        assert eventually(lambda: not left_of(process.pid) or None)


def test_the_requests_of_the_documents_work_when_pasted(tmp_path: Path) -> None:
    port = free_port()
    here, there = "http://127.0.0.1:8000", f"http://127.0.0.1:{port}"
    requests = [block.text for block in blocks(language="sh") if "curl" in block.text and here in block.text]
    shell = "\n".join(requests).replace(here, there)
    (tmp_path / "client.py").write_text(code("docs/clients.md", "python").replace(here, there))
    javascript = code("docs/clients.md", "js").replace(here, there)
    call = (
        'create("Buy milk", () => process.env.TOKEN).then((task) => console.log(`JavaScript ${task.id} ${task.title}`))'
    )
    (tmp_path / "client.mjs").write_text(f"{javascript}\n{call}\n")
    node = shutil.which("node")
    if node is None and os.environ.get("CI") == "true":
        pytest.fail("node is not on the PATH")
    with make_run(tmp_path / "log", port):
        script = f"set -e\n{shell}\n{sys.executable} {tmp_path / 'client.py'}"
        script += f"\n{node} {tmp_path / 'client.mjs'}" if node else ""
        pasted = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert pasted.returncode == 0, pasted.stderr
    assert pasted.stdout.count('"title":"Buy milk"') == 2  # created, and listed
    assert pasted.stdout.count('"due":"2026-12-24"') == 2
    assert "'title': 'Buy milk'" in pasted.stdout  # by the client in Python
    assert node is None or re.search(r"JavaScript [0-9a-f-]{14}7[0-9a-f-]{21} Buy milk", pasted.stdout)


@contextmanager
def make_events(output: Path, port: int) -> Iterator[Callable[[], list[Any] | None]]:
    """`make events`. Yields a function that returns the events printed so far, None if there is none."""
    arguments = ["make", "-s", "events", f"PORT={port}"]
    with output.open("wb") as file:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=file, start_new_session=True)
    try:
        yield (
            lambda: (
                [json.loads(line) for line in output.read_text().splitlines(keepends=True) if line[-1] == "\n"] or None
            )
        )
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def test_each_server_has_its_own_events(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    with ExitStack() as stack:
        for port in ports:
            stack.callback((ROOT / ".local" / f"events-{port}.jsonl").unlink, missing_ok=True)
            stack.enter_context(make_run(tmp_path / f"run-{port}", port, EVENTS="yes"))
        shown = [stack.enter_context(make_events(tmp_path / f"events-{port}", port)) for port in ports]
        created = []
        for port, events in zip(ports, shown, strict=True):
            task_id = Api(f"http://127.0.0.1:{port}", "alice").create().json["id"]
            eventually(events, 30)
            created.append(task_id)
        assert [[one["detail"]["task_id"] for one in events() or ()] for events in shown] == [[one] for one in created]
        # A server that does not start, because the port is in use, leaves the events of the other alone.
        arguments = ["make", "-s", "run", f"PORT={ports[0]}", "EVENTS=yes"]
        ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert "in use" in ended.stderr
        with make_events(tmp_path / "again", ports[0]) as again:
            assert eventually(again, 30) == shown[0]()


def test_the_client_of_the_documents_has_one_id_for_all_attempts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    responses = [
        b"",
        b'HTTP/1.1 201 Created\r\nContent-Length: 21\r\n\r\n{"title": "B',
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 201 Created\r\nContent-Length: 21\r\n\r\n{"title": "Buy milk"}',
    ]
    paths, tokens = [], []

    class Damaged(StreamRequestHandler):
        def handle(self) -> None:
            request = self.rfile.readline()
            headers = parse_headers(self.rfile)
            self.rfile.read(int(headers["Content-Length"]))
            paths.append(request)
            tokens.append(headers["Authorization"])
            response = responses[len(paths) - 1] if headers["If-None-Match"] == "*" else b""
            if b" 401 " in response:
                monkeypatch.setenv("TOKEN", "new")
            self.wfile.write(response)

    monkeypatch.setenv("TOKEN", "old")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with TCPServer(("127.0.0.1", 0), Damaged) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        python = code("docs/clients.md", "python").replace("127.0.0.1:8000", f"127.0.0.1:{server.server_address[1]}")
        exec(python, {})  # noqa: S102 - it is our own
        server.shutdown()
    assert capsys.readouterr().out == "{'title': 'Buy milk'}\n"
    assert len(paths) == len(responses)
    assert len(set(paths)) == 1
    assert tokens == ["Bearer old"] * 4 + ["Bearer new"]


@pytest.mark.parametrize(("statuses", "result"), [([0, 503, 401, 201], "done"), ([401], "Error: refused")])
def test_the_client_in_javascript_has_one_id_and_a_current_token_for_each_attempt(
    statuses: list[int], result: str
) -> None:
    """Status 0 is a lost response. A 401 is final for the first attempt only."""
    if not shutil.which("node"):
        pytest.fail("node is not on the PATH")
    script = f"""{code("docs/clients.md", "js")}
    const statuses = {statuses}, sent = [];
    globalThis.setTimeout = (then) => then();
    globalThis.fetch = async (url, {{ headers }}) => {{
      const status = statuses[sent.push([url, headers.Authorization]) - 1];
      if (!status) throw new TypeError("fetch failed");
      return {{ status, ok: status === 201, json: () => "done", text: () => "refused" }};
    }};
    const result = await create("Buy milk", () => sent.length).catch(String);
    console.log(JSON.stringify([result, new Set(sent.map(([url]) => url)).size, sent.map(([, token]) => token)]));"""
    ran = subprocess.run(["node", "--input-type=module", "--eval", script], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == [result, 1, [f"Bearer {number}" for number in range(len(statuses))]]


def test_an_invalid_setting_is_one_clear_line() -> None:
    """Make passes the settings on; tests/local/test_commands.py tests the others."""
    arguments = ["make", "-s", "run", "DYNAMODB=postgres"]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "DYNAMODB must be" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [[], ["USER="]], ids=["no user", "empty user"])
def test_a_token_needs_a_named_user(arguments: list[str]) -> None:
    ended = subprocess.run(["make", "-s", "token", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "usage" in ended.stderr.lower()


def test_make_token_prints_only_a_token() -> None:
    arguments = ["make", "-s", "token", "USER=auth0|abc", "SCOPE=tasks/service"]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.count(".") == 2
    assert ended.stdout == ended.stdout.strip() + "\n"
    assert ended.stderr == ""
