"""`artifacts.build` calls this for what pip installed: it takes out what no function reads, to ship and load less.

Some modules, which other modules import and no function uses, are replaced by nearly empty ones, and pydantic by what
works with schemas that artifacts/freeze.py has written down. Pydantic can be left as it was published, for a
release of it that the stand-in does not fit yet. All other code is left as it was published.
"""

import gzip
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Every request that shared/ can make (tests/deployment checks that the artifacts make no other).
OPERATIONS = ("GetItem", "PutItem", "Query", "TransactGetItems", "TransactWriteItems")
MODEL = "dynamodb/2012-08-10"
# botocore reads these besides; the endpoints are those of the whole AWS, China and GovCloud included.
DATA = ("endpoints.json", "sdk-default-configuration.json", "_retry.json")
# Powertools imports its tracer and jmespath_utils by itself; the rest of these is for other kinds of functions.
POWERTOOLS = ("event_handler", "middleware_factory")
POWERTOOLS_UTILITIES = ("__init__.py", "jmespath_utils", "__pycache__")

# What is imported on every cold start, for what functions never do; and the share of a cold start that it takes.
STUBS = {
    # urllib3 has HTTP/2 switched off, and looks through what is installed for it: 1 %.
    "urllib3/http2/__init__.py": "",
    # Traces are Lambda's own; Powertools imports its tracer all the same: 1 %.
    "aws_lambda_powertools/tracing/__init__.py": "Tracer = None\n",
    # Powertools puts its name into the user agent of each request: 1 % of a warm call.
    "aws_lambda_powertools/shared/user_agent.py": "def inject_user_agent(): ...\n",
    # botocore's documentation of itself, with a parser of HTML: 3 %.
    "botocore/docs/__init__.py": "",
    "botocore/docs/docstring.py": (
        "ClientMethodDocstring = PaginatorDocstring = WaiterDocstring = lambda *_, **__: None\n"
    ),
    "botocore/docs/utils.py": (
        "class _Undocumented:\n"
        "    def __init__(self, *_, **__): ...\n"
        "    def __getattr__(self, _): return self\n\n\n"
        "AppendParamDocumentation = AutoPopulatedParam = _Undocumented\n"
        "DocumentModifiedShape = HideParamFromOperations = _Undocumented\n"
    ),
}
# pydantic_core describes its schemas in 71 TypedDicts, which only pydantic itself and type checkers read: 7 %.
FROZEN_STUBS = {
    "pydantic_core/core_schema.py": "CoreConfig = CoreSchema = CoreSchemaType = ErrorType = None\n",
}
# pydantic makes schemas of our models, and these help it. artifacts/freeze.py has them made, and this works with them.
FROZEN = Path(__file__).parent / "frozen_pydantic.py"
SCHEMA_MAKERS = ("annotated_types", "typing_inspection")


def trim(packages: Path, operations: Collection[str] = OPERATIONS, *, frozen: bool = True) -> None:
    """Take out of a folder of installed packages what no function reads; `frozen` replaces pydantic."""
    trim_botocore(packages / "botocore" / "data", operations)
    stand_in(packages, STUBS)
    if frozen:
        stand_in(packages, FROZEN_STUBS)
        freeze_pydantic(packages)
    for folder in ("botocore/docs", "urllib3/http2", "aws_lambda_powertools/tracing"):
        for path in _others(packages / folder, ("__init__.py", "docstring.py", "utils.py", "probe.py")):
            _remove(path)
    powertools = packages / "aws_lambda_powertools"
    for name in POWERTOOLS:
        shutil.rmtree(powertools / name, ignore_errors=True)
    for path in _others(powertools / "utilities", POWERTOOLS_UTILITIES):
        _remove(path)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for information in packages.glob("*.dist-info"):
        # What scanners of deployed functions know a package and its version by, and nothing else.
        for path in _others(information, ("METADATA", "licenses", "LICENSE", "LICENSE.txt", "NOTICE")):
            _remove(path)


def stand_in(packages: Path, stubs: Mapping[str, str]) -> None:
    """Put the stubs where the modules are that they stand in for. Raises FileNotFoundError where one is gone."""
    for name, source in stubs.items():
        stub = packages / name
        if not stub.is_file():
            raise FileNotFoundError(f"{name} is not there any more: see whether it still needs a stand-in")
        stub.write_text(f"# A stand-in by artifacts/trim.py.\n{source}")


def freeze_pydantic(packages: Path) -> None:
    """Leave of pydantic what works with frozen schemas: pydantic_core, and the stand-in for the rest."""
    for name in SCHEMA_MAKERS:
        for path in (packages / name, *packages.glob(f"{name}-*.dist-info")):
            _remove(path)
    _remove(packages / "pydantic")
    (packages / "pydantic").mkdir()
    shutil.copy(FROZEN, packages / "pydantic" / "__init__.py")


def trim_botocore(data: Path, operations: Collection[str]) -> None:
    """Leave of botocore's data what these operations of DynamoDB need, in every partition of AWS.

    The endpoint rules are left out. With them botocore works out the endpoint for every request, which is 5 % of a warm
    call. Without them it takes the endpoint from endpoints.json when it creates a client: the same one, but for FIPS in
    GovCloud, where the rules give the ordinary endpoint, and for endpoints of single accounts, which only the rules
    know and nothing here needs.
    """
    model, endpoints = _read(data / MODEL / "service-2.json"), _read(data / "endpoints.json")
    for path in _others(data, DATA):
        _remove(path)
    for partition in endpoints["partitions"]:
        partition["services"] = {"dynamodb": partition["services"]["dynamodb"]}
    model["operations"] = {name: model["operations"][name] for name in operations}
    reached = set(_reached(model["operations"], model["shapes"], set()))
    model["shapes"] = {name: shape for name, shape in model["shapes"].items() if name in reached}
    _write(data / "endpoints.json", endpoints)
    _write(data / MODEL / "service-2.json", _undocumented(model))


def _reached(part: object, shapes: dict[str, Any], seen: set[str]) -> Iterator[str]:
    """The names of all shapes that a part of a model leads to."""
    if isinstance(part, dict):
        name = part.get("shape")
        if isinstance(name, str) and name not in seen:
            seen.add(name)
            yield name
            yield from _reached(shapes[name], shapes, seen)
        for inner in part.values():
            yield from _reached(inner, shapes, seen)
    elif isinstance(part, list):
        for inner in part:
            yield from _reached(inner, shapes, seen)


def _undocumented(part: Any) -> Any:
    if isinstance(part, dict):
        # A member may be called `documentation`, too; then it is no string.
        return {
            name: _undocumented(inner)
            for name, inner in part.items()
            if name != "documentation" or not isinstance(inner, str)
        }
    return [_undocumented(inner) for inner in part] if isinstance(part, list) else part


def _read(path: Path) -> Any:
    packed = path.with_name(f"{path.name}.gz")
    return json.loads(gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes())


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, separators=(",", ":")))


def _others(folder: Path, kept: Iterable[str]) -> list[Path]:
    return [path for path in folder.glob("*") if path.name not in kept]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
