"""HTTP connections to DynamoDB that limit the time of each response, and whose errors show whether a request was sent.

The read timeout of urllib3 limits the time between two bytes, so a response that arrives byte by byte could take longer
than the function may run. Here, the read timeout limits the whole response. urllib3 also raises the same SSLError for a
failed TLS handshake, before a request is sent, and for a broken TLS record, after it is sent. Here, a failed handshake
is a NewConnectionError.
"""

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import NewConnectionError, SSLError
from urllib3.util import Timeout


class _TimeLimitedReader(io.RawIOBase):
    """Reads one response. The timeout of the socket at the start limits the time for all of its bytes."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._socket = sock
        self._end = time.monotonic() + (sock.gettimeout() or 0.0)
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        # For the first read the socket already has the right timeout, and most responses need only one read. The
        # timeout is not reset here, because urllib3 sets it for each request and each response.
        if self._begun:
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError("The response did not end in time.")
            self._socket.settimeout(left)
        self._begun = True
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp = io.BufferedReader(_TimeLimitedReader(self.fp.detach(), sock))


class _HTTPConnection(AWSHTTPConnection):
    response_class: Any = _Response


class _HTTPSConnection(AWSHTTPSConnection):
    response_class: Any = _Response

    def connect(self) -> None:
        """Connect, including the TLS handshake. botocore reports a NewConnectionError as "could not connect"."""
        # All connections share one context. urllib3 would make it parse the certificates again for each connection.
        if self.ssl_context is not None and self.ssl_context.cert_store_stats()["x509"]:
            self.ca_certs = None
        try:
            super().connect()
        except (OSError, SSLError) as error:
            raise NewConnectionError(self, f"TLS handshake failed: {error}") from error


class _HTTPConnectionPool(AWSHTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSConnectionPool(AWSHTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def use_bounded_connections(session: URLLib3Session, total: float) -> None:
    """Make a botocore session use these connections. Call this before the first request of the session.

    `total` limits the time of each exchange, including the connection, in seconds.
    """
    internals: Any = session
    pools: Any = internals._manager  # noqa: SLF001 - botocore has no public API for this
    given: Timeout = internals._timeout  # noqa: SLF001
    timeout = Timeout(connect=given.connect_timeout, read=given.read_timeout, total=total)
    internals._timeout = pools.connection_pool_kw["timeout"] = timeout  # noqa: SLF001
    internals._pool_classes_by_scheme.update(http=_HTTPConnectionPool, https=_HTTPSConnectionPool)  # noqa: SLF001
