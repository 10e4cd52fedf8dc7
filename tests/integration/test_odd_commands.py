"""Every command of ops/ and local/ with odd answers, files and arguments: the right exit code, and one sentence."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
from botocore.exceptions import ParamValidationError
from botocore.retries.bucket import TokenBucket
from urllib3.util import Retry

from ops import api, backfill, export
from ops.command import explained
from tests.api import new_id
from tests.conftest import ROOT, mixed

SECRET = "the text of a task"  # noqa: S105 - no password
COMMANDS = sorted(
    f"{path.parent.name}.{path.stem}"
    for folder in ("ops", "local")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)
TASK = {"id": new_id(), "title": SECRET, "completed": False, "version": 1, "list": None}
# What an operator can do. Every sentence about an error says one of them.
ADVICE = re.compile(
    r"\b([Rr]un|[Cc]heck|[Ss]et|[Rr]emove|[Dd]eploy|[Cc]hoose|[Ww]ait|[Aa]dd|[Gg]et|[Uu]se|[Tt]ry|[Gg]ive|[Ff]ree)\b"
    r"|must (not )?be|It has|are NAME=VALUE|required|unrecognized|invalid|is not a task|expected|not allowed"
)


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


type Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in an empty folder. Checks what is true for the end of every command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "x.y.z")
    monkeypatch.setenv("USER_TOKEN", "x.y.z")
    monkeypatch.setenv("PASSWORD", "x")

    def run(command: str, *arguments: str, left: Sequence[str] = ()) -> Ended:
        before = {path for path in tmp_path.rglob("*") if not path.is_dir()}
        try:
            status = import_module(command).main(list(arguments))
        except SystemExit as ended:
            status = int(str(ended.code))
        sys.stdout.flush()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert "defect" not in out + err
        assert SECRET not in out + err
        after = {path for path in tmp_path.rglob("*") if not path.is_dir()}
        assert {path.name for path in after - before} <= set(left)
        assert before <= after
        if status == 0:
            assert not err
        elif err.startswith("usage: "):
            assert status == 2
            assert ADVICE.search(err)
        elif command != "ops.tokens" or not out:  # its report has a line for each token
            assert len(err.splitlines()) == 1, err
            assert re.search(r"[.?]\n$", err), err
            assert status == 1 or ADVICE.search(err), err  # a check says what is wrong
        return Ended(status, out, err)

    return run


# --help


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_says_the_purpose_and_the_options(command: str, run: Run) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    usage, purpose, *_ = out.split("\n\n")
    assert usage.startswith(f"usage: python -m {command.removesuffix('.__main__')}")
    assert len(purpose) > 20
    assert "\n  -h, --help" in out


# Odd answers of the API. They come after 0, 1, 2 ... good ones, until the command has all that it needs.


class Answer(NamedTuple):
    """An HTTP answer, or a connection that closes (status 0)."""

    status: int
    body: bytes = b""
    kind: str = "application/json"


ODD: dict[str, Answer] = {
    "list": Answer(200, b"[1, 2]"),
    "null": Answer(200, b"null"),
    "number": Answer(200, b"5"),
    "HTML": Answer(200, f"<html>{SECRET}</html>".encode(), "text/html"),
    "empty": Answer(200),
    "truncated": Answer(200, json.dumps({"items": [TASK]}).encode()[:-5]),
    "empty object": Answer(200, b"{}"),
    "another object": Answer(200, json.dumps({"hello": SECRET}).encode()),
    "odd fields": Answer(
        200, b'{"id": 5, "items": [1], "next_cursor": 5, "next_since": 5, "results": 5, "version": "x"}'
    ),
    "odd tasks": Answer(200, b'{"items": [{"id": 5}], "next_cursor": null, "next_since": "", "results": [5]}'),
    "deep": Answer(200, b"[" * 100_000),
    "no text": Answer(200, b"\xff\xfe\x00"),
    "no content": Answer(204),
    "401": Answer(401, b'{"message": "Unauthorized"}'),
    "403": Answer(403, b'{"message": "Forbidden"}'),
    "404": Answer(404, f"<html>{SECRET}</html>".encode(), "text/html"),
    "429": Answer(429, b'{"message": "Too Many Requests"}'),
    "500": Answer(500, b'{"message":\n "Internal\\nServer Error"}'),
    "503": Answer(503, f"<html>{SECRET}</html>".encode(), "text/html"),
    "closed": Answer(0),
}


class Server(ThreadingHTTPServer):
    """Gives good answers, and then the same odd one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.odd = Answer(0)
        self.good = 0
        self.requests: list[str] = []

    def answer(self, request: BaseHTTPRequestHandler) -> Answer:
        self.requests.append(f"{request.command} {request.path}")
        return self.odd if len(self.requests) > self.good else _good(request)


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert isinstance(self.server, Server)
        answer = self.server.answer(self)
        if answer.status:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        pass


def _good(request: BaseHTTPRequestHandler) -> Answer:  # noqa: PLR0911 - one return for each answer
    """The API of a user with one task."""
    path, method = request.path.partition("?")[0], request.command
    if "Authorization" not in request.headers:
        return Answer(200, b"{}") if path.endswith("openapi.json") else Answer(401, b'{"message": "Unauthorized"}')
    if "nobody-" in path:
        return Answer(403, b'{"type": "urn:problem:forbidden"}')
    if method == "DELETE":
        return Answer(204)
    if path.endswith("/batch"):
        return Answer(200, json.dumps({"results": [{"task": TASK}]}).encode())
    if path.endswith("/changes"):
        return Answer(200, b'{"items": [], "has_more": false, "next_since": "s"}')
    if method == "GET" and path.endswith("/tasks"):
        return Answer(200, json.dumps({"items": [{**TASK, "id": new_id()}], "next_cursor": None}).encode())
    return Answer(200, json.dumps(TASK).encode())


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    retries = Retry(total=1, status_forcelist=(429, 500, 503), allowed_methods=None, raise_on_status=False)
    monkeypatch.setattr(api, "_RETRIES", retries)
    return running


# The commands that send requests to the API, and the codes with which they may end after an odd answer.
OF_THE_API: dict[str, tuple[tuple[str, ...], set[int]]] = {
    "ops.export": (("--user", "me", "export.jsonl"), {2}),
    "ops.import_": (("--user", "me", "import.jsonl"), {2}),
    "ops.smoke": ((), {1, 2}),
    "ops.tokens": ((), {1, 2}),
    "local.seed": (("--count", "1"), {2}),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("command", OF_THE_API)
def test_an_odd_answer_of_the_api(command: str, odd: str, run: Run, server: Server, tmp_path: Path) -> None:
    arguments, codes = OF_THE_API[command]
    server.odd = ODD[odd]
    for good in range(100):
        (tmp_path / "import.jsonl").write_text(json.dumps(TASK))
        for left in tmp_path.glob("export.jsonl*"):
            left.unlink()
        server.good, server.requests = good, []
        pages = ("export.jsonl.state", "export.jsonl.part") if good > 0 else ()
        status, out, _ = run(command, "--url", server.url, *arguments, left=(*pages, "export.jsonl"))
        if len(server.requests) <= good:
            break  # it has all that it needs
        if odd == "no content" and server.requests[-1].startswith("DELETE"):
            continue  # this is not odd
        assert status in codes, f"after {server.requests}: {out}"
        assert not (tmp_path / "export.jsonl").exists()
    assert good >= 1


def test_a_task_of_the_smoke_test_is_deleted_although_its_get_fails(run: Run, server: Server) -> None:
    """Both requests without a token, POST, and then GET."""
    server.good, server.requests, server.odd = 3, [], ODD["500"]
    assert run("ops.smoke", "--url", server.url).status == 1
    assert server.requests[-1] == f"DELETE /v1/users/me/tasks/{TASK['id']}"


# Odd answers of AWS, and an environment without what AWS needs.


def _stack(outputs: Mapping[str, str]) -> Answer:
    listed = "".join(
        f"<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for key, value in outputs.items()
    )
    return Answer(
        200,
        '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult>'
        "<Stacks><member><StackId>arn:aws:cloudformation:eu-central-1:1:stack/x/1</StackId><StackName>x</StackName>"
        "<CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>"
        f"<Outputs>{listed}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>".encode(),
        "text/xml",
    )


def _refused(status: int, code: str) -> tuple[Answer, Answer]:
    """An error of CloudFormation and one of DynamoDB."""
    xml = f"<ErrorResponse><Error><Code>{code}</Code><Message>On purpose</Message></Error></ErrorResponse>"
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "On purpose"})
    return Answer(status, xml.encode(), "text/xml"), Answer(status, body.encode())


GOOD_STACK = _stack(
    {
        "ApiUrl": "http://127.0.0.1:9",
        "TableName": "tasks",
        "EventBusName": "bus",
        "UserPoolId": "r_x",
        "UserPoolClientId": "x",
    }
)
# The answers of CloudFormation and of every other service.
OF_AWS: dict[str, tuple[Answer, Answer]] = {
    "a stack without outputs": (_stack({}), Answer(200, b"{}")),
    "a stack without parameters": (GOOD_STACK, _refused(400, "AccessDeniedException")[1]),
    "an unknown stack or table": (_refused(400, "ValidationError")[0], _refused(400, "ResourceNotFoundException")[1]),
    "no permission": _refused(403, "AccessDenied"),
    "old credentials": _refused(403, "ExpiredToken"),
    "throttled": _refused(400, "ThrottlingException"),
    "no stack in the answer": (
        Answer(200, b"<DescribeStacksResponse><DescribeStacksResult/></DescribeStacksResponse>", "text/xml"),
        Answer(200, b"{}"),
    ),
    "another service": (GOOD_STACK, Answer(200, b'{"hello": 5}')),
    "HTML": (ODD["HTML"], ODD["HTML"]),
    "empty": (ODD["empty"], ODD["empty"]),
    "truncated": (Answer(200, GOOD_STACK.body[:-30], "text/xml"), ODD["truncated"]),
    "a truncated error": (
        Answer(400, b"<ErrorResponse><Error><Code>x</Co", "text/xml"),
        Answer(400, json.dumps({"__type": "x#ConditionalCheckFailedException", "Item": TASK}).encode()[:-5]),
    ),
    "500": (ODD["500"], ODD["500"]),
    "a truncated 500": (
        ODD["503"],
        Answer(500, json.dumps({"__type": "x#InternalFailure", "Item": TASK}).encode()[:-5]),
    ),
    "closed": (Answer(0), Answer(0)),
}
ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "no credentials": {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
    "half of the credentials": {"AWS_SECRET_ACCESS_KEY": None},
    "no region": {"AWS_REGION": None, "AWS_DEFAULT_REGION": None},
    "an unknown profile": {"AWS_PROFILE": "nowhere"},
    "an endpoint without a scheme": {"AWS_ENDPOINT_URL": "foo"},
}
SINCE = ("--since", "2026-11-25T09:00:00Z")
# The commands that use AWS.
USES_AWS: list[tuple[str, ...]] = [
    *(("ops.stack", one, "x") for one in ("url", "e2e")),
    *(("ops.stack", one, "x", "you@example.org") for one in ("user", "token", "pseudonym")),
    ("ops.migrate", "--stack", "x"),
    ("ops.migrate", "--table", "x", "--dry-run"),
    ("ops.restore", "--from", "y", "--stack", "x", "--everyone", "--yes"),
    ("ops.restore", "--from", "y", "--table", "x", "--user", "alice"),
    ("ops.replay", "--stack", "x", *SINCE),
    ("ops.export", "--stack", "x", "--user", "me", "export.jsonl"),
    ("ops.import_", "--stack", "x", "--user", "me", "import.jsonl"),
    ("ops.smoke", "--stack", "x"),
    ("ops.tokens", "--stack", "x"),
    ("ops.adopt", "x", "--table", "t"),
]


class Aws(Server):
    """Gives an odd answer of CloudFormation, or of another service."""

    odd_of_aws = OF_AWS["closed"]

    def answer(self, request: BaseHTTPRequestHandler) -> Answer:
        target = request.headers.get("X-Amz-Target", "")
        if "Cognito" in target and self.odd_of_aws[1].status == 200:
            return _refused(400, "AccessDeniedException")[1]
        return self.odd_of_aws["X-Amz-Target" in request.headers]


@pytest.fixture(scope="module")
def running_aws() -> Iterator[Aws]:
    with Aws() as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """The session of all tests: it reads the models of the services only once."""
    return boto3.Session()


@pytest.fixture
def aws(
    running_aws: Aws,
    session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,  # noqa: ARG001 - it makes retries fewer
    tmp_path: Path,
) -> Aws:
    for name, value in {
        "AWS_ENDPOINT_URL": running_aws.url,
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(TokenBucket, "acquire", lambda *_, **__: True)
    monkeypatch.setattr(backfill, "_said_at", float("inf"))  # the line that it waits, which another test shows
    (tmp_path / "import.jsonl").write_text(json.dumps(TASK))
    return running_aws


@pytest.mark.parametrize("odd", OF_AWS)
@pytest.mark.parametrize("arguments", USES_AWS, ids=" ".join)
def test_an_odd_answer_of_aws(arguments: tuple[str, ...], odd: str, run: Run, aws: Aws) -> None:
    aws.odd_of_aws = OF_AWS[odd]
    good = arguments[:2] == ("ops.stack", "pseudonym") and odd in {"another service", "a stack without parameters"}
    good = good or (arguments[:2] == ("ops.stack", "url") and OF_AWS[odd][0] is GOOD_STACK)
    codes = {1, 2} if arguments[0] == "ops.tokens" and OF_AWS[odd][0] is GOOD_STACK else {0 if good else 2}
    assert run(*arguments).status in codes


@pytest.mark.parametrize(("arguments", "environment"), mixed(USES_AWS, ENVIRONMENTS))
def test_an_environment_without_what_aws_needs(
    arguments: tuple[str, ...], environment: str, run: Run, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.odd_of_aws = (GOOD_STACK, ODD["500"])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in ENVIRONMENTS[environment].items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert run(*arguments).status == 2


def test_an_argument_that_aws_cannot_get_is_not_shown() -> None:
    error = ParamValidationError(report=f"Invalid type for parameter Item.title, value: {SECRET}")
    assert explained(error) == "AWS cannot get such a request. Check the names of stacks and tables."


# Odd arguments.

HUGE = "9" * 5000
URL = ("--url", "http://127.0.0.1:9")
WHERE = [(), ("--url", ""), ("--url", "foo"), ("--url", "http://"), ("--url", "ftp://x"), ("--url", "http://[x")]
NUMBERS = ["", "0", "-1", "1.5", "x", HUGE, "999999999999"]
ODD_ARGUMENTS: dict[str, list[tuple[str, ...]]] = {
    "local.__main__": [("x",)],
    "local.sam_dynamodb": [("x",), ("--port", "1")],
    "local.seed": [
        *WHERE[1:],
        *((*URL, "--count", number) for number in (*NUMBERS, "²")),
        ("--user", ""),
        ("x",),
    ],
    "local.tokens": [
        (),
        ("",),
        ("", "scope"),
        ("alice", "", "{"),
        ("alice", "", "[]"),
        ("alice", "", '{"expires_in": 5}'),
        ("alice", "", '{"iss": 5}'),
        ("alice", "", "[" * 100_000),
        ("alice", "", "{}", "more"),
        ("alice", "--colour"),
    ],
    "ops.adopt": [(), ("x",), ("", "--table", "t"), ("x", "--table", ""), ("x", "--table", "t", "--pool", "")],
    "ops.cost": [("x",), ("--colour",)],
    "ops.export": [
        *((*where, "--user", "me", "file") for where in WHERE),
        (*URL, "--user", "", "file"),
        (*URL, "--user", "me", ""),
        (*URL, "--user", "me"),
        ("--stack", "", "--user", "me", "file"),
        (*URL, "--stack", "x", "--user", "me", "file"),
    ],
    "ops.import_": [
        *((*where, "--user", "me", "import.jsonl") for where in WHERE),
        (*URL, "--user", "", "file"),
        (*URL, "--user", "me", ""),
        ("--stack", "", "--user", "me", "file"),
    ],
    "ops.migrate": [
        (),
        ("--stack", ""),
        ("--table", ""),
        ("--stack", "x", "--table", "x"),
        ("--table", "x", "--state", ""),
        *(("--table", "x", option, number) for option in ("--units", "--segments") for number in NUMBERS),
        ("--table", "x", "--colour"),
    ],
    "ops.release": [
        (),
        ("",),
        ("nowhere",),
        ("version",),
        ("DEFAULT",),
        *(("default", one) for one in ("x", "=x", "", "a b=c", "--colour", " A=b", "A=b\nC=d")),
    ],
    "ops.replay": [
        (),
        ("--stack", ""),
        *(
            ("--stack", "x", "--since", since)
            for since in (
                "",
                "yesterday",
                "2026-11-25",
                "2026-11-25T09:00:00",
                "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59-14:00",
                "2026-11-25T09:00:00+99:00",
                "٢٠٢٦-11-25T09:00:00Z",
                HUGE,
            )
        ),
        ("--stack", "", *SINCE),
        *(("--stack", "x", *SINCE, option, number) for option in ("--units", "--segments") for number in NUMBERS),
        ("--stack", "x", *SINCE, "--content", "ids"),
    ],
    "ops.restore": [
        (),
        ("--from", "", "--table", "x", "--everyone", "--yes"),
        ("--from", "y", "--table", "", "--everyone", "--yes"),
        ("--from", "y", "--stack", "", "--everyone", "--yes"),
        ("--from", "y", "--table", "x"),
        ("--from", "y", "--table", "x", "--user", ""),
        ("--from", "y", "--table", "x", "--everyone", "--tenant", "acme"),
        ("--from", "y", "--table", "x", "--user", "alice", "--tenant", ""),
        ("--from", "y", "--table", "x", "--user", "alice", "--everyone"),
        *(
            ("--from", "y", "--table", "x", "--everyone", "--yes", option, number)
            for option in ("--units", "--segments")
            for number in NUMBERS
        ),
    ],
    "ops.scale": [("x",), ("--colour",)],
    "ops.smoke": [*WHERE, ("--stack", ""), (*URL, "--stack", "x")],
    "ops.stack": [
        (),
        ("x", "y"),
        ("url",),
        ("url", ""),
        ("user", "x", ""),
        ("pseudonym", "x", ""),
        ("pseudonym", "", "alice"),
        ("e2e", ""),
        ("e2e", "x", "--colour"),
    ],
    "ops.tokens": [*WHERE, ("--stack", ""), (*URL, "--parameters", "x"), (*URL, "--parameters", "=x")],
}
# `--units 999999999999` is as good as no limit, and `--count` would only take long.
FINE = {("--units", "999999999999"), ("--count", "999999999999")}


def test_every_command_has_odd_arguments() -> None:
    assert sorted(ODD_ARGUMENTS) == COMMANDS


@pytest.mark.parametrize("command", ODD_ARGUMENTS)
def test_odd_arguments(command: str, run: Run, aws: Aws, tmp_path: Path, subtests: pytest.Subtests) -> None:
    aws.odd_of_aws = (GOOD_STACK, ODD["500"])
    for arguments in ODD_ARGUMENTS[command]:
        if arguments[-2:] in FINE:
            continue
        with subtests.test(arguments=str(arguments)[:200]):
            status, out, err = run(command, *arguments)
            assert status == 2
            assert not {"--units", "--segments", "--count"} & set(arguments) or "must be a whole number" in err
            assert not out
            assert not (tmp_path / ".local").exists(), "it began to work"


@pytest.mark.parametrize("token", ["", " ", "a b", "caf\u00e9", "\u2028", "a\nb"])
@pytest.mark.parametrize("command", ["ops.export", "ops.import_", "ops.smoke"])
def test_a_token_that_is_none(
    command: str, token: str, run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "import.jsonl").write_text(json.dumps(TASK))
    monkeypatch.setenv("TOKEN", token)
    server.good, server.requests = 100, []
    status, out, err = run(command, "--url", server.url, *OF_THE_API[command][0])
    if command == "ops.smoke" and not token.strip():
        assert "because there is no token" in out
    else:
        assert (status, "TOKEN" in err) == (2, True)


@pytest.mark.parametrize("claims", ['{"user": "bob"}', '{"iss": "x"}', '{"sub": 5, "groups": ["a"]}', '{"exp": null}'])
def test_odd_claims_of_a_token(claims: str, run: Run) -> None:
    status, out, _ = run("local.tokens", "alice", "", claims)
    assert (status, out.count(".")) == (0, 2)


# Odd files.


def _folder(path: Path) -> None:
    path.mkdir()


def _content(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def _state(**changed: object) -> str:
    """The state of an export to server.url, with something changed."""
    return json.dumps({"purpose": "PURPOSE", "segments": [], "counts": {}, "sync_token": "", **changed})


STATES: dict[str, Callable[[Path], object]] = {
    "empty": _content(""),
    "a list": _content("[]"),
    "null": _content("null"),
    "another kind": _content('{"hello": 5}'),
    "cut off": _content(_state()[:-9]),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "of another run": _content(_state()),
    "a folder": _folder,
    "no segments": _content(_state(purpose="{purpose}")),
    "odd segments": _content(_state(purpose="{purpose}", segments=[{"after": 5, "done": 5}] * 3)),
    "odd counts": _content(_state(purpose="{purpose}", segments=[{}] * 3, counts={"bytes": "x"})),
    "counts of another kind": _content(_state(purpose="{purpose}", segments=[{}] * 3, counts="abc")),
    "a negative size": _content(_state(purpose="{purpose}", segments=[{}] * 3, counts={"bytes": -1})),
    "a size of another file": _content(_state(purpose="{purpose}", segments=[{}] * 3, counts={"bytes": 9})),
}


@pytest.mark.parametrize("state", STATES)
def test_an_odd_state_of_an_export(state: str, run: Run, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl.state"
    STATES[state](path)
    if path.is_file():
        path.write_bytes(path.read_bytes().replace(b"{purpose}", f"export {server.url}/v1/users/me".encode()))
    server.good, server.requests = 100, []
    ended = run("ops.export", "--url", server.url, *OF_THE_API["ops.export"][0], left=["export.jsonl.part"])
    assert (ended.status, str(path.name) in ended.err) == (2, True)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_an_odd_state_of_a_migration(state: str, more: tuple[str, ...], run: Run, aws: Aws, tmp_path: Path) -> None:
    """A dry run begins from the beginning, and has its own file."""
    path = tmp_path / ".local" / f"migrate-x.{'dry-run' if more else 'json'}"
    path.parent.mkdir()
    STATES[state](path)
    described = json.dumps({"Table": {"TableId": "1", "ItemCount": 0}}).encode()
    aws.odd_of_aws = (GOOD_STACK, Answer(200, described))
    if path.is_file():
        path.write_bytes(path.read_bytes().replace(b"{purpose}", b"migrate x (1) to schema 1"))
    if not more or path.is_dir():
        ended = run("ops.migrate", "--table", "x", *more)
        assert ended.status == 2
        assert str(path.name) in ended.err or state in {"odd counts", "a negative size", "a size of another file"}


@pytest.mark.parametrize("name", ["x", "x.json", "x.lock", "x.new"])
def test_a_state_file_that_is_another_file_stays_as_it_is(name: str, run: Run, aws: Aws, tmp_path: Path) -> None:
    aws.odd_of_aws = (GOOD_STACK, Answer(200, b'{"Table": {"TableId": "1", "ItemCount": 0}}'))
    (tmp_path / name).write_text("mine")
    assert run("ops.migrate", "--table", "x", "--state", name).status == 2
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("file", "status"),
    [
        (_content(""), 0),
        (_content("[]"), 2),
        (_content("{"), 2),
        (_content('{"hello": 5}'), 2),
        (_content(json.dumps(TASK)[:-3]), 2),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), 2),
        (_content(json.dumps({**TASK, "id": "../../../bob/tasks/1"})), 2),
        (_content(json.dumps({**TASK, "id": ""})), 2),
        (_content(json.dumps({**TASK, "metadata": float("nan")})), 2),
        (_content(json.dumps(TASK).replace("false", "1e999")), 2),
        (_content(json.dumps({**TASK, "priority": 0}).replace(" 0", " 1e999")), 2),
        (_content(json.dumps({**TASK, "purge_at": 5})), 0),
        (_content(json.dumps({**TASK, "purge_at": "x"})), 0),
        (_folder, 2),
        (lambda _: None, 2),
    ],
)
def test_an_odd_file_of_an_import(
    file: Callable[[Path], object], status: int, run: Run, server: Server, tmp_path: Path
) -> None:
    file(tmp_path / "odd.jsonl")
    server.good, server.requests = 100, []
    assert run("ops.import_", "--url", server.url, "--user", "me", "odd.jsonl").status == status
    assert all("bob" not in one for one in server.requests)


@pytest.mark.parametrize("name", ["export.jsonl", "export.jsonl.part", "export.jsonl.state", "export.jsonl.state.lock"])
def test_an_export_into_a_folder(name: str, run: Run, server: Server, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    server.good, server.requests = 100, []
    status, _, err = run("ops.export", "--url", server.url, *OF_THE_API["ops.export"][0], left=["export.jsonl.state"])
    assert (status, name in err) == (2, True)


def test_an_export_that_has_a_damaged_part(run: Run, server: Server, tmp_path: Path) -> None:
    purpose = f"export {server.url}/v1/users/me"
    (tmp_path / "export.jsonl.state").write_text(
        _state(purpose=purpose, segments=[{"after": None, "done": False}] * 3, counts={"bytes": 5})
    )
    (tmp_path / "export.jsonl.part").write_text("12345")
    server.good, server.requests = 100, []
    assert run("ops.export", "--url", server.url, *OF_THE_API["ops.export"][0]).status == 2


# Full disks, in a process of its own: the limit of the size of files would also be that of the files of pytest.

FULL = """
import resource, sys
from importlib import import_module
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(import_module(sys.argv[2]).main(sys.argv[3:]))
"""


@pytest.mark.parametrize("size", [0, 50, 200])
def test_an_export_on_a_full_disk(size: int, server: Server, tmp_path: Path) -> None:
    """The state file, which is written after the tasks, is the larger one. Then there is space, and it ends."""
    server.good, server.requests = 100, []
    arguments = ["ops.export", "--url", server.url, *OF_THE_API["ops.export"][0]]
    environment = {**os.environ, "TOKEN": "x.y.z", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FULL, str(size), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done
    (line,) = done.stderr.splitlines()
    assert "File too large" in line
    assert ADVICE.search(line)
    assert {one.name for one in tmp_path.iterdir()} <= {"export.jsonl.part", "export.jsonl.state"}
    command[3] = "1000000"
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert len((tmp_path / "export.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("command", ["ops.cost", "ops.scale", "ops.release default", "local.tokens alice"])
def test_a_full_disk_behind_standard_output(command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=ROOT,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert (
        done.stderr
        == "Standard output: No space left on device. Check the file and the disk, and run the same command again.\n"
    )


def test_the_lists_of_an_export_are_known() -> None:
    """The tests above write states with three segments."""
    assert len(export._LISTS) == 3
