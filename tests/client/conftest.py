"""What the tests of generated clients share: the API of `make run`, the packages of npm, and how to run a command."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, free_port
from tests.integration.test_make_run import make_run

HERE = ROOT / "tests" / "client"
BINARIES = Path(sys.executable).parent
CONTRACT = ROOT / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with make_run(tmp_path_factory.mktemp("run") / "log", port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def node_modules() -> Path:
    return packages_of_npm() / "node_modules"


def packages_of_npm() -> Path:
    """The folder of the packages of requirements/node, which it installs. Several processes may ask at once."""
    needs("npm")
    (ROOT / ".build").mkdir(exist_ok=True)
    with (ROOT / ".build" / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(ROOT, "make", ".build/node/.ready")
    return ROOT / ".build" / "node"


def needs(command: str) -> None:
    """Skip the test without a command; fail it in continuous integration."""
    if not shutil.which(command):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"This test needs {command} on the PATH")


def run(folder: Path, *command: str | Path, **environment: str) -> None:
    """Run a command, which must end well."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def check_types(folder: Path, program: Path) -> None:
    """Check the types of a program with mypy. Those of the generated modules themselves may be wrong."""
    strictly = ("--strict", "--follow-imports=silent", "--config-file=", "--cache-dir", folder / "mypy")
    run(folder, BINARIES / "mypy", *strictly, program, MYPYPATH=str(folder))


def run_module(folder: Path, module: str, url: str, token: str) -> None:
    """Run the function `main` of a compiled program."""
    script = f"import {{ main }} from './{module}'; await main(...process.argv.slice(1));"
    run(folder, "node", "--input-type=module", "--eval", script, url, token)
