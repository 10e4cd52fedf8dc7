"""A typed client that a public generator makes of the contract, used against `make run`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.tokens import make_token
from tests.conftest import ROOT, SCALE
from tests.integration.test_make_run import free_port, make_run

PROGRAM = ROOT / "tests" / "client" / "program.py"


@pytest.mark.skipif(SCALE == 1, reason="for make prove")
def test_a_generated_client_works_and_its_types_are_true(tmp_path: Path, user: str) -> None:
    binaries = Path(sys.executable).parent
    # It formats what it makes with the ruff that it finds.
    paths = {"PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(tmp_path), "MYPYPATH": str(tmp_path)}
    environment = {**os.environ, **paths}
    commands: list[list[str | Path]] = [
        [
            *(binaries / "openapi-python-client", "generate", "--path", ROOT / "docs" / "openapi.json"),
            *("--output-path", tmp_path / "tasks_client", "--meta", "none", "--fail-on-warning"),
        ],
        [binaries / "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path / "mypy", PROGRAM],
    ]
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    port = free_port()
    with make_run(tmp_path / "log", port):
        used = subprocess.run(
            [sys.executable, PROGRAM, f"http://127.0.0.1:{port}", make_token(user)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert used.returncode == 0, used.stderr
