"""Malformed input of every kind is rejected with a clear error, changes nothing, and reaches no other user."""

import json
import random
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from local.tokens import make_token, verify
from tests.api import OPERATIONS, TEMPLATE
from tests.conftest import PROVE, sized, table_at
from tests.inprocess import Functions, Reply, functions
from tests.wire import Wire

REQUESTS = sized(1_000, 3_000, 200_000)
MUTATIONS = sized(200, 600, 20_000)  # of each kind
SKIPPED = sized(10, 1, 1)
SEED = 11 if PROVE in {"", "ci"} else random.SystemRandom().randrange(2**32)
NAUGHTY: list[str] = json.loads((Path(__file__).parent / "naughty_strings.json").read_text())
TASK_ID = "018f3a5c-0000-7000-8000-000000000000"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/.\"',;:#*% \t\n\0\x7f\u00e9\u4e2d\ud800"

NO_VALUES = ["1e400", "NaN", "-Infinity", "9" * 5000, "01", "1.", '"\\ud800"', '"\\u0000"', "'x'", "tru", "//", "\x00"]
NO_BODIES = [None, "", " ", "null", "0", '""', "[]", "{}", "\ufeff{}", "{}{}", "title=x"]
HEADERS = ["content-type", "content-encoding", "if-match", "if-none-match", "idempotency-key", "x-correlation-id"]
HEADER_VALUES = ['"1-1"', "*", 'W/"1-1"', '"1-1', "text/json; charset=latin1", "gzip", "k" * 300, '"2-1",' * 200]
PARAMETERS = ["status", "order", "limit", "cursor", "since"]
PARAMETER_VALUES = ["open", "desc", "0", "-1", "1", "1.0", "9" * 30, "\u0661", "", "completed"]


@pytest.fixture
def wire(dynamodb_local_url: str) -> Iterator[Wire]:
    with Wire(table_at(dynamodb_local_url, "malformed")) as wire:
        yield wire


@pytest.fixture
def call(wire: Wire, dynamodb_local_url: str) -> Iterator[Functions]:  # noqa: ARG001 - the wire is to stand there
    with functions(table_at(dynamodb_local_url, "malformed")) as call:
        yield call


class Malformer:
    """Makes requests with one to three random errors, some of which have no effect."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)  # noqa: S311 - no secret

    def text(self, longest: int = 30) -> str:
        if self.choose.random() < 0.3:
            return self.choose.choice(NAUGHTY)
        return "".join(self.choose.choices(ALPHABET, k=self.choose.randint(0, longest)))

    def value(self, depth: int = 3) -> Any:
        """Any JSON value."""
        kind = self.choose.randrange(9 if depth else 7)
        if kind == 7:
            return [self.value(depth - 1) for _ in range(self.choose.randint(0, 4))]
        if kind == 8:
            return {self.text(8): self.value(depth - 1) for _ in range(self.choose.randint(0, 4))}
        return [None, True, False, 0, -1.5, 10**30, self.text()][kind]

    def damaged(self, value: Any) -> Any:
        """A JSON value with one random change."""
        if isinstance(value, dict) and value and self.choose.random() < 0.8:
            name = self.choose.choice(list(value))
            match self.choose.randrange(4):
                case 0:
                    return {**value, self.text(10): self.value()}
                case 1:
                    return {key: one for key, one in value.items() if key != name}
                case _:
                    return {**value, name: self.damaged(value[name])}
        if isinstance(value, list) and value and self.choose.random() < 0.8:
            place = self.choose.randrange(len(value))
            return [*value[:place], self.damaged(value[place]), *value[place + 1 :]]
        return self.value()

    def body(self, good: Any) -> str | bytes | None:
        text = json.dumps(self.damaged(good) if self.choose.random() < 0.5 else good)
        damage: Callable[[], Any] = self.choose.choice(
            [
                lambda: text[: self.choose.randint(0, len(text))],
                lambda: "[" * self.choose.choice([10, 1_000, 100_000]),
                lambda: f'{{"title": {self.choose.choice(NO_VALUES)}}}',
                lambda: text.replace("{", '{"title": "twice", "title": "twice", ', 1),
                lambda: mutated(self.choose, text),
                lambda: mutated(self.choose, text).encode(errors="surrogatepass") + self.choose.randbytes(2),
                lambda: text.encode(self.choose.choice(["utf-16", "utf-32", "utf-8-sig"])),
                lambda: json.dumps({"title": "x" * self.choose.choice([256, 1_000, 1_400_000])}),
                lambda: self.choose.choice(NO_BODIES),
                *[lambda: text] * 3,
            ]
        )
        damaged: str | bytes | None = damage()
        return damaged

    def headers(self) -> dict[str, str]:
        return {self.choose.choice(HEADERS): self.choose.choice([*HEADER_VALUES, self.text()])}

    def query(self) -> dict[str, str]:
        return {self.choose.choice([*PARAMETERS, self.text(8)]): self.choose.choice([*PARAMETER_VALUES, self.text()])}

    def ask(self, call: Functions, user: str, task_id: str) -> tuple[str, Reply]:
        operation = self.choose.choice(list(OPERATIONS.values()))
        headers = {"idempotency-key": f"{self.choose.random()}"} if operation.keyed else {}
        query = {"status": "completed"} if operation.name == "clear_tasks" else {}
        body: Any = None if operation.body is None else json.dumps(operation.body)
        path_user = "me"
        for _ in range(self.choose.randint(1, 3)):
            match self.choose.randrange(6):
                case 0:
                    headers |= self.headers()
                case 1:
                    query |= self.query()
                case 2:
                    task_id = self.choose.choice([self.text(), task_id.upper(), f"{task_id}\n", f"TASK#{task_id}", ""])
                case 3:
                    path_user = self.choose.choice([self.text(), "me\0", "ME", "", "..", f"{user}#", f"USER#{user}"])
                case _:
                    body = self.body(operation.body or {})
        return operation.name, call(
            operation.name, user, task_id, path_user=path_user, query=query, body=body, headers=headers
        )


def is_answer(reply: Reply, user: str) -> bool:
    """Whether it is a good response without data of other users, or a problem."""
    assert reply.status < 500, reply
    if reply.status >= 400:
        problem = reply.json
        assert re.fullmatch(r"urn:problem:tasks:[a-z-]+", problem["type"]), problem
        assert problem["status"] == reply.status
        assert problem["detail"].strip()
        assert reply.status != 422 or "errors" in problem or reply.kind == "idempotency-key-reused"
        return True
    shown = reply.json or {}
    tasks = [shown, *shown.get("items", ()), *(result["task"] or {} for result in shown.get("results", ()))]
    assert {task["user_id"] for task in tasks if "user_id" in task} <= {user}
    return True


def test_malformed_requests_are_rejected_and_change_nothing(call: Functions, wire: Wire, user: str) -> None:
    sys.stderr.write(f"seed {SEED}\n")
    malformer, seen = Malformer(SEED), Counter[int]()
    task_id = call("create_task", user, body={"title": "here"}).json["id"]
    for number in range(REQUESTS):
        owner = f"{user}-{number // 500}"  # so that lists stay short
        before = sum(wire.applied.values())
        name, reply = malformer.ask(call, owner, task_id)
        assert is_answer(reply, owner), (number, name, reply)
        seen[reply.status] += 1
        assert reply.status < 400 or sum(wire.applied.values()) == before, (number, name, reply)
    assert {200, 201, 400, 403, 404, 413, 415, 422} <= set(seen)
    assert sum(count for status, count in seen.items() if status >= 400) > REQUESTS / 2


def is_blank(text: str) -> bool:
    """Whether a text has no visible character."""
    return all(re.match("Z|M|Cc|Cf", unicodedata.category(one)) for one in text)


@pytest.mark.parametrize("field", ["title", "description"])
def test_naughty_strings_are_returned_unchanged(call: Functions, user: str, field: str) -> None:
    kept = 0
    for text in NAUGHTY[::SKIPPED]:
        body = {"title": "naughty", field: text}
        reply = call("create_task", user, body=json.dumps(body, ensure_ascii=len(text) % 2 == 0))
        normal = unicodedata.normalize("NFC", text)
        limit = {"title": 255, "description": 8192}[field]
        if "\0" in text or len(normal) > limit or (field == "title" and is_blank(text)):
            assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, f"/{field}")
            continue
        assert reply.status == 201, (text, reply)
        assert reply.json[field] == normal
        assert call("get_task", user, reply.json["id"]).json[field] == normal
        kept += 1
    assert kept > 400 / SKIPPED


def mutated(choose: random.Random, text: str) -> str:
    """The text with one to three small changes."""
    characters = list(text)
    for _ in range(choose.randint(1, 3)):
        place = choose.randrange(len(characters) + 1)
        characters[place : place + choose.randint(0, 2)] = choose.choices(ALPHABET, k=choose.randint(0, 2))
    return "".join(characters)


def _cursor(call: Functions, user: str, other: str) -> Iterator[str]:
    for owner in (user, other):
        yield call("list_tasks", owner, query={"limit": "1"}).json["next_cursor"]


def _since(call: Functions, user: str, other: str) -> Iterator[str]:
    for owner in (user, other):
        for limit in ("1", "100"):
            yield call("list_changes", owner, query={"limit": limit}).json["next_since"]


@pytest.mark.parametrize(
    ("name", "parameter", "source"),
    [("list_tasks", "cursor", _cursor), ("list_changes", "since", _since)],
    ids=["cursors", "sync tokens"],
)
def test_mutated_tokens_reach_no_other_data(
    call: Functions, user: str, name: str, parameter: str, source: Callable[[Functions, str, str], Iterator[str]]
) -> None:
    choose, other = random.Random(SEED), f"other-{user}"  # noqa: S311 - no secret
    mine = {call("create_task", owner, body={"title": owner}).json["id"] for owner in (user, user, other)}
    mine = {task["id"] for task in call("list_tasks", user).json["items"]} & mine
    tokens = list(source(call, user, other))
    for _ in range(MUTATIONS):
        reply = call(name, user, query={parameter: mutated(choose, choose.choice(tokens)) or "-"})
        assert is_answer(reply, user)
        assert reply.status in (200, 400, 410)
        assert reply.status != 200 or {task["id"] for task in reply.json["items"]} <= mine


def test_mutated_etags_do_not_match(call: Functions, user: str) -> None:
    choose = random.Random(SEED)  # noqa: S311 - no secret
    task = call("create_task", user, body={"title": "x"}).json
    for _ in range(MUTATIONS):
        etag = mutated(choose, task["etag"])
        reply = call("update_task", user, task["id"], body={"title": "y"}, headers={"if-match": etag})
        assert is_answer(reply, user)
        assert reply.status in (200, 400, 412)
        if reply.status == 200:
            assert etag.strip() == "*" or task["etag"] in [part.strip() for part in etag.split(",")], etag
            call("update_task", user, task["id"], body={"title": "x"})
            task = call("get_task", user, task["id"]).json


def test_mutated_keys_do_not_replay_another_key(call: Functions, wire: Wire, user: str) -> None:
    choose = random.Random(SEED)  # noqa: S311 - no secret
    first = call("create_task", user, body={"title": "x"}, headers={"idempotency-key": '"key-1"'}).json
    keys = {"key-1": first}
    for _ in range(MUTATIONS):
        key, before = mutated(choose, '"key-1"'), sum(wire.applied.values())
        reply = call("create_task", user, body={"title": "x"}, headers={"idempotency-key": key})
        assert is_answer(reply, user)
        assert reply.status in (201, 400)
        if reply.status == 201:
            bare = key.strip(" \t")
            bare = json.loads(bare) if bare[0] == '"' else bare
            assert keys.setdefault(bare, reply.json) == reply.json, key
            assert ("Idempotency-Replayed" in reply.headers) == (sum(wire.applied.values()) == before)
    assert len({task["id"] for task in keys.values()}) == len(keys) > 10


def test_mutated_jwts_are_rejected() -> None:
    choose, token = random.Random(SEED), make_token("alice")  # noqa: S311 - no secret
    claims, passed = verify(token, TEMPLATE), 0
    for _ in range(MUTATIONS):
        try:
            seen = verify(mutated(choose, token), TEMPLATE)
        except (jwt.InvalidTokenError, UnicodeEncodeError):
            continue
        # Another spelling of the same bytes is the same token.
        assert seen == claims
        passed += 1
    assert passed < MUTATIONS / 20
