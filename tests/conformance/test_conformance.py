"""The conformance suite: passes on the API as it is, and finds what is broken."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from conformance.checks import CHECKS
from local.gateway import serve
from local.tokens import make_token
from tests.api import TEMPLATE, WORKERS, Api
from tests.conformance.broken import BREAKAGES
from tests.conftest import ROOT, SCALE

# Which check finds which breakage: the part that it is of, and words of it.
FINDS = {
    "ETag missing": ("create", "its ETag and its Location"),
    "If-Match ignored": ("If-Match", "one succeeds"),
    "If-None-Match ignored": ("get", "returns 304"),
    "Idempotency-Key ignored": ("Idempotency-Key", "Simultaneous requests"),
    "the path's user is believed": ("isolation", "names another user is 403"),
    "cursor ignored": ("list", "exactly once and in order"),
    "repeated parameters joined": ("errors", "repeated query parameter"),
    "delete forgotten": ("delete", "only in the trash"),
    "anchor ignored": ("move", "after or before another one"),
    "unknown fields pass": ("errors", "every fault"),
    "HEAD refused": ("get", "HEAD answers as GET"),
    "errors in HTML": ("restore", "restoring a live task is 409"),
}
# Each costs a gateway: make test takes those that would do the worst harm.
TRIED = FINDS if SCALE > 1 else ("If-Match ignored", "Idempotency-Key ignored", "the path's user is believed")
# Those that let nothing begin.
HOPELESS = {"one list for everybody": "isolation checks need two users", "always down": "cannot create a task"}


@contextmanager
def gateway(endpoint: str, breakage: str | None = None) -> Iterator[str]:
    """The API, with every handler broken in one way."""
    template = TEMPLATE
    if breakage is not None:
        functions = tuple(
            replace(
                function,
                handler="tests.conformance.broken.handler",
                environment={
                    **function.environment,
                    "BREAKAGE": breakage,
                    "REAL_HANDLER": f"functions.{function.handler.rpartition('.')[2]}.app",  # without the guard
                },
            )
            for function in TEMPLATE.functions
        )
        template = replace(TEMPLATE, functions=functions)
    with serve(template, {"AWS_ENDPOINT_URL_DYNAMODB": endpoint}, workers=WORKERS) as url:
        yield url


def run(url: str, *users: str, only: str = "", **settings: str) -> tuple[int, str, str]:
    """The exit code of a run by two users, and what it printed."""
    tokens = dict(zip(("TOKEN", "OTHER_TOKEN"), map(make_token, users), strict=True)) if users else {}
    ended = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE, *([url] if url else []), "--only", only],
        env={"PATH": os.environ["PATH"], **tokens, **settings},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return ended.returncode, ended.stdout, ended.stderr


# Isolated, and without what is installed: the standard library must be enough.
_ALONE = (
    "import runpy, sys\n"
    f"sys.path[:] = [{str(ROOT)!r}, *(path for path in sys.path if 'site-packages' not in path)]\n"
    "runpy.run_module('conformance', run_name='__main__')"
)


@pytest.fixture(scope="module")
def sound(moto_url: str) -> Iterator[str]:
    with gateway(moto_url) as url:
        yield url


def test_it_passes_and_leaves_no_task_behind(sound: str, user: str) -> None:
    other = f"other-{user}"
    kept = Api(sound, user).made(title="of the user's own", completed=True)
    code, out, err = run(sound, user, other)
    assert (code, err) == (0, ""), out
    assert len(re.findall(r"^passed", out, re.MULTILINE)) == len(CHECKS) - 1
    # It does not clear what it has not made.
    assert len(re.findall(r"^not judged +clear", out, re.MULTILINE)) == 1
    assert f"{len(CHECKS) - 1} passed, 0 FAILED, 1 not judged." in out
    assert Api(sound, user).walk() == [kept]
    assert Api(sound, other).walk() == []


@pytest.mark.parametrize("breakage", TRIED)
def test_it_finds_what_is_broken(moto_url: str, user: str, breakage: str) -> None:
    part, words = FINDS[breakage]
    only = "" if SCALE > 1 else part
    with gateway(moto_url, breakage) as url:
        code, out, _ = run(url, user, f"other-{user}", only=only)
    assert code == 1, out
    failed = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert any(line.split()[1] == part and words in line for line in failed), out


@pytest.mark.parametrize("breakage", HOPELESS if SCALE > 1 else ["one list for everybody"])
def test_what_cannot_begin_ends_with_2_and_says_why(moto_url: str, user: str, breakage: str) -> None:
    with gateway(moto_url, breakage) as url:
        code, out, err = run(url, user, f"other-{user}")
    assert (code, out) == (2, "")
    assert HOPELESS[breakage] in err


def test_every_breakage_is_tried() -> None:
    assert FINDS.keys() | HOPELESS.keys() == BREAKAGES.keys()


@pytest.mark.parametrize(
    ("users", "changes", "said"),
    [
        ([], {}, "TOKEN and OTHER_TOKEN"),
        (["a", "b"], {"url": ""}, "usage:"),
        (["a", "b"], {"url": "ftp://x"}, "must begin with http"),
        (["a", "b"], {"url": "http://"}, "must begin with http"),
        (["a", "b"], {"url": "http://127.0.0.1:1"}, "failed: "),
        (["a", "b"], {"url": "http://127.0.0.1:x"}, "nonnumeric port"),
        (["a", "b"], {"url": "http://[::1"}, "Invalid IPv6 URL"),
        (["a", "b"], {"url": "http://a..b"}, "failed: "),
        (["a", "a"], {}, "isolation checks need two users"),
        (["a", "b"], {"TOKEN": "x.y.z"}, "401"),
        (["a", "b"], {"OTHER_TOKEN": "\N{EURO SIGN}"}, "OTHER_TOKEN cannot create a task"),
        (["a", "b"], {"only": "everything"}, "There is no part"),
    ],
    ids=[
        *(
            "no tokens",
            "no address given",
            "no HTTP",
            "no host",
            "nobody there",
            "no port",
            "no address",
            "no name",
            "one user",
        ),
        *("a bad token", "no token at all", "no such part"),
    ],
)
def test_bad_arguments(sound: str, users: list[str], changes: dict[str, str], said: str) -> None:
    url = changes.get("url", sound)
    code, out, err = run(url, *users, **{name: value for name, value in changes.items() if name != "url"})
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
