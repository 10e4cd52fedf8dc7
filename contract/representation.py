"""Checks that a change of the JSON of a task also changes every ETag, so that no cache keeps the old JSON."""

import hashlib
import json
from typing import Any

from contract.schemas import schema_of
from shared.models import REPRESENTATION, DeletedTask

# The digest of the schema of a task in responses, by the value of REPRESENTATION. After the first release of a value,
# never change its digest.
DIGESTS = {1: "a92f79aed5fc87ac"}


def check(task: Any = DeletedTask, representation: int = REPRESENTATION) -> None:
    """Raise ValueError if the JSON of a task is not the one that `representation` stands for."""
    # A task in the trash has all fields of a task.
    schema = json.dumps(_without_descriptions(schema_of(task)), sort_keys=True)
    digest = hashlib.sha256(schema.encode()).hexdigest()[:16]
    if DIGESTS.get(representation) != digest:
        raise ValueError(
            "The JSON of a task has changed. Increase REPRESENTATION in shared/models.py, and add the digest "
            f"{digest} to contract/representation.py"
        )


def _without_descriptions(schema: Any) -> Any:
    match schema:
        case dict():
            return {
                name: _without_descriptions(value)
                for name, value in schema.items()
                if name != "description" or isinstance(value, dict)
            }
        case list():
            return [_without_descriptions(value) for value in schema]
        case _:
            return schema
