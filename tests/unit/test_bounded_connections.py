"""What shared/store/connections.py relies on inside botocore, urllib3 and http.client: none of it is public API.

A test that fails after an upgrade shows which part has changed. The connections are tested on sockets in
tests/faults/test_damaged_responses.py.
"""

import http.client
import io
from typing import Any

import pytest
from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.httpsession import URLLib3Session
from urllib3.util import Timeout

from shared.store import connections
from shared.store.dynamodb import CONNECT_TIMEOUT, READ_TIMEOUT, SEND_TIMEOUT, new_client

URLS = {"http": "http://dynamodb.test", "https": "https://dynamodb.test"}
OURS = {"http": connections._HTTPConnection, "https": connections._HTTPSConnection}
PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize("proxy", [None, PROXY])
@pytest.mark.parametrize("scheme", URLS)
def test_each_connection_of_a_client_is_bounded(scheme: str, proxy: str | None) -> None:
    client: Any = new_client(URLS[scheme])
    session = client._endpoint.http_session
    assert isinstance(session, URLLib3Session)
    pool = session._get_connection_manager(URLS[scheme], proxy).connection_from_url(URLS[scheme])  # type: ignore[attr-defined]
    timeout = pool.timeout
    assert (timeout.connect_timeout, timeout.read_timeout) == (CONNECT_TIMEOUT, READ_TIMEOUT)
    assert timeout.total == SEND_TIMEOUT
    connection = pool._new_conn()
    assert type(connection) is OURS[scheme]
    assert connection.response_class is connections._Response


@pytest.mark.parametrize("pool", [AWSHTTPConnectionPool, AWSHTTPSConnectionPool])
def test_botocore_makes_the_connections_that_ours_are_derived_from(pool: Any) -> None:
    pair: Any = (1.0, 2.0)  # botocore passes two numbers, but its stubs allow only one
    session: Any = URLLib3Session(timeout=pair)
    scheme = "https" if pool is AWSHTTPSConnectionPool else "http"
    assert session._pool_classes_by_scheme[scheme] is pool
    assert session._manager.pool_classes_by_scheme is session._pool_classes_by_scheme
    assert session._manager.connection_pool_kw["timeout"] is session._timeout
    assert isinstance(session._timeout, Timeout)
    assert issubclass(OURS[scheme], pool.ConnectionCls)


class Socket:
    """A socket that has received a response."""

    def __init__(self, response: bytes) -> None:
        self._answer = response

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(io.BytesIO(self._answer))

    def gettimeout(self) -> float:
        return 60.0

    def settimeout(self, seconds: float) -> None:
        assert seconds <= 60


def test_http_client_reads_a_whole_response_through_fp() -> None:
    response = connections._Response(Socket(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))  # type: ignore[arg-type]
    bounded: Any = response.fp
    assert isinstance(bounded.raw, connections._TimeLimitedReader)
    response.begin()
    assert (response.status, response.fp, response.read()) == (200, bounded, b"{}")


def test_http_client_takes_the_class_of_its_responses_from_the_connection() -> None:
    assert issubclass(connections._HTTPConnection, http.client.HTTPConnection)
    assert http.client.HTTPConnection.response_class is http.client.HTTPResponse
