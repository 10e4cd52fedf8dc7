"""Packages import each other in one direction: functions -> shared.http -> shared.store -> shared."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

# The packages that a package may import, beside itself. The rules and models at the top of shared/ import none.
ALLOWED = {
    # A function is its handler; functions share nothing with each other.
    "functions": {"shared", "shared.http", "shared.store"},
    "shared": set(),
    "shared.store": {"shared"},
    "shared.http": {"shared", "shared.store"},
}
# The rules are pure: no DynamoDB, no HTTP, no AWS.
NOT_IN_RULES = {"boto3", "botocore", "aws_lambda_powertools", "os", "time", "random", "secrets"}
SOURCES = [path for folder in ("functions", "shared") for path in sorted((ROOT / folder).rglob("*.py"))]


def room_of(module: str) -> str:
    """Return the package of a module by its dotted name."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[:2] in (["shared", "http"], ["shared", "store"]) else parts[0]


def imported(path: Path) -> set[str]:
    """Return the dotted names of all imports of a file, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{one.name}" for one in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(ROOT)) for path in SOURCES])
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    ours = {room_of(name) for name in imported(path) if name.split(".")[0] in {"functions", "shared", "local", "tests"}}
    assert ours <= ALLOWED[room] | {room}


def test_the_rules_import_no_dynamodb_http_or_aws() -> None:
    for name in ("tasks", "models", "batches", "etags"):
        packages = {one.split(".")[0] for one in imported(ROOT / "shared" / f"{name}.py")}
        assert not packages & NOT_IN_RULES, name
