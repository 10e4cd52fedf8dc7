"""Builds the contenders, this backend and its peers: a process can import only from its artifact."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PathDistribution
from pathlib import Path

from packaging.requirements import Requirement

from artifacts import trim
from local.certificate import identity_in

ROOT = Path(__file__).parent.parent
BUILD = ROOT / ".build" / "bench"
PACKAGES = BUILD / "packages"
# The certificate of the stub and its key.
IDENTITY = BUILD / "identity.pem"
SITE = Path("site-packages")

PEERS = {
    "bare": ("bare boto3.client", ["boto3"]),
    "resource": ("boto3 resource + pydantic", ["boto3", "pydantic"]),
    "powertools": ("Powertools resolver", ["boto3", "pydantic", "aws-lambda-powertools"]),
    "fastapi_mangum": ("FastAPI + Mangum", ["boto3", "fastapi", "mangum"]),
}
# Incorrect updates and toggles, for comparison: see peers/blind.py.
BLIND = "bare, writes blindly"
OURS = "this backend"
# The ways to build an artifact.
AS_SAM_BUILDS, WITH_BYTECODE, AS_WE_BUILD = "as sam build makes it", "with bytecode", "with bytecode and pruned"
COLUMNS = (AS_SAM_BUILDS, WITH_BYTECODE, AS_WE_BUILD)


@dataclass(frozen=True)
class Contender:
    """An artifact, and its module that handles an operation."""

    name: str
    column: str
    folder: Path
    module: str

    @property
    def table(self) -> str:
        """The name of its table. Each contender needs its own, because the peers write items of different shapes."""
        return re.sub(r"\W+", "-", self.name)


def ours(operation: str) -> Contender:
    """Build this backend's function for an operation, with the make target that `sam build` uses."""
    folder = BUILD / "ours" / operation
    machine = "arm64" if os.uname().machine in {"aarch64", "arm64"} else "x86_64"
    shutil.rmtree(folder, ignore_errors=True)
    function = operation.title().replace("_", "")
    _run("make", "-s", f"build-{function}", f"ARTIFACTS_DIR={folder}", f"ARCH={machine}")
    _trust_the_stub(folder)
    return Contender(OURS, AS_WE_BUILD, folder, f"functions.{operation}.app")


def peer(name: str, column: str) -> Contender:
    """Build a peer."""
    return _build(name, *PEERS[name], column)


def blind() -> Contender:
    """Build the bare peer that writes blindly, with bytecode."""
    return _build("blind", BLIND, ["boto3"], WITH_BYTECODE)


def _build(name: str, title: str, requirements: list[str], column: str) -> Contender:
    folder = BUILD / column.replace(" ", "-") / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in _files(requirements):
        target = folder / path.relative_to(PACKAGES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    shutil.copytree(ROOT / "bench" / "peers", folder / "peers", ignore=shutil.ignore_patterns("__pycache__"))
    if column == AS_WE_BUILD:
        # boto3's resource needs the model of DescribeTable.
        trim.trim_botocore(folder / "botocore" / "data", more=["DescribeTable"])
    _trust_the_stub(folder)
    if column != AS_SAM_BUILDS:
        _run(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder))
    return Contender(title, column, folder, f"peers.{name}")


def _trust_the_stub(folder: Path) -> None:
    """Add the certificate of the stub to those that an artifact trusts, beside those of AWS."""
    with (folder / "botocore" / "cacert.pem").open("a") as trusted:
        trusted.write(IDENTITY.read_text().partition("-----BEGIN PRIVATE KEY")[0])


def install() -> None:
    """Make the certificate of the stub. Install the locked packages of all peers, if the lock has changed."""
    BUILD.mkdir(parents=True, exist_ok=True)
    identity_in(BUILD)
    lock = ROOT / "requirements" / "bench.txt"
    ready = PACKAGES / ".ready"
    if ready.exists() and ready.read_bytes() == lock.read_bytes():
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    _run(*pip, "--no-deps", "--no-compile", "--target", str(PACKAGES), "-r", str(lock))
    ready.write_bytes(lock.read_bytes())


def _files(requirements: list[str]) -> Iterator[Path]:
    """Yield the installed files of packages and of their dependencies."""
    installed = {_normal(d.name): d for path in PACKAGES.glob("*.dist-info") for d in [PathDistribution(path)]}
    todo, done = [_normal(name) for name in requirements], set[str]()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        for line in installed[name].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(_normal(requirement.name))
        for file in installed[name].files or []:
            path = Path(str(file.locate()))
            if ".." not in file.parts and path.exists():
                yield path


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
