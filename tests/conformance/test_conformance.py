"""The conformance suite passes on the API, and detects broken handlers."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from conformance import checks
from local.gateway import serve
from local.tokens import make_token
from tests.api import TEMPLATE, WORKERS, Api
from tests.conformance.broken import BREAKAGES
from tests.conftest import ROOT, SCALE

# The check that detects each breakage.
FINDS = {
    "ETag missing": checks.creating_returns_201_with_the_task_its_etag_and_its_location,
    "If-Match ignored": checks.one_of_several_writers_with_one_etag_wins,
    "If-None-Match ignored": checks.a_current_etag_gets_304,
    "Idempotency-Key ignored": checks.simultaneous_requests_with_one_key_are_applied_once,
    "the path's user is believed": checks.anothers_path_is_403,
    "cursor ignored": checks.pages_show_each_task_once_during_writes,
    "repeated parameters joined": checks.a_repeated_query_parameter_is_400,
    "delete forgotten": checks.a_deleted_task_is_in_the_trash,
    "anchor ignored": checks.a_moved_task_is_where_it_was_asked_to_be,
    "unknown fields pass": checks.each_fault_of_a_body_is_reported,
    "HEAD refused": checks.head_returns_the_response_to_get_without_the_body,
    "errors in HTML": checks.a_restored_task_is_unchanged,
}
# Each needs a gateway: `make test` runs the worst ones.
TRIED = FINDS if SCALE > 1 else ("If-Match ignored", "Idempotency-Key ignored", "the path's user is believed")
# Those that prevent the start of a run.
HOPELESS = {"one list for everybody": "isolation checks need two users", "always down": "cannot create a task"}


@contextmanager
def gateway(endpoint: str, breakage: str | None = None) -> Iterator[str]:
    """The API with every handler broken in one way."""
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
    """The exit code and the output of a run by two users."""
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


# Isolated, without installed packages: the standard library must be enough.
_ALONE = (
    "import runpy, sys\n"
    f"sys.path[:] = [{str(ROOT)!r}, *(path for path in sys.path if 'site-packages' not in path)]\n"
    "runpy.run_module('conformance', run_name='__main__')"
)


@pytest.fixture(scope="module")
def sound(moto_url: str) -> Iterator[str]:
    with gateway(moto_url) as url:
        yield url


def test_conformance_passes_and_leaves_no_tasks(sound: str, user: str) -> None:
    other = f"other-{user}"
    kept = Api(sound, user).made(title="of the user's own", completed=True)
    code, out, err = run(sound, user, other)
    assert (code, err) == (0, ""), out
    assert len(re.findall(r"^passed", out, re.MULTILINE)) == len(checks.CHECKS) - 1
    # It does not clear tasks of others.
    assert len(re.findall(r"^not judged +clear", out, re.MULTILINE)) == 1
    assert f"{len(checks.CHECKS) - 1} passed, 0 FAILED, 1 not judged." in out
    assert Api(sound, user).walk() == [kept]
    assert Api(sound, other).walk() == []


@pytest.mark.parametrize("breakage", TRIED)
def test_conformance_detects_broken_handlers(moto_url: str, user: str, breakage: str) -> None:
    check = next(check for check in checks.CHECKS if check.run is FINDS[breakage])
    only = "" if SCALE > 1 else check.part
    with gateway(moto_url, breakage) as url:
        code, out, _ = run(url, user, f"other-{user}", only=only)
    assert code == 1, out
    failed = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert any(line.split()[1] == check.part and check.description in line for line in failed), out


@pytest.mark.parametrize("breakage", HOPELESS if SCALE > 1 else ["one list for everybody"])
def test_a_run_that_cannot_start_exits_with_2_and_a_reason(moto_url: str, user: str, breakage: str) -> None:
    with gateway(moto_url, breakage) as url:
        code, out, err = run(url, user, f"other-{user}")
    assert (code, out) == (2, "")
    assert HOPELESS[breakage] in err


def test_every_breakage_is_tested() -> None:
    assert FINDS.keys() | HOPELESS.keys() == BREAKAGES.keys()


@pytest.mark.parametrize(
    ("users", "changes", "message"),
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
            "closed port",
            "no port",
            "no address",
            "no name",
            "one user",
        ),
        *("a bad token", "no token at all", "no such part"),
    ],
)
def test_bad_arguments(sound: str, users: list[str], changes: dict[str, str], message: str) -> None:
    url = changes.get("url", sound)
    code, out, err = run(url, *users, **{name: value for name, value in changes.items() if name != "url"})
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
