"""A DynamoDB that fails as the user id in the request says: `ThrottlingException-...`, `silence-...`.

For `late-...` it throttles, and its clock is an hour behind.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_USER = re.compile(rb"USER#(\w+)-")


@contextmanager
def failing_dynamodb() -> Iterator[str]:
    """Yields its URL."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        late = False

        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            if b'"ERASED"' in request and self.headers["X-Amz-Target"].endswith("GetItem"):
                self._answer(200, b"{}")  # the write fails
                return
            user = _USER.search(request)
            how = user[1].decode() if user else "ValidationException"
            self.late = how == "late"
            if how == "silence":
                ended.wait()
            elif how == "nonsense":
                self._answer(200, b"<html>")
            else:
                code = "ThrottlingException" if self.late else how
                error = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "secret inside"}
                self._answer(500 if how == "InternalServerError" else 400, json.dumps(error).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() - 3600 if self.late else timestamp)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
