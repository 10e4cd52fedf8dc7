"""If-Match and If-None-Match, as RFC 9110 defines them and as clients send them."""

import pytest

from shared.etags import MOST_TAGS, if_match
from shared.http.preconditions import not_modified, write_precondition
from shared.http.problems import Problem
from shared.tasks import ANY_VERSION, Precondition


def versions(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, ANY_VERSION),
        ({"if-match": "*"}, ANY_VERSION),
        ({"if-match": '"3-1"'}, Precondition(versions(3))),
        ({"if-match": ' "3-1" ,\t"4-1",'}, Precondition(versions(3, 4))),
        ({"if-match": 'W/"3-1"'}, Precondition(versions())),  # weak tags never match strongly
        ({"if-match": '"3-2"'}, Precondition(versions())),  # another representation
        ({"if-match": '"a,b", "3-1"'}, Precondition(versions(3))),
        ({"if-match": '"0-1", "03-1", "-3-1", "x"'}, Precondition(versions())),
        ({"if-none-match": "*"}, Precondition(versions())),
        ({"if-none-match": '"3-1", W/"4-1"'}, Precondition(None, versions(3, 4))),
        ({"if-match": '"3-1"', "if-none-match": '"4-1"'}, Precondition(versions(3), versions(4))),
    ],
)
def test_conditions_of_writes(headers: dict[str, str], wanted: Precondition) -> None:
    assert write_precondition(headers) == wanted


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "3-1",
        '"3-1',
        '3-1"',
        '"3-1" "4-1"',
        '"3-1";',
        "*, *",
        '*, "3-1"',
        "''",
        'w/"3-1"',
        '"\0"',
        '"a b"',
        "*\n",
        "X*",
        '"3-1"\n',
        '"3-1", X',
    ],
)
@pytest.mark.parametrize("name", ["if-match", "if-none-match"])
def test_malformed_headers(name: str, value: str) -> None:
    with pytest.raises(Problem) as problem:
        write_precondition({name: value})
    assert (problem.value.status, problem.value.kind) == (400, "bad-etag")
    assert problem.value.detail == f'{name}: Must be * or a list of quoted ETags, such as "3-1".'


def test_at_most_a_hundred_tags() -> None:
    tags = [f'"{version}-1"' for version in range(1, MOST_TAGS + 2)]
    assert write_precondition({"if-match": ",".join(tags[:-1])}).wanted == frozenset(range(1, MOST_TAGS + 1))
    with pytest.raises(Problem) as problem:
        write_precondition({"if-match": ",".join(tags)})
    assert problem.value.detail == "if-match: May name at most 100 ETags."


def test_the_precondition_in_a_batch() -> None:
    assert if_match("*") == ANY_VERSION
    assert if_match('"3-1", W/"4-1"') == Precondition(versions(3))
    with pytest.raises(ValueError, match="quoted ETags"):
        if_match("3-1")


@pytest.mark.parametrize(
    ("value", "known"),
    [
        *((value, True) for value in ("*", '"3-1"', 'W/"3-1"', '"2-1", "3-1"')),
        *((value, False) for value in (None, '"2-1"', '"3-9999"', 'W/"abc", "", "3"', '"0-1"', '"03-1"')),
    ],
)
def test_not_modified(value: str | None, known: bool) -> None:
    assert not_modified({} if value is None else {"if-none-match": value}, 3) is known
