"""Sizes of items, by the rules of DynamoDB."""

from typing import Any

import pytest

from shared.store.sizes import size_of


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": ""}, 0),
        ({"S": "\N{GRINNING FACE}x"}, 5),
        ({"N": "5"}, 2),
        ({"N": "1795415874917"}, 8),
        ({"N": "-12"}, 3),
        ({"SS": ["a", "\u00e9"]}, 3),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}, {"N": "5"}]}, 9),
        ({"M": {}}, 3),
        ({"M": {"ab": {"S": "c"}, "d": {"BOOL": True}}}, 10),
        ({"BOOL": False}, 1),
        ({"NULL": True}, 1),
    ],
)
def test_a_value_counts_with_its_name(value: Any, size: int) -> None:
    assert size_of({"n\u00e9": value}) == 3 + size
    assert size_of({"n\u00e9": value, "x": {"S": "yy"}}) == 6 + size


def test_a_value_of_an_unknown_type_raises() -> None:
    with pytest.raises(TypeError, match="B"):
        size_of({"x": {"B": b""}})
