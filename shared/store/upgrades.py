"""Upgrades: what makes an item of an older release one of today's, one step a schema. Imported only when one is met.

A release that changes the shape of items raises SCHEMA in shared/store/items.py and adds a step here. While it is
rolled out, and after it is rolled back, functions of the release before read and write the same items. So a step only
adds: what the release before reads stays there, and stays true. It computes again what follows from older attributes,
since that release has changed them without it, and keeps what it finds of the rest. What no release reads any more, a
later step removes. docs/operations.md, "Changing the shape of items", says how such a release goes.
"""

from collections.abc import Callable, Mapping
from typing import Final

from shared.store.items import SCHEMA, Item, number, schema_of

type Step = Callable[[Item], Item]

# By the schema that a step upgrades from. An answer that a key remembers is upgraded too: it is an item without index
# keys and tokens (shared/store/items.py: to_content), so a step must not need them.
STEPS: Final[Mapping[int, Step]] = {}


def upgraded(item: Item) -> Item:
    """The item in today's shape. Raises LookupError where a step is missing."""
    for schema in range(schema_of(item), SCHEMA):
        if schema not in STEPS:
            raise LookupError(f"no step from schema {schema}")
        item = {**STEPS[schema](item), "schema": number(schema + 1)}
    return item
