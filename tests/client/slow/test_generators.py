"""Clients of openapi-generator and openapi-zod-client, used against `make run`."""

import shutil
import sys
from pathlib import Path

import pytest

from local.tokens import make_token
from tests.client.conftest import CONTRACT, HERE, check_types, needs, run, run_module
from tests.conftest import ROOT

PROGRAMS = HERE / "slow"
ENVIRONMENT = ROOT / ".build" / "clients"


@pytest.fixture(scope="module")
def jdk() -> None:
    """A compiler of Java, and openapi-generator, which needs Java."""
    needs("javac")
    run(ROOT, "make", ".build/clients/.ready")


def generate(folder: Path, generator: str, **properties: str) -> None:
    """Generate a client with openapi-generator."""
    options = ",".join(f"{name}={value}" for name, value in {"hideGenerationTimestamp": "true", **properties}.items())
    parts = "models,apis,supportingFiles,modelTests=false,apiTests=false,modelDocs=false,apiDocs=false"
    command = (ENVIRONMENT / "bin" / "openapi-generator-cli", "generate", "-g", generator, "-i", CONTRACT, "-o", folder)
    run(ROOT, *command, "--global-property", parts, "--additional-properties", options)


@pytest.mark.usefixtures("jdk")
def test_a_python_client_of_openapi_generator_works(tmp_path: Path, url: str, user: str) -> None:
    program = PROGRAMS / "openapi_generator.py"
    generate(tmp_path, "python")
    check_types(tmp_path, program)
    run(tmp_path, sys.executable, program, url, make_token(user), PYTHONPATH=str(tmp_path))


@pytest.mark.usefixtures("jdk")
def test_a_typescript_client_of_openapi_generator_works(
    tmp_path: Path, node_modules: Path, url: str, user: str
) -> None:
    generate(tmp_path / "client", "typescript-fetch", importFileExtension=".js")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    compiled(tmp_path, node_modules, "typescript_fetch.mts")
    run_module(tmp_path, "typescript_fetch.mjs", url, make_token(user))


@pytest.mark.usefixtures("jdk")
def test_a_java_client_of_openapi_generator_works(tmp_path: Path, url: str, user: str) -> None:
    generate(tmp_path / "client", "java", library="native", openApiNullable="false")
    # The generator contains the version of Jackson that its clients use.
    (jackson,) = ENVIRONMENT.glob("lib/*/site-packages/openapi_generator_cli/openapi-generator.jar")
    sources = [*(tmp_path / "client" / "src" / "main").rglob("*.java"), *PROGRAMS.glob("*.java")]
    run(tmp_path, "javac", "-nowarn", "-d", tmp_path, "-cp", jackson, *sources)
    run(tmp_path, "java", "-cp", f"{jackson}:{tmp_path}", "Program", url, make_token(user))


def test_the_schemas_of_openapi_zod_client_work(tmp_path: Path, node_modules: Path, url: str, user: str) -> None:
    run(tmp_path, node_modules / ".bin" / "openapi-zod-client", CONTRACT, "--output", tmp_path / "client.mts")
    compiled(tmp_path, node_modules, "zodios.mts")
    run_module(tmp_path, "zodios.mjs", url, make_token(user))


def compiled(folder: Path, node_modules: Path, program: str) -> None:
    """Compile a program of TypeScript."""
    (folder / "node_modules").symlink_to(node_modules)
    shutil.copy(PROGRAMS / program, folder)
    shutil.copy(HERE / "tsconfig.json", folder)
    # The types of Zodios and the code of typescript-fetch do not satisfy these.
    loosely = ("--skipLibCheck", *("--exactOptionalPropertyTypes", "false"), *("--noUncheckedIndexedAccess", "false"))
    run(folder, node_modules / ".bin" / "tsc", "--project", ".", *loosely)
