"""Checks that a change of the JSON of a task also changes every ETag, so that no cache keeps the old JSON."""

import hashlib
import json

from shared.models import REPRESENTATION, DeletedTask, Task

# The digest of the schema of a task in responses, by the value of REPRESENTATION. After the first release of a value,
# never change its digest.
DIGESTS = {1: "5da13b799028e0cf"}


def check(task: type[Task] = DeletedTask, representation: int = REPRESENTATION) -> None:
    """Raise ValueError if the JSON of a task is not the one that `representation` stands for."""
    # A task in the trash has all fields of a task. Its description is no part of the JSON.
    schema = {**task.model_json_schema(mode="serialization"), "description": ""}
    digest = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()[:16]
    if DIGESTS.get(representation) != digest:
        raise ValueError(
            "The JSON of a task has changed. Increase REPRESENTATION in shared/models.py, and add the digest "
            f"{digest} to contract/representation.py"
        )
