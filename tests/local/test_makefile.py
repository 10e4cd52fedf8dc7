"""The Makefile on other machines: no Python, another Python, blanks in paths, variables of the shell."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

TOOLS = ("sh", "make", "awk", "uname", "mkdir", "rm", "printf", "touch", "sleep", "kill", "env")
NEEDED = "Python 3.13 is needed. Install it, for example with 'uv python install 3.13', or set PYTHON= to its path."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Makefile in a path with blanks, with nothing installed."""
    folder = tmp_path / "my tasks"
    (folder / "requirements").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements" / "dev.txt").touch()
    (folder / "requirements" / "sam.txt").touch()
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with the tools that every machine has, and no Python."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in TOOLS:
        if found := shutil.which(tool):
            (bare / tool).symlink_to(found)
    return bare


def make(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        ["make", *arguments], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def python(path: Path, response: int) -> Path:
    """A Python that says whether it is 3.13."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {response}\n")
    path.chmod(0o755)
    return path


def test_without_python_one_line_says_what_to_install(folder: Path, bare: Path) -> None:
    status, printed = make(folder, "setup", PATH=str(bare))
    assert status == 2
    assert printed.splitlines()[0] == NEEDED
    assert len(printed.splitlines()) == 2  # and make's own


def test_another_python_is_not_used(folder: Path, bare: Path) -> None:
    python(bare / "python3", 1)
    status, printed = make(folder, "setup", PATH=str(bare))
    assert (status, printed.splitlines()[0]) == (2, NEEDED)


def test_a_python_of_uv_is_found(folder: Path, bare: Path, tmp_path: Path) -> None:
    known = python(tmp_path / "a b" / "python3.13", 0)
    (bare / "uv").write_text(f'#!/bin/sh\ntest "$*" = "python find 3.13" && echo "{known}"\n')
    (bare / "uv").chmod(0o755)
    status, printed = make(folder, "--dry-run", "setup", PATH=str(bare))
    assert status == 0
    assert f'"{known}" -m venv .venv' in printed


def installed(folder: Path) -> None:
    for name in (".venv", ".build/sam"):
        (folder / name).mkdir(parents=True)
        (folder / name / ".ready").touch()


@pytest.mark.parametrize("arguments", [(), ("ARCH=arm",)], ids=["environment", "command line"])
def test_an_unknown_architecture_is_rejected(folder: Path, arguments: tuple[str, ...]) -> None:
    installed(folder)
    status, printed = make(folder, "build", *arguments, ARCH="arm")
    assert status == 2
    assert "ARCH must be arm64 or x86_64, not arm" in printed


def test_a_shell_variable_env_does_not_choose_the_environment(folder: Path) -> None:
    installed(folder)
    assert "--config-env default" in make(folder, "--dry-run", "build", ENV="/home/you/.kshrc")[1]
    assert "--config-env prod" in make(folder, "--dry-run", "build", "ENV=prod")[1]


def test_the_help_of_load_installs_nothing(folder: Path) -> None:
    installed(folder)
    assert "pip" not in make(folder, "--dry-run", "load", "ARGS=--help")[1]


@pytest.mark.parametrize(
    ("arguments", "environment", "port"), [((), "", 8000), (("PORT=8001",), "", 8001), ((), "8002", 8002)]
)
def test_the_events_are_those_of_the_server_on_this_port(
    folder: Path, bare: Path, arguments: tuple[str, ...], environment: str, port: int
) -> None:
    (bare / "tail").write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
    (bare / "tail").chmod(0o755)
    status, printed = make(folder, "events", *arguments, PATH=str(bare), PORT=environment)
    assert (status, printed) == (0, f"-n +1 -F .local/events-{port}.jsonl\n")
