"""The arguments of a handler: the event in payload format 2.0, the context and the environment."""

import base64
import json
import os
import time
from typing import Any

import pytest

from tests.local.conftest import Ask


@pytest.fixture
def event(ask: Ask) -> Any:
    return lambda *arguments, **more: ask(*arguments, **more).json["event"]


def test_an_event_has_the_shape_of_format_2(ask: Ask) -> None:
    before = time.time()
    response = ask(
        "GET", "/things/a?x=1&y=&x=2%2C3&%78=4", headers={"Cookie": "a=1; b=2", "X-Thing": "V", "User-Agent": "me"}
    )
    event = response.json["event"]
    context = event["requestContext"]
    assert set(event) == {
        *("version", "routeKey", "rawPath", "rawQueryString", "cookies", "headers", "queryStringParameters"),
        *("pathParameters", "requestContext", "isBase64Encoded"),
    }
    assert set(context) == {
        *("accountId", "apiId", "authorizer", "domainName", "domainPrefix", "http", "requestId", "routeKey"),
        *("stage", "time", "timeEpoch"),
    }
    assert (event["version"], event["routeKey"]) == ("2.0", "GET /things/{thing_id}")
    assert (event["rawPath"], event["rawQueryString"]) == ("/things/a", "x=1&y=&x=2%2C3&%78=4")
    assert event["queryStringParameters"] == {"x": "1,2,3,4", "y": ""}
    assert event["pathParameters"] == {"thing_id": "a"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert event["headers"]["x-thing"] == "V"
    assert all(name == name.lower() for name in event["headers"])
    assert event["isBase64Encoded"] is False
    assert context["http"] == {
        "method": "GET",
        "path": "/things/a",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "me",
    }
    assert (context["stage"], context["routeKey"]) == ("$default", event["routeKey"])
    assert context["requestId"] == response.headers["apigw-requestid"]
    assert before - 1 < context["timeEpoch"] / 1000 < time.time() + 1
    assert time.strptime(context["time"], "%d/%b/%Y:%H:%M:%S %z")


def test_claims_are_strings(event: Any) -> None:
    jwt = event("GET", "/things/a")["requestContext"]["authorizer"]["jwt"]
    assert jwt["scopes"] is None
    claims = jwt["claims"]
    assert (claims["sub"], claims["scope"]) == ("alice", "tasks/service more")
    assert (claims["groups"], claims["admin"]) == ("[a b]", "true")
    assert claims["org"] == "map[id:org_1 of:<nil> slg:acme]"
    assert claims["exp"].isdigit()


def test_a_public_route_has_no_authorizer_and_an_empty_query_is_absent(event: Any) -> None:
    assert "queryStringParameters" not in event("GET", "/things/a?")
    assert not {"body", "cookies", "pathParameters"} & set(event("POST", "/things"))


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("a%2Fb", "a/b"),
        ("auth0%7Cabc", "auth0|abc"),
        ("a%252Fb", "a%2Fb"),
        ("a+b", "a+b"),
        ("%C3%BC", "ü"),
        ("a%20b", "a b"),
        ("a%3Fb", "a?b"),
    ],
)
def test_a_path_parameter_is_decoded_once(event: Any, raw: str, decoded: str) -> None:
    seen = event("GET", f"/things/{raw}")
    assert (seen["pathParameters"]["thing_id"], seen["rawPath"]) == (decoded, f"/things/{decoded}")


def test_several_parameters(event: Any) -> None:
    assert event("GET", "/things/a/parts/b%2Fc")["pathParameters"] == {"thing_id": "a", "part-id": "b/c"}


def test_repeated_headers_are_joined(gateway: str, token: str) -> None:
    from http.client import HTTPConnection  # noqa: PLC0415 - the one test that writes headers line by line

    connection = HTTPConnection(gateway.removeprefix("http://"), timeout=20)
    connection.putrequest("GET", "/things/a")
    for name, value in [("X-Twice", "1"), ("x-twice", "2"), ("Authorization", token)]:
        connection.putheader(name, value)
    connection.endheaders()
    assert json.loads(connection.getresponse().read())["event"]["headers"]["x-twice"] == "1,2"
    connection.close()


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("application/json", b'{"a": "\xc3\xbc"}', True),
        ("application/json; charset=utf-8", b"{}", True),
        ("Application/JSON", b"{}", True),
        ("text/plain", b"hello", True),
        ("application/xml", b"<a/>", True),
        ("application/javascript", b"1", True),
        ("application/json", b"\xff\xfe", False),
        ("application/merge-patch+json", b"{}", False),
        ("application/jsonp", b"{}", False),
        ("application/octet-stream", b"{}", False),
        ("application/x-www-form-urlencoded", b"a=1", False),
    ],
)
def test_a_body_is_text_or_base64(event: Any, content_type: str, body: bytes, text: bool) -> None:
    seen = event("POST", "/things", body, headers={"Content-Type": content_type})
    assert seen["isBase64Encoded"] is not text
    assert seen["body"] == (body.decode() if text else base64.b64encode(body).decode())


def test_a_chunked_body_arrives_complete(gateway: str, token: str) -> None:
    from http.client import HTTPConnection  # noqa: PLC0415

    connection = HTTPConnection(gateway.removeprefix("http://"), timeout=20)
    headers = {"Authorization": token, "Content-Type": "text/plain", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/things", iter([b"one ", b"two"]), headers, encode_chunked=True)
    assert json.loads(connection.getresponse().read())["event"]["body"] == "one two"
    connection.close()


def test_the_context_matches_lambda(ask: Ask) -> None:
    context = ask("GET", "/things/a").json["context"]
    assert (context["function_name"], context["function_version"]) == ("Echo", "$LATEST")
    assert context["memory_limit_in_mb"] == "256"
    assert context["invoked_function_arn"].endswith(":function:Echo")
    assert context["log_group_name"] == "/aws/lambda/Echo"
    assert context["log_stream_name"]
    assert 3000 < context["remaining"] <= 5000
    assert context["aws_request_id"] != ask("GET", "/things/a").json["context"]["aws_request_id"]


def test_the_environment_is_that_of_the_template_and_of_lambda(ask: Ask) -> None:
    environment = ask("GET", "/things/a").json["environment"]
    assert (environment["SHARED"], environment["TABLE"], environment["GIVEN"]) == ("own", "Things", "to all")
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "Echo"
    assert environment["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/Echo"
    assert environment["AWS_REGION"] == os.environ["AWS_REGION"]
