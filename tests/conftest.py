"""Fixtures of all suites: the environment of a function, the DynamoDB engines, and a table from template.yaml."""

import os
import socket
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
from local.tokens import PARAMETERS, SERVICE
from shared.models import ClearQuery
from shared.store.dynamodb import Table, new_client
from shared.store.task_store import TaskStore
from tests import guard
from tests.permissions import Permissions, moto_with_permissions

ROOT = Path(__file__).parent.parent
TABLE = "TaskTable"
REGION = "eu-central-1"
COMPLETED = ClearQuery(status="completed")
# The size of the proofs: "" in `make test`, "ci" in `make proof`, anything else in `make prove`.
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
    SERVICE_CALLERS=SERVICE,
    STACK_ID="arn:aws:cloudformation:eu-central-1:123456789012:stack/tasks/1",
    POWERTOOLS_SERVICE_NAME="tasks",
    POWERTOOLS_METRICS_NAMESPACE="Tasks",
)


guard.install()


@pytest.fixture(scope="session")
def template() -> Template:
    return templates.load(ROOT / "template.yaml", PARAMETERS)


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
    """The URL of each engine: tests with this fixture run on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def table(engine_url: str) -> Table:
    return table_at(engine_url)


@pytest.fixture
def user() -> Iterator[str]:
    """A user that no other test uses."""
    name = f"user-{uuid.uuid4()}"
    yield name
    forget(name)


@pytest.fixture
def store(table: Table, user: str) -> TaskStore:
    return TaskStore(table, user, deadline_in(10))


@cache
def table_at(url: str, client: str = "") -> Table:  # noqa: ARG001 - it is part of the cache's key
    """Return the table at an endpoint. Each `client` name has its own boto3 client, whose events a test can handle."""
    with pytest.MonkeyPatch.context() as patch:  # the cached client also serves tests that run in another region
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        return Table(new_client(url), TABLE)


def forget(user: str) -> None:
    """Remove from moto the items of a user and of users derived from it: moto scans the whole table for each query."""
    if "moto.dynamodb.models" not in sys.modules:
        return
    for account in get_backend("dynamodb").values():
        for backend in account.values():
            for table in backend.tables.values():
                for partition in [key for key in table.items if user in key.value]:
                    del table.items[partition]


def versions_of(table: Table, user: str) -> dict[str, int]:
    """Return the versions of all tasks of a user by id, including deleted tasks."""
    query = table.client.query(
        TableName=table.name,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :task)",
        ExpressionAttributeValues={":pk": {"S": guard.partition_of(user)}, ":task": {"S": "TASK#"}},
        ConsistentRead=True,
    )
    return {item["sk"]["S"].removeprefix("TASK#"): int(item["version"]["N"]) for item in query["Items"]}


def mixed[One, Other](ones: Collection[One], others: Collection[Other]) -> list[tuple[One, Other]]:
    """Return pairs that contain each element of both collections: enough for a rule that all operations share."""
    count = max(len(ones), len(others))
    return list(islice(zip(cycle(ones), cycle(others), strict=False), count))


def sized(test: int, ci: int, prove: int) -> int:
    """Return the size of a proof for `make test`, `make proof` or `make prove`."""
    return {"": test, "ci": ci}.get(PROVE, prove)


def deadline_in(seconds: float) -> float:
    return time.monotonic() + seconds


def eventually[T](ask: Callable[[], T | None], within: float = 120.0) -> T:
    """Call `ask` until it returns a value, and return the value."""
    deadline = deadline_in(within)
    while time.monotonic() < deadline:
        if (value := ask()) is not None:
            return value
        time.sleep(0.02)
    raise AssertionError(f"nothing within {within} s")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
