"""`python -m ops.release ENV NAME=VALUE ...`: prints all parameters of a deployment.

`sam deploy` ignores the parameters of samconfig.toml if the command line has some, so this module merges them: the
command line overrides samconfig.toml. It adds `Release`, a hash of the build and of the parameters. SAM publishes a new
version of a function if the template has changed, but not if only the value of a parameter has changed.
"""

import argparse
import hashlib
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from ops.command import CommandError, run

ROOT = Path(__file__).parent.parent


def parameters_of(environment: str, given: Sequence[str], build: Path) -> list[str]:
    """Return all parameters as NAME=VALUE. Raises CommandError for an unknown environment or a malformed parameter."""
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())
    known = [name for name, part in configured.items() if isinstance(part, dict) and "deploy" in part]
    if environment not in known:
        raise CommandError(f"samconfig.toml has no environment {environment!r}. It has {', '.join(known)}.")
    # The shell of `make deploy` splits what this command prints.
    if wrong := [parameter for parameter in given if not re.fullmatch(r"[A-Za-z0-9]+=\S*", parameter)]:
        raise CommandError(f"Parameters are NAME=VALUE without blanks, not {wrong[0]!r}.")
    defaults = configured[environment]["deploy"]["parameters"]["parameter_overrides"]
    named = dict(parameter.split("=", 1) for parameter in (*defaults, *given))
    named["Release"] = _digest(build, sorted(named.items()))
    return [f"{name}={value}" for name, value in named.items()]


def _digest(build: Path, parameters: Sequence[tuple[str, str]]) -> str:
    digest = hashlib.sha256(repr(parameters).encode())
    for path in sorted(path for path in build.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(build)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def main(arguments: Sequence[str]) -> int:
    """Print the parameters, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.release", description="Print all parameters of a deployment, as `make deploy` passes them."
    )
    parser.add_argument("environment", metavar="ENV", help="a section of samconfig.toml, such as default or prod")
    parser.add_argument("given", metavar="NAME=VALUE", nargs="*", help="a parameter of template.yaml")
    options = parser.parse_args(arguments)
    build = ROOT / ".aws-sam" / "build"
    return run(lambda _: " ".join(parameters_of(options.environment, options.given, build)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
