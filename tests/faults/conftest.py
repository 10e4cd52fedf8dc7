"""Which engines faults are tried on: one in `make test`, both in longer runs, since each fault takes its time."""

import pytest

from local.dynamodb import missing_for_dynamodb_local
from tests.conftest import PROVE

ENGINES = ["moto"] if missing_for_dynamodb_local() else ["dynamodb_local"]


@pytest.fixture(params=["moto", "dynamodb_local"] if PROVE else ENGINES)
def engine_url(request: pytest.FixtureRequest) -> str:
    """Each of the engines in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
