"""Idempotency-Key: the first response again for the same request, 422 for another, and no record of failures."""

import json
import time
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.tokens import make_token
from shared.store.uuid7 import uuid7
from tests.api import JSON, Api, Backend, Response, Task
from tests.conftest import eventually
from tests.contract.shapes import is_problem

NEVER = "018f3a5c-0000-7000-8000-000000000000"
type Ask = Callable[[Api, Task, str], Response]
KEYED: dict[str, Ask] = {
    "create": lambda api, _, key: api.create_once(key, title="x"),
    "toggle": lambda api, task, key: api.toggle(task["id"], idempotency_key=key),
    "restore": lambda api, task, key: api.restore(task["id"], idempotency_key=key),
    "batch": lambda api, task, key: api.batch({"op": "restore", "id": task["id"]}, key=key),
}
REPLAYED = ("Content-Type", "ETag", "Location", "Cache-Control")


@pytest.fixture(params=KEYED, ids=list(KEYED))
def ask(request: pytest.FixtureRequest) -> Ask:
    return KEYED[request.param]


@pytest.fixture
def ready(request: pytest.FixtureRequest, api: Api) -> Task:
    """A task in the state that the operation of the test needs."""
    task = api.made()
    if request.node.callspec.params["ask"] in {"restore", "batch"}:
        api.delete(task["id"])
    return task


@pytest.fixture
def key() -> str:
    return str(uuid.uuid4())


def test_the_first_response_is_returned_again_and_nothing_is_done_twice(
    backend: Backend, api: Api, ready: Task, ask: Ask, key: str
) -> None:
    first = ask(api, ready, key)
    stored = backend.stored(api.caller)
    for _ in range(2):
        again = ask(api, ready, key)
        assert (again.status, again.content) == (first.status, first.content)
        assert [again.headers[name] for name in REPLAYED] == [first.headers[name] for name in REPLAYED]
        assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert backend.stored(api.caller) == stored


@pytest.mark.parametrize(
    ("method", "path", "header"),
    [("POST", "", ("Idempotency-Key", "{id}")), ("PUT", "/{id}", ("If-None-Match", "*"))],
    ids=["key", "own id"],
)
def test_a_retry_whose_token_has_expired_is_sent_again_with_a_new_token(
    backend: Backend, api: Api, method: str, path: str, header: tuple[str, str]
) -> None:
    """As docs/clients.md says: the response is lost, the retry gets 401, and the next one gets the first response."""
    new = str(uuid7(time.time_ns()))
    body = {"title": "once", "description": None, "completed": False}
    same = {header[0]: header[1].format(id=new)}
    path = f"{api.tasks}{path.format(id=new)}"
    connection = HTTPConnection(urlsplit(backend.url).netloc)
    first = {"Authorization": f"Bearer {make_token(api.caller)}", "Content-Type": JSON, **same}
    connection.request(method, path, json.dumps(body), first)
    (task,) = eventually(lambda: api.walk() or None)
    connection.close()  # without reading the response

    expired = make_token(api.caller, expires_in=-60)
    assert api.send(method, path, body, {"Authorization": f"Bearer {expired}", **same}).status == 401
    fresh = make_token(api.caller, username="renewed", scope="openid")
    again = api.send(method, path, body, {"Authorization": f"Bearer {fresh}", **same})
    assert (again.status, again.json) == (201, task)
    assert again.headers["Idempotency-Replayed"] == ("true" if method == "POST" else None)
    assert api.walk() == [task]


def test_the_first_response_is_returned_after_the_task_changed_or_was_deleted(
    api: Api, ready: Task, ask: Ask, key: str
) -> None:
    first = ask(api, ready, key)
    for task in api.walk():
        api.update(task["id"], {"title": "another"})
        api.delete(task["id"])
    again = ask(api, ready, key)
    assert (again.status, again.content) == (first.status, first.content)


def test_the_same_key_for_another_request_is_422(backend: Backend, api: Api, ready: Task, ask: Ask, key: str) -> None:
    ask(api, ready, key)
    other = api.made()["id"]
    before = backend.stored(api.caller)
    for response in (
        api.create_once(key, title="another"),
        api.toggle(other, idempotency_key=key),
        api.toggle(NEVER, idempotency_key=key),
        api.toggle(ready["id"], idempotency_key=key, if_match="*"),
        api.restore(other, idempotency_key=key),
        api.batch({"op": "delete", "id": other}, key=key),
    ):
        assert is_problem(response, 422, "idempotency-key-reused")
    assert backend.stored(api.caller) == before


def test_the_same_key_of_another_user_is_another_key(backend: Backend, api: Api, key: str) -> None:
    api.create_once(key)
    stranger = Api(backend.url, f"other-{api.caller}")
    assert stranger.create_once(key, title="another").status == 201
    assert len(api.walk()) == len(stranger.walk()) == 1


def test_a_service_has_its_own_keys_for_each_user(api: Api, key: str) -> None:
    first = api.create_once(key)
    service = Api(api.url, "service", api.caller, {"scope": "tasks/service"})
    created = service.create_once(key)
    assert (created.status, created.json["id"] == first.json["id"]) == (201, False)
    assert service.create_once(key).content == created.content
    assert api.create_once(key).content == first.content


@pytest.mark.parametrize(
    "refused",
    [
        lambda api, key: api.create_once(key, title=""),
        lambda api, key: api.toggle(NEVER, idempotency_key=key),
        lambda api, key: api.batch({"op": "toggle", "id": NEVER}, key=key),
    ],
)
def test_errors_are_not_stored_under_the_key(api: Api, key: str, refused: Callable[[Api, str], Response]) -> None:
    assert refused(api, key).status in (404, 422)
    assert api.create_once(key).status == 201


def test_a_record_that_has_expired_counts_as_absent(
    backend: Backend, api: Api, ready: Task, ask: Ask, key: str
) -> None:
    first = ask(api, ready, key)
    (record,) = [item for item in backend.stored(api.caller) if item["sk"]["S"].startswith("KEY#")]
    aged = {**record, "expires_at": {"N": "1000"}}
    backend.table.client.put_item(TableName=backend.table.name, Item=aged)
    again = ask(api, ready, key)
    assert "Idempotency-Replayed" not in again.headers
    assert again.content != first.content


def test_a_record_is_kept_for_a_day_and_shows_no_key(backend: Backend, api: Api, key: str) -> None:
    created = api.create_once(key).json
    (record,) = [item for item in backend.stored(api.caller) if item["sk"]["S"].startswith("KEY#")]
    at = backend.stored_at(created["created_at"])
    assert int(record["expires_at"]["N"]) == at + 24 * 3600
    assert key not in str(record)
    assert api.walk() == [created]


GOOD = ["x", "x" * 255, "a b", "a,b;c=\\d", "{}", "'", '"quoted"', '"a\\"b\\\\"', '"' + "x" * 255 + '"']
BAD = [
    *("", " ", '""', '"', '"a', '"a"b', '"a";b=1', '"\\a"', "x" * 256, "\u00e9", "a\tb"),
    '"' + "x" * 256 + '"',
]


@pytest.mark.parametrize("key", GOOD)
def test_good_keys(api: Api, key: str) -> None:
    first = api.create_once(key)
    assert (first.status, api.create_once(key).content) == (201, first.content)


def test_a_quoted_key_is_the_same_as_a_bare_one(api: Api, key: str) -> None:
    assert api.create_once(key).content == api.create_once(f'"{key}"').content


@pytest.mark.parametrize("key", BAD)
def test_bad_keys_are_400(backend: Backend, api: Api, key: str) -> None:
    assert is_problem(api.create_once(key), 400, "bad-idempotency-key")
    assert backend.stored(api.caller) == []


def test_other_methods_ignore_a_key(api: Api, task: Task) -> None:
    bad: dict[str, Any] = {"Idempotency-Key": "", "Content-Type": JSON}
    path = f"{api.tasks}/{task['id']}"
    assert api.send("GET", path, headers=bad).status == 200
    assert api.send("PATCH", path, {"title": "x"}, bad).status == 200
    assert api.send("DELETE", path, headers=bad).status == 204
