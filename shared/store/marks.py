"""The mark of an erased user: an item without texts in the user's partition. It refuses new tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.store import items
from shared.store.items import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from shared.store.engine import Engine

SORT_KEY: Final = "ERASED"
# The time in milliseconds for which a function caches that a user has no mark, so that it does not read it for each new
# task. shared/store/erasure.py waits for this time. It is not measured by time.monotonic, which may stand still while
# Lambda suspends the function.
MEMORY: Final = 30_000
_MOST_REMEMBERED: Final = 1000

# The time of the last read that found no mark, by partition.
_unmarked: dict[str, int] = {}


class UserErased(Exception):
    """The user was erased, or is being erased: no task can be written."""


def key_in(partition: AttributeValueTypeDef) -> dict[str, AttributeValueTypeDef]:
    """Return the key of the mark in a partition."""
    return {"pk": partition, "sk": items.text(SORT_KEY)}


def completed_at(mark: Item | None) -> int | None:
    """Return the end of the erasure, in milliseconds since 1970. None if it has not ended, or if there is no mark."""
    return None if mark is None or "completed_at" not in mark else int(mark["completed_at"]["N"])


def is_valid(mark: Item | None, now: int) -> bool:
    """Whether a mark exists and has not expired. TTL removes it later."""
    return mark is not None and int(mark["expires_at"]["N"]) * 1000 > now


def check(engine: Engine) -> None:
    """Raise UserErased if the user has a mark. This takes a request, unless a read in the last 30 s found none."""
    partition, now = engine.partition["S"], engine.now
    if 0 <= now - _unmarked.get(partition, -MEMORY) < MEMORY:
        return
    if is_valid(engine.item_at(key_in(engine.partition)), now):
        raise UserErased
    if len(_unmarked) >= _MOST_REMEMBERED:
        _unmarked.clear()
    _unmarked[partition] = now
