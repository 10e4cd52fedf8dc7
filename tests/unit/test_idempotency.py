"""The idempotency key of a request, and when two requests are the same."""

from typing import Any

import pytest

from shared.http.idempotency import parse_idempotency_key
from shared.http.problems import Problem
from shared.store.items import IdempotencyKey

ASKED = ("POST /v1/users/{user_id}/tasks", "alice", "")


def once(
    key: str, body: bytes = b"{}", parts: tuple[str, ...] = ASKED, actor: str = "alice", **headers: str
) -> IdempotencyKey:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = parse_idempotency_key({"idempotency-key": key, **named}, 24, actor, body, *parts)
    assert found is not None
    return found


def test_without_a_key_there_is_nothing_to_remember() -> None:
    assert parse_idempotency_key({}, 24, "alice", b"{}", *ASKED) is None


@pytest.mark.parametrize(
    ("given", "bare"), [("k", "k"), ('"k"', "k"), (" k\t", "k"), ('"a\\\\b"', "a\\b"), ("a b", '"a b"'), ("Xk", '"Xk"')]
)
def test_a_key_is_stored_as_a_digest_and_quotes_are_not_part_of_it(given: str, bare: str) -> None:
    assert once(given).digest == once(bare).digest != once("another").digest
    assert (len(once(given).digest), once(given).lifetime) == (64, 24 * 3600)


def test_a_key_belongs_to_its_actor() -> None:
    digests = {once(key, actor=actor).digest for key in ("k", "b k") for actor in ("alice", "bob", "a", "a b")}
    assert len(digests) == 8


def test_the_same_request_has_the_same_fingerprint() -> None:
    assert once("a") == once("a")
    assert once("a").fingerprint == once("b").fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b"{ }"},
        {"parts": ("POST /v1/users/{user_id}/tasks/batch", "alice", "")},
        {"parts": (ASKED[0], "bob", "")},
        {"parts": (ASKED[0], "alice", "id")},
        {"if_match": "*"},
        {"if_none_match": "*"},
    ],
)
def test_requests_that_differ_in_any_part_have_different_fingerprints(changed: dict[str, Any]) -> None:
    other = once("k", **changed)
    assert (other.digest, other.fingerprint == once("k").fingerprint) == (once("k").digest, False)


def test_releases_understand_the_records_of_each_other() -> None:
    assert once("k") == IdempotencyKey(
        digest="c41a990f5d9dc9fdf180b0d0c61e90304bb459164c1713b68118852f7ee48a5e",
        fingerprint="5cd6a374ee158037967d5e60d87f4f878194cfcb77c3bb44a348b617ea2c877b",
        lifetime=24 * 3600,
    )


@pytest.mark.parametrize(
    "key", ["", " ", '"', '""', '"a', '"a" b', "a\n", "\u00e9", "x" * 256, '"' + "x" * 256 + '"', '"\\x"']
)
def test_malformed_keys(key: str) -> None:
    with pytest.raises(Problem) as problem:
        once(key)
    assert problem.value.kind == "bad-idempotency-key"
    assert problem.value.detail == "Idempotency-Key must have 1 to 255 printable ASCII characters, bare or quoted."
