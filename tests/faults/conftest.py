"""The engine and the wire for tests with faults. Each fault takes time, so `make test` uses one engine."""

from collections.abc import Iterator

import pytest

from local.dynamodb import missing_for_dynamodb_local
from shared.store.dynamodb import Table
from tests.conftest import PROVE, table_at
from tests.wire import Wire

ENGINES = ["moto"] if missing_for_dynamodb_local() else ["dynamodb_local"]


@pytest.fixture(params=["moto", "dynamodb_local"] if PROVE else ENGINES)
def engine_url(request: pytest.FixtureRequest) -> str:
    """Each engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def wired(engine_url: str) -> Table:
    """The table behind the wire."""
    return table_at(engine_url, "wired")


@pytest.fixture
def wire(wired: Table) -> Iterator[Wire]:
    """A wire that injects faults into the requests of this test to `wired`."""
    with Wire(wired) as wire:
        yield wire
