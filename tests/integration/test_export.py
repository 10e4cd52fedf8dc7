"""`ops.export` and `ops.import_`: all tasks of a user arrive in order, even if the commands are stopped often."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress

from local.tokens import make_token
from ops import api, export, import_
from ops.api import ApiError, UserApi
from ops.backfill import State
from ops.command import Interrupted
from shared.models import Move, NewTask
from shared.store import marks
from shared.store.dynamodb import Table
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.api import OPERATIONS, Backend, new_id, serving
from tests.conftest import deadline_in, sized, table_at
from tests.inprocess import Functions, functions

# Fields that an import does not keep.
NEW = {"user_id", "version", "etag", "created_at", "updated_at", "updated_by"}
LISTS = ("groceries", "task:1", "x")

type Shown = dict[str, Any]


@pytest.fixture
def table(moto_url: str) -> Table:
    return table_at(moto_url)


class InProcess(UserApi):
    """The API of the real handlers in this process. `before` and `after` are called for each request."""

    def __init__(self, call: Functions, user: str) -> None:
        super().__init__("http://in-process", user, "")
        self._call, self._user = call, user
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None
        self.sent: list[str] = []  # the names of the operations
        self.limit = "100"  # tasks on a page

    def send(self, method: str, path: str, body: object = None, query: Any = None, headers: Any = None) -> Any:
        _, _, task_id, action = (*path.split("/"), "", "")[:4]
        wanted = f"/v1/users/{{user_id}}/tasks{'/{task_id}' * bool(task_id)}{f'/{action}' * bool(action)}"
        (name,) = (one.name for one in OPERATIONS.values() if (one.method, one.path) == (method, wanted))
        self.before()
        query = {**query, "limit": self.limit} if query and "limit" in query else query
        named = {key.lower(): value for key, value in (headers or {}).items()}
        reply = self._call(
            name,
            "service",
            task_id,
            path_user=self._user,
            query=query,
            body=body,
            headers=named,
            scope="tasks/service",
        )
        self.sent.append(name)
        self.after()
        if reply.status >= 400:
            raise _error(reply.status, reply.kind)
        return reply.json


def _error(status: int, kind: str) -> ApiError:
    error = ApiError.__new__(ApiError)
    Exception.__init__(error, f"{status} {kind}")
    error.status, error.kind = status, kind
    return error


def exported(user: UserApi, folder: Path, attempts: Callable[[], object] = lambda: None) -> list[Shown]:
    """The lines of an export. `attempts` is called before each attempt; a crash is followed by another one."""
    path = folder / "export"
    while True:
        attempts()
        try:
            with State.at(folder / "state", "export", 3) as state:
                export._write(user, path, state, threading.Event())
        except Crash:
            continue
        return [json.loads(line) for line in path.read_text().splitlines()]


def imported(user: UserApi, lines: list[Shown], *, restore: bool = False) -> dict[str, int]:
    """Import these lines, and return the number of tasks by outcome."""
    wanted: dict[str, import_.Line] = {}
    for number, task in enumerate(lines):
        if task["id"] not in wanted or task["version"] > wanted[task["id"]].task["version"]:
            wanted[task["id"]] = import_.Line(f"line {number}", task)
    with Progress(disable=True) as progress:
        return dict(import_.Import(user, wanted, threading.Event(), progress, restore=restore).run())


class Crash(BaseException):
    """The command ends here."""


def lived(table: Table, user: str, seed: int, steps: int) -> None:
    """Run random operations: tasks of some lists are created, moved, completed, deleted and restored."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    # The first ids are too old for clients, and tasks deleted later are still in the trash.
    days_ago = [40]
    step = iter(range(0, 10**15, 7_000_000_000))
    now = time.time_ns()
    store = TaskStore(table, user, deadline_in(600), lambda: now - days_ago[0] * 86_400_000_000_000 + next(step))
    live: dict[str, str | None] = {}  # the list of each task
    trash: dict[str, str | None] = {}
    fields: Any = {"description": "\U0001f95b\u2028", "tags": ["a", "b"], "metadata": {"k": "v"}}
    for number in range(steps):
        if number == steps // 4:
            days_ago[0] = 1
        one = dice.choice([*live, ""])
        match dice.choice(("create", "create", "move", "move", "toggle", "toggle", "delete", "restore")):
            case "move" if live.get(one):
                others = [other for other in live if live[other] == live[one] and other != one]
                place: Any = {dice.choice(("after", "before")): dice.choice([*others, None])}
                store.move(one, Move(**place), ANY_VERSION)
            case "toggle" if one:
                store.toggle(one, ANY_VERSION)
            case "delete" if one and days_ago[0] == 1:
                store.delete(one, ANY_VERSION)
                trash[one] = live.pop(one)
            case "restore" if trash:
                one = dice.choice(list(trash))
                store.restore(one, ANY_VERSION)
                live[one] = trash.pop(one)
            case _:
                to_list = dice.choice((None, *LISTS))
                task = store.create(NewTask(title=f"task {number}", list=to_list, **dice.choice((fields, {}))))
                live[task.id] = to_list


def shown(user: UserApi) -> dict[str, list[Shown]]:
    """All lists of a user, without the fields that an import does not keep."""
    queries = [{"status": status} for status in ("all", "open", "completed", "deleted")]
    queries += [{"list": name} for name in LISTS]
    found = {}
    for query in queries:
        pages, cursor = [], None
        while True:
            page = user.send("GET", "/tasks", query={**query, "limit": "100", **({"cursor": cursor} if cursor else {})})
            pages += [{name: task[name] for name in task.keys() - NEW} for task in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        found[str(query)] = pages
    return found


@pytest.fixture
def call(table: Table) -> Iterator[Functions]:
    with functions(table) as call:
        yield call


def places(user: UserApi) -> dict[str, list[str]]:
    """The ids of each list in the order of their positions: open, completed and deleted tasks."""
    tasks = [task for status in ("all", "deleted") for page, _ in user.pages(status) for task in page]
    ordered = sorted((task for task in tasks if task["list"]), key=lambda one: (one["position"], one["id"]))
    return {name: [task["id"] for task in ordered if task["list"] == name] for name in LISTS}


@pytest.mark.parametrize("seed", range(sized(1, 1, 100)))
def test_every_list_arrives_in_its_order(table: Table, call: Functions, user: str, tmp_path: Path, seed: int) -> None:
    lived(table, user, seed, 60)
    source, target = InProcess(call, user), InProcess(call, f"{user}-2")
    lines = exported(source, tmp_path)
    counts = imported(target, lines)
    assert counts == {"created": len({task["id"] for task in lines})}
    assert counts["created"] > 10
    assert shown(target) == shown(source)
    assert all(shown(source).values())
    assert places(target) == places(source)
    # The time of creation is that of the id.
    assert {task["created_at"][:4] for page, _ in target.pages("all") for task in page} == {"2026"}
    assert target.sent.count("replace_task") == counts["created"] == len(target.sent) - target.sent.count("list_tasks")

    target.sent.clear()
    assert imported(target, lines) == {"already there": counts["created"]}
    assert set(target.sent) == {"list_tasks"}


def killed(api: InProcess, when: str, number: int) -> None:
    """Let a command that uses this API end before or after a request."""
    left = iter(range(number))

    def step() -> None:
        if next(left, None) is None:
            raise Crash

    setattr(api, when, step)


def kept(lines: list[Shown]) -> list[Shown]:
    """The lines without the fields that an import does not keep."""
    return [{name: task[name] for name in task.keys() - NEW} for task in lines]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_export_that_is_killed_at_any_request(
    table: Table, call: Functions, user: str, tmp_path: Path, when: str
) -> None:
    """Killed once, at each request, and then run until its end."""
    lived(table, user, 5, 15)
    whole = exported(InProcess(call, user), tmp_path)
    for number in range(100):
        folder, source, numbers = tmp_path / str(number), InProcess(call, user), chain([number], repeat(10**6))
        folder.mkdir()
        source.limit = "2"
        attempts = map(partial(killed, source, when), numbers)
        assert exported(source, folder, partial(next, attempts)) == whole
        if len(source.sent) < number:
            break
    assert 5 < number < 50


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_import_that_is_killed_at_any_request(
    table: Table, call: Functions, user: str, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed once, at each request, and then run until its end."""
    monkeypatch.setattr(import_, "WORKERS", 2)
    lived(table, user, 5, 15)
    lines = exported(InProcess(call, user), tmp_path)
    for number in range(100):
        name, folder = f"{user}-{number}", tmp_path / str(number)
        folder.mkdir()
        target = InProcess(call, name)
        killed(target, when, number)
        try:
            imported(target, lines)
        except Crash:
            imported(InProcess(call, name), lines)
        assert kept(exported(InProcess(call, name), folder)) == kept(lines)
        if len(target.sent) < number:
            break
    assert 5 < number < 50


def test_two_imports_at_once(table: Table, call: Functions, user: str, tmp_path: Path) -> None:
    lived(table, user, 6, 60)
    source, name = InProcess(call, user), f"{user}-2"
    lines = exported(source, tmp_path)
    threads = [threading.Thread(target=imported, args=(InProcess(call, name), lines)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    target = InProcess(call, name)
    imported(target, lines)
    assert shown(target) == shown(source)
    assert places(target) == places(source)


def test_a_task_that_changes_its_list_during_the_export_is_in_the_file(
    table: Table, call: Functions, user: str, tmp_path: Path
) -> None:
    store = TaskStore(table, user, deadline_in(60))
    deleted, restored, kept = (store.create(NewTask(title=name)).id for name in ("d", "r", "k"))
    store.delete(restored, ANY_VERSION)
    source = InProcess(call, user)

    def after() -> None:
        if len(source.sent) == 1:
            store.delete(deleted, ANY_VERSION)
            store.restore(restored, ANY_VERSION)

    source.after = after
    lines = exported(source, tmp_path)
    target = InProcess(call, f"{user}-2")
    imported(target, lines)
    assert [task["id"] for task in shown(target)[str({"status": "all"})]] == [restored, kept]
    assert [task["id"] for task in shown(target)[str({"status": "deleted"})]] == [deleted]


def test_an_import_keeps_later_changes_of_the_user(table: Table, call: Functions, user: str, tmp_path: Path) -> None:
    lived(table, user, 8, 30)
    source, target = InProcess(call, user), InProcess(call, f"{user}-2")
    lines = exported(source, tmp_path)
    imported(target, lines)
    first = next(task for task in lines if "deleted_at" not in task)
    target.send("PATCH", f"/tasks/{first['id']}", {"title": "newer", "completed": True})
    counts = imported(target, lines)
    assert counts["different"] == 1
    assert target.send("GET", f"/tasks/{first['id']}")["title"] == "newer"


def test_export_erase_and_import_give_the_same_lists_and_the_same_sync(
    table: Table, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another user id, because the old one is marked as erased."""
    monkeypatch.setattr(marks, "_unmarked", {})
    lived(table, user, 10, 60)
    ahead = [0]
    with functions(table, lambda: time.time_ns() + ahead[0] * 1_000_000_000) as call:
        source, target = InProcess(call, user), InProcess(call, f"{user}-2")
        before, synced = shown(source), replica(call, user)
        lines = exported(source, tmp_path)
        more = True
        while more:
            erased = call("erase_user", "service", path_user=user, query={"confirm": user}, scope="tasks/service")
            more = erased.json["more"]
            ahead[0] += 10
        assert not any(shown(source).values())
        assert replica(call, user) == {}
        with pytest.raises(ApiError, match="user-erased"):
            imported(source, lines)
        imported(target, lines)
        assert shown(target) == before
        assert replica(call, f"{user}-2") == synced


def replica(call: Functions, user: str) -> dict[str, Any]:
    """Each task in a sync from the beginning: the fields that an import keeps, or its deletion."""
    query: dict[str, str] = {"limit": "500"}
    items: dict[str, Any] = {}
    more = True
    while more:
        page = call("list_changes", user, query=query).json
        items |= {one["id"]: {name: one[name] for name in one.keys() - NEW} for one in page["items"]}
        query["since"], more = page["next_since"], page["has_more"]
    return items


@pytest.fixture
def backend(moto_url: str) -> Iterator[Backend]:
    with serving(moto_url, moto_url) as backend:
        yield backend


def test_the_export_and_import_commands(
    backend: Backend, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user whose id needs an encoding, tasks with ids that are years old, and a token of a service."""
    lived(backend.table, f"{user}|x y", 9, 60)
    file = tmp_path / "alice.jsonl"
    source, target = (("--url", backend.url, "--user", f"{user}|{name}", str(file)) for name in ("x y", "2"))
    monkeypatch.delenv("TOKEN", raising=False)
    assert export.main(source) == 2
    monkeypatch.setenv("TOKEN", make_token(f"{user}|x y"))
    assert export.main(source) == 0
    out, _ = capsys.readouterr()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir() if one.suffix != ".lock"] == [file.name]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert out.split() == ["exported", str(len(lines))]
    assert export.main(source) == 2  # it never overwrites an export
    assert import_.main(target) == 2  # not a service
    assert "403" in capsys.readouterr().err

    monkeypatch.setenv("TOKEN", make_token("service", "tasks/service"))
    assert import_.main(target) == 0
    assert capsys.readouterr().out.split() == ["created", str(len(lines))]
    read = api.UserApi(backend.url, f"{user}|2", make_token(f"{user}|2"))
    before = shown(api.UserApi(backend.url, f"{user}|x y", make_token(f"{user}|x y")))
    assert shown(read) == before

    # Two tasks are deleted, and one is changed.
    live = [task["id"] for task in lines if "deleted_at" not in task]
    for task_id in live[:2]:
        read.send("DELETE", f"/tasks/{task_id}")
    read.send("PATCH", f"/tasks/{live[2]}", {"title": "newer"})
    capsys.readouterr()
    assert import_.main(target) == 1
    out, err = capsys.readouterr()
    assert out.split() == ["already", "there", str(len(lines) - 3), "different", "3"]
    assert all(f"task {task_id} of the user differs" in err for task_id in live[:3])
    assert import_.main((*target, "--restore")) == 1
    assert capsys.readouterr().out.split()[-4:] == ["different", "1", "restored", "2"]
    read.send("PATCH", f"/tasks/{live[2]}", {"title": next(one["title"] for one in lines if one["id"] == live[2])})
    assert import_.main(target) == 0
    assert shown(read) == before


def test_an_export_that_is_killed_before_its_file_gets_its_name_begins_again(
    backend: Backend, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(backend.table, user, 5, 20)
    monkeypatch.setenv("TOKEN", make_token(user))
    file, replace = tmp_path / "alice.jsonl", Path.replace

    def crashing(path: Path, target: Path) -> Path:
        if target == file:
            raise Crash
        return replace(path, target)

    arguments = ("--url", backend.url, "--user", "me", str(file))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crashing)
        with pytest.raises(Crash):
            export.main(arguments)
    assert not file.exists()
    assert export.main(arguments) == 0
    ids = [json.loads(line)["id"] for line in file.read_text().splitlines()]
    assert len(ids) == len(set(ids)) == len([one for one in backend.stored(user) if one["sk"]["S"][:4] == "TASK"])
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


TENANT = "custom:tenant"


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("requests", [2, 4])
def test_an_export_is_not_continued_with_the_token_of_another(
    moto_url: str,
    user: str,
    tenant: str | None,
    requests: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With `me` the address is the same. The export stops in the first list (102 tasks), or behind it."""
    file, part = tmp_path / "alice.jsonl", tmp_path / "alice.jsonl.part"
    claims = {TENANT: tenant} if tenant else {}
    send, sent = api.UserApi.send, iter(range(requests))

    def stopping(*arguments: Any, **named: Any) -> Any:
        if next(sent, None) is None:
            raise Interrupted
        return send(*arguments, **named)

    with serving(moto_url, moto_url, None, **({"TENANT_CLAIM": TENANT} if tenant else {})) as backend:
        store = TaskStore(backend.table, user, deadline_in(60), tenant=tenant or "")
        ids = [store.create(NewTask(title="secret")).id for _ in range(102)]

        def exports(name: str, **claims: Any) -> tuple[int, str]:
            monkeypatch.setenv("TOKEN", make_token(name, **claims))
            return export.main(("--url", backend.url, "--user", "me", str(file))), capsys.readouterr().err

        with monkeypatch.context() as patch:
            patch.setattr(api.UserApi, "send", stopping)
            assert exports(user, **claims)[0] == 130
        before = part.read_text(), (tmp_path / "alice.jsonl.state").read_text()
        assert json.loads(before[1])["segments"][0]["done"] == (requests == 4)
        others = [(f"{user}-2", claims), *([(user, {TENANT: "other"})] if tenant else [])]
        for name, more in others:
            status, err = exports(name, **more)
            assert (status, len(err.splitlines())) == (2, 1)
            assert "began for another user or tenant" in err
            assert (part.read_text(), (tmp_path / "alice.jsonl.state").read_text()) == before
        assert exports(user, **claims) == (0, "")
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ids
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


GOOD = {"id": new_id(), "title": "x", "completed": False, "version": 1, "description": None}


@pytest.mark.parametrize(
    "bad",
    ["{", "[]", "null", "5", '"x"', "{}", '{"foo": 1}', "\ufeff{}", "[" * 100_000]
    + [json.dumps({**GOOD, "version": "1"})]
    + [
        json.dumps({name: value for name, value in GOOD.items() if name != left}) for left in ("id", "title", "version")
    ],
)
def test_a_line_that_is_no_task_is_named_and_nothing_is_sent(
    bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n\n  \n{bad}\n{json.dumps(GOOD)}\n")
    monkeypatch.setenv("TOKEN", "x")
    assert import_.main(("--url", "http://127.0.0.1:9", "--user", "me", str(file))) == 2
    reason = "this is not a task of an export. Nothing was imported."
    assert capsys.readouterr().err == f"{file}, line 4: {reason}\n"


def test_a_task_that_is_not_valid_is_named_with_its_faults(
    backend: Backend, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are imported, empty lines are skipped, and a task whose time in the trash is over is left out."""
    trashed = {"deleted_at": "2020-01-01T00:00:00.000Z", "purge_at": "2020-02-01T00:00:00.000Z"}
    good, bad, old = ({**GOOD, "id": new_id(days), **more} for days, more in ((1, {}), (2, {"due": "x"}), (3, trashed)))
    file = tmp_path / "mixed.jsonl"
    file.write_text(f"\n{json.dumps(bad)}\n\n{json.dumps(good)}\n{json.dumps(old)}\n")
    monkeypatch.setenv("TOKEN", make_token("service", "tasks/service"))
    assert import_.main(("--url", backend.url, "--user", user, str(file))) == 1
    out, err = capsys.readouterr()
    assert out.split() == ["created", "1", "expired", "1", "failed", "1"]
    assert f"{file}, line 2: PUT {backend.url}" in err
    assert "\n  /due: Must be a day, such as 2026-12-24" in err
    (task,) = api.UserApi(backend.url, user, make_token(user)).send("GET", "/tasks")["items"]
    assert task["id"] == good["id"]


def test_a_signal_stops_export_and_import(table: Table, call: Functions, user: str, tmp_path: Path) -> None:
    lived(table, user, 5, 20)
    source, stop = InProcess(call, user), threading.Event()
    stop.set()
    with State.at(tmp_path / "state", "export", 3) as state, pytest.raises(Interrupted):
        export._write(source, tmp_path / "export", state, stop)
    assert len(source.sent) == 1
    target = InProcess(call, f"{user}-2")
    with Progress(disable=True) as progress, pytest.raises(Interrupted):
        import_.Import(target, {}, stop, progress).run()
