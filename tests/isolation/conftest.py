"""A gateway on moto, and two users: alice, who sends the requests, and bob, whose tasks she must not reach."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api import OPERATIONS, Api, Backend, Operation, Task, serving


@pytest.fixture(scope="session")
def backend(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with serving(moto_url, moto_url, tmp_path_factory.mktemp("backend") / "log") as running:
        yield running


# The claims of the gateway with tenants and spaces.
TENANT, SPACES = "custom:tenant", "https://example.com/spaces"


@pytest.fixture(scope="session")
def tenants(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    log = tmp_path_factory.mktemp("tenants") / "log"
    with serving(moto_url, moto_url, log, TENANT_CLAIM=TENANT, SPACES_CLAIM=SPACES) as running:
        yield running


@dataclass
class Bob:
    """A user with tasks of every status, and all his stored items."""

    api: Api
    task: Task
    trashed: Task
    cursor: str
    stored: list[dict[str, Any]]

    @property
    def id(self) -> str:
        return self.api.caller


@pytest.fixture(scope="session")
def bob(backend: Backend) -> Bob:
    # Letters in both cases, so that a change of case is another id.
    api = Api(backend.url, f"Bob-{uuid.uuid4()}")
    task = api.made(title="bob's secret", description="bob's secret")
    api.made(title="bob's secret too", completed=True)
    trashed = api.made(title="bob's secret in the trash")
    api.delete(trashed["id"])
    return Bob(api, task, trashed, api.page(limit=1).json["next_cursor"], backend.stored(api.caller))


@pytest.fixture
def untouched(backend: Backend, bob: Bob) -> Iterator[None]:
    """The test fails if any stored item of bob changes."""
    yield
    before, bob.stored = bob.stored, backend.stored(bob.id)
    assert bob.stored == before


@pytest.fixture
def alice(backend: Backend, user: str) -> Api:
    return Api(backend.url, user)


@pytest.fixture(params=OPERATIONS.values(), ids=list(OPERATIONS))
def operation(request: pytest.FixtureRequest) -> Operation:
    """Each operation of the template in turn."""
    chosen: Operation = request.param
    return chosen
