"""How many bytes an item takes by DynamoDB's rules, to know before a write whether DynamoDB will refuse it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

# DynamoDB takes 409,600 bytes. The difference is a margin: AWS calls its rules for numbers approximate. A task is far
# smaller, also with its index entries, which DynamoDB adds to it. The record of a batch holds up to 25 tasks.
MOST_BYTES = 400_000


def size_of(item: Mapping[str, AttributeValueTypeDef]) -> int:
    """The size of an item, with the names of its attributes, or of a map."""
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
