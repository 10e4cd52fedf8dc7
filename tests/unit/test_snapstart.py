"""SnapStart's hooks: a snapshot holds neither credentials nor random numbers, and each copy makes its own."""

import random
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from shared.http import snapstart
from shared.store import dynamodb

type Hooks = dict[str, Callable[[], None]]


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """No client and no session from other tests, and none for them."""
    dynamodb.client.cache_clear()
    dynamodb.session.cache_clear()
    yield
    dynamodb.client.cache_clear()
    dynamodb.session.cache_clear()


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Hooks:
    """What Lambda would call, of a function that starts for a snapshot."""
    found: Hooks = {}
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    package = SimpleNamespace(
        register_before_snapshot=lambda hook: found.update(before=hook),
        register_after_restore=lambda hook: found.update(after=hook),
    )
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", package)
    snapstart.prepare()
    return found


def test_without_snapstart_the_client_is_made_while_the_function_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    snapstart.prepare()
    assert dynamodb.client.cache_info().currsize == 1


def test_a_snapshot_holds_no_credentials(hooks: Hooks) -> None:
    hooks["before"]()  # it sends nothing: in these tests no socket opens
    assert dynamodb.client.cache_info().currsize == 0
    assert dynamodb.session.cache_info().currsize == 1
    assert dynamodb.session()._credentials is None  # type: ignore[attr-defined]


def test_a_copy_takes_the_credentials_of_its_own_environment(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
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
