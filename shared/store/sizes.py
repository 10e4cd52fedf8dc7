"""The size of an item by the rules of DynamoDB, to know before a write whether DynamoDB will reject it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# DynamoDB accepts 409,600 bytes. The difference is a margin: the rules of AWS for numbers are approximate. A task is
# much smaller, including its index entries. The record of a batch contains up to 25 tasks.
MOST_BYTES = 400_000


def size_of(item: Mapping[str, AttributeValueTypeDef]) -> int:
    """Return the size of an item or a map in bytes, including the names of its attributes."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: AttributeValueTypeDef) -> int:
    match value:
        case {"S": str(text)}:
            return len(text.encode())
        case {"N": str(digits)}:
            return len(digits) // 2 + 2
        case {"SS": texts}:
            return sum(len(text.encode()) for text in texts)
        case {"L": values}:
            return 3 + sum(1 + _size(one) for one in values)
        case {"M": values}:
            return 3 + len(values) + size_of(values)
        case {"BOOL": _} | {"NULL": _}:
            return 1
    raise TypeError(f"no size is known of {list(value)}")
