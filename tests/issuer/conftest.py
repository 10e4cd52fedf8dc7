"""An OpenID Connect provider, and how its users and machines get tokens."""

import base64
import hashlib
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from local.gateway import serve
from tests.api import TEMPLATE
from tests.client.conftest import packages_of_npm
from tests.conftest import ROOT

AUDIENCE = "https://tasks.example"
CALLBACK = "http://127.0.0.1/callback"
_PROVIDER = ROOT / "tests" / "issuer" / "provider.mjs"


@contextmanager
def provider(**environment: str) -> Iterator[str]:
    """Start oidc-provider and yield its issuer."""
    process = subprocess.Popen(
        ["node", "--input-type=module", "--eval", _PROVIDER.read_text()],
        cwd=packages_of_npm(),  # where the script finds its packages
        env={**os.environ, "NODE_NO_WARNINGS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        # It also prints warnings: it is not made for production.
        yield next(line.strip() for line in process.stdout if line.startswith("http"))
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with provider() as url:
        yield url


@contextmanager
def served(issuer: str, moto_url: str) -> Iterator[str]:
    """Serve the API for the tokens of an issuer, whose client `backend` is a service. Yields the URL."""
    template = replace(TEMPLATE, issuer=issuer, audiences=(AUDIENCE,))
    with serve(template, {"AWS_ENDPOINT_URL_DYNAMODB": moto_url, "SERVICE_CALLERS": "backend"}, workers=1) as url:
        yield url


def endpoint(issuer: str, name: str) -> str:
    """The URL of an endpoint, by the discovery document."""
    document = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=10).json()
    assert document["issuer"] == issuer
    return str(document[f"{name}_endpoint"])


def machine_token(issuer: str, client: str = "backend", **more: str) -> str:
    """An access token with the service scope, by client credentials."""
    data = {"grant_type": "client_credentials", "scope": "tasks/service", **more}
    response = requests.post(endpoint(issuer, "token"), data, auth=(client, "secret"), timeout=10)
    assert response.status_code == 200, response.text
    return str(response.json()["access_token"])


def user_tokens(issuer: str, user: str, scope: str = "openid") -> dict[str, str]:
    """The tokens of a user who signs in: an authorization code with PKCE, as in a browser."""
    verifier = secrets.token_urlsafe(48)
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "client_id": "app",
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": scope,
        "code_challenge": digest,
        "code_challenge_method": "S256",
    }
    browser = requests.Session()
    response = browser.get(endpoint(issuer, "authorization"), params=asked, allow_redirects=False, timeout=10)
    for form in ({"prompt": "login", "login": user, "password": "x"}, {"prompt": "consent"}):
        page = _followed(browser, response)
        (action,) = re.findall(r'<form [^>]*action="([^"]+)"', page.text)
        response = browser.post(action, form, allow_redirects=False, timeout=10)
    arrived = _followed(browser, response).headers["Location"]
    data = {
        "grant_type": "authorization_code",
        "code": parse_qs(urlsplit(arrived).query)["code"][0],
        "client_id": "app",
        "redirect_uri": CALLBACK,
        "code_verifier": verifier,
    }
    response = requests.post(endpoint(issuer, "token"), data, timeout=10)
    assert response.status_code == 200, response.text
    tokens: dict[str, str] = response.json()
    return tokens


def _followed(browser: requests.Session, response: requests.Response) -> requests.Response:
    """Follow redirects up to a page, or to the callback, where nothing listens."""
    while response.is_redirect and not response.headers["Location"].startswith(CALLBACK):
        assert response.next is not None
        response = browser.send(response.next, allow_redirects=False, timeout=10)
    return response
