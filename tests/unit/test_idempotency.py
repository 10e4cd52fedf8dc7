"""Which key a request carries, and what makes two requests the same."""

import pytest

from shared.idempotency import once_of
from shared.items import Once
from shared.problems import Problem

ASKED = ("POST /v1/users/{user_id}/tasks", "alice", "")


def once(key: str, body: bytes = b"{}", parts: tuple[str, ...] = ASKED, **headers: str) -> Once:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = once_of({"idempotency-key": key, **named}, 24, body, *parts)
    assert found is not None
    return found


def test_without_a_key_there_is_nothing_to_remember() -> None:
    assert once_of({}, 24, b"{}", *ASKED) is None


@pytest.mark.parametrize(
    ("given", "bare"), [("k", "k"), ('"k"', "k"), (" k\t", "k"), ('"a\\\\b"', "a\\b"), ("a b", '"a b"')]
)
def test_a_key_is_stored_as_a_digest_and_quotes_are_not_part_of_it(given: str, bare: str) -> None:
    assert once(given).key == once(bare).key != once("another").key
    assert (len(once(given).key), once(given).lifetime) == (64, 24 * 3600)


def test_the_same_request_has_the_same_fingerprint() -> None:
    assert once("a") == once("a")
    assert once("a").fingerprint == once("b").fingerprint


@pytest.mark.parametrize(
    "other",
    [
        once("k", body=b"{ }"),
        once("k", parts=("POST /v1/users/{user_id}/tasks/batch", "alice", "")),
        once("k", parts=(ASKED[0], "bob", "")),
        once("k", parts=(ASKED[0], "alice", "id")),
        once("k", if_match="*"),
        once("k", if_none_match="*"),
    ],
)
def test_another_part_is_another_request(other: Once) -> None:
    assert (other.key, other.fingerprint == once("k").fingerprint) == (once("k").key, False)


@pytest.mark.parametrize(
    "key", ["", " ", '"', '""', '"a', '"a" b', "a\n", "\u00e9", "x" * 256, '"' + "x" * 256 + '"', '"\\x"']
)
def test_malformed_keys(key: str) -> None:
    with pytest.raises(Problem) as problem:
        once(key)
    assert problem.value.kind == "bad-idempotency-key"
