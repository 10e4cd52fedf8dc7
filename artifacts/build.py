"""`make build` runs this, through SAM: it makes the artifact of a function, and the packages that are in it.

python -m artifacts.build packages TARGET --arch arm64|x86_64 [--service dynamodb|events] [--plain]
python -m artifacts.build function NAME TARGET [--packages FOLDER] [--schemas FILE] [--local]
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from artifacts.trim import SERVICES, trim

ROOT = Path(__file__).parent.parent
# What the functions share.
ROOMS = ("shared", "shared/http", "shared/store")
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}


def packages(target: Path, architecture: str, service: str, *, frozen: bool) -> None:
    """Install what functions import that use a service of AWS, for Lambda on this processor."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(dir=target.parent))
    work.chmod(0o755)  # the folder of the artifact takes this over
    machine = MACHINES[architecture]
    platforms = [f"--platform={family}_{machine}" for family in ("manylinux2014", "manylinux_2_28")]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "--no-deps",
    ]
    wheels = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.13", *platforms, "--no-compile"]
    subprocess.run([*pip, *wheels, "--target", work, "-r", ROOT / "requirements" / "runtime.txt"], check=True)
    trim(work, service, frozen=frozen)
    _compile(work, [work])
    try:
        work.rename(target)
    except OSError:  # another build has made it meanwhile
        shutil.rmtree(work)


def function(name: str, target: Path, packages: Path | None, schemas: Path | None, *, local: bool) -> None:
    """Make the artifact of a function. Without packages, it gets only its own code and the contract."""
    operation = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    own = target / "functions" / operation
    own.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "functions" / operation / "app.py", own / ("deployed.py" if local else "app.py"))
    if local:
        shutil.copy(ROOT / "artifacts" / "sam_local_handler.py", own / "app.py")
        shutil.copy(ROOT / "local" / "claims.py", own)
    if packages is None:
        _copy(ROOT / "docs", target / "docs", "openapi.json")
    else:
        shutil.copytree(packages, target, copy_function=shutil.copy, dirs_exist_ok=True)
        for room in ROOMS:
            _copy(ROOT / room, target / room, "*.py")
        if schemas is not None:
            shutil.copy(schemas, target / "pydantic" / "schemas.py")
    # The rest of the packages is compiled already.
    _compile(target, [folder for name in ("pydantic", "shared", "functions") if (folder := target / name).exists()])


def _copy(source: Path, target: Path, pattern: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.glob(pattern):
        shutil.copy(path, target)


def _compile(artifact: Path, folders: Sequence[Path]) -> None:
    # Not checked against its source: on Lambda, nothing can be written beside the source, and its times change.
    # In a process of its own: bytecode depends a little on what else the process has loaded.
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-p", "/var/task", "-s", str(artifact)]
    subprocess.run([sys.executable, "-m", "compileall", *options, *folders], check=True)


def main(arguments: Sequence[str]) -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m artifacts.build", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("packages", help="install and trim the packages of all functions")
    command.add_argument("target", type=Path)
    command.add_argument("--arch", choices=MACHINES, required=True, help="the processor of the functions")
    command.add_argument("--service", choices=SERVICES, default="dynamodb", help="what the functions send requests to")
    command.add_argument("--plain", action="store_true", help="leave pydantic as it is published")
    command = commands.add_parser("function", help="make the artifact of a function")
    command.add_argument("name", help="the function's name in template.yaml")
    command.add_argument("target", type=Path)
    command.add_argument("--packages", type=Path, help="what `packages` has installed")
    command.add_argument("--schemas", type=Path, help="what artifacts.freeze has written")
    command.add_argument("--local", action="store_true", help="for `sam local`, which verifies no tokens")
    options = parser.parse_args(arguments)
    if options.command == "packages":
        packages(options.target, options.arch, options.service, frozen=not options.plain)
    else:
        function(options.name, options.target, options.packages, options.schemas, local=options.local)


if __name__ == "__main__":
    main(sys.argv[1:])
