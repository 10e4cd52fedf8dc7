"""Typed clients that public generators make of the contract, for Python and TypeScript, used against `make run`."""

import os
import shutil
import sys
from pathlib import Path

from local.tokens import make_token
from tests.client.conftest import BINARIES, CONTRACT, HERE, check_types, run, run_module
from tests.markdown import code

# A person can look through so many; one for each problem of each operation would be two hundred.
MOST_MODELS = 60


def test_a_generated_python_client_works_and_its_types_are_true(tmp_path: Path, url: str, user: str) -> None:
    program, client = HERE / "program.py", tmp_path / "tasks_client"
    options = ("--path", CONTRACT, "--output-path", client, "--meta", "none", "--fail-on-warning")
    # It formats its output with the ruff that it finds.
    path = f"{BINARIES}:{os.environ['PATH']}"
    run(tmp_path, BINARIES / "openapi-python-client", "generate", *options, PATH=path)
    assert len(list((client / "models").glob("*.py"))) <= MOST_MODELS
    check_types(tmp_path, program)
    run(tmp_path, sys.executable, program, url, make_token(user), PYTHONPATH=str(tmp_path))


def test_a_generated_typescript_client_works_and_its_types_are_true(
    tmp_path: Path, node_modules: Path, url: str, user: str
) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules)
    for file in ("program.mts", "tsconfig.json"):
        shutil.copy(HERE / file, tmp_path)
    run(tmp_path, node_modules / ".bin" / "openapi-typescript", CONTRACT, "--output", tmp_path / "tasks.d.ts")
    example = code("docs/clients.md", "ts")
    (tmp_path / "example.mts").write_text(f"declare const url: string, token: string;\n{example}")
    run(tmp_path, node_modules / ".bin" / "tsc")
    run_module(tmp_path, "program.mjs", url, make_token(user))
