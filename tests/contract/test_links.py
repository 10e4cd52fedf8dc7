"""Location and Link: relative to the URL of the request, so they also work behind a proxy that adds a base path."""

import threading
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
import requests
from werkzeug.middleware.http_proxy import ProxyMiddleware
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from local.tokens import make_token
from tests.api import Backend, new_id


@pytest.fixture(scope="module")
def base_url(backend: Backend) -> Iterator[str]:
    """The address of a proxy that serves the API at /api, as an API mapping or a CDN does."""
    proxy = ProxyMiddleware(Response("Not Found", 404), {"/api/": {"target": backend.url, "remove_prefix": True}})
    server = make_server("127.0.0.1", 0, proxy, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    thread.join()


@pytest.fixture
def session(user: str) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {make_token(user)}"
        yield session


def test_the_location_leads_to_the_new_task(base_url: str, session: requests.Session) -> None:
    tasks = f"{base_url}/v1/users/me/tasks"
    new = {"title": "Buy milk", "description": None, "completed": False}
    for created in (
        session.post(tasks, json=new),
        session.put(f"{tasks}/{new_id()}", json=new, headers={"If-None-Match": "*"}),
    ):
        assert created.status_code == 201
        fetched = session.get(urljoin(created.url, created.headers["Location"]))
        assert (fetched.status_code, fetched.json()) == (200, created.json())


def test_the_link_leads_to_the_next_page(base_url: str, session: requests.Session) -> None:
    tasks = f"{base_url}/v1/users/me/tasks"
    expected = [session.post(tasks, json={"title": f"{number}", "tags": ["a & b"]}).json() for number in range(3)]
    page = session.get(tasks, params={"limit": "1", "tag": "a & b"})
    found = page.json()["items"]
    while "next" in page.links:
        page = session.get(urljoin(page.url, page.links["next"]["url"]))
        assert page.status_code == 200
        found += page.json()["items"]
    assert found == expected
