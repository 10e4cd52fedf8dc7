"""A reference model of the API in plain Python, without a database: predicts each response and the state after it.

The model and the handlers share no code. Values that only the server can choose (ids, cursors, tokens) are taken from
the response, and the model remembers what each of them refers to.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

RETENTION = 30 * 24 * 3600  # s
KEY_LIFETIME = 24 * 3600  # s
OVERLAP = 20_000  # ms: the overlap of two walks of changes


@dataclass(frozen=True)
class Expected:
    """A response: its status, its body or the kind of the problem, and the pointers of a problem."""

    status: int
    body: Any = None
    kind: str = ""
    pointers: tuple[str, ...] = ()
    replayed: bool = False


class Refused(Exception):
    """An operation cannot be done."""

    def __init__(self, status: int, kind: str, pointers: tuple[str, ...] = ()) -> None:
        super().__init__(kind)
        self.status, self.kind, self.pointers = status, kind, pointers


UNUSABLE = Refused(422, "unusable-id")
LONE_ZONE = Refused(422, "invalid-body", ("/time_zone",))
NO_PLACE = Refused(422, "invalid-body", ("/position",))
NO_ROOM = Refused(409, "no-room")
GONE = Refused(404, "task-not-found")
STALE = Refused(412, "precondition-failed")
NO_LIST = Refused(409, "no-list")
NO_ANCHOR = Refused(409, "anchor-not-in-list")
NOT_DELETED = Refused(409, "not-deleted")


@dataclass(frozen=True)
class Condition:
    """The versions of If-Match (None means any) and of If-None-Match."""

    wanted: frozenset[int] | None = None
    unwanted: frozenset[int] = frozenset()

    def check(self, task: "Task") -> None:
        if (self.wanted is not None and task.version not in self.wanted) or task.version in self.unwanted:
            raise STALE


ANY = Condition()


@dataclass(frozen=True)
class Task:
    """A task; times are in ms since 1970."""

    id: str
    user: str
    title: str
    description: str | None
    completed_at: int | None
    created_at: int
    updated_at: int
    version: int = 1
    deleted_at: int | None = None
    due: str | None = None
    time_zone: str | None = None
    priority: int = 0
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    list: str | None = None
    position: str | None = None
    first_version: int = 1
    updated_by: str | None = None

    @property
    def completed(self) -> bool:
        return self.completed_at is not None

    @property
    def place(self) -> tuple[int | str, ...]:
        """The place among the tasks of the same status: by deletion, by completion, or by due date."""
        if self.deleted_at is not None:
            return self.deleted_at, self.id
        return (*due_order(self.due), self.id) if self.completed_at is None else (self.completed_at, self.id)

    @property
    def purge_at(self) -> int:
        """In ms, on a whole second."""
        assert self.deleted_at is not None
        return (self.deleted_at // 1000 + RETENTION) * 1000

    @property
    def shown(self) -> dict[str, Any]:
        """The task in a response of the API."""
        trash = {} if self.deleted_at is None else {"deleted_at": at(self.deleted_at), "purge_at": at(self.purge_at)}
        return {
            "id": self.id,
            "user_id": self.user,
            "title": self.title,
            "description": self.description,
            "completed": self.completed,
            "completed_at": None if self.completed_at is None else at(self.completed_at),
            "created_at": at(self.created_at),
            "updated_at": at(self.updated_at),
            "updated_by": self.updated_by,
            "due": self.due,
            "time_zone": self.time_zone,
            "priority": self.priority,
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
            "list": self.list,
            "position": self.position,
            "version": self.version,
            "etag": f'"{self.version}-1"',
            **trash,
        }

    @property
    def change(self) -> dict[str, Any]:
        """The task in a response of sync."""
        if self.deleted_at is None:
            return self.shown
        return {"id": self.id, "deleted": True, "version": self.version, "deleted_at": at(self.deleted_at)}


def due_order(due: str | None) -> tuple[int, str, int, str]:
    """The sort key of a due date: by day; a whole day after its last minute; without a due date last."""
    if due is None:
        return 1, "", 0, ""
    day, _, clock = due.partition("T")
    return 0, day, 0 if clock else 1, clock


def faulty(fields: Mapping[str, Any]) -> Refused | None:
    """What does not fit together in a new task: a position without a list, or a time zone without a time."""
    if fields.get("position") is not None and fields.get("list") is None:
        return NO_PLACE
    return LONE_ZONE if fields.get("time_zone") and "T" not in (fields.get("due") or "") else None


def first_position(task_id: str, created_at: int) -> str:
    """The position of a task that no client has placed: that of its creation."""
    digits = task_id.replace("-", "")
    if int(digits[:12], 16) > created_at:
        digits = f"{created_at:012x}{digits}"
    return digits.rstrip("0")


def normal(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as the server stores them."""
    kept = dict(fields)
    if "tags" in kept:
        kept["tags"] = tuple(sorted(set(kept["tags"])))
    if kept.get("due") and kept["due"].count(":") == 1:
        kept["due"] += ":00"
    return kept


def at(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


@dataclass
class User:
    """The state of a user: tasks, including those purged but not yet removed, and the responses of keys."""

    tasks: dict[str, Task] = field(default_factory=dict)
    keys: dict[str, tuple[object, Expected, int]] = field(default_factory=dict)
    # The meaning of the cursors and sync tokens in past responses.
    cursors: dict[str, tuple[dict[str, str], tuple[Any, ...]]] = field(default_factory=dict)
    tokens: dict[str, tuple[int, int | None, tuple[int, str] | None]] = field(default_factory=dict)


class Model:
    """The API. `now` is the time in ms of the clocks of the functions: at least 1 ms between two requests."""

    def __init__(self, now: int) -> None:
        self.now = now
        # The caller, if it is another user than the owner of the tasks.
        self.actor: str | None = None
        self.users: dict[str, User] = {}
        # The event of each written version: its type, and the state that it shows.
        self.events: dict[tuple[str, str, int], tuple[str, Task]] = {}
        # The positions that the server chose in the current response, by the ids of the tasks.
        self.chosen: Mapping[str, str | None] = {}

    def of(self, user: str) -> User:
        return self.users.setdefault(user, User())

    def once(self, user: str, key: str | None, asked: object, act: Callable[[], Expected]) -> Expected:
        """Return the response of an operation that may have a key. `content` identifies the request."""
        keys = self.of(user).keys
        key = key and f"{self.actor} {key}"
        if key is not None and key in keys and keys[key][2] * 1000 > self.now:
            first, response, _ = keys[key]
            if first != asked:
                return Expected(422, kind="idempotency-key-reused")
            return replace(response, replayed=True)
        response = self.response(act)
        if key is not None and response.status < 300:
            keys[key] = (asked, response, self.now // 1000 + KEY_LIFETIME)
        return response

    @staticmethod
    def response(act: Callable[[], Expected]) -> Expected:
        """Return the response of an operation, including errors."""
        try:
            return act()
        except Refused as refused:
            return Expected(refused.status, kind=refused.kind, pointers=refused.pointers)

    # Operations on one task; each returns the task after it.

    def live(self, user: str, task_id: str) -> Task:
        task = self.of(user).tasks.get(task_id)
        if task is None or task.deleted_at is not None:
            raise GONE
        return task

    def trashed(self, user: str, task_id: str) -> Task | None:
        """The task in the trash, if it is there and not expired."""
        task = self.of(user).tasks.get(task_id)
        return task if task is not None and task.deleted_at is not None and task.purge_at > self.now else None

    def write(self, task: Task, **changes: Any) -> Task:
        written = replace(task, updated_at=self.now, updated_by=self.actor, version=task.version + 1, **changes)
        self.of(task.user).tasks[task.id] = written
        # The type of an event follows from the changed fields: a PATCH may change several.
        if "deleted_at" in changes:
            kind = "restored" if written.deleted_at is None else "deleted"
        elif task.completed != written.completed:
            kind = "completed" if written.completed else "reopened"
        else:
            kind = "moved" if changes.keys() & {"list", "position"} else "updated"
        self.events[task.user, task.id, written.version] = (f"task.{kind}", written)
        return written

    def create(self, user: str, task_id: str, fields: Mapping[str, Any], made: int | None = None) -> Task:
        """Create a task; `made` is the time in an id of the client."""
        if made is not None and not -29 * 86_400_000 <= made - self.now <= 86_400_000:
            raise UNUSABLE
        return self._create(user, task_id, fields, {"created_at": self.now})

    def import_task(self, user: str, task_id: str, fields: Mapping[str, Any], made: int) -> Task:
        """Create a task of an export. Its life begins far above the versions of an earlier one."""
        kept, life = dict(fields), {"version": self.now, "first_version": self.now, "created_at": min(made, self.now)}
        times = {name: kept.pop(name, None) for name in ("completed_at", "deleted_at")}
        life["updated_by"] = kept.pop("updated_by", None)
        if times["completed_at"] is not None and not kept["completed"]:
            raise Refused(422, "invalid-body", ("/completed_at",))
        given = {name: time for name, time in times.items() if time is not None}
        if made - self.now > 86_400_000:
            raise UNUSABLE
        return self._create(user, task_id, kept, {**life, **given})

    def _create(self, user: str, task_id: str, fields: Mapping[str, Any], values: Mapping[str, Any]) -> Task:
        invalid = faulty(fields)
        if invalid is not None:
            raise invalid
        deleted_at = values.get("deleted_at")
        if deleted_at is not None and (deleted_at // 1000 + RETENTION) * 1000 <= self.now:
            raise Refused(422, "invalid-body", ("/deleted_at",))
        kept, there = normal(fields), self.of(user).tasks.get(task_id)
        completed, position = kept.pop("completed", False), kept.pop("position", None)
        if there is not None:
            defaults: dict[str, Any] = {
                "description": None,
                "due": None,
                "time_zone": None,
                "priority": 0,
                "tags": (),
                "metadata": {},
            }
            wanted = {**defaults, "list": None, **kept, **({} if position is None else {"position": position})}
            names = ("completed_at", "deleted_at", "updated_by")
            given = {name: values.get(name, getattr(there, name)) for name in names}
            same = all(getattr(there, name) == value for name, value in {**wanted, **given}.items())
            if not same or there.completed != completed or there.version != there.first_version:
                raise STALE
            if (there.deleted_at is None) != ("deleted_at" not in values):
                raise STALE
            return there
        if kept.get("list") is not None:
            kept["position"] = position or first_position(task_id, values["created_at"])
        completed_at = self.now if completed else None
        stamps = {"completed_at": completed_at, "updated_at": self.now, "updated_by": self.actor}
        task = Task(**{"id": task_id, "user": user, "description": None, **kept, **stamps, **values})
        self.of(user).tasks[task_id] = task
        self.events[user, task_id, task.version] = ("task.created" if task.deleted_at is None else "task.deleted", task)
        return task

    def update(self, user: str, task_id: str, fields: Mapping[str, Any], condition: Condition) -> Task:
        task = self.live(user, task_id)
        condition.check(task)
        kept = normal(fields)
        if "T" not in (kept.get("due", task.due) or ""):
            if kept.get("time_zone"):
                raise LONE_ZONE
            kept["time_zone"] = None
        if kept.get("list", task.list) != task.list or "position" in kept:
            if kept.get("list", task.list) is None:
                if kept.get("position") is not None:
                    raise NO_PLACE
                kept["position"] = None
            else:
                kept["position"] = kept.get("position") or first_position(task_id, task.created_at)
        changed = {name: value for name, value in kept.items() if getattr(task, name) != value}
        if not changed:
            return task
        if "completed" in changed:
            changed["completed_at"] = self.now if changed.pop("completed") else None
        return self.write(task, **changed)

    def replace(self, user: str, task_id: str, fields: Mapping[str, Any], condition: Condition) -> Task:
        """Like update, but a task keeps its position unless its list changes."""
        named = {name: value for name, value in fields.items() if name != "position"}
        return self.update(user, task_id, named, condition)

    def move(self, user: str, task_id: str, place: Mapping[str, Any], condition: Condition) -> Task:
        """Put a task after or before an anchor: between it and the next of the tasks with the same status."""
        task = self.live(user, task_id)
        condition.check(task)
        name = place.get("list") or task.list
        if name is None:
            raise NO_LIST
        side = "after" if "after" in place else "before"
        if place[side] == task_id:
            raise Refused(422, "invalid-body", (f"/{side}",))
        edge = None
        if place[side] is not None:
            anchor = self.of(user).tasks.get(place[side])
            if anchor is None or anchor.deleted_at is not None or anchor.list != name:
                raise NO_ANCHOR
            edge = anchor.position or "", anchor.id
        others = sorted(
            (other.position or "", other.id)
            for other in self.of(user).tasks.values()
            if other.deleted_at is None and (other.list, other.completed) == (name, task.completed)
            if other.id != task_id
        )
        first, last = ("", ""), ("~", "")
        if side == "after":
            low, high = edge or first, next((one for one in others if edge is None or one > edge), last)
        else:
            low, high = next((one for one in reversed(others) if edge is None or one < edge), first), edge or last
        if task.list == name and low < (task.position or "", task_id) < high:
            return task
        if low[0] == high[0]:
            raise NO_ROOM
        if task_id not in self.chosen:
            return task  # in a batch that is rejected for another reason
        chosen = self.chosen[task_id] or ""
        assert low[0] < chosen < high[0], (low, chosen, high)
        if (low, high) == (first, last):
            assert chosen == first_position(task_id, task.created_at)
        return self.write(task, list=name, position=chosen)

    def patch(self, user: str, task_id: str, fields: Mapping[str, Any], condition: Condition) -> Task:
        """Like update, but metadata is merged by key."""
        task = self.live(user, task_id)
        if "metadata" in fields:
            merged = {} if fields["metadata"] is None else {**task.metadata, **fields["metadata"]}
            fields = {**fields, "metadata": {name: value for name, value in merged.items() if value is not None}}
        return self.update(user, task_id, fields, condition)

    def toggle(self, user: str, task_id: str, condition: Condition) -> Task:
        task = self.live(user, task_id)
        condition.check(task)
        return self.write(task, completed_at=None if task.completed else self.now)

    def delete(self, user: str, task_id: str, condition: Condition) -> None:
        if self.trashed(user, task_id) is None:
            task = self.live(user, task_id)
            condition.check(task)
            self.write(task, deleted_at=self.now)

    def restore(self, user: str, task_id: str, condition: Condition) -> Task:
        task = self.trashed(user, task_id)
        if task is None:
            self.live(user, task_id)
            raise NOT_DELETED
        condition.check(task)
        return self.write(task, deleted_at=None)

    # Operations on many tasks.

    def clear(self, user: str, query: Mapping[str, str]) -> Expected:
        done = [
            task
            for task in self.of(user).tasks.values()
            if task.deleted_at is None and (task.completed or "status" not in query)
            if query.get("list") in (None, task.list)
        ]
        for task in done:
            self.write(task, deleted_at=self.now)
        return Expected(200, {"cleared": len(done), "more": False})

    def batch(self, user: str, operations: Iterable[Mapping[str, Any]], ids: list[str]) -> Expected:
        """Apply all operations or none; `ids` are the ids that the server gave to new tasks."""
        before, events = dict(self.of(user).tasks), dict(self.events)
        results = []
        for place, operation in enumerate(operations):
            kind, condition = operation["op"], operation.get("condition", ANY)
            try:
                if kind == "create":
                    # For a rejected batch the server names no ids.
                    task: Task | None = self.create(user, ids.pop(0) if ids else f"new {place}", operation["task"])
                elif kind == "update":
                    task = self.patch(user, operation["id"], operation["patch"], condition)
                elif kind == "toggle":
                    task = self.toggle(user, operation["id"], condition)
                elif kind == "move":
                    task = self.move(user, operation["id"], operation, condition)
                elif kind == "restore":
                    task = self.restore(user, operation["id"], condition)
                else:
                    self.delete(user, operation["id"], condition)
                    task = None
            except Refused as refused:
                self.of(user).tasks, self.events = before, events
                part = {"create": "/task", "update": "/patch"}.get(kind, "")
                within = [f"{part}{pointer}" for pointer in refused.pointers] or [""]
                pointers = tuple(f"/operations/{place}{one}" for one in within)
                return Expected(refused.status, kind=refused.kind, pointers=pointers)
            task_id = operation["id"] if task is None else task.id
            results.append({"op": kind, "id": task_id, "task": None if task is None else task.shown})
        return Expected(200, {"results": results})

    # Reads of many tasks: each returns the expected page, and whether a next page must, must not, or may (None) follow.

    def page(
        self, user: str, query: dict[str, str], limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], bool | None, tuple[Any, ...]]:
        status, order, position = query["status"], query["order"], None
        if "list" in query and not {"due_after", "due_before"}.isdisjoint(query):
            raise Refused(400, "bad-query")
        if cursor is not None:
            known = self.of(user).cursors.get(cursor)
            if known is None or known[0] != query:
                raise Refused(400, "bad-cursor")
            position = known[1]
        name = query.get("list")

        def place(task: Task) -> tuple[Any, ...]:
            if name is not None and status != "deleted":
                return task.completed, task.position, task.id
            return (task.id,) if status == "all" else task.place

        rows = sorted(
            (place(task), task)
            for task in self.of(user).tasks.values()
            if (task.deleted_at is not None) == (status == "deleted")
            and (status in ("all", "deleted") or task.completed == (status == "completed"))
            and name in (None, task.list)
            and _matches(task, query)
        )
        if order == "desc":
            rows.reverse()
        if position is not None:
            rows = [row for row in rows if (row[0] > position) == (order == "asc") and row[0] != position]
        shown = [task.shown for _, task in rows[:limit] if task.deleted_at is None or task.purge_at > self.now]
        last = rows[:limit][-1][0] if rows else ()
        return shown, _more(len(rows), limit), last

    def changes(
        self, user: str, since: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], bool | None, tuple[int, int, tuple[int, str] | None]]:
        first, watermark, position = (0, None, None) if since is None else self.token(user, since)
        if watermark is None:
            watermark = max(first, self.now - OVERLAP)
        # A token with a watermark in the future is from a clock that was ahead: it may have missed changes.
        if watermark > self.now or self.now - (first or watermark) > RETENTION * 1000:
            raise Refused(410, "sync-token-expired")
        rows = sorted(
            (
                ((task.updated_at, task.id), task)
                for task in self.of(user).tasks.values()
                if task.updated_at >= first and (position is None or (task.updated_at, task.id) < position)
            ),
            reverse=True,
        )
        last = rows[:limit][-1][0] if rows else None
        return [task.change for _, task in rows[:limit]], _more(len(rows), limit), (first, watermark, last)

    def token(self, user: str, since: str) -> tuple[int, int | None, tuple[int, str] | None]:
        if since not in self.of(user).tokens:
            raise Refused(400, "bad-cursor")
        return self.of(user).tokens[since]


def _matches(task: Task, query: Mapping[str, str]) -> bool:
    """Whether a task matches the filters of a query."""
    due = due_order(task.due)
    return (
        ("tag" not in query or query["tag"] in task.tags)
        and ("priority_max" not in query or 1 <= task.priority <= int(query["priority_max"]))
        and ("due_after" not in query or (task.due is not None and due > due_order(query["due_after"])))
        # A day sorts before its first minute, and a task that is due on the whole day sorts after its last.
        and ("due_before" not in query or (task.due is not None and due[1:] < _first(query["due_before"])))
    )


def _first(due: str) -> tuple[str, int, str]:
    day, _, clock = due.partition("T")
    return day, 0, clock


def _more(rows: int, limit: int) -> bool | None:
    return None if rows == limit else rows > limit
