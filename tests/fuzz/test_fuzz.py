"""Random requests made from the contract: every response is within the contract."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from local.tokens import make_token
from tests.api import Backend, serving
from tests.conftest import ROOT, SCALE

FULL = SCALE > 1
REQUESTS = 100_000 if FULL else 1
SECONDS = 600 if FULL else 8


@pytest.fixture(scope="module")
def backend(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with serving(moto_url, moto_url, tmp_path_factory.mktemp("fuzz") / "log") as running:
        yield running


def fuzz(url: str, user: str, seed: int, seconds: int) -> int:
    """Send requests for some time, and return their number. Fails if a response is outside the contract."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/fuzz/schemathesis.toml", "run"),
            *("docs/openapi.json", f"--url={url}", "--header", f"Authorization: Bearer {make_token(user)}"),
            *(f"--max-time={seconds}", f"--seed={seed}", "--workers=2", "--generation-database=none", "--no-color"),
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    generated = re.search(r"(\d+) generated", ended.stdout)
    assert generated, ended.stdout
    return int(generated[1])


def test_every_response_is_within_the_contract(backend: Backend, user: str) -> None:
    sent = seed = 0
    while sent < REQUESTS:
        seed += 1
        sent += fuzz(backend.url, f"{user}-{seed}", seed, SECONDS)
