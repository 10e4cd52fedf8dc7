"""DynamoDB as canned bytes behind a socket: what a measured process does not spend here, it spends by itself."""

import json
import re
import socketserver
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

from shared import tasks
from shared.models import NewTask
from shared.store import items
from shared.store.items import Item

USER = "alice"
TASK_ID = "01a20720-1d65-7ec7-a429-721882d38931"
# The task with this id lies in the trash: a restore names it.
TRASHED_ID = "01a20720-1d65-7ec7-a429-7218deadbeef"
TOKEN = "Zk3v9xPq0sEaB7dW"  # noqa: S105 - it marks a write, and is no secret
PAGE = 50
# Answers that depend on more than the kind of the request.
NOTHING, TRASHED = "Query of one task", "GetItem of a task in the trash"

_ONE_TASK = re.compile(rb'"Limit": ?1\b')


def item_of(user: str, task_id: str, new: NewTask, now: int, *, trashed: bool = False) -> Item:
    """The item of a task as the product stores it: created at a time in ms, and in the trash or not."""
    task = tasks.create(None, task_id, user, new, now)
    return items.to_item(tasks.delete(task, tasks.ANY_VERSION, now) if trashed else task, TOKEN)


def canned() -> Mapping[str, bytes]:
    """What DynamoDB answers to each request: an item as it lies in the table, or a page of them."""
    now = time.time_ns() // 1_000_000

    def item(place: int) -> Item:
        # 60 characters of description: between a shopping list and a bug report.
        new = NewTask(
            title=f"Task number {place}", description="Two bottles, and whatever else the kitchen lacks " + "." * 11
        )
        return item_of(USER, f"{TASK_ID[:-4]}{place:04x}", new, now)

    answers: dict[str, Any] = {
        "PutItem": {},
        "GetItem": {"Item": item(0)},
        TRASHED: {"Item": item_of(USER, TRASHED_ID, NewTask(title="Task in the trash"), now, trashed=True)},
        "UpdateItem": {"Attributes": item(0)},
        # A task, and the record of a key that is new.
        "TransactGetItems": {"Responses": [{"Item": item(0)}, {}]},
        "TransactWriteItems": {},
        NOTHING: {"Items": [], "Count": 0, "ScannedCount": 0},
        "Query": {"Items": [item(place) for place in range(PAGE)], "Count": PAGE, "ScannedCount": PAGE},
    }
    return {name: json.dumps(answer, separators=(",", ":")).encode() for name, answer in answers.items()}


class _Connection(socketserver.StreamRequestHandler):
    answers = canned()

    def handle(self) -> None:
        while self.rfile.readline():
            headers: dict[str, str] = {}
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            kind, asked = headers["x-amz-target"].rpartition(".")[2], self.rfile.read(int(headers["content-length"]))
            if kind == "Query" and _ONE_TASK.search(asked):
                kind = NOTHING
            elif kind == "GetItem" and TRASHED_ID.encode() in asked:
                kind = TRASHED
            body = self.answers[kind]
            head = (
                f"HTTP/1.1 200 OK\r\nServer: Server\r\nDate: {formatdate(usegmt=True)}\r\n"
                f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n"
                f"x-amzn-RequestId: {'A' * 52}\r\nx-amz-crc32: {zlib.crc32(body)}\r\n\r\n"
            )
            self.wfile.write(head.encode() + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def stub() -> Iterator[str]:
    """The stub in a process of its own; yields its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.stub"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    with _Server(("127.0.0.1", 0), _Connection) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()
