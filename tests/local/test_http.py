"""The part of API Gateway: routes, tokens, limits, failures, CORS, and the responses of functions."""

import base64
import json
import socket
import time
from http.client import HTTPResponse
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local import tokens
from local.gateway import serve
from local.template import Template
from tests.api import Response
from tests.local.conftest import Ask, request
from tests.sizes import MOST_BYTES, encoded

NOT_FOUND = (404, {"message": "Not Found"})
UNAUTHORIZED = (401, {"message": "Unauthorized"})
TOO_LARGE = (413, {"message": "Request Entity Too Large"})
FAILED = (500, {"message": "Internal Server Error"})
TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}


def status_and_json(response: Response) -> tuple[int, Any]:
    return response.status, response.json


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("DELETE", "/things/a"),
        ("BREW", "/things/a"),
        ("GET", "/things/"),
        ("GET", "/things//parts/b"),
        ("GET", "/things/a/"),
        ("GET", "/things/a/b"),
        ("GET", "/THINGS/a"),
        ("GET", "/v1x0/dot"),
        ("GET", "/only-in-prod"),
        ("OPTIONS", "/things/a"),
    ],
)
def test_unknown_routes_are_404_without_a_token(ask: Ask, method: str, path: str) -> None:
    response = ask(method, path, headers={"Authorization": ""})
    assert status_and_json(response) == NOT_FOUND
    assert response.headers["apigw-requestid"]


def test_a_literal_route_wins_over_a_parameter(ask: Ask) -> None:
    assert ask("GET", "/things/literal").content == b"literal"
    assert ask("GET", "/things/literally").json["event"]["pathParameters"] == {"thing_id": "literally"}


def test_a_public_route_needs_no_token(gateway: str) -> None:
    assert request(gateway, "GET", "/public", None, {}).status == 200


def other_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def claims(**more: object) -> dict[str, Any]:
    now = int(time.time())
    return {"sub": "alice", "iss": tokens.ISSUER, "client_id": tokens.AUDIENCE, "iat": now, "exp": now + 60, **more}


def hs256_with_the_public_key() -> str:
    pem = (
        tokens._key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )

    def part(value: object) -> bytes:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT", "kid": "local"}) + b"." + part(claims())
    # PyJWT refuses to sign with a public key: the attacker does not use PyJWT.
    import hashlib  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    return (signed + b"." + part(hmac.digest(pem, signed, hashlib.sha256))).decode()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: "", id="empty"),
        pytest.param(lambda: "Bearer", id="no token"),
        pytest.param(lambda: "Bearer not.a.token", id="no JWT"),
        pytest.param(lambda: "Basic YTpi", id="basic"),
        pytest.param(lambda: "Bearer ü.ü.ü", id="not ASCII"),
        pytest.param(lambda: jwt.encode(claims(), other_key(), "RS256"), id="another key"),
        pytest.param(lambda: tokens.make_token("alice")[:-8] + "AAAAAAAA", id="a broken signature"),
        pytest.param(lambda: jwt.encode(claims(), "", "none"), id="alg none"),
        pytest.param(hs256_with_the_public_key, id="HS256 with the public key"),
        pytest.param(lambda: jwt.encode(claims(), tokens._key(), "RS512"), id="RS512"),
        pytest.param(lambda: tokens.make_token("alice", expires_in=0), id="expires now"),
        pytest.param(lambda: tokens.make_token("alice", expires_in=-5), id="expired"),
        pytest.param(lambda: tokens.make_token("alice", exp=None), id="no expiry"),
        pytest.param(lambda: tokens.make_token("alice", nbf=int(time.time()) + 60), id="not yet valid"),
        pytest.param(lambda: tokens.make_token("alice", iat=int(time.time()) + 60), id="issued tomorrow"),
        pytest.param(lambda: tokens.make_token("alice", iss="https://other"), id="another issuer"),
        pytest.param(lambda: tokens.make_token("alice", iss=None), id="no issuer"),
        pytest.param(lambda: tokens.make_token("alice", client_id="foreign"), id="another client"),
        pytest.param(lambda: tokens.make_token("alice", client_id=None), id="no audience"),
        pytest.param(lambda: tokens.make_token("alice", aud="foreign"), id="aud wins over client_id"),
        pytest.param(lambda: tokens.make_token("alice", aud=["foreign", "more"]), id="audiences"),
        pytest.param(lambda: tokens.make_token("alice", aud=[{}]), id="an odd audience"),
    ],
)
def test_a_bad_token_is_unauthorized(ask: Ask, make: Any) -> None:
    response = ask("GET", "/things/a", headers={"Authorization": make().encode("latin-1", "replace").decode("latin-1")})
    assert status_and_json(response) == UNAUTHORIZED
    assert response.headers["www-authenticate"] == "Bearer"


def test_no_authorization_header_is_unauthorized(gateway: str) -> None:
    assert status_and_json(request(gateway, "GET", "/things/a", None, {})) == UNAUTHORIZED


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer ", "BEARER "])
def test_the_word_bearer_is_optional(ask: Ask, token: str, prefix: str) -> None:
    assert ask("GET", "/things/a", headers={"Authorization": prefix + token}).status == 200


@pytest.mark.parametrize(
    "more",
    [
        {"aud": "tasks-local", "client_id": "foreign"},
        {"aud": ["foreign", "tasks-local"], "client_id": None},
        {"client_id": "other"},
        {"sub": 5},
    ],
)
def test_good_tokens(ask: Ask, more: dict[str, Any]) -> None:
    made = tokens.make_token("alice", **more)
    assert ask("GET", "/things/a", headers={"Authorization": made}).status == 200


@pytest.mark.parametrize(
    ("size", "status"),
    [(5_000_000, 200), (7_000_000, 413), (10 * 1024 * 1024 + 1, 413), (30_000_000, 413)],
)
def test_a_large_body_is_rejected_with_a_response(gateway: str, size: int, status: int) -> None:
    response = request(gateway, "POST", "/respond", json.dumps({"x": "x" * (size - 9)}).encode(), JSON)
    assert response.status == status
    if status == 413:
        assert status_and_json(response) == TOO_LARGE


def test_the_limit_counts_base64_and_utf8_bytes(ask: Ask) -> None:
    octets = {"Content-Type": "application/octet-stream"}
    assert status_and_json(ask("POST", "/things", b"x" * 5_000_000, headers=octets)) == TOO_LARGE
    emoji = "😀".encode() * 700_000
    # The response of `echo` escapes them and would be too large, so this asks another handler.
    assert ask("POST", "/respond", b'{"e": "' + emoji + b'"}', headers=JSON).status == 200


def test_a_chunked_body_over_the_limit_is_rejected(gateway: str) -> None:
    from http.client import HTTPConnection  # noqa: PLC0415

    connection = HTTPConnection(gateway.removeprefix("http://"), timeout=20)
    chunks = (b"x" * 1_000_000 for _ in range(12))
    connection.request("POST", "/respond", chunks, {"Transfer-Encoding": "chunked", **TEXT}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


HEAD = b"POST /respond HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
BODY = b'{"statusCode": 200}'


def raw(gateway: str, sent: bytes) -> Response:
    """Send bytes that no HTTP client would send, and return the response."""
    host, _, port = gateway.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = HTTPResponse(connection)
        received.begin()
        return Response(received.status, received.headers, received.read())


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 500\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 500\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + BODY + b"\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + BODY[:5],
    ],
)
def test_an_incomplete_or_malformed_body_reaches_no_function(gateway: str, sent: bytes) -> None:
    assert status_and_json(raw(gateway, sent)) == (400, {"message": "Bad Request"})


@pytest.mark.parametrize("target", ["/respond", "http://x/respond", "HTTP://x:80/respond?a=b"])
def test_a_request_target_may_be_absolute(gateway: str, target: str) -> None:
    length = f"Content-Length: {len(BODY)}\r\n\r\n".encode()
    assert raw(gateway, HEAD.replace(b"/respond", target.encode()) + length + BODY).status == 200


def test_an_error_in_the_gateway_is_json(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.gateway._event", lambda *_: 1 / 0)
    assert status_and_json(request(gateway, "GET", "/public", None, {})) == FAILED


def test_the_root_redirects_to_the_first_page(template: Template) -> None:
    with serve(template, {}, pages={"/first": lambda: "one", "/second": lambda: "two"}) as url:
        response = request(url, "GET", "/", None, {})
        assert (response.status, response.headers["location"]) == (302, "/first")
        assert request(url, "GET", "/first", None, {}).content == b"one"


@pytest.mark.parametrize("how", ["raise", "exit", "set", "bytes", "large", "hang"])
def test_a_failing_function_is_a_500_and_does_not_affect_others(ask: Ask, how: str) -> None:
    assert status_and_json(ask("GET", f"/trouble/{how}")) == FAILED
    assert [ask("GET", "/trouble/none").status for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("filler", ['"', "\x01", "\N{LATIN SMALL LETTER E WITH ACUTE}"], ids=ascii)
def test_the_limit_of_a_response_counts_what_lambda_sends(
    ask: Ask, filler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON that the function returns, with the body as a string in it."""
    result = {"statusCode": 200, "headers": {"x-filler": "x"}, "body": ""}
    room = MOST_BYTES - len(encoded(result))
    count, rest = divmod(room, len(encoded(filler)) - 2)

    def filled(length: int) -> bytes:
        # The request names the filler only once: it has the same limit, and JSON of it is larger.
        return json.dumps({"filler": [filler, count, "x" * (rest + length)], **result}).encode()

    full = ask("POST", "/filled", filled(0), headers=JSON)
    assert (full.status, len(full.content)) == (200, len((filler * count).encode()) + rest)
    assert capsys.readouterr().err == ""
    larger = ask("POST", "/filled", filled(1), headers=JSON)
    assert (larger.status, larger.content[:40]) == (500, b'{"message": "Internal Server Error"}')
    assert (
        capsys.readouterr().err == "Filled returned 6,291,557 bytes of JSON, and Lambda refuses more than 6,291,556\n"
    )
    assert ask("GET", "/trouble/none").status == 200


def test_a_process_that_died_between_requests_is_replaced(ask: Ask) -> None:
    first = ask("GET", "/trouble/later").json[0]
    time.sleep(0.3)
    response = ask("GET", "/trouble/none")
    assert response.status == 200
    assert response.json[0] != first


def test_a_handler_that_cannot_be_imported_is_a_500(ask: Ask) -> None:
    assert status_and_json(ask("GET", "/broken")) == FAILED


@pytest.mark.parametrize(
    "response",
    [
        {"statusCode": "many"},
        {"statusCode": None},
        {"statusCode": 99},
        {"statusCode": 1000},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": 5},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
        {"statusCode": 200, "body": "=====a", "isBase64Encoded": True},
        {"statusCode": 200, "body": "\ud800"},
        {"statusCode": 200, "cookies": 5},
    ],
)
def test_a_malformed_response_is_a_500(ask: Ask, response: Any) -> None:
    assert status_and_json(ask("POST", "/respond", json.dumps(response).encode(), headers=JSON)) == FAILED


def pass_on(ask: Ask, response: Any, **headers: str) -> Response:
    return ask("POST", "/respond", json.dumps(response).encode(), headers=JSON | headers)


def test_a_response_is_passed_on(ask: Ask) -> None:
    response = pass_on(
        ask,
        {"statusCode": 201, "headers": {"ETag": '"1"', "X-Number": 5}, "cookies": ["a=1", "b=2; Secure"], "body": "hi"},
    )
    assert (response.status, response.content) == (201, b"hi")
    assert (response.headers["etag"], response.headers["x-number"]) == ('"1"', "5")
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2; Secure"]
    assert response.headers["content-type"] == "text/plain;charset=UTF-8"
    assert pass_on(ask, {"statusCode": 200}).content == b""


def test_a_base64_response_is_decoded(ask: Ask) -> None:
    body = base64.b64encode(b"\xff\x00").decode()
    assert pass_on(ask, {"statusCode": 200, "isBase64Encoded": True, "body": body}).content == b"\xff\x00"


@pytest.mark.parametrize("status", [204, 304])
def test_responses_without_body(ask: Ask, status: int) -> None:
    response = pass_on(ask, {"statusCode": status, "headers": {"ETag": '"1"'}, "body": "never"})
    assert (response.status, response.content, response.headers["etag"]) == (status, b"", '"1"')
    assert response.headers["content-type"] is None


@pytest.mark.parametrize(
    ("value", "body"), [({"a": 1}, b'{"a": 1}'), ([1], b"[1]"), (5, b"5"), (None, b"null"), ("hi", b"hi")]
)
def test_a_response_without_status_is_the_body(ask: Ask, value: Any, body: bytes) -> None:
    response = pass_on(ask, value)
    assert (response.status, response.content, response.headers["content-type"]) == (200, body, "application/json")


@pytest.mark.parametrize("path", ["/things/a", "/nothing", "/"])
def test_a_preflight_works_on_any_path_without_a_token(gateway: str, path: str) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    response = request(gateway, "OPTIONS", path, None, asked)
    assert (response.status, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "https://app.example"
    assert response.headers["access-control-allow-methods"] == "GET,POST"
    assert response.headers["access-control-allow-headers"] == "authorization,if-match"
    assert response.headers["access-control-max-age"] == "600"


def test_a_preflight_from_another_origin_allows_nothing(gateway: str) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = request(gateway, "OPTIONS", "/things/a", None, asked)
    assert response.status == 204
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/things/literal", "/nothing"])
def test_responses_to_an_allowed_origin_have_cors_headers(ask: Ask, path: str) -> None:
    response = ask("GET", path, headers={"Origin": "https://other.example"})
    assert response.headers["access-control-allow-origin"] == "https://other.example"
    assert response.headers["access-control-expose-headers"] == "etag,location"
    assert "access-control-allow-origin" not in ask("GET", path, headers={"Origin": "https://evil.example"}).headers
    assert "access-control-allow-origin" not in ask("GET", path).headers


def test_cors_headers_of_a_function_are_replaced(ask: Ask) -> None:
    own = {"Access-Control-Allow-Origin": "*", "access-control-allow-credentials": "true"}
    response = pass_on(ask, {"statusCode": 200, "headers": own}, Origin="https://app.example")
    assert response.headers.get_all("access-control-allow-origin") == ["https://app.example"]
    assert "access-control-allow-credentials" not in response.headers


def test_a_used_port_is_an_os_error(tiny: Template) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
        serve(tiny, {}, taken.getsockname()[1]),
    ):
        pass
