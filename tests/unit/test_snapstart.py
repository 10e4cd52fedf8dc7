"""The hooks of SnapStart: a snapshot has no credentials and no random numbers, and each restored copy makes its own."""

import random
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from botocore.httpsession import URLLib3Session

from shared.http import snapstart
from shared.store import dynamodb

type Hooks = dict[str, Callable[[], None]]


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """A process without a client or session of other tests, before and after the test."""
    dynamodb.client.cache_clear()
    dynamodb.session.cache_clear()
    yield
    dynamodb.client.cache_clear()
    dynamodb.session.cache_clear()


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Hooks:
    """The hooks that Lambda would call, of a function that starts for a snapshot."""
    found: Hooks = {}
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    package = SimpleNamespace(
        register_before_snapshot=lambda hook: found.update(before=hook),
        register_after_restore=lambda hook: found.update(after=hook),
    )
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", package)
    snapstart.prepare()
    return found


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that open a connection at the start."""
    found: list[str] = []
    monkeypatch.setattr(URLLib3Session, "send", lambda _, request: found.append(request.method))
    return found


@pytest.mark.parametrize(("kind", "requests"), [("on-demand", ["GET"]), ("provisioned-concurrency", ["GET"]), ("", [])])
def test_without_snapstart_a_function_connects_while_it_starts(
    connected: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, requests: list[str]
) -> None:
    if kind:
        monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    snapstart.prepare()
    assert connected == requests
    assert dynamodb.client.cache_info().currsize == len(requests)


def test_a_snapshot_has_no_connection_and_a_restored_copy_connects(hooks: Hooks, connected: list[str]) -> None:
    hooks["before"]()
    assert connected == []
    hooks["after"]()
    assert connected == ["GET"]


def test_a_snapshot_holds_no_credentials(hooks: Hooks) -> None:
    hooks["before"]()  # it sends nothing: these tests allow no sockets
    assert dynamodb.client.cache_info().currsize == 0
    assert dynamodb.session.cache_info().currsize == 1
    assert dynamodb.session()._credentials is None  # type: ignore[attr-defined]


def test_a_restored_copy_reads_the_credentials_of_its_environment(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks["before"]()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-copy")
    hooks["after"]()
    assert dynamodb.client.cache_info().currsize == 1
    signer = dynamodb.client()._request_signer  # type: ignore[attr-defined]
    assert signer._credentials.access_key == "of-the-copy"


def test_copies_do_not_share_random_numbers(hooks: Hooks) -> None:
    hooks["before"]()
    frozen = random.getstate()
    drawn = []
    for _ in range(2):
        random.setstate(frozen)
        hooks["after"]()
        drawn.append(random.random())  # noqa: S311 - no secret
    assert drawn[0] != drawn[1]


def test_without_lambdas_package_the_first_request_makes_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    snapstart.prepare()
    assert dynamodb.client.cache_info().currsize == 0
