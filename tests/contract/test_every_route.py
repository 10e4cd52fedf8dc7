"""Behaviour of all routes: tokens, users, limits, correlation ids, CORS, logs, and responses of the gateway itself."""

import time
import uuid
from dataclasses import replace
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local.template import PSEUDO_PARAMETERS
from local.tokens import AUDIENCE, ISSUER, make_token
from shared.pseudonyms import pseudonym_in
from tests.api import JSON, MERGE_PATCH, OPERATIONS, PUBLIC, Api, Backend, Headers, Operation, Response, Task, new_id
from tests.conftest import mixed
from tests.contract.conftest import Kept
from tests.contract.shapes import NO_STORE, is_gateways, is_problem

CLAIMS = {"sub": "mallory", "iss": ISSUER, "client_id": AUDIENCE, "token_use": "access", "exp": int(time.time()) + 900}
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TAKING_BODIES = {name: one for name, one in OPERATIONS.items() if one.body is not None}
READS = {name: one for name, one in {**OPERATIONS, **PUBLIC}.items() if one.method == "GET"}
ON_A_TASK = {name: one for name, one in OPERATIONS.items() if one.on_a_task}
BAD_AUTHORIZATION: dict[str, str | None] = {
    "none": None,
    "empty": "",
    "a scheme alone": "Bearer",
    "no JWT": "Bearer x.y.z",
    "Basic": "Basic bWFsbG9yeTpzZWNyZXQ=",
    "an expired token": f"Bearer {make_token('mallory', expires_in=-60)}",
    "a token for later": f"Bearer {make_token('mallory', nbf=int(time.time()) + 600)}",
    "another issuer": f"Bearer {make_token('mallory', iss='https://elsewhere.example')}",
    "an issuer that begins like ours": f"Bearer {make_token('mallory', iss=ISSUER + '.example')}",
    "another audience": f"Bearer {make_token('mallory', client_id='other')}",
    "another aud, whatever the client": f"Bearer {make_token('mallory', aud='other')}",
    "no audience": f"Bearer {make_token('mallory', client_id=None)}",
    "no expiry": f"Bearer {make_token('mallory', exp=None)}",
    "another key": f"Bearer {jwt.encode(CLAIMS, STRANGER, algorithm='RS256', headers={'kid': 'local'})}",
    "no signature": f"Bearer {jwt.encode(CLAIMS, '', algorithm='none')}",
    "a shared secret": f"Bearer {jwt.encode(CLAIMS, 'secret' * 8, algorithm='HS256')}",
    "a changed subject": "Bearer "
    + ".".join(
        [
            make_token("alice").split(".")[0],
            jwt.encode(CLAIMS, "secret" * 8).split(".")[1],
            make_token("alice").split(".")[2],
        ]
    ),
}
UNKNOWN_ROUTES = [
    "GET /",
    "GET /docs",
    "GET /v1/users",
    "GET /v1/users/me",
    "GET /v1/users/me/tasks/",
    "GET /v1/users//tasks",
    "GET /v2/users/me/tasks",
    "GET /V1/users/me/tasks",
    "GET /v1/users/me/tasks/x/toggle",
    "GET /v1/users/me/tasks/x/y",
    "PUT /v1/users/me/tasks",
    "PATCH /v1/users/me/tasks",
    "POST /v1/users/me/tasks/x",
    "PUT /v1/users/me/tasks/x/toggle",
    "HEAD /",
    "HEAD /v1/users/me/tasks/x/toggle",
    "OPTIONS /v1/users/me/tasks",
    "TRACE /v1/users/me/tasks",
    "PROPFIND /v1/users/me/tasks",
]
BAD_TASK_IDS = {
    "words": "first",
    "no dashes": "018f3a5c000070008000000000000000",
    "braces": "%7B018f3a5c-0000-7000-8000-000000000000%7D",
    "too short": "018f3a5c-0000-7000-8000-00000000000",
    "too long": "018f3a5c-0000-7000-8000-0000000000000",
    "a newline": "018f3a5c-0000-7000-8000-000000000000%0A",
    "NUL": "%00",
    "dots": "%2E%2E",
    "a slash": "a%2Fb",
    "an emoji": "%F0%9F%98%80",
    "other digits": quote("\uff1018f3a5c-0000-7000-8000-000000000000"),
}
# tests/unit/test_identity.py has more of both.
USER_IDS = [
    "auth0|abc",
    "a+b@example.com",
    "x" * 255,
    # A hash in Base64.
    "u8Lk3/9fQ+0=",
    "repo:acme/app:ref:refs/heads/main",
    "ad|corp|CORP\\jdoe",
    "https://issuer.example/users?id=7#me",
    "CN=Jane Doe, O=Acme",
    "100%",
    "a%23b#c",
    " blank ",
    '"quoted"',
    ".",
    "..",
    "me",
    "USER#alice",
]
BAD_USER_IDS = ["caf\u00e9", "x" * 256, "a\nb", "a\0b"]
BAD_MEDIA_TYPES: dict[str, dict[str, str | None]] = {
    "none": {"Content-Type": None},
    "text": {"Content-Type": "text/plain"},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "anything": {"Content-Type": "*/*"},
    "what begins like JSON": {"Content-Type": "application/json5"},
    "what ends like JSON": {"Content-Type": "application/problem+json"},
    "another charset": {"Content-Type": "application/json; charset=iso-8859-1"},
    "two charsets": {"Content-Type": "application/json; charset=utf-8; charset=utf-16"},
    "a content coding": {"Content-Type": JSON, "Content-Encoding": "gzip"},
}


# Callers


@pytest.mark.parametrize(("token", "name"), mixed(BAD_AUTHORIZATION, OPERATIONS))
def test_without_a_valid_token_the_gateway_returns_401(api: Api, token: str, name: str) -> None:
    response = OPERATIONS[name].ask(api, str(uuid.uuid4()), headers={"Authorization": BAD_AUTHORIZATION[token]})
    assert is_gateways(response, 401, "Unauthorized")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_rejected_token_writes_nothing(backend: Backend, operation: Operation, user: str) -> None:
    for claims in ({"exp": int(time.time()) - 60}, {"iss": "https://elsewhere.example"}):
        operation.ask(Api(backend.url, user, claims=claims), str(uuid.uuid4()))
    assert backend.stored(user) == []


@pytest.mark.parametrize(("subject", "name"), mixed([None, ""], OPERATIONS))
def test_a_token_without_a_subject_is_401_from_the_function(backend: Backend, subject: str | None, name: str) -> None:
    response = OPERATIONS[name].ask(Api(backend.url, "x", "me", {"sub": subject}), str(uuid.uuid4()))
    assert is_problem(response, 401, "no-identity")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("use", "name"), mixed(["id", "refresh", "", "ACCESS"], OPERATIONS))
def test_a_token_for_another_purpose_is_403(backend: Backend, user: str, use: str, name: str) -> None:
    response = OPERATIONS[name].ask(Api(backend.url, user, claims={"token_use": use}), str(uuid.uuid4()))
    assert is_problem(response, 403, "forbidden")
    assert backend.stored(user) == []


def test_a_token_without_a_purpose_is_accepted(backend: Backend, user: str) -> None:
    assert Api(backend.url, user, claims={"token_use": None}).create().status == 201


@pytest.mark.parametrize("subject", BAD_USER_IDS)
def test_a_subject_that_is_not_a_valid_user_id_is_403(backend: Backend, subject: str) -> None:
    for path_user in ("me", quote(subject, safe="")):
        assert is_problem(Api(backend.url, subject, path_user).create(), 403, "forbidden")
    assert backend.stored(subject) == []


@pytest.mark.parametrize("user_id", USER_IDS)
def test_a_user_id_of_any_identity_provider_is_served(backend: Backend, user_id: str) -> None:
    paths = {"me", quote(user_id, safe=""), quote(user_id, safe="-._~!$&'()*+,;=:@"), quote(user_id, safe="|/=")}
    apis = [Api(backend.url, user_id, path) for path in sorted(paths) if "/" not in path]
    for api in apis:
        response = api.create()
        task = response.json
        assert (response.status, task["user_id"]) == (201, user_id)
        assert [one.get(task["id"]).json for one in apis] == [task] * len(apis)
        if api.path_user not in {".", ".."}:  # every client removes these segments from a path
            assert api.send("GET", response.location).json == task
        key = str(uuid.uuid4())
        assert api.create_once(key).json == api.create_once(key).json
        toggled = api.batch({"op": "toggle", "id": task["id"]})
        assert toggled.json["results"][0]["task"]["user_id"] == user_id
        assert {one["user_id"] for one in api.walk(limit=1)} == {user_id}
        changed = {one["id"] for one in api.changes().json["items"]}
        assert task["id"] in changed
        for one in api.walk():
            assert api.delete(one["id"]).status == 204


def test_me_is_the_caller(api: Api, operation: Operation) -> None:
    response = operation.ask(Api(api.url, api.caller, "me"), operation.task_for(api)["id"])
    assert response.status in (200, 201, 204)
    assert all(one["user_id"] == api.caller for one in api.walk())


def test_the_path_of_another_user_is_403_before_other_checks(api: Api, operation: Operation) -> None:
    wrong = {"Content-Type": "text/plain", "If-Match": "x", "If-None-Match": "x"}
    stranger = Api(api.url, api.caller, "someone-else")
    response = operation.ask(stranger, "no%20id", "limit=0&colour=red&cursor=x", wrong, b"\xff" * 1_400_000)
    assert is_problem(response, 403, "forbidden")


# Responses of the gateway itself


@pytest.mark.parametrize("route", UNKNOWN_ROUTES)
def test_an_unknown_route_or_method_is_404_from_the_gateway(api: Api, route: str) -> None:
    method, path = route.split(" ")
    response = api.send(method, path)
    if method == "HEAD":
        assert (response.status, response.content) == (404, b"")
    else:
        assert is_gateways(response, 404, "Not Found")


@pytest.mark.parametrize("megabytes", [7, 11])
def test_a_body_over_the_limits_of_lambda_or_the_gateway_is_413(backend: Backend, api: Api, megabytes: int) -> None:
    response = api.send("POST", api.tasks, b'{"title": "' + b"x" * megabytes * 1024 * 1024 + b'"}')
    assert is_gateways(response, 413, "Request Entity Too Large")
    assert backend.stored(api.caller) == []


# HEAD

READ_HEADERS: dict[str, Headers] = {
    "plain": {},
    "known": {"If-None-Match": "*"},
    "a bad ETag": {"If-None-Match": "3-1"},
    "no token": {"Authorization": None},
    "another origin": {"Origin": "https://app.example"},
}
# Headers that differ between any two responses, and headers about the transfer of the body.
OF_ONE_ANSWER = {"apigw-requestid", "date", "content-length", "transfer-encoding"}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("headers", READ_HEADERS.values(), ids=READ_HEADERS)
@pytest.mark.parametrize("query", ["", "limit=1", "colour=red"])
def test_head_returns_the_response_to_get_without_the_body(
    api: Api, task: Task, name: str, headers: dict[str, str | None], query: str
) -> None:
    api.made()  # so that a list has a second page
    sent = {"X-Correlation-Id": "mine", **headers}
    get, head = (replace(READS[name], method=one).ask(api, task["id"], query, sent) for one in ("GET", "HEAD"))
    assert head.content == b""
    assert (head.status, _lasting(head)) == (get.status, _lasting(get))
    assert head.headers["Content-Length"] in (None, str(len(get.content)))  # RFC 9110, section 8.6


def test_head_of_an_unknown_task_is_404(api: Api) -> None:
    for path in (f"{api.tasks}/{uuid.uuid4()}", f"{api.tasks}/x", "/v1/users/someone-else/tasks"):
        get, head = (api.send(method, path) for method in ("GET", "HEAD"))
        assert (head.status, head.content) == (get.status, b"")


def _lasting(response: Response) -> dict[str, str]:
    named = {name.lower(): value for name, value in response.headers.items()}
    return {name: value for name, value in named.items() if name not in OF_ONE_ANSWER}


# Limits


def test_a_body_over_1280_kib_is_413(kept: Kept, operation: Operation) -> None:
    response = operation.ask(kept.api, kept.task["id"], body=b'{"title": "' + b"x" * 1280 * 1024 + b'"}')
    assert is_problem(response, 413, "body-too-large")


def test_the_limit_is_exact_and_counts_bytes(api: Api) -> None:
    def body(size: int) -> bytes:
        text = '{"title": "é"}'.encode()
        return text + b" " * (size - len(text))

    assert api.send("POST", api.tasks, body(1280 * 1024)).status == 201
    assert is_problem(api.send("POST", api.tasks, body(1280 * 1024 + 1)), 413, "body-too-large")
    octets = {"Content-Type": "application/octet-stream"}  # reaches the function as Base64
    assert is_problem(api.send("POST", api.tasks, body(1280 * 1024), octets), 415, "unsupported-media-type")
    assert is_problem(api.send("POST", api.tasks, body(1280 * 1024 + 1), octets), 413, "body-too-large")


@pytest.mark.parametrize(("media_type", "name"), mixed(BAD_MEDIA_TYPES, TAKING_BODIES))
def test_a_body_of_another_type_is_415(kept: Kept, media_type: str, name: str) -> None:
    response = OPERATIONS[name].ask(kept.api, kept.task["id"], headers=BAD_MEDIA_TYPES[media_type])
    assert is_problem(response, 415, "unsupported-media-type")
    patch = f"{MERGE_PATCH}, {JSON}" if OPERATIONS[name].method == "PATCH" else None
    assert response.headers["Accept-Patch"] == patch
    assert response.headers["Accept-Encoding"] == (
        "identity" if "Content-Encoding" in BAD_MEDIA_TYPES[media_type] else None
    )


@pytest.mark.parametrize(("charset", "name"), mixed(["utf8", '"UTF-8"', "us-ascii"], TAKING_BODIES))
def test_a_body_in_utf_8_by_an_alias_is_accepted(kept: Kept, name: str, charset: str) -> None:
    headers = {"Content-Type": f"{JSON}; charset={charset}"}
    response = OPERATIONS[name].ask(kept.api, kept.task["id"], headers=headers, body={"colour": "red"})
    assert (response.status, response.json["type"].rpartition(":")[2]) == (422, "invalid-body")


@pytest.mark.parametrize(("query", "name"), mixed(["colour=red", "user_id=someone", "LIMIT=1", "="], OPERATIONS))
def test_an_unknown_query_parameter_is_400(kept: Kept, query: str, name: str) -> None:
    assert is_problem(OPERATIONS[name].ask(kept.api, kept.task["id"], query), 400, "bad-query")


@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one.query])
def test_a_repeated_query_parameter_is_400(kept: Kept, name: str) -> None:
    query = OPERATIONS[name].query
    parameter = query.partition("=")[0]
    for again in (parameter, f"%{ord(parameter[0]):02X}{parameter[1:]}"):
        response = OPERATIONS[name].ask(kept.api, kept.task["id"], f"{query}&{again}=x")
        assert is_problem(response, 400, "bad-query")
        assert f"{parameter}: Must be given only once" in response.json["detail"]


@pytest.mark.parametrize(("task_id", "name"), mixed(BAD_TASK_IDS, ON_A_TASK))
def test_a_bad_task_id_is_400(kept: Kept, task_id: str, name: str) -> None:
    assert is_problem(OPERATIONS[name].ask(kept.api, BAD_TASK_IDS[task_id]), 400, "bad-task-id")


@pytest.mark.parametrize("name", ON_A_TASK)
def test_an_id_may_have_uppercase_letters(api: Api, name: str) -> None:
    """RFC 9562, section 4; for example, Swift prints UUIDs so. Responses have lowercase letters."""
    task = api.made()
    if name == "restore_task":
        api.delete(task["id"])
    response = OPERATIONS[name].ask(api, task["id"].upper())
    assert response.status in {200, 204}
    assert not response.content or response.json["id"] == task["id"]


def test_a_new_id_an_anchor_and_an_id_in_a_batch_may_have_uppercase_letters(api: Api) -> None:
    anchor, new, other = api.made(list="home"), new_id(), new_id()
    created = api.replace(new.upper(), {"title": "x", "description": None, "completed": False}, if_none_match="*")
    assert (created.status, created.json["id"], created.location) == (201, new, f"{api.tasks}/{new}")
    moved = api.move(new.upper(), {"list": "home", "after": anchor["id"].upper()})
    assert (moved.status, moved.json["id"]) == (200, new)
    batch = api.batch(
        {"op": "create", "id": other.upper(), "task": {"title": "x"}}, {"op": "delete", "id": new.upper()}
    )
    assert [one["id"] for one in batch.json["results"]] == [other, new]
    twice = api.batch({"op": "toggle", "id": other}, {"op": "toggle", "id": other.upper()})
    assert is_problem(twice, 422, "invalid-body", ["/operations"])


@pytest.mark.parametrize("name", sorted(ON_A_TASK.keys() - {"delete_task", "restore_task"}))
def test_an_unknown_task_and_a_deleted_one_have_the_same_404(backend: Backend, api: Api, task: Task, name: str) -> None:
    api.delete(task["id"])
    before = backend.stored(api.caller)
    never, trashed = (OPERATIONS[name].ask(api, one) for one in (str(uuid.uuid4()), task["id"]))
    assert is_problem(never, 404, "task-not-found")
    assert is_problem(trashed, 404, "task-not-found")
    assert {**never.json, "instance": ""} == {**trashed.json, "instance": ""}
    assert backend.stored(api.caller) == before


# Headers


@pytest.mark.parametrize(("given", "name"), mixed(["abc", "x" * 128, "Root=1-5e1b:a/b+c==", "a_b.c@d"], OPERATIONS))
def test_a_correlation_id_is_echoed(api: Api, given: str, name: str) -> None:
    response = OPERATIONS[name].ask(api, "x", "colour=red", {"X-Correlation-Id": given})
    assert (response.status, response.headers["X-Correlation-Id"]) == (400, given)


@pytest.mark.parametrize(
    ("given", "name"), mixed(["", "x" * 129, "a b", "a,b", 'a"b', "{a}", "caf\u00e9", "a;b", "<script>"], OPERATIONS)
)
def test_an_unsafe_correlation_id_is_replaced(api: Api, given: str, name: str) -> None:
    response = OPERATIONS[name].ask(api, "x", "colour=red", {"X-Correlation-Id": given})
    assert response.headers["X-Correlation-Id"] == response.headers["apigw-requestid"] != given


def test_the_instance_of_a_problem_is_the_correlation_id(api: Api, operation: Operation) -> None:
    response = operation.ask(api, "x", "colour=red")
    assert response.status == 400
    assert response.json["instance"] == response.headers["X-Correlation-Id"] == response.headers["apigw-requestid"]


def test_a_problem_names_the_request_and_not_the_correlation_id(api: Api, operation: Operation) -> None:
    response = operation.ask(api, "x", "colour=red", headers={"X-Correlation-Id": "mine"})
    assert response.headers["X-Correlation-Id"] == "mine"
    assert response.json["instance"] == response.headers["apigw-requestid"]


@pytest.mark.parametrize("query", ["", "colour=red"], ids=["good", "bad"])
def test_a_browser_may_read_the_headers_that_it_needs(api: Api, operation: Operation, task: Task, query: str) -> None:
    response = operation.ask(api, task["id"], query, {"Origin": "https://app.example"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    exposed = {name.strip().lower() for name in response.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed == {"etag", "location", "link", "retry-after", "idempotency-replayed", "x-correlation-id"}


def test_a_browser_may_send_a_preflight_request(api: Api, operation: Operation) -> None:
    asked = {
        "Authorization": None,
        "Origin": "https://app.example",
        "Access-Control-Request-Method": operation.method,
        "Access-Control-Request-Headers": "authorization, if-match, traceparent",
    }
    response = api.send("OPTIONS", operation.path_of("me", "x"), headers=asked)
    assert response.status == 204
    assert {operation.method, "HEAD"} <= set(response.headers["Access-Control-Allow-Methods"].split(","))
    allowed = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "content-type", "if-match", "if-none-match", "x-correlation-id"} <= allowed
    assert {"traceparent", "tracestate", "baggage"} <= allowed
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_caches_may_store_only_responses_that_can_be_revalidated(api: Api, operation: Operation, task: Task) -> None:
    expected = "private, no-cache" if operation.name == "get_task" else NO_STORE
    assert operation.ask(api, task["id"]).headers["Cache-Control"] == expected


# Logs


def test_every_request_is_one_line_in_the_log(backend: Backend, api: Api, operation: Operation, task: Task) -> None:
    response = operation.ask(api, task["id"], headers={"X-Correlation-Id": "mine"})
    line = backend.logged(response.headers["apigw-requestid"])
    pseudonym = pseudonym_in(PSEUDO_PARAMETERS["AWS::StackId"], api.caller)
    assert line["operation"] == operation.name
    assert line["route"] == f"{operation.method} {operation.path}"
    assert (line["status"], line["level"], line["correlation_id"]) == (response.status, "INFO", "mine")
    assert response.headers["X-Correlation-Id"] == "mine"
    assert (line["actor"], line["user"]) == (pseudonym, pseudonym)
    assert 0 < line["duration_ms"] < 10_000


def test_texts_tokens_and_user_ids_are_not_logged(backend: Backend, operation: Operation) -> None:
    secret = uuid.uuid4().hex
    api = Api(backend.url, f"user-{secret}")
    task = api.made(title=f"title {secret}", description=f"description {secret}")
    token = make_token(api.caller)
    for body in ({"title": secret}, {"title": secret, secret: secret}, f'{{"title": "{secret}'.encode(), None):
        operation.ask(api, task["id"], f"{secret}={secret}")
        response = operation.ask(api, task["id"], headers={"Authorization": f"Bearer {token}"}, body=body)
    backend.logged(response.headers["apigw-requestid"])
    log = backend.log.read_text()
    assert secret not in log
    assert token not in log
