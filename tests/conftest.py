"""What all suites share: the environment of a function, the engines, and a table made from template.yaml."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import hypothesis
import pytest
from moto.backends import get_backend

from local import dynamodb as engines
from local import template as templates
from local.template import Template
from local.tokens import AUDIENCE, ISSUER
from shared.models import ClearQuery
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore
from tests import guard
from tests.permissions import Permissions, moto_with_permissions

ROOT = Path(__file__).parent.parent
TABLE = "TaskTable"
REGION = "eu-central-1"
COMPLETED = ClearQuery(status="completed")
# How large the proofs are: "" in `make test`, "ci" in `make proof`, and anything else in `make prove`.
PROVE = os.environ.get("PROVE", "")
SCALE = 10 if PROVE not in {"", "ci"} else 1

# No test may fail because the machine is slow.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",  # noqa: S106 - no secret
    AWS_REGION=REGION,
    AWS_DEFAULT_REGION=REGION,
    TABLE_NAME=TABLE,
    SERVICE_SCOPE="tasks/service",
    POWERTOOLS_SERVICE_NAME="tasks",
    POWERTOOLS_METRICS_NAMESPACE="Tasks",
)


guard.install()


@pytest.fixture(scope="session")
def template() -> Template:
    return templates.load(ROOT / "template.yaml", {"JwtIssuer": ISSUER, "JwtAudience": AUDIENCE})


@pytest.fixture(scope="session")
def moto_url(template: Template) -> Iterator[str]:
    with moto_with_permissions(Permissions(ROOT / "template.yaml")) as url:
        engines.create_tables(template, url)
        yield url


@pytest.fixture(scope="session")
def dynamodb_local_url(template: Template) -> Iterator[str]:
    missing = engines.missing_for_dynamodb_local()
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    with engines.dynamodb_local(None) as url:
        engines.create_tables(template, url)
        yield url


@pytest.fixture(params=["moto", "dynamodb_local"])
def engine_url(request: pytest.FixtureRequest) -> str:
    """Each engine in turn: what uses this runs on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def table(engine_url: str) -> Table:
    return table_at(engine_url)


@pytest.fixture
def user() -> Iterator[str]:
    """A user of this test alone."""
    name = f"user-{uuid.uuid4()}"
    yield name
    forget(name)


@pytest.fixture
def store(table: Table, user: str) -> TaskStore:
    return TaskStore(table, user, deadline_in(10))


@cache
def table_at(url: str, client: str = "") -> Table:  # noqa: ARG001 - it is part of the cache's key
    """The table at an endpoint; `client` names one of several clients, for those whose events a test handles."""
    with pytest.MonkeyPatch.context() as patch:  # it outlives a test that is in another region
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        return Table(new_client(url), TABLE)


def forget(user: str) -> None:
    """Drop what moto holds of a user, and of those whose names are made of theirs: its queries go through the table."""
    if "moto.dynamodb.models" not in sys.modules:
        return
    for account in get_backend("dynamodb").values():
        for backend in account.values():
            for table in backend.tables.values():
                for partition in [key for key in table.items if user in key.value]:
                    del table.items[partition]


def versions_of(table: Table, user: str) -> dict[str, int]:
    """The version of every task of a user, those in the trash too, by its id."""
    query = table.client.query(
        TableName=table.name,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :task)",
        ExpressionAttributeValues={":pk": {"S": guard.partition_of(user)}, ":task": {"S": "TASK#"}},
        ConsistentRead=True,
    )
    return {item["sk"]["S"].removeprefix("TASK#"): int(item["version"]["N"]) for item in query["Items"]}


def mixed[One, Other](ones: Collection[One], others: Collection[Other]) -> list[tuple[One, Other]]:
    """Pairs in which every element of both appears: for a rule that all operations share, instead of all pairs."""
    count = max(len(ones), len(others))
    return list(islice(zip(cycle(ones), cycle(others), strict=False), count))


def sized(test: int, ci: int, prove: int) -> int:
    """The size of a proof in `make test`, in `make proof` and in `make prove`."""
    return {"": test, "ci": ci}.get(PROVE, prove)


def deadline_in(seconds: float) -> float:
    return time.monotonic() + seconds


def eventually[Response](ask: Callable[[], Response | None], within: float = 5.0) -> Response:
    """The first response that is not None."""
    deadline = deadline_in(within)
    while time.monotonic() < deadline:
        response = ask()
        if response is not None:
            return response
        time.sleep(0.02)
    raise AssertionError(f"nothing within {within} s")
