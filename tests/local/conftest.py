"""A small template with its own handlers, and a gateway that serves them."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local import dynamodb, tokens
from local import template as templates
from local.gateway import serve
from local.template import Template
from tests.api import Response
from tests.conftest import eventually

PARAMETERS = {"JwtIssuer": tokens.ISSUER, "JwtAudience": f"other, {tokens.AUDIENCE}"}

TEMPLATE = """
Parameters:
  JwtIssuer: {Type: String}
  JwtAudience: {Type: CommaDelimitedList}
  Stage: {Type: String, Default: dev}
Conditions:
  Prod: !Equals [!Ref Stage, prod]
  NotProd: !Not [!Condition Prod]
  Both: !And [!Condition Prod, !Condition NotProd]
  Either: !Or [!Condition Prod, !Condition NotProd]
Globals:
  Function:
    Timeout: 5
    MemorySize: 256
    Environment: {Variables: {TABLE: !Ref Things, STAGE: !If [Prod, production, !Ref Stage], SHARED: global}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Jwt
        Authorizers: {Jwt: {JwtConfiguration: {issuer: !Ref JwtIssuer, audience: !Ref JwtAudience}}}
      CorsConfiguration:
        AllowOrigins: ["https://app.example", "https://other.example"]
        AllowMethods: [GET, POST]
        AllowHeaders: [Authorization, If-Match]
        ExposeHeaders: [ETag, Location]
        MaxAge: 600
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tiny_handlers.echo
      Environment: {Variables: {SHARED: own, NAME: !Sub "${AWS::StackName}-${Things}-${!Literal}"}}
      Events:
        Get: {Type: HttpApi, Properties: {Method: GET, Path: "/things/{thing_id}"}}
        Post: {Type: HttpApi, Properties: {Method: post, Path: "/things"}}
        Deep: {Type: HttpApi, Properties: {Method: GET, Path: "/things/{thing_id}/parts/{part-id}"}}
        Dot: {Type: HttpApi, Properties: {Method: GET, Path: "/v1.0/dot"}}
        Cron: {Type: Schedule, Properties: {Schedule: rate(1 day)}}
  Literal:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tiny_handlers.literal
      Events:
        Get: {Type: HttpApi, Properties: {Method: GET, Path: /things/literal}}
        Public: {Type: HttpApi, Properties: {Method: GET, Path: /public, Auth: {Authorizer: NONE}}}
  Respond:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tiny_handlers.respond
      Events: {Post: {Type: HttpApi, Properties: {Method: POST, Path: /respond, Auth: {Authorizer: NONE}}}}
  Filled:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tiny_handlers.filled
      Events: {Post: {Type: HttpApi, Properties: {Method: POST, Path: /filled, Auth: {Authorizer: NONE}}}}
  Trouble:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tiny_handlers.trouble
      Timeout: 1
      Events: {Get: {Type: HttpApi, Properties: {Method: GET, Path: "/trouble/{how}", Auth: {Authorizer: NONE}}}}
  Broken:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tiny_handlers.missing
      Events: {Get: {Type: HttpApi, Properties: {Method: GET, Path: /broken, Auth: {Authorizer: NONE}}}}
  OnlyInProd:
    Type: AWS::Serverless::Function
    Condition: Prod
    Properties:
      Handler: tiny_handlers.literal
      Events: {Get: {Type: HttpApi, Properties: {Method: GET, Path: /only-in-prod, Auth: {Authorizer: NONE}}}}
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}
"""

HANDLERS = '''
"""Handlers for the tests of the gateway."""
import json, os, threading, time

def echo(event, context):
    seen = {name: getattr(context, name) for name in (
        "function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb", "aws_request_id",
        "log_group_name", "log_stream_name")}
    seen["remaining"] = context.get_remaining_time_in_millis()
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"},
            "body": json.dumps({"event": event, "context": seen, "environment": dict(os.environ), "pid": os.getpid()})}

def literal(event, context):
    return {"statusCode": 200, "body": "literal"}

def respond(event, context):
    return json.loads(event["body"])

def filled(event, context):
    response = json.loads(event["body"])
    filler, count, rest = response.pop("filler")
    return {**response, "body": filler * count + rest}

def trouble(event, context):
    started = time.monotonic()
    match event["pathParameters"]["how"]:
        case "raise": raise RuntimeError("on purpose")
        case "exit": os._exit(3)
        case "hang":
            while True: pass
        case "set": return {"statusCode": 200, "body": {1, 2}}
        case "bytes": return {"statusCode": 200, "body": b"no"}
        case "large": return {"statusCode": 200, "body": "x" * 6_300_000}
        case "later":
            threading.Timer(0.05, os._exit, [4]).start()
        case "slow": time.sleep(0.15)
    return {"statusCode": 200, "body": json.dumps([os.getpid(), started, time.monotonic()])}
'''


type Ask = Callable[..., Response]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the template and its handlers, like the root of a clone."""
    path = tmp_path_factory.mktemp("served")
    (path / "template.yaml").write_text(TEMPLATE)
    (path / "tiny_handlers.py").write_text(HANDLERS)
    sys.path.insert(0, str(path))
    yield path
    sys.path.remove(str(path))


@pytest.fixture(scope="session")
def tiny(folder: Path) -> Template:
    return templates.load(folder / "template.yaml", PARAMETERS)


@pytest.fixture(scope="session")
def gateway(tiny: Template) -> Iterator[str]:
    with serve(tiny, {"GIVEN": "to all"}, workers=2, queue_timeout=0.5) as url:
        yield url


@pytest.fixture(scope="session")
def token() -> str:
    return tokens.make_token(
        "alice",
        scope="tasks/service more",
        groups=["a", "b"],
        admin=True,
        org={"slg": "acme", "id": "org_1", "of": None},
    )


@pytest.fixture
def ask(gateway: str, token: str) -> Ask:
    """Send one request with a valid token, or with these headers."""

    def send(method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Response:
        return request(gateway, method, path, body, {"Authorization": f"Bearer {token}"} | dict(headers or {}))

    return send


@pytest.fixture(scope="session")
def needs_dynamodb_local() -> None:
    missing = dynamodb.missing_for_dynamodb_local()
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)


def request(url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request(method, path, body, dict(headers))
        received = connection.getresponse()
        return Response(received.status, received.headers, received.read())
    finally:
        connection.close()


def descendants(pid: int) -> set[int]:
    """The descendants of a process, by /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    """The processes that still run; a zombie does not."""
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            running.add(pid)
    return running


def gone(pids: set[int]) -> bool:
    """Wait until all these processes have ended."""
    return eventually(lambda: not alive(pids) or None)
