"""`python -m ops.release ENV NAME=VALUE ...`: prints all parameters of a deployment.

`sam deploy` ignores the parameters of samconfig.toml if the command line has some, so this module merges them: the
command line overrides samconfig.toml. It adds `Release`, a hash of the build and of the parameters. SAM publishes a new
version of a function if the template has changed, but not if only the value of a parameter has changed.
"""

import hashlib
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def parameters_of(environment: str, given: Sequence[str], build: Path) -> list[str]:
    """Return all parameters as NAME=VALUE. Raises ValueError if samconfig.toml does not have the environment."""
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())
    if environment not in configured:
        raise ValueError(f"samconfig.toml has no environment {environment!r}")
    defaults = configured[environment]["deploy"]["parameters"]["parameter_overrides"]
    named = dict(parameter.split("=", 1) for parameter in (*defaults, *given))
    named["Release"] = _digest(build, sorted(named.items()))
    return [f"{name}={value}" for name, value in named.items()]


def _digest(build: Path, parameters: Sequence[tuple[str, str]]) -> str:
    digest = hashlib.sha256(repr(parameters).encode())
    for path in sorted(path for path in build.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(build)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    try:
        sys.stdout.write(" ".join(parameters_of(sys.argv[1], sys.argv[2:], ROOT / ".aws-sam" / "build")) + "\n")
    except ValueError as error:
        sys.exit(f"{error}; parameters are NAME=VALUE")
