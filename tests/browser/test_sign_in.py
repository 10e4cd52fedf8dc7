"""The code of docs/sign-in.md for a web page: a user signs in with an OpenID Connect provider and reads tasks."""

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as ec

from tests.browser.conftest import wait
from tests.client.conftest import packages_of_npm
from tests.issuer.conftest import machine_token, provider, served
from tests.markdown import code

MODULES = {
    "oidc-client-ts": "/oidc-client-ts/dist/esm/oidc-client-ts.js",
    "jwt-decode": "/jwt-decode/build/esm/index.js",
}
SHOW = "document.querySelector('pre').textContent = JSON.stringify(await tasks());"


class Pages(SimpleHTTPRequestHandler):
    """One page at / and at /callback, and the packages of npm."""

    def __init__(self, page: str, *arguments: object) -> None:
        self.page = page.encode()
        super().__init__(*arguments, directory=str(packages_of_npm() / "node_modules"))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in {"/", "/callback"}:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with provider() as url:
        yield url


@pytest.fixture(scope="module")
def api(issuer: str, moto_url: str) -> Iterator[str]:
    with served(issuer, moto_url) as url:
        yield url


@pytest.fixture(scope="module")
def app(issuer: str, api: str) -> Iterator[str]:
    script = code("docs/sign-in.md", "js")
    for name, value in {"<Issuer>": issuer, "<UserPoolClientId>": "app", "<ApiUrl>": api}.items():
        assert name in script
        script = script.replace(name, value)
    modules = f'<script type="importmap">{json.dumps({"imports": MODULES})}</script>'
    page = f'<link rel="icon" href="data:,">{modules}<pre></pre><script type="module">{script}\n{SHOW}</script>'
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, page)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_user_signs_in_and_reads_tasks(browser: Chrome, app: str, issuer: str, api: str) -> None:
    authorized = {"Authorization": f"Bearer {machine_token(issuer)}"}
    requests.post(f"{api}/v1/users/dora/tasks", json={"title": "of Dora"}, headers=authorized, timeout=30)
    browser.get(app)
    wait(browser).until(ec.presence_of_element_located((By.NAME, "login"))).send_keys("dora")
    assert browser.current_url.startswith(issuer)
    browser.find_element(By.NAME, "password").send_keys("x")
    browser.find_element(By.TAG_NAME, "button").click()
    wait(browser).until(ec.presence_of_element_located((By.CSS_SELECTOR, "input[value=consent]")))
    browser.find_element(By.TAG_NAME, "button").click()
    assert [task["title"] for task in shown(browser)] == ["of Dora"]
    assert browser.current_url == f"{app}/"
    browser.refresh()  # the token is kept
    assert [task["title"] for task in shown(browser)] == ["of Dora"]


def shown(browser: Chrome) -> list[dict[str, str]]:
    text = wait(browser).until(lambda _: browser.find_element(By.TAG_NAME, "pre").text)
    items: list[dict[str, str]] = json.loads(text)["items"]
    return items
