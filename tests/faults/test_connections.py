"""Real connections that fail: stale after a freeze, reset, silent, or refused."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from shared.models import NewTask
from shared.store import items, marks
from shared.store.dynamodb import READ_TIMEOUT, RESERVE, Failure, OutcomeUnknown, Unavailable
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.conftest import deadline_in, table_at


class Proxy:
    """A proxy in front of an endpoint that can break its open connections."""

    def __init__(self, url: str) -> None:
        self._target = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._open: list[socket.socket] = []
        self._deaf: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close every connection properly, as a server does after an idle time."""
        for client in self._open:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def reset_on_next_request(self) -> None:
        """Forget every connection, as a crashed server does: the next request is reset."""
        self._deaf.update(self._open)

    def swallow(self) -> None:
        """Go silent on every connection: the next request is read and gets no response."""
        self._silent = set(self._open)

    _silent: set[socket.socket] = set()  # noqa: RUF012 - replaced, never changed

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._open.append(client)
                server = socket.create_connection(self._target)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if client in self._deaf:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
                    break
                if client not in self._silent:
                    server.sendall(data)
        server.close()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(dynamodb_local_url: str) -> Iterator[Proxy]:
    proxy = Proxy(dynamodb_local_url)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("breakage", [Proxy.hang_up, Proxy.reset_on_next_request, Proxy.swallow])
def test_a_stale_connection_is_replaced_without_an_error(proxy: Proxy, user: str, breakage: object) -> None:
    store = TaskStore(table_at(proxy.url), user, deadline_in(30))
    task = store.create(NewTask(title="stale"))
    assert store.toggle(task.id, ANY_VERSION).version == 2
    assert proxy.connections == 1, "the connection was not kept, so nothing here could go stale"
    breakage(proxy)  # type: ignore[operator]
    assert store.toggle(task.id, ANY_VERSION).version == 3
    assert proxy.connections == 2


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_refused_connection_is_unavailable_and_nothing_was_changed(user: str) -> None:
    store = TaskStore(table_at(closed_port()), user, deadline_in(10))
    with pytest.raises(Unavailable) as unavailable:
        store.create(NewTask(title="refused"))
    assert unavailable.value.failure is Failure.UNREACHABLE


def test_a_silent_database_is_an_error_in_time(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/unit tests the time limit, on a clock of its own."""
    limit = RESERVE + READ_TIMEOUT / 2
    with silent_server() as url:
        store = TaskStore(table_at(url), user, deadline_in(limit))
        with pytest.raises(Unavailable):  # it cannot read the mark of an erased user
            store.create(NewTask(title="silent"))
        store = TaskStore(table_at(url), user, deadline_in(limit))
        monkeypatch.setitem(marks._unmarked, items.partition_of(user)["S"], time.time_ns() // 1_000_000)
        with pytest.raises(OutcomeUnknown):
            store.create(NewTask(title="silent"))
