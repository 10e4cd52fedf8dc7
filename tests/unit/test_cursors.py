"""A list accepts only its own cursors, unchanged."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.store import cursors
from shared.store.cursors import InvalidCursor

SCOPE = ("alice", "open", "asc")
CURSOR = cursors.encode("open#x#y", *SCOPE)


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1))
def test_a_position_comes_back(position: str) -> None:
    assert cursors.decode(cursors.encode(position, *SCOPE), *SCOPE) == position


@pytest.mark.parametrize(
    ("cursor", "position"),
    [("MQpsVGRDZEItTW9aOWZaQUFBbmFBRHB3Cm9wZW4jeCN5", "open#x#y"), ("MQpvc2FRaW5NNXJDXzNJUTIxeEVWQ1p3CmFX", "aW")],
)
def test_releases_understand_the_cursors_of_each_other(cursor: str, position: str) -> None:
    assert cursors.encode(position, *SCOPE) == cursor
    assert cursors.decode(cursor, *SCOPE) == position


@pytest.mark.parametrize(
    "scope", [("bob", "open", "asc"), ("alice", "all", "asc"), ("alice", "open", "desc"), ("alice", "open")]
)
def test_other_lists_reject_a_cursor(scope: tuple[str, ...]) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode(CURSOR, *scope)


def _of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "====", CURSOR + "=", CURSOR + "\n", " " + CURSOR, CURSOR[:-1], CURSOR[1:], CURSOR * 2, "\u00e9"),
        _of("2" + base64.urlsafe_b64decode(CURSOR + "=" * (-len(CURSOR) % 4)).decode()[1:]),
        _of("1\n\nposition"),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_forged_cursors_are_rejected(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode(cursor, *SCOPE)


@given(st.integers(0, len(CURSOR) - 1), st.sampled_from("ABCXYZabcxyz019-_=+/. "))
def test_a_changed_character_cannot_reach_another_user(place: int, character: str) -> None:
    try:
        position = cursors.decode(CURSOR[:place] + character + CURSOR[place + 1 :], *SCOPE)
    except InvalidCursor:
        return
    # Clients can change the position: the query that uses it checks it.
    assert "\n" not in position
