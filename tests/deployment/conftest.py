"""The template translated by SAM, and artifacts built by `make build`."""

import atexit
import json
import platform
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local import template
from tests.conftest import ROOT

type Translate = Callable[..., dict[str, Any]]

HOST = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
_DOCUMENT = template.read(ROOT / "template.yaml")
FUNCTIONS = [
    name for name, resource in _DOCUMENT["Resources"].items() if resource["Type"] == "AWS::Serverless::Function"
]
# The operations of the API; the other functions have no route.
OPERATIONS = template.operations(_DOCUMENT)


def operation(function: str) -> str:
    """Return the name of the operation of a function: GetTask is get_task."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", function).lower()


def sam(command: str, *arguments: object) -> Any:
    """The result of a command of tests/deployment/sam.py, run in the environment of SAM CLI."""
    process = _sam_process()
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps([command, *arguments]), file=process.stdin, flush=True)
    result = process.stdout.readline()
    if not result:
        _sam_process.cache_clear()  # the process has ended: the next test gets a new one
        pytest.fail(f"{command} failed: see standard error")
    return json.loads(result)


@cache
def _sam_process() -> subprocess.Popen[str]:
    # Importing SAM takes seconds, so one process runs all commands.
    python = ROOT / ".build" / "sam" / "bin" / "python"
    assert python.exists(), "SAM CLI is not installed: make .build/sam/.ready"
    command = [python, Path(__file__).with_name("sam.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process


@pytest.fixture(scope="session")
def translate() -> Translate:
    """The CloudFormation template that SAM makes from ours, for some parameters."""

    def translate(code_uri: str = "s3://bucket/key", **parameters: str) -> dict[str, Any]:
        translated: dict[str, Any] = sam("translate", str(ROOT / "template.yaml"), code_uri, parameters)
        return translated

    return translate


@pytest.fixture(scope="session")
def translated(translate: Translate) -> dict[str, Any]:
    return translate()


def of_type(translated: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The resources of a type, by their logical ids."""
    return {name: one for name, one in translated["Resources"].items() if one["Type"] == kind}


@cache
def built(folder: Path, function: str, architecture: str, *, local: bool = False) -> Path:
    """The artifact of a function, built by the command of `sam build`."""
    artifact = folder / f"{function}-{architecture}{'-local' if local else ''}"
    settings = [f"ARTIFACTS_DIR={artifact}", f"ARCH={architecture}", *(["LOCAL=1"] if local else [])]
    make = subprocess.run(
        ["make", f"build-{function}", *settings], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert make.returncode == 0, make.stderr
    return artifact


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto for all AWS services, in a region that no other suite uses."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
