"""Gateways on moto and on failing endpoints, one of each per process, and a caller for each test."""

import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api import OPERATIONS, Api, Backend, Operation, Task, serving
from tests.contract.failing_dynamodb import failing_dynamodb


@pytest.fixture(scope="session")
def backend(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with serving(moto_url, moto_url, tmp_path_factory.mktemp("backend") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def failing(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A gateway whose DynamoDB fails as the user id says."""
    with failing_dynamodb() as url, serving(url, moto_url, tmp_path_factory.mktemp("failing") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def cut_off(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A gateway whose DynamoDB is a closed port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound without listening, so that connections are refused
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with serving(url, moto_url, tmp_path_factory.mktemp("cut_off") / "log") as running:
            yield running


@pytest.fixture
def api(backend: Backend, user: str) -> Api:
    """The API for a user of this test only."""
    return Api(backend.url, user)


@pytest.fixture
def task(api: Api) -> Task:
    return api.made(title="untouched")


@dataclass
class Kept:
    """A task at its second version, and the caller whose only task it is; `old` is the task at its first version."""

    api: Api
    old: Task
    task: Task
    stored: list[dict[str, Any]]


@pytest.fixture(scope="session")
def _kept(backend: Backend) -> Kept:
    api = Api(backend.url, f"keeper-{uuid.uuid4()}")
    old = api.made(title="old", description="old")
    task = api.update(old["id"], {"title": "kept"}).json
    return Kept(api, old, task, backend.stored(api.caller))


@pytest.fixture
def kept(backend: Backend, _kept: Kept) -> Iterator[Kept]:
    """A task for requests that are rejected: the test fails if anything stored for its user changes."""
    yield _kept
    before, _kept.stored = _kept.stored, backend.stored(_kept.api.caller)
    assert _kept.stored == before


@pytest.fixture(params=OPERATIONS.values(), ids=list(OPERATIONS))
def operation(request: pytest.FixtureRequest) -> Operation:
    """Each operation of the template in turn."""
    chosen: Operation = request.param
    return chosen
