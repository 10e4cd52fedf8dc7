"""Upgrades convert an item of an older release to the current schema, one step per schema version.

This module is imported only when an older item is found. A release that changes the shape of items raises SCHEMA in
shared/store/items.py and adds a step here. During its rollout, and after a rollback, functions of the previous release
read and write the same items. Therefore a step follows these rules:

- Add attributes only. What the previous release reads must stay in the item and must stay correct.
- Compute attributes that depend on older attributes again, even if they exist: the previous release does not update
  them. Keep all other attributes.
- Remove an attribute only in a later step, when no release in use reads it.

docs/operations.md, "Changing the shape of items", describes how to release such a change.
"""

from collections.abc import Callable, Mapping
from typing import Final

from shared.store.items import SCHEMA, Item, number, schema_of

type Step = Callable[[Item], Item]

# Each key is the schema version that the step upgrades from. Steps also run on the tasks in the records of idempotency
# keys. Those have no index keys and no write tokens (`to_content` in shared/store/items.py), so a step must not need
# them.
STEPS: Final[Mapping[int, Step]] = {}


def upgraded(item: Item) -> Item:
    """Return the item in the current schema. Raises LookupError if a step is missing."""
    for schema in range(schema_of(item), SCHEMA):
        if schema not in STEPS:
            raise LookupError(f"no step from schema {schema}")
        item = {**STEPS[schema](item), "schema": number(schema + 1)}
    return item
