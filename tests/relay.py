"""A proxy in front of an endpoint, over HTTP or TLS, that can damage or delay responses."""

import socket
import ssl
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

_READS = {"GetItem", "Query", "TransactGetItems"}

type Deliver = Callable[[Line, bytes], None]


class Line:
    """A connection of a client. `writes` says whether its current request is a write."""

    def __init__(self, client: socket.socket) -> None:
        self.writes = False
        self._client = client

    def receive(self) -> bytes:
        """Receive some bytes; none at the end of the connection."""
        return self._client.recv(65536)

    def send(self, data: bytes) -> None:
        """Send bytes without a delay."""
        self._client.sendall(data)

    def close(self) -> None:
        """Shut down and close the connection."""
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
        self._client.close()


class TlsLine(Line):
    """A TLS connection of a client, whose records can be damaged."""

    def __init__(self, client: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(client)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pump(self._tls.do_handshake)

    def receive(self) -> bytes:
        """Receive some bytes; none at the end of the connection."""
        try:
            return self._pump(lambda: self._tls.read(65536))
        except ssl.SSLError:
            return b""

    def send(self, data: bytes, *, damaged: bool = False) -> None:
        """Send bytes as a TLS record. The client cannot decrypt a damaged one."""
        self._tls.write(data)
        record = self._outgoing.read()
        self._client.sendall(record[:-1] + bytes([record[-1] ^ 1]) if damaged else record)

    def _pump[Result](self, act: Callable[[], Result]) -> Result:
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                self._client.sendall(self._outgoing.read())
                if data := self._client.recv(65536):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._client.sendall(self._outgoing.read())
                return result


def plain(line: Line, response: bytes) -> None:
    """Deliver a response unchanged."""
    line.send(response)


def damaged(line: Line, response: bytes) -> None:
    """Deliver a response in a damaged TLS record, and close."""
    assert isinstance(line, TlsLine)
    line.send(response, damaged=True)
    line.close()


class Relay:
    """The proxy. `deliveries` deliver the responses to the next writes, one each; `delivery` delivers all others."""

    def __init__(self, target: str, identity: Path | None = None) -> None:
        """Listen in front of the endpoint `target`, over TLS if a file with certificate and key is given."""
        self.deliveries: list[Deliver] = []
        self.delivery: Deliver = plain
        self.connections = 0
        self.responses = 0
        self._target = target.removeprefix("http://")
        self._context: ssl.SSLContext | None = None
        if identity is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(identity)
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if identity is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Accept connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Accept no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:  # a client may close at any time
            line = Line(client) if self._context is None else TlsLine(client, self._context)
            received = b""
            while data := line.receive():
                received += data
                head, end, body = received.partition(b"\r\n\r\n")
                if not end:  # the header is not complete
                    continue
                headers = dict(one.split(": ", 1) for one in head.decode("latin-1").split("\r\n")[1:])
                if head.startswith(b"GET"):
                    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    received = b""
                elif len(body) >= int(headers["Content-Length"]):
                    line.writes = headers["X-Amz-Target"].rpartition(".")[2] not in _READS
                    response = self._ask(headers, body)
                    self.responses += 1
                    deliver = self.deliveries.pop(0) if line.writes and self.deliveries else self.delivery
                    deliver(line, response)
                    received = b""

    def _ask(self, headers: dict[str, str], body: bytes) -> bytes:
        connection = HTTPConnection(self._target)
        connection.request("POST", "/", body, headers)
        received = connection.getresponse()
        content = received.read()
        connection.close()
        lines = [
            f"HTTP/1.1 {received.status} {received.reason}",
            f"Date: {received.getheader('Date')}",
            "Content-Type: application/x-amz-json-1.0",
            f"Content-Length: {len(content)}",
            f"x-amz-crc32: {zlib.crc32(content)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + content
