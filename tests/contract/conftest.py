"""Gateways on moto and on failing endpoints, one of each a process of the suite, and a caller for each test."""

import socket
from collections.abc import Iterator

import pytest

from tests.api import Api, Backend, serving
from tests.contract.failing_dynamodb import failing_dynamodb


@pytest.fixture(scope="session")
def backend(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with serving(moto_url, moto_url, tmp_path_factory.mktemp("backend") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def failing(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A gateway whose DynamoDB fails in the way that the id of the user names."""
    with failing_dynamodb() as url, serving(url, moto_url, tmp_path_factory.mktemp("failing") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def cut_off(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A gateway whose DynamoDB is a closed port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with serving(url, moto_url, tmp_path_factory.mktemp("cut_off") / "log") as running:
            yield running


@pytest.fixture
def api(backend: Backend, user: str) -> Api:
    """The API as a user of this test alone sees it."""
    return Api(backend.url, user)
