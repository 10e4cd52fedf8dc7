"""Typed clients that public generators make of the contract, for Python and TypeScript, used against `make run`."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.tokens import make_token
from tests.conftest import ROOT, free_port
from tests.integration.test_make_run import make_run

HERE = ROOT / "tests" / "client"
CONTRACT = ROOT / "docs" / "openapi.json"
# A person can look through so many; one for each problem of each operation would be two hundred.
MOST_MODELS = 60


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with make_run(tmp_path_factory.mktemp("run") / "log", port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def node_modules() -> Path:
    if not shutil.which("npm"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("The TypeScript client needs npm on the PATH")
    run(ROOT, "make", ".build/node/.ready")
    return ROOT / ".build" / "node" / "node_modules"


def run(folder: Path, *command: str | Path, **environment: str) -> None:
    """Run a command, which must end well."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_generated_python_client_works_and_its_types_are_true(tmp_path: Path, url: str, user: str) -> None:
    binaries, program, client = Path(sys.executable).parent, HERE / "program.py", tmp_path / "tasks_client"
    options = ("--path", CONTRACT, "--output-path", client, "--meta", "none", "--fail-on-warning")
    # It formats its output with the ruff that it finds.
    path = f"{binaries}:{os.environ['PATH']}"
    run(tmp_path, binaries / "openapi-python-client", "generate", *options, PATH=path)
    assert len(list((client / "models").glob("*.py"))) <= MOST_MODELS
    # The generator's own module client.py does not satisfy mypy; the program that uses it must.
    strictly = ("--strict", "--follow-imports=silent", "--config-file=", "--cache-dir", tmp_path / "mypy")
    run(tmp_path, binaries / "mypy", *strictly, program, MYPYPATH=str(tmp_path))
    run(tmp_path, sys.executable, program, url, make_token(user), PYTHONPATH=str(tmp_path))


def test_a_generated_typescript_client_works_and_its_types_are_true(
    tmp_path: Path, node_modules: Path, url: str, user: str
) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules)
    for file in ("program.mts", "tsconfig.json"):
        shutil.copy(HERE / file, tmp_path)
    run(tmp_path, node_modules / ".bin" / "openapi-typescript", CONTRACT, "--output", tmp_path / "tasks.d.ts")
    (example,) = re.findall(r"```ts\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), re.DOTALL)
    (tmp_path / "example.mts").write_text(f"declare const url: string, token: string;\n{example}")
    run(tmp_path, node_modules / ".bin" / "tsc")
    script = "import { main } from './program.mjs'; await main(...process.argv.slice(1));"
    run(tmp_path, "node", "--input-type=module", "--eval", script, url, make_token(user))
