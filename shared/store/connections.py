"""HTTP connections to DynamoDB whose answers end in time, and whose errors say whether a request was sent.

A read timeout of urllib3 bounds the silence between two bytes: an answer that drips could outlast the function. Here
it bounds the whole answer. And urllib3 reports a failed TLS handshake and a broken TLS record alike, although no
request was sent before the handshake ended. Here only the record is an SSL error.
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


class _InTime(io.RawIOBase):
    """The bytes of one answer. All of them must arrive within the timeout that the socket has when it begins."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._socket = sock
        self._end = time.monotonic() + (sock.gettimeout() or 0.0)
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        # Most answers arrive at once; the socket already has the right timeout for the first read. Nobody needs to set
        # it back: urllib3 sets it for each request and each answer.
        if self._begun:
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError("The answer did not end in time.")
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
        self.fp = io.BufferedReader(_InTime(self.fp.detach(), sock))


class _HTTPConnection(AWSHTTPConnection):
    response_class: Any = _Response


class _HTTPSConnection(AWSHTTPSConnection):
    response_class: Any = _Response

    def connect(self) -> None:
        """Connect and shake hands. Raises what botocore reports as "could not connect" where either fails."""
        try:
            super().connect()
        except (OSError, SSLError) as error:
            raise NewConnectionError(self, f"TLS handshake failed: {error}") from error


class _HTTPConnectionPool(AWSHTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSConnectionPool(AWSHTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def bound(session: URLLib3Session, total: float) -> None:
    """Let a session of botocore's use these connections, and end each exchange, connecting included, after `total` s.

    The session must not have connected yet.
    """
    internals: Any = session
    pools: Any = internals._manager  # noqa: SLF001 - botocore has no public way to any of this
    given: Timeout = internals._timeout  # noqa: SLF001
    timeout = Timeout(connect=given.connect_timeout, read=given.read_timeout, total=total)
    internals._timeout = pools.connection_pool_kw["timeout"] = timeout  # noqa: SLF001
    internals._pool_classes_by_scheme.update(http=_HTTPConnectionPool, https=_HTTPSConnectionPool)  # noqa: SLF001
