"""`python -m ops.release ENV NAME=VALUE ...`: prints the parameters of a deployment, with those of samconfig.toml.

`sam deploy` takes no parameters of samconfig.toml where it is given some, so they are put together here; the last one
of a name counts. `Release` is added: a hash of what `sam build` made and of the parameters. SAM publishes a version of
a function where the template has changed, but does not see that a parameter, and so the environment, has.
"""

import hashlib
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def parameters_of(environment: str, given: Sequence[str], build: Path) -> list[str]:
    """All parameters, as NAME=VALUE. Raises ValueError for an environment that samconfig.toml does not have."""
    configured = tomllib.loads((ROOT / "samconfig.toml").read_text())
    if environment not in configured:
        raise ValueError(f"samconfig.toml has no environment {environment!r}")
    ours = configured[environment]["deploy"]["parameters"]["parameter_overrides"]
    named = dict(parameter.split("=", 1) for parameter in (*ours, *given))
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
