"""Validates values with a model: of pydantic in the tests, and frozen where only an artifact is available.

    python -I -S models.py ARTIFACT

It reads lines of JSON, each with the module and name of a model and a value, and prints a line with each result.
"""

import importlib
import json
import sys
from typing import Any


def validated(module: str, name: str, value: Any) -> Any:
    """Return everything that shared/ sees of the validation of a value."""
    from pydantic import ValidationError  # noqa: PLC0415 - which pydantic it is, is known by now

    model = getattr(importlib.import_module(module), name)
    try:
        made = model.model_validate(value)
    except ValidationError as error:
        return [[*fault["loc"], fault["type"], fault["msg"]] for fault in error.errors()]
    seen = {
        "json": made.model_dump_json(),
        "values": repr(made.model_dump()),
        "set": repr(made.model_dump(exclude_unset=True)),
        "equal": made == model.model_validate(value) and made != object(),
    }
    if name == "TaskQuery":
        seen["following"] = repr(made.following("x").model_dump(exclude_unset=True))
    if module == "shared.models":
        seen["built"] = made == model(**value)
    return seen


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    for line in sys.stdin:
        sys.stdout.write(json.dumps(validated(*json.loads(line))) + "\n")
        sys.stdout.flush()
