"""What the API promises, a check each. A check makes what it needs, and compares nothing with what others have made."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from conformance.client import JSON, Answer, Caller, Failed, NotJudged, at_once, new_key

NOBODYS_TASK = "018f3a5c-0000-7000-8000-000000000000"
MEMBERS = {
    *("id", "user_id", "title", "description", "completed", "completed_at"),
    *("created_at", "updated_at", "version", "etag"),
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
WRITERS = 6


@dataclass(frozen=True)
class Users:
    """Who calls: `mine`, whose token is the first, and `other`. `id` and `other_id` are what the API calls them."""

    mine: Caller
    other: Caller
    id: str
    other_id: str

    @property
    def stranger(self) -> Caller:
        """The first user, where the path names the other."""
        return Caller(self.mine.url, self.mine.token, self.other_id, self.mine.made)


class Check(NamedTuple):
    """A promise: the part of the API that it is of, its words, and how it is tried."""

    part: str
    words: str
    run: Callable[[Users], None]


CHECKS: list[Check] = []


def check(part: str) -> Callable[[Callable[[Users], None]], Callable[[Users], None]]:
    """Add a function to the checks; its docstring is what it holds the API to."""

    def add(run: Callable[[Users], None]) -> Callable[[Users], None]:
        CHECKS.append(Check(part, (run.__doc__ or "").removesuffix("."), run))
        return run

    return add


def same(what: str, found: object, expected: object) -> None:
    """Raise Failed where something is not what it should be."""
    if found != expected:
        raise Failed(f"{what} is {found!r}, not {expected!r}")


def is_task(task: Any, **expected: object) -> None:
    """Raise Failed where this is no task, or not the one that is expected."""
    missing = MEMBERS - set(task)
    if missing:
        raise Failed(f"a task lacks {', '.join(sorted(missing))}")
    for name in ("created_at", "updated_at"):
        if not TIME.fullmatch(task[name]):
            raise Failed(f"{name} is {task[name]}, no RFC 3339 time in UTC with milliseconds")
    for name, value in expected.items():
        same(f"{name} of a task", task[name], value)


# Creating and fetching


@check("create")
def creating_answers_201_with_the_task_its_etag_and_its_place(users: Users) -> None:
    """Creating answers 201 with the task, its ETag and its place."""
    answer = users.mine.send("POST", users.mine.tasks, {"title": "Buy milk", "description": "2 l"}).expect(201)
    task = answer.json
    is_task(task, user_id=users.id, title="Buy milk", description="2 l", completed=False, completed_at=None, version=1)
    answer.header("ETag", task["etag"])
    answer.header("Content-Type", JSON)
    answer.header("Cache-Control", "no-store")
    place = answer.header("Location", f"/v1/users/{quote(users.id, safe='')}/tasks/{task['id']}")
    same("what lies at the Location", users.mine.send("GET", place).expect(200).json, task)


@check("create")
def text_is_kept_in_form_nfc(users: Users) -> None:
    """Text of any script is kept, in Unicode form NFC."""
    task = users.mine.create("Cafe\u0301 \U0001f600 \u05e9\u05dc\u05d5\u05dd")
    same("the title", users.mine.get(task["id"]).json["title"], "Caf\u00e9 \U0001f600 \u05e9\u05dc\u05d5\u05dd")


@check("get")
def fetching_answers_the_task_to_be_revalidated(users: Users) -> None:
    """Fetching answers 200 with the task and its ETag, to be revalidated by caches."""
    task = users.mine.create()
    answer = users.mine.get(task["id"]).expect(200)
    same("the task", answer.json, task)
    answer.header("ETag", task["etag"])
    answer.header("Cache-Control", "private, no-cache")


@check("get")
def who_has_a_task_gets_304(users: Users) -> None:
    """If-None-Match with the task's ETag answers 304 without a body."""
    task = users.mine.create()
    for known in (task["etag"], f"W/{task['etag']}", "*"):
        answer = users.mine.get(task["id"], if_none_match=known).expect(304)
        same("the body of a 304", answer.content, b"")
        answer.header("ETag", task["etag"])
    users.mine.get(task["id"], if_none_match='"9999-1"').expect(200)


@check("get")
def head_answers_as_get_without_the_body(users: Users) -> None:
    """HEAD answers as GET, with the same status and headers, and without the body."""
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
def what_is_not_there_is_404(users: Users) -> None:
    """A task that never was is 404, to every operation on a task; an id that can be none is 400."""
    for answer in on_a_task(users.mine, NOBODYS_TASK):
        answer.problem(404, "task-not-found")
    for answer in on_a_task(users.mine, "first"):
        answer.problem(400, "bad-task-id")


def on_a_task(caller: Caller, task_id: str) -> Iterator[Answer]:
    """The answers of every operation on a task."""
    yield caller.get(task_id)
    yield caller.replace(task_id, {"title": "x", "description": None, "completed": False})
    yield caller.update(task_id, {"title": "x"})
    yield caller.toggle(task_id)
    yield caller.delete(task_id)
    yield caller.restore(task_id)


# Writing


@check("replace")
def replacing_sets_every_field_and_takes_back_what_was_fetched(users: Users) -> None:
    """Replacing sets every field, and takes back a task as it was fetched."""
    task = users.mine.create(description="old")
    answer = users.mine.replace(task["id"], {**task, "title": "new", "description": None, "completed": True}).expect(
        200
    )
    is_task(answer.json, title="new", description=None, completed=True, version=2, created_at=task["created_at"])
    answer.header("ETag", answer.json["etag"])
    same("the task", users.mine.get(task["id"]).json, answer.json)
    users.mine.replace(task["id"], {"title": "half"}).problem(422, "invalid-body")


@check("update")
def a_patch_changes_what_it_names(users: Users) -> None:
    """A patch changes what it names, null clears the description, and what changes nothing keeps the version."""
    task = users.mine.create(description="old")
    patched = users.mine.update(task["id"], {"title": "new"}).expect(200).json
    is_task(patched, title="new", description="old", completed=False, version=2)
    is_task(users.mine.update(task["id"], {"description": None}).expect(200).json, description=None, version=3)
    is_task(users.mine.update(task["id"], {"title": "new"}).expect(200).json, version=3)
    is_task(users.mine.update(task["id"], {"completed": True}).expect(200).json, completed=True, version=4)


@check("toggle")
def toggling_flips_and_flips_back(users: Users) -> None:
    """Toggling flips a task and flips it back; completed_at says when it was completed."""
    task = users.mine.create()
    done = users.mine.toggle(task["id"]).expect(200).json
    is_task(done, completed=True, version=2)
    if not TIME.fullmatch(done["completed_at"] or ""):
        raise Failed(f"completed_at of a completed task is {done['completed_at']}")
    is_task(users.mine.toggle(task["id"]).expect(200).json, completed=False, completed_at=None, version=3)


@check("delete")
def a_deleted_task_lies_in_the_trash(users: Users) -> None:
    """A deleted task is in the trash and nowhere else, and deleting it again is 204, too."""
    task = users.mine.create()
    same("the body of a 204", users.mine.delete(task["id"]).expect(204).content, b"")
    users.mine.delete(task["id"], if_match=task["etag"]).expect(204)
    users.mine.get(task["id"]).problem(404, "task-not-found")
    if task["id"] in {one["id"] for one in users.mine.newest(task["id"])}:
        raise Failed("a deleted task is in the list")
    trash = {one["id"]: one for one in users.mine.page(status="deleted", order="desc").expect(200).json["items"]}
    if task["id"] not in trash:
        raise Failed("a deleted task is not among the newest of the trash")
    same("what the trash says besides", {"deleted_at", "purge_at"} <= set(trash[task["id"]]), expected=True)


@check("restore")
def a_restored_task_is_as_it_was(users: Users) -> None:
    """A restored task is as it was, but for its version and updated_at; one that is not deleted is 409."""
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
    for task_id in mine.made:
        mine.delete(task_id)  # what other checks have left
    if mine.page(status="completed", limit=1).expect(200).json["items"]:
        raise NotJudged("the first user has completed tasks of their own, which would be cleared")
    done, kept = mine.create(completed=True), mine.create()
    answer = mine.send("DELETE", f"{mine.tasks}?status=completed").expect(200).json
    same("what clearing answers", answer, {"cleared": 1, "more": False})
    mine.get(done["id"]).problem(404, "task-not-found")
    mine.get(kept["id"]).expect(200)


# Two at once


@check("If-Match")
def a_stale_version_is_412_and_changes_nothing(users: Users) -> None:
    """A write with a version that is over is 412 and changes nothing; with the one that is, it is done."""
    task = users.mine.create()
    now = users.mine.update(task["id"], {"title": "newer"}, if_match=task["etag"]).expect(200).json
    body = {"title": "x", "description": None, "completed": True}
    for answer in (
        users.mine.replace(task["id"], body, if_match=task["etag"]),
        users.mine.update(task["id"], {"title": "x"}, if_match=task["etag"]),
        users.mine.toggle(task["id"], if_match=task["etag"]),
        users.mine.delete(task["id"], if_match=task["etag"]),
    ):
        answer.problem(412, "precondition-failed")
    same("the task", users.mine.get(task["id"]).expect(200).json, now)
    users.mine.update(task["id"], {"title": "x"}, if_match="unquoted").problem(400, "bad-etag")
    users.mine.delete(task["id"], if_match=now["etag"]).expect(204)


@check("If-Match")
def of_several_writers_with_one_version_one_wins(users: Users) -> None:
    """Of several writers at once with one version, one wins, and the others are told 412."""
    task = users.mine.create()
    answers = at_once(
        WRITERS, lambda number: users.mine.update(task["id"], {"title": f"writer {number}"}, if_match=task["etag"])
    )
    won = [answer for answer in answers if answer.status == 200]
    same("the number of those who won", len(won), 1)
    for answer in answers:
        answer.expect(200, 412)
    same("the task", users.mine.get(task["id"]).json, won[0].json)


@check("races")
def no_toggle_is_lost_or_done_twice(users: Users) -> None:
    """Of several toggles at once none is lost or done twice."""
    task = users.mine.create()
    for answer in at_once(WRITERS, lambda _: users.mine.toggle(task["id"])):
        answer.expect(200)
    is_task(users.mine.get(task["id"]).json, version=1 + WRITERS, completed=WRITERS % 2 == 1)


@check("Idempotency-Key")
def a_request_that_is_sent_again_is_answered_again(users: Users) -> None:
    """A POST that is sent again with its key is not done again, and gets the first answer again."""
    mine = users.mine
    task = mine.create()
    asked: list[tuple[str, object]] = [
        (mine.tasks, {"title": "once"}),
        (f"{mine.tasks}/{task['id']}/toggle", None),
    ]
    for path, body in asked:
        key = {"Idempotency-Key": new_key()}
        first = mine.send("POST", path, body, key).expect(200, 201)
        same("Idempotency-Replayed at first", first.headers["Idempotency-Replayed"], None)
        again = mine.send("POST", path, body, key).expect(first.status)
        again.header("Idempotency-Replayed", "true")
        same("the second body", again.json, first.json)
        for name in ("ETag", "Location"):
            same(f"the second {name}", again.headers[name], first.headers[name])
    is_task(mine.get(task["id"]).json, version=2, completed=True)


@check("Idempotency-Key")
def one_key_twice_at_once_is_done_once(users: Users) -> None:
    """One key sent several times at once makes one task, and every answer shows it."""
    mark, key = users.mine.create("a mark")["id"], new_key()
    body = {"title": f"once {key}"}
    answers = at_once(
        WRITERS, lambda _: users.mine.send("POST", users.mine.tasks, body, {"Idempotency-Key": key}).expect(201)
    )
    same("the number of tasks that are shown", len({answer.json["id"] for answer in answers}), 1)
    found = [task for task in users.mine.newest(mark) if task["title"] == body["title"]]
    same("the number of tasks that were made", len(found), 1)


@check("Idempotency-Key")
def a_key_of_another_request_is_422(users: Users) -> None:
    """A key that was used for another request is 422, and one that is none 400."""
    key = {"Idempotency-Key": new_key()}
    users.mine.send("POST", users.mine.tasks, {"title": "one"}, key).expect(201)
    users.mine.send("POST", users.mine.tasks, {"title": "other"}, key).problem(422, "idempotency-key-reused")
    bad = {"Idempotency-Key": '"'}
    users.mine.send("POST", users.mine.tasks, {"title": "x"}, bad).problem(400, "bad-idempotency-key")


@check("batch")
def a_batch_is_done_as_a_whole(users: Users) -> None:
    """A batch is done as a whole, or not at all, and needs a key."""
    mine = users.mine
    one, two = mine.create(), mine.create()
    answer = mine.batch(
        {"op": "create", "task": {"title": "of a batch"}},
        {"op": "update", "id": one["id"], "patch": {"title": "patched"}, "if_match": one["etag"]},
        {"op": "delete", "id": two["id"]},
    ).expect(200)
    same("what was done", [result["op"] for result in answer.json["results"]], ["create", "update", "delete"])
    is_task(mine.get(one["id"]).json, title="patched", version=2)
    mine.get(two["id"]).problem(404, "task-not-found")
    half = mine.batch({"op": "toggle", "id": one["id"]}, {"op": "toggle", "id": two["id"]})
    same("where it failed", half.problem(404, "task-not-found").json["errors"][0]["pointer"], "/operations/1")
    is_task(mine.get(one["id"]).json, completed=False, version=2)
    body = {"operations": [{"op": "toggle", "id": one["id"]}]}
    mine.send("POST", f"{mine.tasks}/batch", body).problem(400, "idempotency-key-required")


# Lists


@check("list")
def a_list_shows_at_once_what_was_written(users: Users) -> None:
    """A list shows at once what was written before, under its status and no other."""
    mine = users.mine
    task = mine.create()
    for status, change in (("open", None), ("completed", mine.toggle), ("open", mine.toggle)):
        if change is not None:
            change(task["id"]).expect(200)
        for asked in ("open", "completed", "all"):
            shown = task["id"] in {one["id"] for one in mine.newest(task["id"], status=asked)}
            same(f"whether {asked} shows an {status} task", shown, asked in (status, "all"))


@check("list")
def pages_show_each_task_once_though_others_are_written(users: Users) -> None:
    """Page by page, what nobody touches appears exactly once and in order, whatever is written meanwhile."""
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
    same("what was shown of what nobody touched", [one for one in shown if one in untouched], untouched)
    same("what was shown twice", [one for one in set(shown) if shown.count(one) > 1], [])


@check("list")
def the_link_leads_to_the_next_page(users: Users) -> None:
    """A page holds at most what its limit says, and its Link leads to the next."""
    for number in range(3):
        users.mine.create(f"one of three {number}")
    page = users.mine.page(order="desc", limit=2).expect(200)
    same("the number of tasks on a page", len(page.json["items"]), 2)
    link = re.fullmatch(r'<(.+)>; rel="next"', page.header("Link"))
    if link is None:
        raise Failed(f"Link is {page.headers['Link']}")
    by_link = users.mine.send("GET", link[1]).expect(200).json
    same("the next page", by_link, users.mine.page(order="desc", limit=2, cursor=page.json["next_cursor"]).json)


@check("list")
def a_cursor_belongs_to_its_list(users: Users) -> None:
    """A cursor of another list, another user or nobody is 400, and so is a limit that is none."""
    users.mine.create()
    users.mine.create()
    cursor = users.mine.page(limit=1).expect(200).json["next_cursor"]
    for answer in (
        users.mine.page(cursor=cursor, order="desc"),
        users.mine.page(cursor=cursor, status="open"),
        users.mine.page(cursor="x"),
        users.other.page(cursor=cursor),
    ):
        answer.problem(400, "bad-cursor")
    for limit in ("0", "-1", "ten"):
        users.mine.page(limit=limit).problem(400, "bad-query")
    same("whether a page may have over 100", len(users.mine.page(limit=100_000).expect(200).json["items"]) > 100, False)


@check("changes")
def changes_show_what_was_written_and_deleted(users: Users) -> None:
    """What was written or deleted since a token is among the changes since it."""
    mine = users.mine
    gone = mine.create()
    since = walk_changes(mine, None)[1]
    task = mine.create()
    mine.delete(gone["id"]).expect(204)
    items = {item["id"]: item for item in walk_changes(mine, since)[0]}
    same("the change of a new task", items.get(task["id"]), task)
    tombstone = items.get(gone["id"], {})
    same("whether a deletion is told", (tombstone.get("deleted"), tombstone.get("version")), (True, 2))
    path = mine.tasks.removesuffix("tasks") + "changes"
    mine.send("GET", f"{path}?since=x").problem(400, "bad-cursor")


def walk_changes(caller: Caller, since: str | None) -> tuple[list[Any], str]:
    """All changes since a token, and the token to go on from."""
    path = caller.tasks.removesuffix("tasks") + "changes"
    items: list[Any] = []
    for _ in range(100):
        query = {"limit": 500, **({"since": since} if since else {})}
        page = caller.send("GET", f"{path}?{urlencode(query)}").expect(200).json
        items += page["items"]
        since = page["next_since"]
        if not page["has_more"]:
            return items, str(since)
    raise NotJudged("the first user has more tasks than this suite walks through: 100 pages of changes")


# Isolation


@check("isolation")
def anothers_path_is_403(users: Users) -> None:
    """A path that names another user is 403 for every operation, the same as for a user that does not exist."""
    task = users.other.create("a secret")
    nobody = Caller(users.mine.url, users.mine.token, "nobody-at-all", users.mine.made)
    for caller in (users.stranger, nobody):
        for answer in every_operation(caller, task["id"]):
            answer.problem(403, "forbidden")
    details = {answer.json["detail"] for caller in (users.stranger, nobody) for answer in [caller.page()]}
    same("the number of different answers", len(details), 1)
    same("the other's task", users.other.get(task["id"]).json, task)


@check("isolation")
def anothers_task_is_404_and_in_no_list(users: Users) -> None:
    """Another user's task is 404 under one's own path, and in none of one's lists."""
    mark = users.mine.create("a mark")
    task = users.other.create("a secret")
    for answer in on_a_task(users.mine, task["id"]):
        answer.problem(404, "task-not-found")
    users.mine.batch({"op": "delete", "id": task["id"]}).problem(404, "task-not-found")
    shown = [*users.mine.newest(min(mark["id"], task["id"])), *walk_changes(users.mine, None)[0]]
    if task["id"] in {one["id"] for one in shown}:
        raise Failed("another user's task is in the list")
    same("the users of what is listed", {one.get("user_id", users.id) for one in shown}, {users.id})
    same("the other's task", users.other.get(task["id"]).expect(200).json, task)


@check("isolation")
def anothers_key_is_another_key(users: Users) -> None:
    """The same Idempotency-Key of another user is another key."""
    key, body = {"Idempotency-Key": new_key()}, {"title": "one key, two users"}
    first, second = (user.send("POST", user.tasks, body, key).expect(201).json for user in (users.mine, users.other))
    same("the users of the two tasks", (first["user_id"], second["user_id"]), (users.id, users.other_id))


def every_operation(caller: Caller, task_id: str) -> Iterator[Answer]:
    """The answers of every operation."""
    yield from on_a_task(caller, task_id)
    yield caller.send("POST", caller.tasks, {"title": "x"})
    yield caller.page()
    yield caller.send("DELETE", f"{caller.tasks}?status=completed")
    yield caller.batch({"op": "create", "task": {"title": "x"}})
    yield caller.send("GET", caller.tasks.removesuffix("tasks") + "changes")


# Bad requests, and what every answer has


@check("errors")
def a_bad_body_is_told_apart(users: Users) -> None:
    """What is no JSON, or has a key twice, is 400; every fault of a body is listed by 422."""
    mine = users.mine
    for body, kind in (
        (b'{"title": "x",}', "bad-json"),
        (b'{"title": NaN}', "bad-json"),
        (b'\xef\xbb\xbf{"title": "x"}', "bad-json"),
        (b'{"title": "a", "title": "b"}', "duplicate-key"),
    ):
        mine.send("POST", mine.tasks, body).problem(400, kind)
    faults = {"title": "", "description": 1, "completed": "true", "colour": "red"}
    answer = mine.send("POST", mine.tasks, faults).problem(422, "invalid-body")
    same("the faults", {fault["pointer"] for fault in answer.json["errors"]}, {f"/{name}" for name in faults})
    for title in ("x" * 256, " \t", "a\0b"):
        mine.send("POST", mine.tasks, {"title": title}).problem(422, "invalid-body")


@check("errors")
def a_body_that_is_no_utf_8_is_400(users: Users) -> None:
    """A body that is no UTF-8 is 400."""
    answer = users.mine.send("POST", users.mine.tasks, b'{"title": "\xff"}')
    if answer.status == 502 and is_loopback(users.mine.url):
        raise NotJudged("the gateway itself fails at such a body, as sam local does")
    answer.problem(400, "bad-encoding")


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
    """A query parameter that is unknown is 400."""
    users.mine.page(state="open").problem(400, "bad-query")
    users.mine.get(f"{NOBODYS_TASK}?colour=red").problem(400, "bad-query")


@check("errors")
def an_unknown_route_is_404(users: Users) -> None:
    """A route that is none is 404."""
    answer = users.mine.send("GET", "/v1/users/me/nothing")
    if answer.status == 403 and "Missing Authentication Token" in answer.content.decode(errors="replace"):
        raise NotJudged("this gateway answers for routes that are none as REST APIs do (sam local)")
    answer.expect(404)


@check("headers")
def a_correlation_id_is_echoed(users: Users) -> None:
    """A correlation id comes back; a problem names the request, not the correlation id."""
    answer = users.mine.send("GET", f"{users.mine.tasks}?x=y", headers={"X-Correlation-Id": "mine"})
    answer.problem(400, "bad-query").header("X-Correlation-Id", "mine")
    same("whether the instance is the correlation id", answer.json["instance"] == "mine", expected=False)


@check("headers")
def a_web_page_may_call_it(users: Users) -> None:
    """A web page of an allowed origin may call it and read ETag, Location and Link."""
    asked = {
        "Authorization": None,
        "Origin": "https://conformance.example",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,if-match",
    }
    answer = users.mine.send("OPTIONS", users.mine.tasks, headers=asked)
    if "Access-Control-Allow-Origin" not in answer.headers:
        raise NotJudged("no preflight is answered to this origin: others may be allowed (AllowedOrigins)")
    answer.expect(200, 204)
    allowed = answer.header("Access-Control-Allow-Methods")
    same("whether PATCH is allowed", "PATCH" in allowed, expected=True)
    plain = users.mine.send("GET", users.mine.tasks, headers={"Origin": "https://conformance.example"})
    if "Access-Control-Expose-Headers" not in plain.headers and is_loopback(users.mine.url):
        raise NotJudged("no headers are exposed, as under sam local")
    exposed = {name.strip().lower() for name in plain.header("Access-Control-Expose-Headers").split(",")}
    same("what is not exposed", {"etag", "location", "link", "retry-after", "idempotency-replayed"} - exposed, set())


@check("contract")
def the_contract_is_served_to_everybody(users: Users) -> None:
    """The contract is served without a token, with an ETag that answers 304, and names every operation."""
    answer = users.mine.send("GET", "/v1/openapi.json", headers={"Authorization": None}).expect(200)
    same("the version of OpenAPI", answer.json["openapi"][:4], "3.1.")
    named = {operation["operationId"] for path in answer.json["paths"].values() for operation in path.values()}
    missing = {
        "create_task",
        "get_task",
        "list_tasks",
        "replace_task",
        "update_task",
        "toggle_task",
        "delete_task",
    } - named
    same("the operations that are missing", missing, set())
    known = {"Authorization": None, "If-None-Match": answer.header("ETag")}
    users.mine.send("GET", "/v1/openapi.json", headers=known).expect(304)


# Tokens


@check("tokens")
def without_a_token_it_is_401(users: Users) -> None:
    """Without a token it is 401."""
    for authorization in (None, "Bearer", "Basic eDp5", "Bearer x.y.z"):
        refused(users, authorization)


@check("tokens")
def a_token_that_nobody_signed_is_401(users: Users) -> None:
    """A token whose signature or text was changed is 401."""
    parts = users.mine.token.split(".")
    if len(parts) != 3:
        raise NotJudged("the token is no JWT")
    header, payload, signature = parts
    changed = signature[:10] + ("A" if signature[10:11] != "A" else "B") + signature[11:]
    other = users.other.token.split(".")
    for token in (f"{header}.{payload}.{changed}", f"{header}.{payload}.", f"{header}.{other[1]}.{signature}"):
        refused(users, f"Bearer {token}")


def refused(users: Users, authorization: str | None) -> None:
    """Raise Failed unless a request with this authorization is 401 of the gateway, or no gateway judges tokens here."""
    answer = users.mine.send("GET", users.mine.tasks, headers={"Authorization": authorization})
    if answer.status == 401 and answer.headers["Content-Type"] != "application/problem+json":
        answer.header("WWW-Authenticate")
        return
    # A request without any token shows who judges tokens: a function that says so itself has no authorizer before it.
    bare = users.mine.send("GET", users.mine.tasks, headers={"Authorization": None})
    unjudged = "no-identity" in bare.content.decode(errors="replace")
    if unjudged and is_loopback(users.mine.url):
        raise NotJudged("no authorizer stands before the functions, as under sam local")
    if unjudged:
        raise Failed("NO AUTHORIZER stands before the functions: whoever claims to be somebody is believed")
    answer.expect(401)


def is_loopback(url: str) -> bool:
    """Whether a URL is of this machine alone."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
