"""The content of the artifacts: the function, its dependencies, and nothing else."""

import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore
import pytest

from artifacts import trim
from tests.conftest import ROOT
from tests.deployment.conftest import FUNCTIONS, HOST, OPERATIONS, built, operation

# `make plain` runs this suite on artifacts with unchanged pydantic.
PLAIN = bool(os.environ.get("PLAIN"))
# The machine of an ELF file (its bytes 18 and 19): https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
MACHINES = {b"\xb7\x00": "arm64", b"\x3e\x00": "x86_64"}
PINNED = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
ARCHITECTURES = ["arm64", "x86_64"]
ON_TASKS = [function for function in FUNCTIONS if function != "GetOpenapi"]
WITH_TOKEN = [function for function in ON_TASKS if function in OPERATIONS]


@pytest.mark.parametrize("function", ON_TASKS)
def test_an_artifact_contains_the_function_shared_and_the_dependencies(function: str, folder: Path) -> None:
    artifact = built(folder, function, "arm64")
    files = {str(path.relative_to(artifact)) for path in artifact.rglob("*.py")}
    own = {name for name in files if name.startswith(("functions/", "shared/"))}
    shared = {str(path.relative_to(ROOT)) for path in (ROOT / "shared").rglob("*.py")}
    assert own == shared | {f"functions/{operation(function)}/app.py"}
    source = ROOT / "functions" / operation(function) / "app.py"
    assert (artifact / "functions" / operation(function) / "app.py").read_bytes() == source.read_bytes()
    assert not (artifact / "docs").exists()


def test_the_artifact_of_the_contract_contains_only_its_function_and_the_contract(folder: Path) -> None:
    artifact = built(folder, "GetOpenapi", "arm64")
    compiled = "functions/get_openapi/__pycache__/app.cpython-313.pyc"
    files = {str(path.relative_to(artifact)) for path in artifact.rglob("*") if path.is_file()}
    assert files == {"functions/get_openapi/app.py", compiled, "docs/openapi.json"}
    assert (artifact / "docs" / "openapi.json").read_bytes() == (ROOT / "docs" / "openapi.json").read_bytes()
    event = json.loads((ROOT / "events" / "get_openapi.json").read_text())
    assert run(artifact, "GetOpenapi", event)["statusCode"] == 200


def test_an_artifact_contains_only_the_locked_dependencies(folder: Path) -> None:
    artifact = built(folder, FUNCTIONS[0], "arm64")
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    locked = {(name.lower().replace("-", "_"), version) for name, version in PINNED.findall(lock)}
    found = {tuple(path.name.removesuffix(".dist-info").lower().split("-")) for path in artifact.glob("*.dist-info")}
    # The packages that make schemas have done so at build time, and are removed (artifacts/freeze.py).
    left_out = () if PLAIN else trim.SCHEMA_MAKERS
    assert found == {(name, version) for name, version in locked if name not in left_out}
    assert (artifact / "pydantic" / "schemas.py").exists() is not PLAIN
    assert (artifact / "pydantic" / "main.py").exists() is PLAIN
    assert not (artifact / "boto3").exists()


def test_the_authorities_include_the_roots_of_amazon() -> None:
    """The roots that https://www.amazontrust.com/repository names for custom trust stores."""
    amazon = {"Amazon Root CA 1", "Amazon Root CA 2", "Amazon Root CA 3", "Amazon Root CA 4"}
    assert {*amazon, "Starfield Services Root Certificate Authority - G2"} <= set(trim.AUTHORITIES)


@pytest.mark.parametrize("function", ["GetTask", "PublishEvents"])
def test_an_artifact_trusts_the_authorities_of_aws_and_no_others(function: str, folder: Path) -> None:
    context = ssl.create_default_context(cafile=built(folder, function, "arm64") / "botocore" / "cacert.pem")
    trusted: list[Any] = context.get_ca_certs()
    names = {dict(part[0] for part in one["subject"]).get("commonName") for one in trusted}
    # This root has no common name.
    assert names == {None if name == "Starfield Class 2 CA" else name for name in trim.AUTHORITIES}


def test_a_build_without_an_authority_fails(tmp_path: Path) -> None:
    bundle = tmp_path / "cacert.pem"
    bundle.write_text((Path(botocore.__file__).parent / "cacert.pem").read_text().replace("Amazon Root CA 3", "Other"))
    with pytest.raises(KeyError, match="Amazon Root CA 3"):
        trim.trim_authorities(bundle)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_library_has_the_architecture_of_the_template(architecture: str, folder: Path) -> None:
    libraries = list(built(folder, "GetTask", architecture).rglob("*.so*"))
    assert libraries
    assert {MACHINES[library.read_bytes()[18:20]] for library in libraries} == {architecture}


def test_every_module_has_unchecked_bytecode(folder: Path) -> None:
    artifact = built(folder, "GetTask", "arm64")
    for source in artifact.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        # PEP 552: the flags are 1 if the file has an unchecked hash.
        assert compiled.read_bytes()[4:8] == b"\1\0\0\0", compiled


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_deployable_artifact_accepts_unverified_identities(function: str, folder: Path) -> None:
    artifact = built(folder, function, "arm64")
    shim = (ROOT / "artifacts" / "sam_local_handler.py").read_bytes()
    assert not [path for path in artifact.rglob("*.py") if path.read_bytes() == shim or path.name == "deployed.py"]
    assert not list(artifact.rglob("sam_local*"))


def run(artifact: Path, function: str, event: dict[str, Any]) -> dict[str, Any]:
    """Return the response of the function when only its artifact can be imported."""
    script = (
        "import importlib, json, sys, types\n"
        f"sys.path[:] = [path for path in sys.path if 'site-packages' not in path] + [{str(artifact)!r}]\n"
        f"handler = importlib.import_module('functions.{operation(function)}.app').handler\n"
        "context = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000)\n"
        "response = handler(json.load(sys.stdin), context)\n"
        "sys.stderr.write(json.dumps(response))\n"
    )
    environment = {
        "TABLE_NAME": "tasks",
        "STACK_ID": "stack",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "POWERTOOLS_SERVICE_NAME": "tasks",
        "POWERTOOLS_METRICS_NAMESPACE": "Tasks",
    }
    python = subprocess.run(
        [sys.executable, "-I", "-c", script],
        input=json.dumps(event),
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    response: dict[str, Any] = json.loads(python.stderr)
    return response


@pytest.mark.parametrize("function", WITH_TOKEN)
def test_an_artifact_runs_alone_and_accepts_no_unverified_token(function: str, folder: Path) -> None:
    event = json.loads((ROOT / "events" / f"{operation(function)}.json").read_text())
    del event["requestContext"]["authorizer"]
    event["headers"]["authorization"] = "Bearer e30.eyJzdWIiOiJhbGljZSJ9.x"  # says that its subject is alice
    assert run(built(folder, function, HOST), function, event)["statusCode"] == 401


def test_only_the_build_for_sam_local_has_the_shim(folder: Path) -> None:
    own = built(folder, "GetTask", HOST, local=True) / "functions" / "get_task"
    assert (own / "app.py").read_bytes() == (ROOT / "artifacts" / "sam_local_handler.py").read_bytes()
    assert (own / "deployed.py").read_bytes() == (ROOT / "functions" / "get_task" / "app.py").read_bytes()
