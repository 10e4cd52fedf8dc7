"""The real handlers match the reference model for random requests in any order."""

import json
import random
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from local.streams import Record, StreamMapping
from local.tokens import SERVICE
from shared.events import happened
from shared.models import Task
from shared.store import items
from shared.store.uuid7 import uuid7
from tests.conftest import PROVE, TABLE, forget, sized, table_at
from tests.inprocess import Reply, functions
from tests.property.model import ANY, Condition, Expected, Model, Refused, at, faulty
from tests.publisher import stream_of, streams

USERS = ("ann", "bob")
# On DynamoDB Local, and on moto, which is slower.
SEQUENCES = {"dynamodb_local": sized(20, 40, 10_000), "moto": sized(8, 40, 10_000)}
STEPS = sized(30, 30, 50)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NEVER = "018f3a5c-0000-7000-8000-000000000000"

users = st.sampled_from(USERS)
picks = st.integers(0, 50)
keys = st.sampled_from([None, None, None, "k1", "k2", "k3", '"k1"'])
titles = st.sampled_from(["a", "b", "caf\u00e9", "x" * 255])
descriptions = st.sampled_from([None, "d", "", "e" * 1000])
plain = {"title": titles, "description": descriptions, "completed": st.booleans()}
dues = st.sampled_from(
    [None, "2026-12-24", "2026-12-24T17:00", "2026-12-24T17:00:00", "2026-12-23T23:59:59", "2027-01-01"]
)
lists = st.sampled_from([None, "home", "home", "work"])
details = {
    "due": dues,
    "time_zone": st.sampled_from([None, None, "Europe/Berlin"]),
    "priority": st.integers(0, 9),
    "tags": st.lists(st.sampled_from(["a", "b", "caf\u00e9"]), max_size=3),
    "list": lists,
    # Equal ones, too.
    "position": st.sampled_from([None, None, None, "1", "i", "ii"]),
}
metadata = st.dictionaries(st.sampled_from(["k", "l", "m"]), st.sampled_from(["", "1", "2"]), max_size=2)
metadata_patches = st.none() | st.dictionaries(
    st.sampled_from(["k", "l", "m"]), st.sampled_from([None, "1", "2"]), max_size=2
)
new_tasks = st.fixed_dictionaries(
    {"title": titles},
    optional={"description": descriptions, "completed": st.booleans(), **details, "metadata": metadata},
)
patches = st.fixed_dictionaries({}, optional={**plain, **details, "metadata": metadata_patches})
replacements = st.fixed_dictionaries(plain, optional={**details, "metadata": metadata})
# Filters of open tasks, and of tasks of any status.
due_ranges = st.fixed_dictionaries(
    {},
    optional={
        "due_after": st.sampled_from(["2026-12-23", "2026-12-24T16:00:00"]),
        "due_before": st.sampled_from(["2026-12-25", "2027-01-01T00:00:00"]),
    },
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "tag": st.sampled_from(["a", "caf\u00e9"]),
        "priority_max": st.sampled_from(["1", "5", "9"]),
        "list": st.sampled_from(["home", "work"]),
    },
)
# Values of If-Match and If-None-Match, with versions around that of the task.
conditions = st.sampled_from(
    [
        *[""] * 8,
        "*",
        "own",
        "own",
        "stale",
        "own and stale",
        "weak",
        "foreign",
        "not own",
        "not stale",
        "not any",
        "not weak",
    ]
)
kinds = st.sampled_from(["create", "update", "toggle", "delete", "restore", "move", "move", "move"])
# A side, an anchor (None, or a task that `task` picks), and a list.
places = st.tuples(st.sampled_from(["after", "before"]), st.none() | picks, lists)
sizes = st.sampled_from([1, 2, 3, 100])


def task_in(record: Any, image: str) -> Task | None:
    item = record["dynamodb"].get(image)
    return items.from_item(item) if item is not None and item["sk"]["S"].startswith("TASK#") else None


@cache
def mapping(url: str) -> tuple[StreamMapping, list[Record]]:
    """The reader of the stream of the table, and its records."""
    read: list[Record] = []
    reader = StreamMapping(
        streams(url), stream_of(url, TABLE), {"BatchSize": 1000}, lambda event: read.extend(event["Records"]), print
    )
    return reader, read


def new_records(url: str) -> list[Record]:
    """The records since the last call."""
    reader, read = mapping(url)
    read.clear()
    reader.poll()
    return read


class Handlers(RuleBasedStateMachine):
    """Sends each request to the handlers and to the model, and compares the responses."""

    url = ""
    sequences = 0

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(time.time_ns() // 1_000_000)
        self.run = uuid.uuid4().hex
        self.stack = ExitStack()
        table = table_at(self.url)
        self.functions = self.stack.enter_context(functions(table, lambda: self.model.now * 1_000_000))

    def ask(self, name: str, user: str, task_id: str = "", **sent: Any) -> Reply:
        """Send a request of a user, or one of the actor of the model for this user."""
        if self.model.actor is None or "path_user" in sent:
            return self.functions(name, user, task_id, **sent)
        return self.functions(name, self.model.actor, task_id, path_user=user, scope="tasks/service", **sent)

    def published(self) -> dict[tuple[str, str, int], tuple[str, Any]]:
        """The event of each version in the stream, with its task."""
        found: dict[tuple[str, str, int], tuple[str, Any]] = {}
        for record in new_records(self.url):
            if not record["dynamodb"]["Keys"]["pk"]["S"].endswith(
                self.run
            ):  # other tests write items that are not tasks of this release
                continue
            event = happened(*(task_in(record, image) for image in ("OldImage", "NewImage")))
            if event is not None:
                version = (event.user_id, event.task_id, event.version)
                assert version not in found
                found[version] = (f"task.{event.type}", event.detail("", "", full=True)["task"])
        return found

    def teardown(self) -> None:
        try:
            assert self.published() == {
                version: (kind, task.shown) for version, (kind, task) in self.model.events.items()
            }
        finally:
            self.stack.close()
            forget(self.run)
        forget(self.run)

    def name(self, user: str) -> str:
        return f"{user}-{self.run}"

    def task(self, user: str, pick: int, *, trashed: bool = False) -> str:
        """The id of a task: mostly one of the user, live or deleted; else one of another user, or an unknown id."""
        theirs = list(self.model.of(self.name("ann" if user == "bob" else "bob")).tasks)
        own = list(self.model.of(self.name(user)).tasks)
        fit = [one for one in own if (self.model.trashed(self.name(user), one) is not None) == trashed]
        chosen = [NEVER, *theirs[:1], *own] if pick > 42 else fit or own or [NEVER]
        return chosen[pick % len(chosen)]

    def condition(self, user: str, task_id: str, kind: str) -> tuple[dict[str, str], Condition]:
        task = self.model.of(self.name(user)).tasks.get(task_id)
        own, stale = (task.version if task else 1), (task.version + 1 if task else 2)
        etag = '"{}-1"'.format
        return {
            "": ({}, ANY),
            "*": ({"if-match": "*"}, ANY),
            "own": ({"if-match": etag(own)}, Condition(frozenset({own}))),
            "stale": ({"if-match": etag(stale)}, Condition(frozenset({stale}))),
            "own and stale": ({"if-match": f"{etag(stale)}, {etag(own)}"}, Condition(frozenset({own, stale}))),
            "weak": ({"if-match": f"W/{etag(own)}"}, Condition(frozenset())),
            "foreign": ({"if-match": '"else"'}, Condition(frozenset())),
            "not own": ({"if-none-match": etag(own)}, Condition(None, frozenset({own}))),
            "not stale": ({"if-none-match": etag(stale)}, Condition(None, frozenset({stale}))),
            "not any": ({"if-none-match": "*"}, Condition(frozenset())),
            "not weak": ({"if-none-match": f"W/{etag(own)}"}, Condition(None, frozenset({own}))),
        }[kind]

    def see(self, reply: Reply) -> None:
        """Pass the positions in a response to the model."""
        shown = reply.json if isinstance(reply.json, dict) else {}
        tasks = [shown, *(result["task"] for result in shown.get("results", ()) if result["task"])]
        self.model.chosen = {task["id"]: task["position"] for task in tasks if "position" in task}

    def tick(self) -> None:
        self.model.now += 1

    def place(self, user: str, chosen: tuple[str, int | None, str | None], task_id: str) -> dict[str, Any]:
        """The members of a move: the anchor is mostly another task of the same list."""
        side, pick, name = chosen
        own = self.model.of(self.name(user)).tasks
        fit = [one.id for one in own.values() if one.deleted_at is None and one.list == name and one.id != task_id]
        anchor = None if pick is None else fit[pick % len(fit)] if fit and pick <= 42 else self.task(user, pick)
        return {side: anchor, **({"list": name} if name else {})}

    def compare(self, reply: Reply, expected: Expected) -> None:
        assert reply.status == expected.status, (reply, expected)
        if expected.status >= 400:
            assert (reply.kind, reply.json["status"]) == (expected.kind, expected.status)
            assert tuple(fault["pointer"] for fault in reply.json.get("errors", ())) == expected.pointers
            return
        assert reply.json == expected.body
        assert ("Idempotency-Replayed" in reply.headers) == expected.replayed
        body = expected.body or {}
        assert reply.headers.get("ETag", body.get("etag")) == body.get("etag", reply.headers.get("ETag"))
        if expected.status == 201:
            assert reply.headers["Location"].removeprefix("tasks/") == body["id"]

    @rule(milliseconds=st.sampled_from([999, 19_990, 21_000, HOUR, 23 * HOUR, 29 * DAY, 31 * DAY]))
    def time_passes(self, milliseconds: int) -> None:
        self.model.now += milliseconds

    @rule(actor=st.sampled_from([None, SERVICE]))
    def another_acts(self, actor: str | None) -> None:
        """From now on, the owners send the requests, or a service for them."""
        self.model.actor = actor

    @rule(user=users, fields=new_tasks, key=keys)
    def create(self, user: str, fields: Mapping[str, Any], key: str | None) -> None:
        self.tick()
        me, body = self.name(user), json.dumps(fields)
        reply = self.ask("create_task", me, body=body, headers={"idempotency-key": key} if key else {})
        self.see(reply)

        def act() -> Expected:
            return Expected(201, self.model.create(me, reply.json["id"], fields).shown)

        if (invalid := faulty(fields)) is not None:  # a body is validated before its key
            self.compare(reply, Expected(422, kind="invalid-body", pointers=invalid.pointers))
            return
        self.compare(reply, self.model.once(me, _bare(key), ("create", body), act))

    @initialize(fields=st.lists(new_tasks, min_size=2, max_size=3))
    def begin(self, fields: list[Mapping[str, Any]]) -> None:
        for one in fields:
            self.create("ann", one, None)
            self.create("bob", one, None)

    @rule(user=users, title=st.sampled_from(["", " ", "\0", "x" * 256, None, 5]))
    def create_badly(self, user: str, title: Any) -> None:
        self.tick()
        reply = self.ask("create_task", self.name(user), body={"title": title})
        self.compare(reply, Expected(422, kind="invalid-body", pointers=("/title",)))
        body = {"operations": [{"op": "create", "task": {"title": "x"}}]}
        self.compare(
            self.ask("batch_tasks", self.name(user), body=body), Expected(400, kind="idempotency-key-required")
        )

    @rule(user=users, other=users, service=st.booleans(), pick=picks)
    def get_as_another(self, user: str, other: str, service: bool, pick: int) -> None:
        self.tick()
        me, them, task_id = self.name(user), self.name(other), self.task(other, pick)
        scope = "openid tasks/service" if service else "openid"
        reply = self.ask("get_task", SERVICE if service else me, task_id, path_user=them, scope=scope)
        if user != other and not service:
            self.compare(reply, Expected(403, kind="forbidden"))
        else:
            self.compare(reply, Model.response(lambda: Expected(200, self.model.live(them, task_id).shown)))

    @rule(user=users, pick=picks, known=st.sampled_from([None, "*", "own", "stale"]))
    def get(self, user: str, pick: int, known: str | None) -> None:
        self.tick()
        me, task_id = self.name(user), self.task(user, pick)

        def act() -> Expected:
            task = self.model.live(me, task_id)
            return Expected(304) if known in ("*", "own") else Expected(200, task.shown)

        task = self.model.of(me).tasks.get(task_id)
        version = (task.version if task else 1) + (known == "stale")
        headers = {} if known is None else {"if-none-match": "*" if known == "*" else f'W/"{version}-1"'}
        self.compare(self.ask("get_task", me, task_id, headers=headers), Model.response(act))

    def change(
        self, name: str, user: str, pick: int, condition: str, act: Callable[..., Any], body: Any = None
    ) -> None:
        """A write to one task without a key; `act` is the call of the model."""
        self.tick()
        me, task_id = self.name(user), self.task(user, pick)
        headers, wanted = self.condition(user, task_id, condition)
        reply = self.ask(name, me, task_id, body=body, headers=headers)
        self.see(reply)

        def response() -> Expected:
            task = act(me, task_id, *([] if body is None else [body]), wanted)
            return Expected(204) if task is None else Expected(200, task.shown)

        self.compare(reply, Model.response(response))

    @rule(user=users, pick=picks, fields=replacements, condition=conditions)
    def replace(self, user: str, pick: int, fields: Mapping[str, Any], condition: str) -> None:
        # With "not any" a replace creates: create_under_an_id tests that.
        condition = "stale" if condition == "not any" else condition
        self.change("replace_task", user, pick, condition, self.model.replace, fields)

    @rule(user=users, pick=picks, fields=patches, condition=conditions)
    def update(self, user: str, pick: int, fields: Mapping[str, Any], condition: str) -> None:
        self.change("update_task", user, pick, condition, self.model.patch, fields)

    @rule(
        user=users,
        fields=replacements,
        age=st.sampled_from([0, 0, 0, HOUR, 29 * DAY, 29 * DAY + 1, -DAY, -DAY - 1]),
        pauses=st.lists(st.sampled_from([1, HOUR, 30 * DAY]), max_size=2),
        other=replacements,
    )
    def create_under_an_id(
        self, user: str, fields: dict[str, Any], age: int, pauses: list[int], other: dict[str, Any]
    ) -> None:
        """Create a task under an id of the client, repeat it later, and then with other content."""
        self.tick()
        me, made = self.name(user), self.model.now - age
        task_id = str(uuid7(made * 1_000_000))
        for body, pause in [(fields, 0), *((fields, pause) for pause in pauses), (other, 1)]:
            self.model.now += pause
            reply = self.ask("replace_task", me, task_id, body=body, headers={"if-none-match": "*"})
            self.see(reply)

            def act(body: dict[str, Any] = body) -> Expected:
                return Expected(201, self.model.create(me, task_id, body, made).shown)

            self.compare(reply, Model.response(act))

    @rule(
        user=users,
        pick=picks,
        fields=replacements,
        age=st.sampled_from([0, HOUR, 100 * DAY, -DAY - 1]),
        completed=st.none() | st.sampled_from([0, HOUR, 99 * DAY]),
        deleted=st.none() | st.none() | st.sampled_from([0, HOUR, 29 * DAY, 31 * DAY]),
        writer=st.none() | st.just("carol"),
        again=st.booleans(),
    )
    def import_task(
        self,
        user: str,
        pick: int,
        fields: dict[str, Any],
        age: int,
        completed: int | None,
        deleted: int | None,
        writer: str | None,
        again: bool,
    ) -> None:
        """Import a task of any age, twice, or one under the id of a task that is there."""
        self.tick()
        me, now = self.name(user), self.model.now
        task_id = self.task(user, pick) if pick > 35 else str(uuid7((now - age) * 1_000_000))
        times = {
            name: now - ago for name, ago in (("completed_at", completed), ("deleted_at", deleted)) if ago is not None
        }
        body = {**fields, **{name: at(time) for name, time in times.items()}, "updated_by": writer}
        for _ in range(1 + again):
            self.tick()
            sent: dict[str, Any] = {"body": body, "headers": {"if-none-match": "*"}, "query": {"import": "true"}}
            reply = self.ask("replace_task", SERVICE, task_id, path_user=me, scope="tasks/service", **sent)

            def act() -> Expected:
                made = int(task_id.replace("-", "")[:12], 16)
                imported = {**fields, **times, "updated_by": writer}
                return Expected(201, self.model.import_task(me, task_id, imported, made).shown)

            self.compare(reply, Model.response(act))

    @rule(user=users, pick=picks, condition=conditions)
    def delete(self, user: str, pick: int, condition: str) -> None:
        self.change("delete_task", user, pick, condition, self.model.delete)

    @rule(user=users, pick=picks, condition=conditions, key=keys, name=st.sampled_from(["toggle", "restore"]))
    def toggle_or_restore(self, user: str, pick: int, condition: str, key: str | None, name: str) -> None:
        self.tick()
        me, task_id = self.name(user), self.task(user, pick, trashed=name == "restore")
        headers, wanted = self.condition(user, task_id, condition)
        act = self.model.toggle if name == "toggle" else self.model.restore
        sent = {**headers, **({"idempotency-key": key} if key else {})}
        reply = self.ask(f"{name}_task", me, task_id, headers=sent)
        asked = (name, task_id, tuple(sorted(headers.items())))
        done = self.model.once(me, _bare(key), asked, lambda: Expected(200, act(me, task_id, wanted).shown))
        self.compare(reply, done)

    @rule(
        user=users,
        query=st.sampled_from([{"status": "completed"}, {"list": "work"}, {"status": "completed", "list": "home"}]),
    )
    def clear(self, user: str, query: Mapping[str, str]) -> None:
        self.tick()
        reply = self.ask("clear_tasks", self.name(user), query=query)
        self.compare(reply, self.model.clear(self.name(user), query))

    @rule(user=users, pick=picks, chosen=places, condition=conditions, key=keys)
    def move(
        self, user: str, pick: int, chosen: tuple[str, int | None, str | None], condition: str, key: str | None
    ) -> None:
        self.tick()
        me, task_id = self.name(user), self.task(user, pick)
        headers, wanted = self.condition(user, task_id, condition)
        body = self.place(user, chosen, task_id)
        sent = {**headers, **({"idempotency-key": key} if key else {})}
        reply = self.ask("move_task", me, task_id, body=body, headers=sent)
        self.see(reply)
        asked = ("move", task_id, json.dumps(body), tuple(sorted(headers.items())))

        def act() -> Expected:
            return Expected(200, self.model.move(me, task_id, body, wanted).shown)

        self.compare(reply, self.model.once(me, _bare(key), asked, act))

    @rule(user=users, picked=st.lists(st.tuples(picks, places), min_size=2, max_size=6))
    def arrange(self, user: str, picked: list[tuple[int, tuple[str, int | None, str | None]]]) -> None:
        """Several moves, and the list after them."""
        for pick, chosen in picked:
            self.move(user, pick, chosen, "", None)
        self.list_page(user, "all", "asc", 100, -1, {"list": "home"})

    @rule(
        user=users,
        key=st.sampled_from(["b1", "b2", "b3", "b4", "k1"]),
        wanted=st.lists(st.tuples(kinds, picks, patches, new_tasks, places, conditions), min_size=1, max_size=4),
    )
    def batch(self, user: str, key: str, wanted: list[tuple[str, int, Any, Any, Any, str]]) -> None:
        self.tick()
        me = self.name(user)
        sent: list[dict[str, Any]] = []
        for kind, pick, patch, new, chosen, condition in wanted:
            operation: dict[str, Any] = {"op": kind}
            if kind == "create":
                operation["task"] = new
            else:
                operation["id"] = self.task(user, pick, trashed=kind == "restore")
                headers, _ = self.condition(user, operation["id"], condition)
                if "if-match" in headers:
                    operation["if_match"] = headers["if-match"]
                if kind == "update":
                    operation["patch"] = patch
                if kind == "move":
                    operation |= self.place(user, chosen, operation["id"])
            sent.append(operation)
        body = json.dumps({"operations": sent})
        reply = self.ask("batch_tasks", me, body=body, headers={"idempotency-key": key})
        self.see(reply)
        ids = [operation["id"] for operation in sent if "id" in operation]
        if len(ids) > len(set(ids)):
            self.compare(reply, Expected(422, kind="invalid-body", pointers=("/operations",)))
            return
        if all(kind == "create" for kind, *_ in wanted):
            faults = [(index, fault) for index, one in enumerate(sent) if (fault := faulty(one["task"])) is not None]
            if faults:
                index, fault = faults[0]
                pointers = tuple(f"/operations/{index}/task{pointer}" for pointer in fault.pointers)
                self.compare(reply, Expected(422, kind="invalid-body", pointers=pointers))
                return
        done = reply.json.get("results", []) if reply.status == 200 else []
        new_ids = [result["id"] for result in done if result["op"] == "create"]
        meant = [
            {**operation, "condition": self.condition(user, operation["id"], condition)[1]}
            if "if_match" in operation
            else operation
            for operation, (*_, condition) in zip(sent, wanted, strict=True)
        ]
        self.compare(reply, self.model.once(me, key, ("batch", body), lambda: self.model.batch(me, meant, new_ids)))

    @rule(
        user=users,
        status=st.sampled_from(["all", "open", "completed", "deleted"]),
        order=st.sampled_from(["asc", "desc"]),
        limit=sizes,
        pick=st.sampled_from([-1, -1, 0, 1, 2, 3]),
        filtered=filters,
        due=due_ranges,
    )
    def list_page(
        self,
        user: str,
        status: str,
        order: str,
        limit: int,
        pick: int,
        filtered: Mapping[str, str] | None = None,
        due: Mapping[str, str] | None = None,
    ) -> None:
        self.tick()
        me = self.name(user)
        cursor = _one_of([c for owner in USERS for c in self.model.of(self.name(owner)).cursors], pick)
        query = {"status": status, "order": order, **(filtered or {}), **((due if status == "open" else None) or {})}
        sent = {**query, "limit": str(limit), **({"cursor": cursor} if cursor else {})}
        reply = self.ask("list_tasks", me, query=sent)
        try:
            items, more, last = self.model.page(me, query, limit, cursor)
        except Refused as refused:
            self.compare(reply, Expected(refused.status, kind=refused.kind))
            return
        assert (reply.status, reply.json["items"]) == (200, items)
        following = reply.json["next_cursor"]
        assert more is None or (following is not None) == more
        assert ("Link" in reply.headers) == (following is not None)
        if following is not None:
            self.model.of(me).cursors[following] = (query, last)

    @rule(user=users, limit=sizes, pick=picks)
    def list_changes(self, user: str, limit: int, pick: int) -> None:
        """Mostly with the newest token, so that walks continue; else with none, an older or a foreign one."""
        since = _one_of([t for owner in USERS for t in self.model.of(self.name(owner)).tokens], pick - 40)
        if pick < 35:
            since = _one_of(list(self.model.of(self.name(user)).tokens), 0)
        self.sync(user, since, limit)

    def sync(self, user: str, since: str | None, limit: int) -> None:
        self.tick()
        me = self.name(user)
        reply = self.ask("list_changes", me, query={"limit": str(limit), **({"since": since} if since else {})})
        try:
            items, more, (first, watermark, last) = self.model.changes(me, since, limit)
        except Refused as refused:
            self.compare(reply, Expected(refused.status, kind=refused.kind))
            return
        assert (reply.status, reply.json["items"]) == (200, items)
        has_more = reply.json["has_more"]
        assert more is None or has_more == more
        state = (first, watermark, last) if has_more else (watermark, None, None)
        self.model.of(me).tokens[reply.json["next_since"]] = state

    # Sequences that single rules rarely make.

    @rule(
        user=users, pauses=st.lists(st.sampled_from([999, 19_990, 21_000, 29 * DAY, 31 * DAY]), min_size=1, max_size=3)
    )
    def visits(self, user: str, pauses: list[int]) -> None:
        for pause in pauses:
            self.list_changes(user, 100, 0)
            self.time_passes(pause)
        self.list_changes(user, 2, 0)

    @rule(user=users, pick=picks, limit=sizes)
    def clock_ahead(self, user: str, pick: int, limit: int) -> None:
        """The clock of a function is an hour ahead, stamps a task, returns a token, and is then corrected."""
        self.model.now += HOUR
        self.toggle_or_restore(user, pick, "", None, "toggle")
        self.list_changes(user, limit, 0)
        self.model.now -= HOUR
        self.list_changes(user, limit, 0)
        self.sync(user, None, limit)
        self.list_changes(user, 100, 0)

    @rule(user=users, newest_first=st.booleans(), limit=sizes)
    def throw_away(self, user: str, newest_first: bool, limit: int) -> None:
        for place in sorted(range(3), reverse=newest_first):
            self.delete(user, place, "")
        self.list_page(user, "deleted", "asc", limit, -1)
        self.list_page(user, "deleted", "desc", limit, 0)


def _bare(key: str | None) -> str | None:
    return key and key.strip('"')


def _one_of(known: list[str], pick: int) -> str | None:
    """One of the newest, which can still be valid; none if `pick` is below 0."""
    return known[-1 - pick % min(len(known), 4)] if known and pick >= 0 else None


@pytest.fixture
def machine(request: pytest.FixtureRequest, engine_url: str) -> type[Handlers]:
    class OnThisEngine(Handlers):
        url = engine_url
        sequences = SEQUENCES[request.node.callspec.params["engine_url"]]

    return OnThisEngine


def test_the_handlers_match_the_model(machine: type[Handlers]) -> None:
    chosen = random.SystemRandom().randrange(2**32)
    if PROVE not in {"", "ci"}:
        sys.stderr.write(f"seed {chosen}\n")
        seed(chosen)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=machine.sequences,
            stateful_step_count=STEPS,
            derandomize=PROVE in {"", "ci"},
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
