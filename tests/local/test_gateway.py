"""The gateway imitates API Gateway and Lambda: routes, authorizer, events, errors, processes."""

import base64
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from local import template as templates
from local import tokens
from local.gateway import serve
from local.tokens import AUDIENCE, ISSUER, make_token
from tests.api import Headers, Response, send

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Issuer: {Type: String}
  Audience: {Type: CommaDelimitedList}
  Stage: {Type: String, Default: dev}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Globals:
  Function:
    Timeout: 2
    Environment: {Variables: {OWN: !Sub "${Stage}-${Table}"}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        Authorizers:
          Any: {JwtConfiguration: {issuer: !Ref Issuer, audience: !Ref Audience}}
      CorsConfiguration:
        {AllowOrigins: ["https://good"], AllowMethods: [GET], AllowHeaders: [X-A], ExposeHeaders: [X-B], MaxAge: 9}
  Table: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: [], StreamSpecification: {}}}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tests.local.handlers.echo
      Events:
        One: {Type: HttpApi, Properties: {Method: post, Path: "/things/{thing}"}}
        Two: {Type: HttpApi, Properties: {Method: GET, Path: "/things/literal"}}
        Three: {Type: HttpApi, Properties: {Method: GET, Path: "/things/{thing}"}}
        Open: {Type: HttpApi, Properties: {Method: GET, Path: /open, Auth: {Authorizer: NONE}}}
  Misbehave:
    Type: AWS::Serverless::Function
    Properties:
      Handler: tests.local.handlers.misbehave
      Events: {One: {Type: HttpApi, Properties: {Method: GET, Path: "/do/{how}"}}}
  Prod:
    Type: AWS::Serverless::Function
    Condition: IsProd
    Properties:
      Handler: tests.local.handlers.echo
      Events: {One: {Type: HttpApi, Properties: {Method: GET, Path: /prod}}}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("template") / "template.yaml"
    path.write_text(TEMPLATE)
    loaded = templates.load(path, {"Issuer": ISSUER, "Audience": f"other,{AUDIENCE}"})
    with serve(loaded, {"AWS_REGION": "eu-central-1"}, workers=2, queue_timeout=1) as running:
        yield running


def ask(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    sent: dict[str, Any] = {"Authorization": f"Bearer {make_token('alice')}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    if body:
        sent["Content-Length"] = str(len(body))
    return send(url, method, path, body, sent)


def event_of(url: str, path: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
    response = ask(url, "POST", path, body, **headers)
    assert response.status == 200
    event: dict[str, Any] = response.json["event"]
    return event


def test_an_event_is_as_api_gateway_makes_it(url: str) -> None:
    path = "/things/a%7Cb?x=1&y=&x=%202"
    event = event_of(url, path, b'{"a": 1}', Content_Type="application/json", X_UPPER="U", Cookie="c=1; d=2")
    context = event.pop("requestContext")
    assert event.pop("headers").items() >= {"x-upper": "U", "content-type": "application/json"}.items()
    assert event == {
        "version": "2.0",
        "routeKey": "POST /things/{thing}",
        "rawPath": "/things/a|b",
        "rawQueryString": "x=1&y=&x=%202",
        "cookies": ["c=1", "d=2"],
        "queryStringParameters": {"x": "1, 2", "y": ""},
        "pathParameters": {"thing": "a|b"},
        "body": '{"a": 1}',
        "isBase64Encoded": False,
    }
    assert context["http"]["method"] == "POST"
    assert context["stage"] == "$default"
    claims = context["authorizer"]["jwt"]["claims"]
    assert claims["sub"] == "alice"
    assert {type(value) for value in claims.values()} == {str}


def test_claims_that_are_no_strings_become_strings(url: str) -> None:
    token = make_token("alice", groups=["a", "b"], verified=True)
    claims = event_of(url, "/things/x", Authorization=token)["requestContext"]["authorizer"]["jwt"]["claims"]
    assert (claims["groups"], claims["verified"]) == ("[a b]", "true")


@pytest.mark.parametrize(
    ("content_type", "body", "encoded"),
    [
        ("application/json", b"{}", False),
        ("text/plain;charset=utf-8", b"x", False),
        ("application/merge-patch+json", b"{}", True),
        ("application/octet-stream", b"x", True),
        ("application/json", b"\xff", True),
    ],
)
def test_only_a_few_types_pass_as_text(url: str, content_type: str, body: bytes, encoded: bool) -> None:
    event = event_of(url, "/things/x", body, Content_Type=content_type)
    assert event["isBase64Encoded"] is encoded
    assert (base64.b64decode(event["body"]) if encoded else event["body"].encode()) == body


def test_a_request_without_a_body_has_none_in_its_event(url: str) -> None:
    assert "body" not in event_of(url, "/things/x")


def test_a_path_is_decoded_once(url: str) -> None:
    assert event_of(url, "/things/a%252Fb")["pathParameters"] == {"thing": "a%2Fb"}


def test_a_literal_route_wins_over_a_parameter(url: str) -> None:
    assert ask(url, "GET", "/things/literal").json["event"]["routeKey"] == "GET /things/literal"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("GET", "/things"),
        ("GET", "/things/"),
        ("GET", "/things/x/"),
        ("GET", "/things/x/y"),
        ("DELETE", "/things/x"),
        ("HEAD", "/things/x"),
        ("GET", "/prod"),
    ],
)
def test_an_unknown_route_is_not_found_before_anything_is_verified(url: str, method: str, path: str) -> None:
    response = ask(url, method, path, Authorization="")
    assert response.status == 404
    assert method == "HEAD" or response.json == {"message": "Not Found"}


def test_a_public_route_needs_no_token(url: str) -> None:
    event = ask(url, "GET", "/open", Authorization="").json["event"]
    assert "authorizer" not in event["requestContext"]


def forged(algorithm: str, key: bytes) -> str:
    """A token made by hand, since no library would sign with a public key."""
    claims = jwt.decode(make_token("alice"), options={"verify_signature": False})
    parts = [_base64(json.dumps(part).encode()) for part in ({"alg": algorithm, "typ": "JWT"}, claims)]
    signature = hmac.digest(key, ".".join(parts).encode(), "sha256") if key else b""
    return ".".join([*parts, _base64(signature)])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_key() -> bytes:
    key = tokens._key().public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


BAD_TOKENS = {
    "none": lambda: "",
    "garbage": lambda: "x.y.z",
    "changed": lambda: make_token("alice")[:-8] + "AAAAAAAA",
    "unsigned": lambda: forged("none", b""),
    "signed with the public key": lambda: forged("HS256", public_key()),
    "expired": lambda: make_token("alice", expires_in=-1),
    "not yet valid": lambda: make_token("alice", nbf=9_999_999_999),
    "other issuer": lambda: make_token("alice", iss="https://other"),
    "no issuer": lambda: make_token("alice", iss=None),
    "no expiry": lambda: make_token("alice", exp=None),
    "other client": lambda: make_token("alice", client_id="someone"),
    "other audience": lambda: make_token("alice", aud="someone"),
    "no audience": lambda: make_token("alice", client_id=None),
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=list(BAD_TOKENS))
def test_a_bad_token_is_unauthorized(url: str, token: Any) -> None:
    response = ask(url, "GET", "/things/x", Authorization=f"Bearer {token()}")
    assert (response.status, response.json) == (401, {"message": "Unauthorized"})
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "claims", [{}, {"aud": AUDIENCE}, {"aud": ["x", "other"]}, {"aud": AUDIENCE, "client_id": "x"}]
)
def test_the_audience_or_else_the_client_counts(url: str, claims: dict[str, Any]) -> None:
    assert ask(url, "GET", "/things/x", Authorization=f"bearer {make_token('alice', **claims)}").status == 200


@pytest.mark.parametrize("how", ["raise", "exit", "hang", "unserializable", "malformed", "large"])
def test_a_function_that_fails_is_an_internal_error_and_harms_no_other(url: str, how: str) -> None:
    response = ask(url, "GET", f"/do/{how}")
    assert (response.status, response.json) == (500, {"message": "Internal Server Error"})
    assert ask(url, "GET", "/do/plain").json == {"plain": True}


@pytest.mark.parametrize("size", [7 * 1024 * 1024, 11 * 1024 * 1024])
def test_what_is_too_large_is_refused(url: str, size: int) -> None:
    response = ask(url, "POST", "/things/x", b"x" * size, Content_Type="text/plain")
    assert (response.status, response.json) == (413, {"message": "Request Entity Too Large"})


def test_a_process_handles_one_request_at_a_time_and_is_used_again(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda _: ask(url, "GET", "/do/sleep"), range(4)))
    processes = {response.content for response in responses if response.status == 200}
    assert len(processes) == 2
    assert {response.status for response in responses} <= {200, 503}


def test_a_request_that_no_process_is_free_for_is_refused_in_the_end(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: ask(url, "GET", "/do/sleep"), range(8)))
    refused = [response for response in responses if response.status == 503]
    assert refused
    assert refused[0].json == {"message": "Service Unavailable"}


def test_what_a_function_says_is_passed_on(url: str) -> None:
    response = ask(url, "GET", "/do/cors", Origin="https://good")
    assert (response.status, response.content) == (201, b"hi")
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert response.headers["x-own"] == "1"
    assert response.headers["access-control-allow-origin"] == "https://good"
    assert response.headers["access-control-expose-headers"] == "x-b"


def test_a_response_without_content_has_no_type(url: str) -> None:
    response = ask(url, "GET", "/do/empty")
    assert (response.status, response.content, response.headers["content-type"]) == (204, b"", None)


def test_an_origin_that_is_not_allowed_is_told_nothing(url: str) -> None:
    assert ask(url, "GET", "/do/cors", Origin="https://bad").headers["access-control-allow-origin"] is None


def test_a_preflight_needs_neither_token_nor_route(url: str) -> None:
    headers: Headers = {"Origin": "https://good", "Access-Control-Request-Method": "GET"}
    response = send(url, "OPTIONS", "/anything", b"", headers)
    assert (response.status, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "https://good"
    assert response.headers["access-control-allow-methods"] == "GET"
    assert response.headers["access-control-allow-headers"] == "x-a"
    assert response.headers["access-control-max-age"] == "9"


def test_a_function_sees_its_own_environment_and_time(url: str) -> None:
    response = ask(url, "GET", "/open").json
    assert (response["name"], response["own"]) == ("Echo", "dev-Table")
    assert 0 < response["left"] <= 2000


def test_a_parameter_without_a_value_is_named(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    with pytest.raises(ValueError, match="Issuer"):
        templates.load(path, {})


def test_a_resource_whose_condition_holds_is_there(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    loaded = templates.load(path, {"Issuer": ISSUER, "Audience": AUDIENCE, "Stage": "prod"})
    assert "Prod" in [function.name for function in loaded.functions]
