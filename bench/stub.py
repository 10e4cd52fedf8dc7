"""A stub of DynamoDB over TLS with prepared responses, so that only the time of the measured process counts.

python -m bench.stub CERTIFICATE [--closing]
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import ssl
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

from shared import tasks
from shared.models import NewTask
from shared.store import items, marks
from shared.store.items import Item

USER = "alice"
TASK_ID = "01a20720-1d65-7ec7-a429-721882d38931"
# The id of a task in the trash, for restore_task.
TRASHED_ID = "01a20720-1d65-7ec7-a429-7218deadbeef"
TOKEN = "Zk3v9xPq0sEaB7dW"  # noqa: S105 - a write token, not a secret
PAGE = 50
# Responses for requests with certain content.
EMPTY, NEIGHBOURS, TRASHED = "Query of one task", "Query of two tasks", "GetItem of a task in the trash"

_QUERIES = {b"1": EMPTY, b"2": NEIGHBOURS}
_FEW_TASKS = re.compile(rb'"Limit": ?([12])\b')


def item_of(user: str, task_id: str, new: NewTask, now: int, *, trashed: bool = False) -> Item:
    """Return the item of a task as the product stores it, created at a time in ms."""
    task = tasks.create(None, task_id, user, new, now)
    return items.to_item(tasks.delete(task, tasks.ANY_VERSION, now) if trashed else task, TOKEN)


def prepared_responses() -> Mapping[str, bytes]:
    """Return the body of the response to each kind of request."""
    now = time.time_ns() // 1_000_000

    def item(place: int) -> Item:
        # 60 characters of description: between a shopping list and a bug report.
        new = NewTask(
            title=f"Task number {place}", description="Two bottles, and everything else for the kitchen " + "." * 11
        )
        return item_of(USER, f"{TASK_ID[:-4]}{place:04x}" if place else TASK_ID, new, now)

    responses: dict[str, Any] = {
        "PutItem": {},
        "GetItem": {"Item": item(0)},
        TRASHED: {"Item": item_of(USER, TRASHED_ID, NewTask(title="Task in the trash"), now, trashed=True)},
        "GetItem of the mark": {},
        "UpdateItem": {"Attributes": item(0)},
        # A task, and no idempotency record.
        "TransactGetItems": {"Responses": [{"Item": item(0)}, {}]},
        "TransactWriteItems": {},
        EMPTY: {"Items": [], "Count": 0, "ScannedCount": 0},
        NEIGHBOURS: {"Items": [item(1), item(2)], "Count": 2, "ScannedCount": 2},
        "Query": {"Items": [item(place) for place in range(PAGE)], "Count": PAGE, "ScannedCount": PAGE},
    }
    return {name: json.dumps(response, separators=(",", ":")).encode() for name, response in responses.items()}


class _Connection(socketserver.StreamRequestHandler):
    # Otherwise the last part of a long response waits 40 ms for the acknowledgement of the parts before it.
    disable_nagle_algorithm = True
    server: _Server
    responses = prepared_responses()

    def handle(self) -> None:
        while first := self.rfile.readline():
            headers: dict[str, str] = {}
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            if first.startswith(b"GET"):  # opens a connection
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            kind, request = headers["x-amz-target"].rpartition(".")[2], self.rfile.read(int(headers["content-length"]))
            if kind == "Query" and (limit := _FEW_TASKS.search(request)):
                kind = _QUERIES[limit[1]]
            elif kind == "GetItem" and marks.SORT_KEY.encode() in request:
                kind = "GetItem of the mark"
            elif kind == "GetItem" and TRASHED_ID.encode() in request:
                kind = TRASHED
            body = self.responses[kind]
            head = (
                f"HTTP/1.1 200 OK\r\nServer: Server\r\nDate: {formatdate(usegmt=True)}\r\n"
                f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n"
                f"x-amzn-RequestId: {'A' * 52}\r\nx-amz-crc32: {zlib.crc32(body)}\r\n\r\n"
            )
            self.wfile.write(head.encode() + body)
            if self.server.closing:
                return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, certificate: str, *, closing: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.closing = closing
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. The handshake takes place with the first bytes that its thread reads."""
        client, address = super().get_request()
        return self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False), address


@contextmanager
def stub(certificate: Path, *, closing: bool = False) -> Iterator[str]:
    """Start the stub in a separate process and yield its URL. `closing` ends each connection after one response."""
    command = [sys.executable, "-m", "bench.stub", str(certificate), *(["--closing"] if closing else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield f"https://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    with _Server(sys.argv[1], closing="--closing" in sys.argv) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()
