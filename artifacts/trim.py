"""`artifacts.build` calls this: it removes from the installed packages what no function uses, for faster cold starts.

Some modules are imported by others but never used: stubs replace them. artifacts/frozen_pydantic.py replaces pydantic.
The published pydantic can be kept, for a release that the replacement does not support yet. All other code is
unchanged.
"""

import gzip
import json
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# The DynamoDB operations that shared/ uses. tests/deployment checks that the artifacts use no others.
OPERATIONS = ("BatchGetItem", "BatchWriteItem", "GetItem", "PutItem", "Query", "TransactGetItems", "TransactWriteItems")
# By service: the model in botocore's data, and the operations that are kept of it. The functions of the API use
# DynamoDB, and publish_events uses EventBridge.
SERVICES = {"dynamodb": ("dynamodb/2012-08-10", OPERATIONS), "events": ("events/2015-10-07", ("PutEvents",))}
# botocore reads these besides; the endpoints are those of the whole AWS, China and GovCloud included.
DATA = ("endpoints.json", "sdk-default-configuration.json", "_retry.json")
# Powertools imports its tracer and jmespath_utils by itself; the rest of these is for other kinds of functions.
POWERTOOLS = ("event_handler", "middleware_factory")
POWERTOOLS_UTILITIES = ("__init__.py", "jmespath_utils", "__pycache__")

# The certificate authorities that sign the certificates of AWS's endpoints, as botocore's bundle labels them. OpenSSL
# parses all that it is given, and botocore brings 126: 20 % of a cold start. Amazon signs by its own ones, which the
# first five are (https://www.amazontrust.com/repository); the others are for older and partner endpoints.
AUTHORITIES = (
    *(f"Amazon Root CA {number}" for number in (1, 2, 3, 4)),
    "Starfield Services Root Certificate Authority - G2",
    "Starfield Root Certificate Authority - G2",
    "Starfield Class 2 CA",
    *("DigiCert Global Root CA", "DigiCert Global Root G2", "DigiCert Global Root G3"),
    *("DigiCert Assured ID Root CA", "DigiCert Assured ID Root G2", "DigiCert Assured ID Root G3"),
    *("DigiCert High Assurance EV Root CA", "DigiCert Trusted Root G4"),
)
_CERTIFICATE = re.compile(
    r'# Label: "([^"]*)".*?(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n)', re.DOTALL
)

# Stubs for modules that every cold start imports and no function uses, with their share of a cold start.
STUBS = {
    # botocore does not use HTTP/2, but urllib3 searches the installed packages for it: 1 %.
    "urllib3/http2/__init__.py": "",
    # Lambda itself sends the traces, but Powertools imports its tracer: 1 %.
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
# The 71 TypedDicts of pydantic_core's schemas, which only pydantic and type checkers use: 7 %.
FROZEN_STUBS = {
    "pydantic_core/core_schema.py": "CoreConfig = CoreSchema = CoreSchemaType = ErrorType = None\n",
}
# The replacement for pydantic, and the packages that only pydantic needs, to build schemas.
FROZEN = Path(__file__).parent / "frozen_pydantic.py"
SCHEMA_MAKERS = ("annotated_types", "typing_inspection")


def trim(packages: Path, service: str = "dynamodb", *, frozen: bool = True) -> None:
    """Remove from a folder of installed packages what no function uses. `frozen` also replaces pydantic."""
    trim_botocore(packages / "botocore" / "data", service)
    trim_authorities(packages / "botocore" / "cacert.pem")
    install_stubs(packages, STUBS)
    if frozen:
        install_stubs(packages, FROZEN_STUBS)
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
        # Keep only what vulnerability scanners need to identify a package, and the licences.
        for path in _others(information, ("METADATA", "licenses", "LICENSE", "LICENSE.txt", "NOTICE")):
            _remove(path)


def install_stubs(packages: Path, stubs: Mapping[str, str]) -> None:
    """Replace modules by stubs. Raises FileNotFoundError if a module does not exist."""
    for name, source in stubs.items():
        stub = packages / name
        if not stub.is_file():
            raise FileNotFoundError(f"{name} does not exist any more: check whether the stub is still needed")
        stub.write_text(f"# A stub by artifacts/trim.py.\n{source}")


def freeze_pydantic(packages: Path) -> None:
    """Replace pydantic by frozen_pydantic.py, and remove the packages that build schemas. Keep pydantic_core."""
    for name in SCHEMA_MAKERS:
        for path in (packages / name, *packages.glob(f"{name}-*.dist-info")):
            _remove(path)
    _remove(packages / "pydantic")
    (packages / "pydantic").mkdir()
    shutil.copy(FROZEN, packages / "pydantic" / "__init__.py")


def trim_botocore(data: Path, service: str = "dynamodb", more: Collection[str] = ()) -> None:
    """Leave of botocore's data what the operations of a service need, and `more` of them, in every partition of AWS.

    The endpoint rules are left out. With them botocore works out the endpoint for every request, which is 5 % of a warm
    call. Without them it takes the endpoint from endpoints.json when it creates a client: the same one, but for FIPS in
    GovCloud, where the rules give the ordinary endpoint, and for endpoints of single accounts, which only the rules
    know and nothing here needs.
    """
    path_of_model, operations = SERVICES[service]
    path_of_model = f"{path_of_model}/service-2.json"
    model, endpoints = _read(data / path_of_model), _read(data / "endpoints.json")
    for path in _others(data, DATA):
        _remove(path)
    for partition in endpoints["partitions"]:
        partition["services"] = {service: partition["services"][service]}
    model["operations"] = {name: model["operations"][name] for name in (*operations, *more)}
    reached = set(_reached(model["operations"], model["shapes"], set()))
    model["shapes"] = {name: shape for name, shape in model["shapes"].items() if name in reached}
    _write(data / "endpoints.json", endpoints)
    _write(data / path_of_model, _undocumented(model))


def trim_authorities(bundle: Path) -> None:
    """Leave of a bundle of certificates those in AUTHORITIES. Raises KeyError if one of them is not in it."""
    found = dict(_CERTIFICATE.findall(bundle.read_text()))
    bundle.write_text("".join(f"# {name}\n{found[name]}" for name in AUTHORITIES))


def _reached(part: object, shapes: dict[str, Any], seen: set[str]) -> Iterator[str]:
    """Yield the names of all shapes that a part of a model refers to."""
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
        # A member can also have the name `documentation`. Its value is not a string.
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
