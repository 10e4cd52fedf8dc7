"""What the tests of generated clients share: the API of `make run`, the packages of npm, and how to run a command."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, free_port
from tests.integration.test_make_run import make_run

HERE = ROOT / "tests" / "client"
CONTRACT = ROOT / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with make_run(tmp_path_factory.mktemp("run") / "log", port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def node_modules() -> Path:
    if not shutil.which("npm"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("This test needs npm on the PATH")
    run(ROOT, "make", ".build/node/.ready")
    return ROOT / ".build" / "node" / "node_modules"


def run(folder: Path, *command: str | Path, **environment: str) -> str:
    """Run a command, which must end well; return what it prints."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_module(folder: Path, module: str, url: str, token: str) -> None:
    """Run the function `main` of a compiled program."""
    script = f"import {{ main }} from './{module}'; await main(...process.argv.slice(1));"
    run(folder, "node", "--input-type=module", "--eval", script, url, token)
