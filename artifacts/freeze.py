"""`make build` runs this: it writes down the schemas that pydantic makes of our models, as a module of the artifacts.

    python -m artifacts.freeze FILE

artifacts/frozen_pydantic.py works with them. What is written depends on shared/ and on pydantic alone: the same code
makes the same bytes.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).parent.parent
# For the documentation of a schema, and for schemas that name each other, of which ours are none.
NOT_FROZEN = ("metadata", "ref")


def frozen() -> str:
    """The source of the module.

    Raises ValueError for what cannot be written down: two models of one name, a schema that names another, or a
    validator that is no function of a module of ours.
    """
    for path in sorted((ROOT / "shared").rglob("*.py")):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    every = set(_models(BaseModel))
    models = {model.__qualname__: model for model in every}
    if len(models) < len(every):
        raise ValueError("two models have the same name")
    lines = ['"""The schemas of our models, by artifacts/freeze.py."""\n', "from functools import partial"]
    lines.append("from sys import modules\n\n")
    for name, model in sorted(models.items()):
        model.model_rebuild()
        lines.append(f"def _{name}():\n    return {source_of(model.__pydantic_core_schema__)}\n\n")
    lines.append(f"SCHEMAS = {{{', '.join(f'{name!r}: _{name}' for name in sorted(models))}}}\n")
    return "\n".join(lines)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for subclass in model.__subclasses__():
        if subclass.__module__.startswith("shared."):
            yield subclass
            yield from _models(subclass)


def source_of(value: Any) -> str:
    """Python that makes the value again. Raises ValueError where it cannot be written down."""
    match value:
        case dict():
            if value.get("type") == "definition-ref":
                raise ValueError("a model that holds itself cannot be frozen")
            members = (f"{key!r}: {source_of(inner)}" for key, inner in value.items() if key not in NOT_FROZEN)
            return f"{{{', '.join(members)}}}"
        case list():
            return f"[{', '.join(map(source_of, value))}]"
        case None | bool() | int() | str():
            return repr(value)
        case partial(func=func, args=arguments, keywords={}):
            return f"partial({', '.join(map(source_of, (func, *arguments)))})"
        case type() | FunctionType() if value.__module__.startswith("shared.") and "<" not in value.__qualname__:
            return f"modules[{value.__module__!r}].{value.__qualname__}"
    raise ValueError(f"{value!r} cannot be frozen")


def main(target: Path) -> None:
    """Write the module, if this is the pydantic that the artifacts are locked to."""
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    for package in ("pydantic", "pydantic-core"):
        if not re.search(rf"^{package}=={re.escape(version(package))}\b", lock, re.MULTILINE):
            sys.exit(f"{package} {version(package)} is installed, but requirements/runtime.txt has another: make lock")
    target.write_text(frozen())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
