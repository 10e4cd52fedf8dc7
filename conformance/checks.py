"""The promises of the API, one check for each. A check creates its own tasks and ignores all others."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

from conformance.client import JSON, Caller, Failed, NotJudged, Response, at_once, new_id, new_key

NOBODYS_TASK = "018f3a5c-0000-7000-8000-000000000000"
MEMBERS = {
    *("id", "user_id", "title", "description", "due", "time_zone", "priority", "tags", "metadata", "list"),
    *("completed", "completed_at", "created_at", "updated_at", "updated_by", "position", "version", "etag"),
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
WRITERS = 6


@dataclass(frozen=True)
class Users:
    """The two users: `mine` has the first token. `id` and `other_id` are their user ids."""

    mine: Caller
    other: Caller
    id: str
    other_id: str

    @property
    def stranger(self) -> Caller:
        """The token of the first user, with the path of the other user."""
        return Caller(self.mine.url, self.mine.token, self.other_id, self.mine.created)


class Check(NamedTuple):
    """A promise: the part of the API, its description, and the function that checks it."""

    part: str
    description: str
    run: Callable[[Users], None]


CHECKS: list[Check] = []


def check(part: str) -> Callable[[Callable[[Users], None]], Callable[[Users], None]]:
    """Add a function to the checks. Its docstring describes the promise."""

    def add(run: Callable[[Users], None]) -> Callable[[Users], None]:
        CHECKS.append(Check(part, (run.__doc__ or "").removesuffix("."), run))
        return run

    return add


def same(what: str, found: object, expected: object) -> None:
    """Raise Failed if the two values differ."""
    if found != expected:
        raise Failed(f"{what} is {found!r}, not {expected!r}")


def is_task(task: Any, **expected: object) -> None:
    """Raise Failed if this is not a task with the expected values."""
    missing = MEMBERS - set(task)
    if missing:
        raise Failed(f"a task has no {', '.join(sorted(missing))}")
    for name in ("created_at", "updated_at"):
        if not TIME.fullmatch(task[name]):
            raise Failed(f"{name} is {task[name]}, not an RFC 3339 time in UTC with milliseconds")
    for name, value in expected.items():
        same(f"{name} of a task", task[name], value)


# Creating and fetching


@check("create")
def creating_returns_201_with_the_task_its_etag_and_its_location(users: Users) -> None:
    """POST returns 201 with the new task, its ETag and its Location."""
    response = users.mine.send("POST", users.mine.tasks, {"title": "Buy milk", "description": "2 l"}).expect(201)
    task = response.json
    is_task(task, user_id=users.id, title="Buy milk", description="2 l", completed=False, completed_at=None, version=1)
    response.header("ETag", task["etag"])
    response.header("Content-Type", JSON)
    response.header("Cache-Control", "no-store")
    path = urljoin(users.mine.tasks, response.header("Location"))
    same("the task at the Location", users.mine.send("GET", path).expect(200).json, task)


@check("create")
def text_is_stored_in_form_nfc(users: Users) -> None:
    """Text of any script is stored in Unicode form NFC."""
    task = users.mine.create("Cafe\u0301 \U0001f600 \u05e9\u05dc\u05d5\u05dd")
    same("the title", users.mine.get(task["id"]).json["title"], "Caf\u00e9 \U0001f600 \u05e9\u05dc\u05d5\u05dd")


@check("create")
def a_put_creates_a_task_under_the_clients_id_once(users: Users) -> None:
    """PUT with `If-None-Match: *` creates a task under the client's id, and a retry returns the same task."""
    task_id, path = new_id(), users.mine.tasks
    body = {"title": "mine", "description": None, "completed": False, "due": "2026-12-24"}
    first, again = (
        users.mine.send("PUT", f"{path}/{task_id}", body, headers={"If-None-Match": "*"}).expect(201) for _ in range(2)
    )
    users.mine.created.append(task_id)
    same("the id", first.json["id"], task_id)
    same("the second response", again.json, first.json)
    other = users.mine.send("PUT", f"{path}/{task_id}", {**body, "title": "x"}, headers={"If-None-Match": "*"})
    other.problem(412, "precondition-failed")
    old = users.mine.send("PUT", f"{path}/{NOBODYS_TASK}", body, headers={"If-None-Match": "*"})
    old.problem(422, "unusable-id")


@check("create")
def due_dates_tags_and_metadata_are_returned_as_they_were_sent(users: Users) -> None:
    """A due date does not shift, tags are sorted, and metadata is returned unchanged."""
    for due in ("2026-12-24", "2026-12-24T17:00:00", None):
        fields: dict[str, Any] = {"due": due, "priority": 1, "tags": ["b", "a", "b"], "metadata": {"k": " v "}}
        task = users.mine.create(**fields)
        expected = {**fields, "tags": ["a", "b"]}
        same("the details", {name: task[name] for name in expected}, expected)
    for bad in ("2026-02-30", "2026-12-24T17:00Z", "2026-12-24T25:00"):
        users.mine.send("POST", users.mine.tasks, {"title": "x", "due": bad}).problem(422, "invalid-body")


@check("get")
def fetching_returns_the_task_for_revalidation(users: Users) -> None:
    """GET returns 200 with the task and its ETag, and caches must revalidate it."""
    task = users.mine.create()
    response = users.mine.get(task["id"]).expect(200)
    same("the task", response.json, task)
    response.header("ETag", task["etag"])
    response.header("Cache-Control", "private, no-cache")


@check("get")
def a_current_etag_gets_304(users: Users) -> None:
    """If-None-Match with the task's ETag returns 304 without a body."""
    task = users.mine.create()
    for known in (task["etag"], f"W/{task['etag']}", "*"):
        response = users.mine.get(task["id"], if_none_match=known).expect(304)
        same("the body of a 304", response.content, b"")
        response.header("ETag", task["etag"])
    users.mine.get(task["id"], if_none_match='"9999-1"').expect(200)


@check("get")
def head_returns_the_response_to_get_without_the_body(users: Users) -> None:
    """HEAD returns the status and the headers of GET, without the body."""
    task = users.mine.create()
    paths = [f"{users.mine.tasks}/{task['id']}", f"{users.mine.tasks}?limit=1", f"{users.mine.tasks}/{NOBODYS_TASK}"]
    for path in (*paths, users.mine.tasks.removesuffix("tasks") + "changes?limit=1", "/v1/openapi.json"):
        for headers in ({}, {"If-None-Match": "*"}):
            get, head = (users.mine.send(method, path, headers=headers) for method in ("GET", "HEAD"))
            head.expect(get.status)
            same(f"the body of HEAD {path}", head.content, b"")
            for name in ("Content-Type", "ETag", "Cache-Control", "Link"):
                same(f"{name} of HEAD {path}", head.headers[name], get.headers[name])


@check("get")
def an_unknown_task_is_404(users: Users) -> None:
    """Every operation returns 404 for an unknown task id, and 400 for a malformed one."""
    for response in on_a_task(users.mine, NOBODYS_TASK):
        response.problem(404, "task-not-found")
    for response in on_a_task(users.mine, "first"):
        response.problem(400, "bad-task-id")


def on_a_task(caller: Caller, task_id: str) -> Iterator[Response]:
    """Yield the responses of every operation on one task."""
    yield caller.get(task_id)
    yield caller.replace(task_id, {"title": "x", "description": None, "completed": False})
    yield caller.update(task_id, {"title": "x"})
    yield caller.toggle(task_id)
    yield caller.delete(task_id)
    yield caller.restore(task_id)
    yield caller.move(task_id, {"list": "conformance", "after": None})


# Writing


@check("replace")
def replacing_sets_every_field_and_accepts_a_fetched_task(users: Users) -> None:
    """PUT sets every field, and accepts a task as GET returned it."""
    task = users.mine.create(description="old")
    response = users.mine.replace(task["id"], {**task, "title": "new", "description": None, "completed": True}).expect(
        200
    )
    is_task(response.json, title="new", description=None, completed=True, version=2, created_at=task["created_at"])
    response.header("ETag", response.json["etag"])
    same("the task", users.mine.get(task["id"]).json, response.json)
    users.mine.replace(task["id"], {"title": "half"}).problem(422, "invalid-body")


@check("update")
def a_patch_changes_only_its_fields(users: Users) -> None:
    """PATCH changes only the fields in it, null clears the description, and equal values keep the version."""
    task = users.mine.create(description="old")
    patched = users.mine.update(task["id"], {"title": "new"}).expect(200).json
    is_task(patched, title="new", description="old", completed=False, version=2)
    is_task(users.mine.update(task["id"], {"description": None}).expect(200).json, description=None, version=3)
    is_task(users.mine.update(task["id"], {"title": "new"}).expect(200).json, version=3)
    is_task(users.mine.update(task["id"], {"completed": True}).expect(200).json, completed=True, version=4)


@check("toggle")
def toggling_twice_restores_the_state(users: Users) -> None:
    """A toggle completes a task and sets completed_at, a second toggle reopens it."""
    task = users.mine.create()
    done = users.mine.toggle(task["id"]).expect(200).json
    is_task(done, completed=True, version=2)
    if not TIME.fullmatch(done["completed_at"] or ""):
        raise Failed(f"completed_at of a completed task is {done['completed_at']}")
    is_task(users.mine.toggle(task["id"]).expect(200).json, completed=False, completed_at=None, version=3)


@check("delete")
def a_deleted_task_is_in_the_trash(users: Users) -> None:
    """A deleted task is only in the trash, and a second DELETE also returns 204."""
    task = users.mine.create()
    same("the body of a 204", users.mine.delete(task["id"]).expect(204).content, b"")
    users.mine.delete(task["id"], if_match=task["etag"]).expect(204)
    users.mine.get(task["id"]).problem(404, "task-not-found")
    if task["id"] in {one["id"] for one in users.mine.newest(task["id"])}:
        raise Failed("a deleted task is in the list")
    trash = {one["id"]: one for one in users.mine.page(status="deleted", order="desc").expect(200).json["items"]}
    if task["id"] not in trash:
        raise Failed("a deleted task is not on the first page of the trash")
    same(
        "whether the trash shows deleted_at and purge_at",
        {"deleted_at", "purge_at"} <= set(trash[task["id"]]),
        expected=True,
    )


@check("restore")
def a_restored_task_is_unchanged(users: Users) -> None:
    """A restored task is unchanged except version, updated_at and ETag, and restoring a live task is 409."""
    task = users.mine.create(description="kept", completed=True)
    users.mine.delete(task["id"]).expect(204)
    restored = users.mine.restore(task["id"]).expect(200).json
    moved = {"version", "updated_at", "etag"}
    same("a restored task", {**restored, **{name: task[name] for name in moved}}, task)
    users.mine.restore(task["id"]).problem(409, "not-deleted")


@check("clear")
def clearing_moves_completed_tasks_to_the_trash(users: Users) -> None:
    """Clearing moves completed tasks to the trash and leaves open ones."""
    mine = users.mine
    mine.send("DELETE", mine.tasks).problem(400, "bad-query")
    for task_id in mine.created:
        mine.delete(task_id)  # tasks that other checks have created
    if mine.page(status="completed", limit=1).expect(200).json["items"]:
        raise NotJudged("the first user has other completed tasks, and this check would clear them")
    done, kept = mine.create(completed=True), mine.create()
    response = mine.send("DELETE", f"{mine.tasks}?status=completed").expect(200).json
    same("the response to clearing", response, {"cleared": 1, "more": False})
    mine.get(done["id"]).problem(404, "task-not-found")
    mine.get(kept["id"]).expect(200)


# Concurrency


@check("If-Match")
def a_stale_version_is_412_and_changes_nothing(users: Users) -> None:
    """A write with an old ETag is 412 and changes nothing, and one with the current ETag is applied."""
    task = users.mine.create()
    now = users.mine.update(task["id"], {"title": "newer"}, if_match=task["etag"]).expect(200).json
    body = {"title": "x", "description": None, "completed": True}
    for response in (
        users.mine.replace(task["id"], body, if_match=task["etag"]),
        users.mine.update(task["id"], {"title": "x"}, if_match=task["etag"]),
        users.mine.toggle(task["id"], if_match=task["etag"]),
        users.mine.delete(task["id"], if_match=task["etag"]),
    ):
        response.problem(412, "precondition-failed")
    same("the task", users.mine.get(task["id"]).expect(200).json, now)
    users.mine.update(task["id"], {"title": "x"}, if_match="unquoted").problem(400, "bad-etag")
    users.mine.delete(task["id"], if_match=now["etag"]).expect(204)


@check("If-Match")
def one_of_several_writers_with_one_etag_wins(users: Users) -> None:
    """If several clients write at once with the same ETag, one succeeds and the others get 412."""
    task = users.mine.create()
    responses = at_once(
        WRITERS, lambda number: users.mine.update(task["id"], {"title": f"writer {number}"}, if_match=task["etag"])
    )
    won = [response for response in responses if response.status == 200]
    same("the number of successful writes", len(won), 1)
    for response in responses:
        response.expect(200, 412)
    same("the task", users.mine.get(task["id"]).json, won[0].json)


@check("races")
def no_toggle_is_lost_or_applied_twice(users: Users) -> None:
    """Of several simultaneous toggles, none is lost or applied twice."""
    task = users.mine.create()
    for response in at_once(WRITERS, lambda _: users.mine.toggle(task["id"])):
        response.expect(200)
    is_task(users.mine.get(task["id"]).json, version=1 + WRITERS, completed=WRITERS % 2 == 1)


@check("Idempotency-Key")
def a_retry_gets_the_first_response(users: Users) -> None:
    """A retry of a POST with the same key is not applied again, and gets the first response."""
    mine = users.mine
    task = mine.create()
    requests: list[tuple[str, object]] = [
        (mine.tasks, {"title": "once"}),
        (f"{mine.tasks}/{task['id']}/toggle", None),
        (f"{mine.tasks}/{task['id']}/move", {"list": new_key(), "after": None}),
    ]
    for path, body in requests:
        key = {"Idempotency-Key": new_key()}
        first = mine.send("POST", path, body, key).expect(200, 201)
        same("Idempotency-Replayed of the first response", first.headers["Idempotency-Replayed"], None)
        again = mine.send("POST", path, body, key).expect(first.status)
        again.header("Idempotency-Replayed", "true")
        same("the second body", again.json, first.json)
        for name in ("ETag", "Location"):
            same(f"the second {name}", again.headers[name], first.headers[name])
    is_task(mine.get(task["id"]).json, version=3, completed=True)


@check("Idempotency-Key")
def simultaneous_requests_with_one_key_are_applied_once(users: Users) -> None:
    """Simultaneous requests with the same key create one task, and every response shows it."""
    mark, key = users.mine.create("a mark")["id"], new_key()
    body = {"title": f"once {key}"}
    responses = at_once(
        WRITERS, lambda _: users.mine.send("POST", users.mine.tasks, body, {"Idempotency-Key": key}).expect(201)
    )
    same("the number of tasks in the responses", len({response.json["id"] for response in responses}), 1)
    found = [task for task in users.mine.newest(mark) if task["title"] == body["title"]]
    same("the number of created tasks", len(found), 1)


@check("Idempotency-Key")
def a_key_of_another_request_is_422(users: Users) -> None:
    """A key of another request is 422, and a malformed key is 400."""
    key = {"Idempotency-Key": new_key()}
    users.mine.send("POST", users.mine.tasks, {"title": "one"}, key).expect(201)
    users.mine.send("POST", users.mine.tasks, {"title": "other"}, key).problem(422, "idempotency-key-reused")
    bad = {"Idempotency-Key": '"'}
    users.mine.send("POST", users.mine.tasks, {"title": "x"}, bad).problem(400, "bad-idempotency-key")


@check("batch")
def a_batch_is_atomic(users: Users) -> None:
    """A batch is applied completely or not at all, and requires a key."""
    mine = users.mine
    one, two = mine.create(), mine.create()
    response = mine.batch(
        {"op": "create", "task": {"title": "of a batch"}},
        {"op": "update", "id": one["id"], "patch": {"title": "patched"}, "if_match": one["etag"]},
        {"op": "delete", "id": two["id"]},
    ).expect(200)
    same(
        "the operations of the response",
        [result["op"] for result in response.json["results"]],
        ["create", "update", "delete"],
    )
    is_task(mine.get(one["id"]).json, title="patched", version=2)
    mine.get(two["id"]).problem(404, "task-not-found")
    half = mine.batch({"op": "toggle", "id": one["id"]}, {"op": "toggle", "id": two["id"]})
    same("the operation that failed", half.problem(404, "task-not-found").json["errors"][0]["pointer"], "/operations/1")
    is_task(mine.get(one["id"]).json, completed=False, version=2)
    body = {"operations": [{"op": "toggle", "id": one["id"]}]}
    mine.send("POST", f"{mine.tasks}/batch", body).problem(400, "idempotency-key-required")


# Lists


@check("list")
def a_list_shows_a_write_at_once(users: Users) -> None:
    """A list shows an acknowledged write at once, and only under the task's status."""
    mine = users.mine
    task = mine.create()
    for status, change in (("open", None), ("completed", mine.toggle), ("open", mine.toggle)):
        if change is not None:
            change(task["id"]).expect(200)
        for queried in ("open", "completed", "all"):
            shown = task["id"] in {one["id"] for one in mine.newest(task["id"], status=queried)}
            same(f"whether status={queried} shows a task that is {status}", shown, queried in (status, "all"))


@check("list")
def pages_show_each_task_once_during_writes(users: Users) -> None:
    """During simultaneous writes, the pages show each unchanged task exactly once and in order."""
    mine = users.mine
    mark = mine.create("a mark")
    kept, moved = [], [mark]
    for number in range(5):
        kept.append(mine.create(f"kept {number}"))
        moved.append(mine.create(f"moved {number}"))

    def meanwhile() -> None:
        mine.create("while paging")
        if len(moved) > 1:
            mine.delete(moved.pop()["id"]).expect(204)
        mine.toggle(mark["id"]).expect(200)

    shown = [task["id"] for task in mine.newest(mark["id"], meanwhile, limit=2)]
    untouched = [task["id"] for task in reversed(kept)]
    same("the unchanged tasks on the pages", [one for one in shown if one in untouched], untouched)
    same("the tasks that were shown twice", [one for one in set(shown) if shown.count(one) > 1], [])


@check("list")
def open_tasks_are_listed_by_due_date_and_filtered(users: Users) -> None:
    """Open tasks are listed by due date. A list can be limited to a tag, a priority and a range of due dates."""
    tag = new_id()
    dues = [None, "2026-12-25", "2026-12-24", "2026-12-24T17:00:00"]
    ids = {due: users.mine.create(due=due, tags=[tag], priority=1 if due else 0)["id"] for due in dues}

    def listed(**query: str) -> list[str]:
        path = f"{users.mine.tasks}?{urlencode({'status': 'open', 'tag': tag, **query})}"
        return [task["id"] for task in users.mine.send("GET", path).expect(200).json["items"]]

    by_due = [ids["2026-12-24T17:00:00"], ids["2026-12-24"], ids["2026-12-25"], ids[None]]
    same("the order", listed(), by_due)
    same("the tasks with a priority", listed(priority_max="9"), by_due[:3])
    same("the tasks due on a day", listed(due_after="2026-12-23", due_before="2026-12-25"), by_due[:2])


@check("list")
def the_link_leads_to_the_next_page(users: Users) -> None:
    """A page has at most `limit` tasks, and its Link leads to the next page."""
    for number in range(3):
        users.mine.create(f"one of three {number}")
    page = users.mine.page(order="desc", limit=2).expect(200)
    same("the number of tasks on a page", len(page.json["items"]), 2)
    link = re.fullmatch(r'<(.+)>; rel="next"', page.header("Link"))
    if link is None:
        raise Failed(f"Link is {page.headers['Link']}")
    by_link = users.mine.send("GET", urljoin(users.mine.tasks, link[1])).expect(200).json
    same("the next page", by_link, users.mine.page(order="desc", limit=2, cursor=page.json["next_cursor"]).json)


@check("list")
def a_cursor_belongs_to_its_list(users: Users) -> None:
    """A cursor of another list or user and a malformed cursor are 400, and so is an invalid limit."""
    users.mine.create()
    users.mine.create()
    cursor = users.mine.page(limit=1).expect(200).json["next_cursor"]
    for response in (
        users.mine.page(cursor=cursor, order="desc"),
        users.mine.page(cursor=cursor, status="open"),
        users.mine.page(cursor="x"),
        users.other.page(cursor=cursor),
    ):
        response.problem(400, "bad-cursor")
    for limit in ("0", "-1", "ten"):
        users.mine.page(limit=limit).problem(400, "bad-query")
    same("whether a page may have over 100", len(users.mine.page(limit=100_000).expect(200).json["items"]) > 100, False)


# Lists of the user


@check("move")
def a_moved_task_is_where_it_was_asked_to_be(users: Users) -> None:
    """A move puts a task after or before another one, or at an end, and changes no other task."""
    mine, name = users.mine, new_key()
    one, two, three = (mine.create(list=name) for _ in range(3))
    same("a new list", listed(mine, name), [one["id"], two["id"], three["id"]])
    response = mine.move(three["id"], {"after": one["id"]}).expect(200)
    is_task(response.json, id=three["id"], list=name, version=2)
    response.header("ETag", response.json["etag"])
    same("the list after a move behind a task", listed(mine, name), [one["id"], three["id"], two["id"]])
    same("the task at the same place", mine.move(three["id"], {"before": two["id"]}).expect(200).json, response.json)
    mine.move(one["id"], {"before": None}).expect(200)
    same("the list after a move to the end", listed(mine, name), [three["id"], two["id"], one["id"]])
    mine.move(one["id"], {"after": None}).expect(200)
    same("the list after a move to the beginning", listed(mine, name), [one["id"], three["id"], two["id"]])
    same("the task that was not moved", mine.get(two["id"]).json, two)
    mine.toggle(one["id"]).expect(200)
    same("the list with a completed task", listed(mine, name), [three["id"], two["id"], one["id"]])
    same("the open tasks of the list", listed(mine, name, status="open"), [three["id"], two["id"]])


@check("move")
def a_position_of_the_client_orders_the_list(users: Users) -> None:
    """A position that a create or a patch writes orders the list, and equal ones are ordered by id."""
    mine, name = users.mine, new_key()
    low, high = (mine.create(list=name, position=position) for position in ("c", "i"))
    same("the written positions", (low["position"], high["position"]), ("c", "i"))
    between = mine.create(list=name, position="cz")
    same("the list", listed(mine, name), [low["id"], between["id"], high["id"]])
    is_task(mine.update(low["id"], {"position": "i"}).expect(200).json, position="i", version=2)
    same("the list after a patch", listed(mine, name), [between["id"], *sorted((low["id"], high["id"]))])
    mine.move(between["id"], {"after": min(low["id"], high["id"])}).problem(409, "no-room")
    mine.update(mine.create()["id"], {"position": "i"}).problem(422, "invalid-body")


@check("move")
def a_task_moves_to_another_list_with_its_id(users: Users) -> None:
    """A task moves to another list with its id, by a move or a patch, and returns there from the trash."""
    mine, home, work = users.mine, new_key(), new_key()
    task, other = mine.create(list=home), mine.create(list=work)
    moved = mine.move(task["id"], {"list": work, "after": None}).expect(200).json
    is_task(moved, id=task["id"], list=work, created_at=task["created_at"], version=2)
    same("both lists", (listed(mine, home), listed(mine, work)), ([], [task["id"], other["id"]]))
    mine.delete(task["id"]).expect(204)
    is_task(mine.restore(task["id"]).expect(200).json, list=work, position=moved["position"])
    is_task(mine.update(task["id"], {"list": None}).expect(200).json, list=None, position=None)
    same("the list without the task", listed(mine, work), [other["id"]])


@check("move")
def a_move_that_cannot_be_done_changes_nothing(users: Users) -> None:
    """A move is 409 without a list, or if the other task is not in the list, and 412 with an old ETag."""
    mine, name = users.mine, new_key()
    task, alone = mine.create(list=name), mine.create()
    for anchor in (alone["id"], NOBODYS_TASK, users.other.create(list=name)["id"]):
        mine.move(task["id"], {"after": anchor}).problem(409, "anchor-not-in-list")
    mine.move(alone["id"], {"after": None}).problem(409, "no-list")
    for body in ({}, {"after": None, "before": None}, {"after": task["id"]}, {"after": None, "list": "a b"}):
        mine.move(task["id"], body).problem(422, "invalid-body")
    other = mine.create(list=name)
    mine.move(task["id"], {"after": other["id"]}, if_match='"9999-1"').problem(412, "precondition-failed")
    same("the list", listed(mine, name), [task["id"], other["id"]])


@check("move")
def tasks_that_move_to_one_place_at_once_all_arrive(users: Users) -> None:
    """If several clients move tasks to one place at once, all tasks arrive there, with different positions."""
    mine, name = users.mine, new_key()
    first, last, *others = (mine.create(list=name)["id"] for _ in range(2 + WRITERS))
    mine.move(last, {"before": None}).expect(200)
    responses = at_once(WRITERS, lambda number: mine.move(others[number], {"after": first}).expect(200))
    same("the number of positions", len({response.json["position"] for response in responses}), WRITERS)
    positions = {response.json["id"]: response.json["position"] for response in responses}
    same("the list", listed(mine, name), [first, *sorted(others, key=lambda one: positions[one]), last])


@check("move")
def a_batch_of_moves_is_applied_in_order_or_not_at_all(users: Users) -> None:
    """A batch moves several tasks one behind the other, or none."""
    mine, name = users.mine, new_key()
    one, two, three = (mine.create(list=name)["id"] for _ in range(3))
    drag = [{"op": "move", "id": one, "after": three}, {"op": "move", "id": two, "after": one}]
    mine.batch(*drag).expect(200)
    same("the list", listed(mine, name), [three, one, two])
    half = [{"op": "move", "id": two, "after": None}, {"op": "move", "id": one, "after": NOBODYS_TASK}]
    mine.batch(*half).problem(409, "anchor-not-in-list")
    same("the list after a batch that failed", listed(mine, name), [three, one, two])


@check("move")
def a_list_is_read_in_pages_and_cleared(users: Users) -> None:
    """A list is read in pages with its own cursors, and clearing it moves only its tasks to the trash."""
    mine, other = users.mine, new_key()
    parent = mine.create()
    name = f"task:{parent['id']}"  # the convention for subtasks
    ids = [mine.create(list=name)["id"] for _ in range(3)]
    kept = mine.create(list=other)["id"]
    cursor = mine.page(list=name, limit=2).expect(200).json["next_cursor"]
    rest = mine.page(list=name, limit=2, cursor=cursor).expect(200).json["items"]
    same("the second page", [task["id"] for task in rest], ids[2:])
    for response in (mine.page(cursor=cursor), mine.page(list=other, cursor=cursor)):
        response.problem(400, "bad-cursor")
    mine.toggle(ids[0]).expect(200)
    path = f"{mine.tasks}?{urlencode({'list': name})}"
    for query, cleared, left in (("&status=completed", 1, ids[1:]), ("", 2, [])):
        response = mine.send("DELETE", f"{path}{query}").expect(200).json
        same("the response to clearing", response, {"cleared": cleared, "more": False})
        same("the list after clearing", listed(mine, name), left)
    same("the other list", listed(mine, other), [kept])
    mine.get(parent["id"]).expect(200)


def listed(caller: Caller, name: str, **query: str) -> list[str]:
    """The ids of the tasks of a list, in its order."""
    return [task["id"] for task in caller.page(list=name, **query).expect(200).json["items"]]


@check("changes")
def changes_show_what_was_written_and_deleted(users: Users) -> None:
    """The changes since a token contain every write and deletion since then."""
    mine = users.mine
    gone = mine.create()
    since = walk_changes(mine, None)[1]
    task = mine.create()
    mine.delete(gone["id"]).expect(204)
    items = {item["id"]: item for item in walk_changes(mine, since)[0]}
    same("the change of a new task", items.get(task["id"]), task)
    tombstone = items.get(gone["id"], {})
    same("the tombstone of a deleted task", (tombstone.get("deleted"), tombstone.get("version")), (True, 2))
    path = mine.tasks.removesuffix("tasks") + "changes"
    mine.send("GET", f"{path}?since=x").problem(400, "bad-cursor")


def walk_changes(caller: Caller, since: str | None) -> tuple[list[Any], str]:
    """Return all changes since a token, and the next token."""
    path = caller.tasks.removesuffix("tasks") + "changes"
    items: list[Any] = []
    for _ in range(100):
        query = {"limit": 500, **({"since": since} if since else {})}
        page = caller.send("GET", f"{path}?{urlencode(query)}").expect(200).json
        items += page["items"]
        since = page["next_since"]
        if not page["has_more"]:
            return items, str(since)
    raise NotJudged("the first user has too many tasks: more than 100 pages of changes")


# Isolation


@check("isolation")
def anothers_path_is_403(users: Users) -> None:
    """A path that names another user is 403 for every operation, the same as for a user that does not exist."""
    task = users.other.create("a secret")
    nobody = Caller(users.mine.url, users.mine.token, "nobody-at-all", users.mine.created)
    for caller in (users.stranger, nobody):
        for response in every_operation(caller, task["id"]):
            response.problem(403, "forbidden")
    details = {response.json["detail"] for caller in (users.stranger, nobody) for response in [caller.page()]}
    same("the number of different responses", len(details), 1)
    same("the other's task", users.other.get(task["id"]).json, task)


@check("isolation")
def only_a_service_erases_and_imports(users: Users) -> None:
    """Without the service scope, nobody can erase a user, not even themselves, or import a task with an old id."""
    kept = users.mine.create("kept")
    body = {"title": "x", "description": None, "completed": False}
    path = f"{users.mine.tasks}/{new_id()}?import=true"
    users.mine.send("PUT", path, body, {"If-None-Match": "*"}).problem(403, "forbidden")
    # The confirmation is wrong, so that nothing is lost if the response is.
    path = f"{users.mine.tasks.removesuffix('/tasks')}?confirm={quote(users.id, safe='')}-"
    users.mine.send("DELETE", path).problem(403, "forbidden")
    same("the task", users.mine.get(kept["id"]).json, kept)


@check("isolation")
def anothers_task_is_404_and_in_no_list(users: Users) -> None:
    """Another user's task is 404 under the caller's path, and is not in the caller's lists."""
    mark = users.mine.create("a mark")
    task = users.other.create("a secret")
    for response in on_a_task(users.mine, task["id"]):
        response.problem(404, "task-not-found")
    users.mine.batch({"op": "delete", "id": task["id"]}).problem(404, "task-not-found")
    shown = [*users.mine.newest(min(mark["id"], task["id"])), *walk_changes(users.mine, None)[0]]
    if task["id"] in {one["id"] for one in shown}:
        raise Failed("another user's task is in the list")
    same("the users of the listed tasks", {one.get("user_id", users.id) for one in shown}, {users.id})
    same("the other's task", users.other.get(task["id"]).expect(200).json, task)


@check("isolation")
def users_do_not_share_keys(users: Users) -> None:
    """The same Idempotency-Key of two users creates two tasks."""
    key, body = {"Idempotency-Key": new_key()}, {"title": "one key, two users"}
    first, second = (user.send("POST", user.tasks, body, key).expect(201).json for user in (users.mine, users.other))
    same("the users of the two tasks", (first["user_id"], second["user_id"]), (users.id, users.other_id))


def every_operation(caller: Caller, task_id: str) -> Iterator[Response]:
    """Yield the responses of every operation."""
    yield from on_a_task(caller, task_id)
    yield caller.send("POST", caller.tasks, {"title": "x"})
    yield caller.page()
    yield caller.send("DELETE", f"{caller.tasks}?status=completed")
    yield caller.batch({"op": "create", "task": {"title": "x"}})
    yield caller.send("GET", caller.tasks.removesuffix("tasks") + "changes")


# Bad requests, and headers of every response


@check("errors")
def each_fault_of_a_body_is_reported(users: Users) -> None:
    """A body that is not JSON or has a duplicate key is 400, and 422 lists every fault of a body."""
    mine = users.mine
    for body, kind in (
        (b'{"title": "x",}', "bad-json"),
        (b'{"title": NaN}', "bad-json"),
        (b'\xef\xbb\xbf{"title": "x"}', "bad-json"),
        (b'{"title": "a", "title": "b"}', "duplicate-key"),
    ):
        mine.send("POST", mine.tasks, body).problem(400, kind)
    faults = {"title": "", "description": 1, "completed": "true", "colour": "red"}
    response = mine.send("POST", mine.tasks, faults).problem(422, "invalid-body")
    same("the faults", {fault["pointer"] for fault in response.json["errors"]}, {f"/{name}" for name in faults})
    for title in ("x" * 256, " \t", "a\0b"):
        mine.send("POST", mine.tasks, {"title": title}).problem(422, "invalid-body")


@check("errors")
def a_body_that_is_not_utf_8_is_400(users: Users) -> None:
    """A body that is not UTF-8 is 400."""
    response = users.mine.send("POST", users.mine.tasks, b'{"title": "\xff"}')
    if response.status == 502 and is_loopback(users.mine.url):
        raise NotJudged("the gateway itself fails with such a body, as in sam local")
    response.problem(400, "bad-encoding")


@check("errors")
def a_body_of_another_type_or_size_is_refused(users: Users) -> None:
    """A body of another type is 415, and one over 1,280 KiB is 413."""
    mine = users.mine
    text = {"Content-Type": "text/plain"}
    mine.send("POST", mine.tasks, b'{"title": "x"}', text).problem(415, "unsupported-media-type")
    coded = mine.send("POST", mine.tasks, b'{"title": "x"}', {"Content-Encoding": "gzip"})
    coded.problem(415, "unsupported-media-type").header("Accept-Encoding", "identity")
    mine.send("POST", mine.tasks, b'{"title": "x"}', {"Content-Type": f"{JSON}; charset=us-ascii"}).expect(201)
    mine.send("POST", mine.tasks, b'{"title": "x"}' + b" " * 1280 * 1024).problem(413, "body-too-large")


@check("errors")
def an_unknown_query_parameter_is_400(users: Users) -> None:
    """An unknown query parameter is 400."""
    users.mine.page(state="open").problem(400, "bad-query")
    users.mine.get(f"{NOBODYS_TASK}?colour=red").problem(400, "bad-query")


@check("errors")
def a_repeated_query_parameter_is_400(users: Users) -> None:
    """A repeated query parameter is 400, but a value may contain a comma."""
    mine = users.mine
    for query in ("tag=a&tag=b", "tag=a&t%61g=b"):
        mine.send("GET", f"{mine.tasks}?{query}").problem(400, "bad-query")
    mine.send("GET", f"{mine.tasks}?tag=a,b&limit=1").expect(200)


@check("errors")
def an_unknown_route_is_404(users: Users) -> None:
    """An unknown route is 404."""
    response = users.mine.send("GET", "/v1/users/me/nothing")
    if response.status == 403 and "Missing Authentication Token" in response.content.decode(errors="replace"):
        raise NotJudged("this gateway handles unknown routes like a REST API, as in sam local")
    response.expect(404)


@check("headers")
def a_correlation_id_is_echoed(users: Users) -> None:
    """The response repeats the correlation id, but the instance of a problem is the request id."""
    response = users.mine.send("GET", f"{users.mine.tasks}?x=y", headers={"X-Correlation-Id": "mine"})
    response.problem(400, "bad-query").header("X-Correlation-Id", "mine")
    same("whether the instance is the correlation id", response.json["instance"] == "mine", expected=False)


@check("headers")
def a_web_page_may_call_it(users: Users) -> None:
    """A web page of an allowed origin may call it and read ETag, Location and Link."""
    preflight = {
        "Authorization": None,
        "Origin": "https://conformance.example",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,if-match",
    }
    response = users.mine.send("OPTIONS", users.mine.tasks, headers=preflight)
    if "Access-Control-Allow-Origin" not in response.headers:
        raise NotJudged("the API does not allow this test's origin, but may allow others (AllowedOrigins)")
    response.expect(200, 204)
    allowed = response.header("Access-Control-Allow-Methods")
    same("whether PATCH is allowed", "PATCH" in allowed, expected=True)
    plain = users.mine.send("GET", users.mine.tasks, headers={"Origin": "https://conformance.example"})
    if "Access-Control-Expose-Headers" not in plain.headers and is_loopback(users.mine.url):
        raise NotJudged("no headers are exposed, as in sam local")
    exposed = {name.strip().lower() for name in plain.header("Access-Control-Expose-Headers").split(",")}
    same(
        "the headers that are not exposed",
        {"etag", "location", "link", "retry-after", "idempotency-replayed"} - exposed,
        set(),
    )


@check("contract")
def the_contract_is_served_to_everybody(users: Users) -> None:
    """The contract needs no token, names every operation, and its ETag gets 304."""
    response = users.mine.send("GET", "/v1/openapi.json", headers={"Authorization": None}).expect(200)
    same("the version of OpenAPI", response.json["openapi"][:4], "3.1.")
    named = {operation["operationId"] for path in response.json["paths"].values() for operation in path.values()}
    missing = {
        "create_task",
        "get_task",
        "list_tasks",
        "replace_task",
        "update_task",
        "toggle_task",
        "move_task",
        "delete_task",
    } - named
    same("the operations that are missing", missing, set())
    headers = {"Authorization": None, "If-None-Match": response.header("ETag")}
    users.mine.send("GET", "/v1/openapi.json", headers=headers).expect(304)


# Tokens


@check("tokens")
def without_a_token_it_is_401(users: Users) -> None:
    """A request without a valid token is 401."""
    for authorization in (None, "Bearer", "Basic eDp5", "Bearer x.y.z"):
        refused(users, authorization)


@check("tokens")
def a_changed_token_is_401(users: Users) -> None:
    """A token with a changed signature or payload is 401."""
    parts = users.mine.token.split(".")
    if len(parts) != 3:
        raise NotJudged("the token is not a JWT")
    header, payload, signature = parts
    changed = signature[:10] + ("A" if signature[10:11] != "A" else "B") + signature[11:]
    other = users.other.token.split(".")
    for token in (f"{header}.{payload}.{changed}", f"{header}.{payload}.", f"{header}.{other[1]}.{signature}"):
        refused(users, f"Bearer {token}")


def refused(users: Users, authorization: str | None) -> None:
    """Raise Failed if the gateway accepts this authorization, NotJudged if there is no authorizer (sam local)."""
    response = users.mine.send("GET", users.mine.tasks, headers={"Authorization": authorization})
    if response.status == 401 and response.headers["Content-Type"] != "application/problem+json":
        response.header("WWW-Authenticate")
        return
    # If a function itself rejects a request without a token, there is no authorizer.
    anonymous = users.mine.send("GET", users.mine.tasks, headers={"Authorization": None})
    no_authorizer = "no-identity" in anonymous.content.decode(errors="replace")
    if no_authorizer and is_loopback(users.mine.url):
        raise NotJudged("there is no authorizer, as in sam local")
    if no_authorizer:
        raise Failed("NO AUTHORIZER: the functions trust every token without verification")
    response.expect(401)


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
