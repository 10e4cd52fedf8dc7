"""The commands: `python -m local` starts, serves and ends cleanly; `python -m local.tokens` prints a token."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from load import __main__ as load
from local import tokens
from tests.conftest import ROOT, free_port
from tests.local.conftest import descendants, gone

ROUTES = """
  Tasks:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tiny_handlers.literal
      Events:
        Post: {Type: HttpApi, Properties: {Method: POST, Path: "/v1/users/{user_id}/tasks"}}
        Get: {Type: HttpApi, Properties: {Method: GET, Path: "/v1/users/{user_id}/tasks"}}
"""


@pytest.fixture
def clone(folder: Path, tmp_path: Path) -> Path:
    """A clone with its own key and data."""
    for name in ("local", "ops", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(folder / "tiny_handlers.py", tmp_path)
    text = (folder / "template.yaml").read_text()
    (tmp_path / "template.yaml").write_text(text.replace("\nResources:\n", f"\nResources:{ROUTES}"))
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PORT": str(free_port()), "DYNAMODB": "moto", **more}


@contextmanager
def running(clone: Path, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "local"],
        cwd=clone,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        printed = ""
        while printed.count("curl ") < 3:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            printed += line
        yield process, printed
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_and_leaves_no_processes(clone: Path, ending: signal.Signals) -> None:
    with running(clone) as (process, printed):
        token = {"TOKEN": token_command(clone, "alice").stdout.strip()}
        for command in re.findall(r"^curl .*$", printed, re.MULTILINE):
            result = subprocess.run(
                ["/bin/sh", "-c", command], env=environment(**token), capture_output=True, text=True, check=True
            )
            assert result.stdout.strip() == "literal"
        below = descendants(process.pid)
        assert len(below) >= 3
        # Ctrl-C reaches the whole group of processes.
        (os.killpg if ending is signal.SIGINT else os.kill)(process.pid, ending)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert gone(below)


@pytest.mark.usefixtures("needs_dynamodb_local")
def test_it_serves_on_dynamodb_local(clone: Path) -> None:
    with running(clone, DYNAMODB="local") as (process, _):
        assert list((clone / ".local" / "dynamodb").iterdir())
        refused(clone, "Another server uses the data in", DYNAMODB="local")
        below = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert gone(below)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"DYNAMODB": "postgres"}, "postgres"),
        ({"JWT_ISSUER": "issuer.example"}, "JWT_ISSUER must be a URL with http or https, not 'issuer.example'"),
        ({"PORT": "many"}, "PORT"),
        ({"PORT": "99999"}, "PORT"),
        ({"DYNAMODB": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ({"DYNAMODB": "local", "PATH": "/nowhere"}, "java"),
    ],
)
def test_an_invalid_setting_of_the_command_is_one_line(clone: Path, more: dict[str, str], message: str) -> None:
    refused(clone, message, **more)


def test_a_port_in_use_is_one_line(clone: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(clone, f"make run PORT={int(port) + 1}", PORT=port)


CODE = """
def handler(event, context):
    return {"statusCode": 200, "body": "%s"}
"""


def test_a_function_whose_code_has_changed_runs_the_new_code(clone: Path) -> None:
    code = clone / "functions" / "reload" / "app.py"
    code.parent.mkdir(parents=True)
    template = clone / "template.yaml"
    template.write_text(template.read_text().replace("tiny_handlers.literal", "functions.reload.app.handler"))
    code.write_text(CODE % "old")
    with running(clone) as (process, printed):
        url = re.findall(r"http://\S+/public", printed.replace("/v1/users/me/tasks", "/public"))[0]

        def get() -> str:
            return subprocess.run(["curl", "-s", url], capture_output=True, text=True, check=True).stdout

        assert get() == "old"
        code.write_text("this is no Python")
        assert "Internal Server Error" in get()
        for text in ("one", "two", "six", "ten", "old") * 3:  # texts of the same size, within a second
            code.write_text(CODE % text)
            assert get() == text
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert "functions/reload/app.py changed: the functions start again" in errors
    assert "SyntaxError" in errors


def test_a_proxy_and_a_long_tmpdir_do_not_stop_it(clone: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    proxy = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    with running(clone, TMPDIR=str(deep), NO_PROXY="internal.example", **proxy) as (_, printed):
        url = re.findall(r"http://\S+/v1/users/me/tasks", printed)[0].replace("/v1/users/me/tasks", "/public")
        done = subprocess.run(["curl", "-s", "--noproxy", "*", url], capture_output=True, text=True, check=True)
        assert done.stdout == "literal"


def test_the_help_names_every_setting(clone: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local", "--help"], cwd=clone, capture_output=True, text=True, check=True
    )
    for name in ("PORT", "DYNAMODB", "EVENTS", "TENANT_CLAIM", "SPACES_CLAIM", "JWT_ISSUER", "JWT_AUDIENCE"):
        assert name in done.stdout


def test_the_output_of_dynamodb_local_is_shown(clone: Path, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'Unsupported class file' >&2\nexit 1\n")
    java.chmod(0o755)
    refused(clone, "Unsupported class file", DYNAMODB="local", PATH=f"{java.parent}:{os.environ['PATH']}")


def refused(clone: Path, message: str, **more: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "local"],
        cwd=clone,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert message in line


def token_command(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.tokens", *arguments], cwd=clone, capture_output=True, text=True, check=False
    )


def test_only_the_token_is_printed_and_the_key_is_kept(clone: Path) -> None:
    first, second = token_command(clone, "bob", "tasks/service"), token_command(clone, "bob")
    for result in (first, second):
        assert (result.returncode, result.stderr) == (0, "")
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", result.stdout)
    key = next((clone / ".local").glob("*.pem"))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [path.name for path in (clone / ".local").iterdir()] == [key.name]


@pytest.mark.parametrize("arguments", [(), ("",), ("", "scope"), ("bob", "", "{"), ("bob", "", "[]")])
def test_a_token_needs_a_user(clone: Path, arguments: tuple[str, ...]) -> None:
    result = token_command(clone, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr


def test_processes_that_start_at_once_share_one_key(clone: Path) -> None:
    script = "from local import tokens; print(tokens._key().private_numbers().d)"
    command = [sys.executable, "-c", script]
    processes = [subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate()[0] for process in processes}) == 1


def test_a_token_has_the_claims_of_cognito() -> None:
    import jwt  # noqa: PLC0415 - only to look into the token

    claims = jwt.decode(tokens.make_token("bob", "a b", extra=1), options={"verify_signature": False})
    assert claims.pop("exp") - claims.pop("iat") == 12 * 3600
    assert claims.pop("jti")
    assert claims == {
        "sub": "bob",
        "username": "bob",
        "iss": "https://tasks.local",
        "client_id": "tasks-local",
        "token_use": "access",
        "scope": "a b",
        "extra": 1,
    }


def test_load_starts_locust_with_the_token_of_the_environment_or_one_for_make_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import jwt  # noqa: PLC0415 - only to look into the token

    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: started.append(arguments))
    monkeypatch.setenv("TOKEN", "x.y.z")
    load.main(["http://127.0.0.1:1", "--people", "7", "--time", "10s"])
    assert os.environ["TOKEN"] == "x.y.z"  # noqa: S105 - no secret
    (arguments,) = started
    assert {option: arguments[arguments.index(option) + 1] for option in ("--host", "--users", "--run-time")} == {
        "--host": "http://127.0.0.1:1",
        "--users": "7",
        "--run-time": "10s",
    }
    assert Path(arguments[arguments.index("--locustfile") + 1]).exists()
    monkeypatch.delenv("TOKEN")
    load.main(["http://127.0.0.1:1"])
    claims = jwt.decode(os.environ["TOKEN"], options={"verify_signature": False})
    assert claims["scope"] == "tasks/service"
