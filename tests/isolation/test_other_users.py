"""The id, task, ETag and cursor of another user, in every part of a request that can name one, for every operation."""

import hashlib
import string
from collections.abc import Callable
from itertools import product
from urllib.parse import quote, urlencode

import pytest

from tests.api import OPERATIONS, Api, Backend, Operation, Response, Task
from tests.conftest import mixed
from tests.contract.shapes import is_problem
from tests.isolation.conftest import Bob

pytestmark = pytest.mark.usefixtures("untouched")

ON_A_TASK = {name: one for name, one in OPERATIONS.items() if one.on_a_task}
CHANGING = [name for name, one in OPERATIONS.items() if one.method != "GET"]
POSTS = [name for name, one in OPERATIONS.items() if one.method == "POST"]

# Spellings of bob's id in a path that alice requests.
SPELLINGS: dict[str, Callable[[str, str], str]] = {
    "plain": lambda bob, _: bob,
    "every letter encoded": lambda bob, _: "".join(f"%{ord(letter):02X}" for letter in bob),
    "one letter encoded": lambda bob, _: f"%{ord(bob[0]):02x}{bob[1:]}",
    "encoded twice": lambda bob, _: f"%25{ord(bob[0]):02x}{bob[1:]}",
    "up from alice": lambda bob, alice: f"{alice}%2F..%2F{bob}",
    "up from me": lambda bob, _: f"me%2F..%2F{bob}",
    "up from me, encoded": lambda bob, _: f"me%2F%2e%2e%2F{bob}",
    "up and down": lambda bob, _: f"%2e%2e%2Fusers%2F{bob}",
    "a backslash": lambda bob, _: f"me%5C..%5C{bob}",
    "a fragment": lambda bob, _: f"{bob}%23me",
    "a fragment of bob": lambda bob, alice: f"{alice}%23{bob}",
    "a query": lambda bob, _: f"{bob}%3Fme",
    "a NUL": lambda bob, _: f"{bob}%00",
    "a NUL after alice": lambda bob, alice: f"{alice}%00{bob}",
    "a newline": lambda bob, _: f"{bob}%0A",
    "a newline after alice": lambda _, alice: f"{alice}%0A",
    "a blank behind": lambda bob, _: f"{bob}%20",
    "a blank before": lambda bob, _: f"%20{bob}",
    "a blank behind alice": lambda _, alice: f"{alice}%20",
    "a plus behind": lambda bob, _: f"{bob}+",
    "a dot behind": lambda bob, _: f"{bob}.",
    "capitals": lambda bob, _: bob.upper(),
    "small letters": lambda bob, _: bob.lower(),
    "alice in capitals": lambda _, alice: alice.upper(),
    "ME": lambda *_: "ME",
    "me and a blank": lambda *_: "me%20",
    "full-width letters": lambda bob, _: quote(bob.translate(_wide())),
    "a Cyrillic letter": lambda bob, _: quote(bob.replace("o", "\u043e")),
    "a letter and an accent": lambda bob, _: quote(f"{bob}\u0301"),
    "a zero width space": lambda bob, _: quote(f"{bob}\u200b"),
    "a soft hyphen": lambda bob, _: quote(f"{bob}\u00ad"),
    "right to left": lambda bob, _: quote(f"\u202e{bob[::-1]}"),
    "an overlong form": lambda bob, _: f"%C1%82{bob[1:]}",
    "two users": lambda bob, alice: f"{alice},{bob}",
    "two users, bob first": lambda bob, alice: f"{bob},{alice}",
    "a matrix parameter": lambda bob, alice: f"{alice};user_id={bob}",
    "our own key": lambda bob, _: f"USER%23{bob}",
    "part of it": lambda bob, _: bob[:-1],
    "a star": lambda *_: "*",
    "dots": lambda *_: "%2e%2e",
    "a dot": lambda *_: ".",
    "nobody": lambda *_: "nobody",
    "null": lambda *_: "null",
    "braces": lambda *_: "%7Buser_id%7D",
}
NAMING_HEADERS = ["X-User-Id", "X-Forwarded-User", "X-Original-Uri", "X-Amzn-Oidc-Identity", "User-Id", "Sub"]
NAMING_PARAMETERS = ["user_id", "USER_ID", "user", "sub", "pk", "task_id", "path", "cursor[user_id]"]


def _wide() -> dict[int, int]:
    return {ord(letter): ord(letter) + 0xFEE0 for letter in string.ascii_letters}


def tells_nothing(response: Response, bob: Bob) -> bool:
    """Whether a response contains no text and no id of bob."""
    text = response.content.decode() + str(response.headers)
    return not any(word in text for word in ("secret", bob.id, bob.task["id"], bob.trashed["id"], bob.cursor))


@pytest.mark.parametrize(("spelling", "name"), mixed(SPELLINGS, OPERATIONS))
def test_a_path_that_names_another_user_is_403(
    backend: Backend, alice: Api, bob: Bob, spelling: str, name: str
) -> None:
    stranger = Api(alice.url, alice.caller, SPELLINGS[spelling](bob.id, alice.caller))
    for condition in ("If-Match", "If-None-Match"):
        response = OPERATIONS[name].ask(stranger, bob.task["id"], headers={condition: bob.task["etag"]})
        assert is_problem(response, 403, "forbidden")
        assert tells_nothing(response, bob)
    assert backend.stored(alice.caller) == []


@pytest.mark.parametrize(("path_user", "name"), mixed(["..", "%2e%2e/x", "x/../me"], OPERATIONS))
def test_a_path_outside_the_routes_is_404(alice: Api, bob: Bob, path_user: str, name: str) -> None:
    operation = OPERATIONS[name]
    path = operation.path_of(f"me/tasks/{path_user}/{bob.id}", bob.task["id"])
    response = alice.send(operation.method, path, operation.body)
    assert response.status == 404
    assert tells_nothing(response, bob)


def test_a_403_is_the_same_whether_the_user_exists_or_not(alice: Api, bob: Bob, operation: Operation) -> None:
    there, not_there, never = (
        operation.ask(Api(alice.url, alice.caller, path_user), bob.task["id"])
        for path_user in (bob.id, bob.id[::-1], "%00")
    )
    assert is_problem(there, 403, "forbidden")
    assert _without_request_id(there) == _without_request_id(not_there) == _without_request_id(never)


def _without_request_id(response: Response) -> tuple[int, dict[str, str], dict[str, object]]:
    headers = {name.lower(): value for name, value in response.headers.items()}
    request_id = headers.pop("apigw-requestid")
    assert request_id == headers.pop("x-correlation-id") == response.json["instance"]
    headers.pop("date")
    return response.status, headers, {**response.json, "instance": ""}


@pytest.mark.parametrize(
    ("target", "condition"),
    mixed(
        list(product(["task", "trashed"], ON_A_TASK)),
        [{}, {"If-Match": "*"}, {"If-Match": "{etag}"}, {"If-None-Match": "{etag}"}],
    ),
)
def test_the_id_of_another_users_task_is_404_like_an_unknown_one(
    backend: Backend, alice: Api, bob: Bob, target: tuple[str, str], condition: dict[str, str]
) -> None:
    which, name = target
    task: Task = getattr(bob, which)
    headers = {header: value.format(etag=task["etag"]) for header, value in condition.items()}
    never = "018f3a5c-0000-7000-8000-000000000000"
    theirs, nobodys = (OPERATIONS[name].ask(alice, task_id, headers=headers) for task_id in (task["id"], never))
    assert is_problem(theirs, 404, "task-not-found")
    assert {**theirs.json, "instance": ""} == {**nobodys.json, "instance": ""}
    assert backend.stored(alice.caller) == []


TASK_ID_SPELLINGS = [
    "..%2F{id}",
    "%2e%2e%2F%2e%2e%2F{bob}%2Ftasks%2F{id}",
    "{id}%23",
    "{id}%00",
    "{id}%0A",
    "TASK%23{id}",
    "{bob}%23{id}",
    "{id}%20",
    "{id},{id}",
]


@pytest.mark.parametrize(("spelling", "name"), mixed(TASK_ID_SPELLINGS, ON_A_TASK))
def test_a_task_id_that_could_change_the_path_is_400(alice: Api, bob: Bob, spelling: str, name: str) -> None:
    response = OPERATIONS[name].ask(alice, spelling.format(id=bob.task["id"], bob=bob.id))
    assert is_problem(response, 400, "bad-task-id")
    assert tells_nothing(response, bob)


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("fields", [("user_id", "id"), ("pk", "sk", "owner", "sub")], ids=["shown", "stored"])
def test_another_user_in_the_body_is_rejected_or_ignored(
    backend: Backend, alice: Api, bob: Bob, name: str, fields: tuple[str, ...]
) -> None:
    operation = OPERATIONS[name]
    task = operation.task_for(alice)
    good = operation.body if isinstance(operation.body, dict) else {}
    values = {"id": bob.task["id"], "pk": f"USER#{bob.id}", "sk": f"TASK#{bob.task['id']}"}
    response = operation.ask(alice, task["id"], body={**good, **{field: values.get(field, bob.id) for field in fields}})
    assert response.status in (200, 201, 204, 422)
    if response.status == 422:
        assert is_problem(response, 422, "invalid-body", [f"/{field}" for field in fields])
    assert tells_nothing(response, bob)
    assert {item["pk"]["S"] for item in backend.stored(alice.caller)} == {f"USER#{alice.caller}"}
    assert all(shown["user_id"] == alice.caller for shown in [*alice.walk(), *alice.walk(status="deleted")])
    assert task["id"] in [shown["id"] for shown in [*alice.walk(), *alice.walk(status="deleted")]]


def test_another_user_in_the_query_is_400(backend: Backend, alice: Api, bob: Bob, operation: Operation) -> None:
    task = alice.made()
    before = backend.stored(alice.caller)
    response = operation.ask(alice, task["id"], urlencode(dict.fromkeys(NAMING_PARAMETERS, bob.id)))
    assert is_problem(response, 400, "bad-query")
    assert all(f"{name}: " in response.json["detail"] for name in NAMING_PARAMETERS)
    assert tells_nothing(response, bob)
    assert backend.stored(alice.caller) == before


def test_another_user_in_a_header_is_ignored(alice: Api, bob: Bob, operation: Operation) -> None:
    task = operation.task_for(alice)
    headers = {**dict.fromkeys(NAMING_HEADERS, bob.id), "Cookie": f"user_id={bob.id}"}
    response = operation.ask(Api(alice.url, alice.caller, "me"), task["id"], headers=headers)
    assert response.status in (200, 201, 204)
    assert tells_nothing(response, bob)
    assert {one["user_id"] for one in response.tasks} <= {alice.caller}


def test_a_list_shows_only_the_tasks_of_the_caller(alice: Api, bob: Bob) -> None:
    assert alice.walk() == []
    task = alice.made()
    for status in ("all", "open", "completed", "deleted"):
        response = alice.page(status=status)
        assert response.json["items"] == ([task] if status in ("all", "open") else [])
        assert tells_nothing(response, bob)


@pytest.mark.parametrize("status", ["all", "open", "completed", "deleted"])
def test_a_cursor_of_another_user_is_400(alice: Api, bob: Bob, status: str) -> None:
    alice.made()
    response = alice.page(status=status, cursor=bob.cursor)
    assert is_problem(response, 400, "bad-cursor")
    assert tells_nothing(response, bob)


@pytest.mark.parametrize("limit", [1, 100])
def test_a_sync_token_of_another_user_is_400(alice: Api, bob: Bob, limit: int) -> None:
    alice.made()
    token = bob.api.changes(limit=limit).json["next_since"]
    response = alice.changes(since=token)
    assert is_problem(response, 400, "bad-cursor")
    assert tells_nothing(response, bob)


@pytest.mark.parametrize("side", ["after", "before"])
@pytest.mark.parametrize("which", ["task", "trashed"])
def test_a_task_of_another_user_cannot_be_an_anchor(
    backend: Backend, alice: Api, bob: Bob, which: str, side: str
) -> None:
    """The response is the same as for an unknown task."""
    mine, anchor = alice.made(list="home"), getattr(bob, which)["id"]
    never = "018f3a5c-0000-7000-8000-000000000000"
    before = backend.stored(alice.caller)
    for name in ("home", "work"):
        theirs, nobodys = (alice.move(mine["id"], {side: one, "list": name}) for one in (anchor, never))
        assert is_problem(theirs, 409, "anchor-not-in-list")
        assert {**theirs.json, "instance": ""} == {**nobodys.json, "instance": ""}
        assert tells_nothing(theirs, bob)
        batch = alice.batch({"op": "move", "id": mine["id"], "list": name, side: anchor})
        assert is_problem(batch, 409, "anchor-not-in-list", ["/operations/0"])
    assert backend.stored(alice.caller) == before


def test_lists_of_two_users_with_one_name_are_two_lists(backend: Backend, alice: Api) -> None:
    other = Api(backend.url, f"bob-of-{alice.caller}")
    mine, theirs = ([api.made(list="home")["id"] for _ in range(3)] for api in (alice, other))
    stored = backend.stored(other.caller)
    alice.move(mine[2], {"after": None})
    alice.move(mine[0], {"before": None})
    assert [task["id"] for task in alice.walk(list="home", limit=1)] == [mine[2], mine[1], mine[0]]
    cursor = other.page(list="home", limit=1).json["next_cursor"]
    assert is_problem(alice.page(list="home", cursor=cursor), 400, "bad-cursor")
    assert alice.clear("?list=home").json == {"cleared": 3, "more": False}
    assert alice.walk(list="home") == []
    assert backend.stored(other.caller) == stored
    assert [task["id"] for task in other.walk(list="home")] == theirs


KEYS = ["{key}", '"{key}"', "USER#{bob}", "{bob}#{key}", "../{bob}/{key}", "KEY#{digest}"]


@pytest.mark.parametrize(("name", "key"), mixed(POSTS, KEYS))
def test_users_may_use_the_same_idempotency_key(backend: Backend, alice: Api, name: str, key: str) -> None:
    operation, used = OPERATIONS[name], f"key-{alice.caller}"
    bob = Api(backend.url, f"bob-of-{alice.caller}")
    theirs = operation.ask(bob, operation.task_for(bob)["id"], headers={"Idempotency-Key": used})
    assert theirs.status in (200, 201)
    stored = backend.stored(bob.caller)
    tried = key.format(key=used, bob=bob.caller, digest=hashlib.sha256(used.encode()).hexdigest())
    mine = operation.ask(alice, operation.task_for(alice)["id"], headers={"Idempotency-Key": tried})
    assert mine.status == theirs.status
    assert "Idempotency-Replayed" not in mine.headers
    assert {task["user_id"] for task in mine.tasks} == {alice.caller}
    assert backend.stored(bob.caller) == stored


@pytest.mark.parametrize("longer", ["x", ":b", ".."])
def test_a_user_id_that_is_a_prefix_of_another_is_a_different_user(backend: Backend, alice: Api, longer: str) -> None:
    other = Api(backend.url, f"{alice.caller}{longer}")
    theirs = [other.made(title="theirs"), other.made(title="theirs", completed=True), other.made(title="theirs")]
    other.delete(theirs[2]["id"])
    mine, stored = alice.made(), backend.stored(other.caller)
    for status in ("all", "open", "completed", "deleted"):
        assert {task["id"] for task in alice.walk(status=status)} <= {mine["id"]}
    assert [task["id"] for task in alice.changes().json["items"]] == [mine["id"]]
    assert alice.clear().json == {"cleared": 0, "more": False}
    for name, operation in ON_A_TASK.items():
        assert operation.ask(alice, theirs[0]["id"]).status == 404, name
    assert backend.stored(other.caller) == stored
