"""Runs an HTTP server in a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import BaseWSGIServer


@contextmanager
def running(server: BaseWSGIServer) -> Iterator[str]:
    """Run a server, and yield its URL. Stops and closes it at the end."""
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    try:
        yield f"http://{server.host}:{server.port}"
    finally:
        server.shutdown()
        server.server_close()
