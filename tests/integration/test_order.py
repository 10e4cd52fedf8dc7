"""The order of a list, judged from outside: by generators of ids, and by clients that write positions."""

import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from local.tokens import make_token
from shared import positions
from shared.models import Move, NewTask, TaskQuery
from shared.store.task_store import TaskStore
from shared.store.uuid7 import uuid7
from shared.tasks import ANY_VERSION
from tests.api import Api, Backend, serving
from tests.client.conftest import packages_of_npm
from tests.conftest import PROVE, deadline_in, table_at
from tests.inprocess import Functions, Reply, functions
from tests.integration.test_journeys import ids, walk
from tests.markdown import code

PYTHON = code("docs/clients.md", "python").replace('\nprint(create("Buy milk"))', "")
JAVASCRIPT = code("docs/clients.md", "js")
COUNT = 1000


def of_python() -> list[str]:
    """Ids of one loop, by the algorithm of uuid.uuid7 in Python 3.14: RFC 9562, section 6.2, method 1.

    A counter of 42 bits follows the milliseconds. It begins at a random number below 2^41 in each millisecond, and
    increases by 1 within it. The last 32 bits are random.
    """
    made, last, counter = list[str](), -1, 0
    for _ in range(COUNT):
        now = time.time_ns() // 1_000_000
        counter = counter + 1 if now == last else random.getrandbits(41)
        last = now
        value = now << 80 | 7 << 76 | (counter >> 30) << 64 | 2 << 62 | (counter & (1 << 30) - 1) << 32
        made.append(str(UUID(int=value | random.getrandbits(32))))
    return made


def of_npm(script: str) -> list[str]:
    """Ids that a script for Node.js prints."""
    printed = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        cwd=packages_of_npm(), check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    made: list[str] = json.loads(printed)
    return made


UUID_V7 = f"import {{ v7 }} from 'uuid'; console.log(JSON.stringify(Array.from({{ length: {COUNT} }}, () => v7())));"
GENERATORS: dict[str, Callable[[], list[str]]] = {
    "Python's uuid.uuid7": of_python,
    "npm uuid v7": lambda: of_npm(UUID_V7),
    "ours": lambda: [str(uuid7(time.time_ns())) for _ in range(COUNT)],
    "a counter in the last bits": lambda: [f"{str(uuid7(time.time_ns()))[:-5]}{number:05x}" for number in range(COUNT)],
}


@pytest.mark.parametrize("made", GENERATORS.values(), ids=GENERATORS)
def test_ids_of_one_loop_have_different_positions_in_their_order(made: Callable[[], list[str]]) -> None:
    task_ids = made()
    now = time.time_ns() // 1_000_000
    found = [positions.first(one, now) for one in task_ids]
    assert len(set(found)) == COUNT
    assert sorted(found) == [positions.first(one, now) for one in sorted(task_ids)]


@pytest.mark.parametrize("made", [of_python, lambda: of_npm(UUID_V7)], ids=["python", "npm"])
def test_tasks_of_one_loop_are_in_order_and_can_be_moved(
    engine_url: str, user: str, made: Callable[[], list[str]]
) -> None:
    task_ids = made()[:6]
    store = TaskStore(table_at(engine_url), user, deadline_in(60))
    for number, task_id in enumerate(task_ids):
        store.create(NewTask(title=str(number), list="home"), task_id)
    one, two, *_, last = task_ids

    def order() -> str:
        return "".join(task.title for task in walk(store, TaskQuery(list="home")))

    assert order() == "012345"
    store.move(last, Move(after=one), ANY_VERSION)
    assert order() == "051234"
    before = store.get(two)
    store.move(last, Move(before=None), ANY_VERSION)
    assert store.move(two, Move(after=one), ANY_VERSION) == before  # it is there
    store.move(one, Move(before=task_ids[3]), ANY_VERSION)
    assert order() == "120345"


def test_a_new_task_comes_after_tasks_that_were_moved_to_the_end(engine_url: str, user: str) -> None:
    store = TaskStore(table_at(engine_url), user, deadline_in(60))
    first = [store.create(NewTask(title=title, list="home")).id for title in "abc"]
    for count in range(60):
        store.move(first[count % 3], Move(before=None), ANY_VERSION)
    new = store.create(NewTask(title="new", list="home")).id
    assert ids(walk(store, TaskQuery(list="home"))) == [*first, new]


def test_a_client_whose_clock_is_a_day_ahead_does_not_own_the_end_of_the_list(engine_url: str, user: str) -> None:
    store = TaskStore(table_at(engine_url), user, deadline_in(60))
    ahead = [str(uuid7(time.time_ns() + hours * 3_600_000_000_000)) for hours in (23, 22)]
    early, _ = (store.create(NewTask(title="ahead", list="home"), one).id for one in ahead)
    new = store.create(NewTask(title="new", list="home")).id
    assert ids(walk(store, TaskQuery(list="home"))) == [*ahead, new]
    store.move(early, Move(before=None), ANY_VERSION)
    assert ids(walk(store, TaskQuery(list="home"))) == [ahead[1], new, early]
    # It is also placed by its creation when it enters another list.
    store.update(early, {"list": "work"}, ANY_VERSION)
    later = store.create(NewTask(title="later", list="work")).id
    assert ids(walk(store, TaskQuery(list="work"))) == [early, later]


# The functions of docs/clients.md. Each step inserts a position at an index, and the judge is the order of the strings.


def by_python(indexes: Sequence[int]) -> list[str]:
    names: dict[str, Any] = {}
    exec(PYTHON, names)  # noqa: S102 - it is our own
    order: list[str] = []
    for index in indexes:
        place = index % (len(order) + 1)
        order.insert(place, names["position_between"](*_around(order, place)))
    return order


def by_javascript(indexes: Sequence[int]) -> list[str]:
    script = f"""{JAVASCRIPT}
    const order = [];
    for (const index of {json.dumps(indexes)}) {{
      const place = index % (order.length + 1);
      order.splice(place, 0, positionBetween(order[place - 1] ?? "", order[place] ?? ""));
    }}
    console.log(JSON.stringify(order));"""
    printed = subprocess.run(["node", "--eval", script], check=True, capture_output=True, text=True).stdout
    order: list[str] = json.loads(printed)
    return order


def _around(order: Sequence[str], place: int) -> tuple[str, str]:
    return order[place - 1] if place else "", order[place] if place < len(order) else ""


@pytest.mark.parametrize("insert", [by_python, by_javascript], ids=["python", "javascript"])
@pytest.mark.parametrize("where", ["anywhere", "at the beginning", "at the end", "at one place"])
def test_positions_of_the_documents_sort_and_are_accepted(
    insert: Callable[[Sequence[int]], list[str]], where: str
) -> None:
    if insert is by_javascript and not shutil.which("node"):
        pytest.fail("node is not on the PATH")
    dice = random.Random(7)  # noqa: S311 - no secret
    indexes = {
        "anywhere": [dice.randrange(10**6) for _ in range(1000)],
        "at the beginning": [0] * 500,
        "at the end": [*range(500)],
        "at one place": [0, 1, *[1] * 500],
    }[where]
    order = insert(indexes)
    assert order == sorted(set(order))
    assert len(order) == len(indexes)
    for position in order:
        assert NewTask(title="x", list="home", position=position).position == position
    if where == "at the end":
        assert order[-1] < positions.first(str(uuid7(time.time_ns() + 10**9)), time.time_ns())


NEW_IDS = f"""{JAVASCRIPT}
import {{ validate, version }} from 'uuid';
const ids = Array.from({{ length: 20_000 }}, newId);
if (!ids.every((id) => validate(id) && version(id) === 7)) throw new Error("not of version 7");
console.log(JSON.stringify(ids));"""


def test_new_ids_of_the_documents_ascend() -> None:
    """More than one millisecond has room for; npm's uuid judges their form."""
    names: dict[str, Any] = {}
    exec(PYTHON, names)  # noqa: S102 - it is our own
    for made in ([names["new_id"]() for _ in range(20_000)], of_npm(NEW_IDS)):
        assert made == sorted(set(made))
        assert {str(UUID(one)) for one in made} == set(made)
        assert all(one[14] == "7" and one[19] in "89ab" for one in made)


@pytest.fixture
def backend(moto_url: str) -> Iterator[Backend]:
    with serving(moto_url, moto_url) as backend:
        yield backend


def test_a_drop_of_the_documents_is_right_at_the_border_of_open_and_completed_tasks(
    backend: Backend, user: str
) -> None:
    api = Api(backend.url, user)
    # The completed tasks are older, so they come before the open ones by position, and after them in the list.
    made = {title: api.made(title=title, list="home", completed=title in "cd") for title in "cdab"}
    script = f"""{JAVASCRIPT.replace("http://127.0.0.1:8000", backend.url)}
    const [tasks, drops] = JSON.parse(process.argv[1]), token = process.argv[2];
    for (const [task, above] of drops) {{
      const response = await drop(tasks[task], [...above].map((one) => tasks[one]), token);
      if (!response.ok) throw new Error(await response.text());
    }}"""
    # Each drop: a task, and those above it where it is dropped.
    for drops, expected in (([["d", "ab"]], "abdc"), ([["a", "bd"]], "badc"), ([["d", "bac"], ["b", "a"]], "abcd")):
        arguments = (script, json.dumps([made, drops]), make_token(user))
        subprocess.run(["node", "--input-type=module", "--eval", *arguments], check=True, capture_output=True)
        assert "".join(task["title"] for task in api.walk(list="home")) == expected


@pytest.fixture
def call(engine_url: str) -> Iterator[Functions]:
    with functions(table_at(engine_url)) as call:
        yield call


def test_an_offline_client_writes_positions_by_every_request(call: Functions, user: str) -> None:
    """By POST, PATCH, a creating PUT, and creates and updates of a batch. A replacing PUT keeps the position."""

    def position(reply: Reply) -> Any:
        assert reply.status in (200, 201), reply
        return reply.json["position"]

    whole = {"title": "x", "description": None, "completed": False, "list": "home"}
    posted = call("create_task", user, body={**whole, "position": "c"})
    task_id = posted.json["id"]
    assert position(posted) == "c"
    assert position(call("update_task", user, task_id, body={"position": "d"})) == "d"
    assert position(call("replace_task", user, task_id, body={**whole, "position": "e"})) == "d"
    assert position(call("replace_task", user, task_id, body=call("get_task", user, task_id).json)) == "d"
    put_id, headers = str(uuid7(time.time_ns())), {"if-none-match": "*"}
    sent = [{**whole, "position": "b"}, whole, {**whole, "position": "b"}, {**whole, "position": None}]
    for body in sent:  # the server chose no position, so it compares none that the request does not name
        assert position(call("replace_task", user, put_id, body=body, headers=headers)) == "b"
    other = call("replace_task", user, put_id, body={**whole, "position": "c"}, headers=headers)
    assert (other.status, other.kind) == (412, "precondition-failed")
    operations = [
        {"op": "create", "task": {**whole, "position": "a"}},
        {"op": "update", "id": task_id, "patch": {"position": "a", "title": "y"}},
    ]
    reply = call("batch_tasks", user, body={"operations": operations}, headers={"idempotency-key": "k"})
    assert [result["task"]["position"] for result in reply.json["results"]] == ["a", "a"]
    listed = call("list_tasks", user, query={"list": "home"}).json["items"]
    assert [(one["position"], one["id"]) for one in listed] == sorted((one["position"], one["id"]) for one in listed)
    # Null is the place of its creation.
    created = call("update_task", user, task_id, body={"position": None})
    assert position(created) == task_id.replace("-", "").rstrip("0")
    assert position(call("update_task", user, task_id, body={"list": "work", "position": "q"})) == "q"
    assert position(call("update_task", user, task_id, body={"list": None})) is None


@pytest.mark.parametrize(
    "position", ["", "0", "a0", "A", "a-b", "\u0661", "a\n", " a", "a" * 251, "a" * 200_000, 5, ["a"]]
)
def test_a_bad_position_is_refused(call: Functions, user: str, position: object) -> None:
    reply = call("create_task", user, body={"title": "x", "list": "home", "position": position})
    assert (reply.status, [one["pointer"] for one in reply.json["errors"]]) == (422, ["/position"])


def test_a_position_needs_a_list(call: Functions, user: str) -> None:
    task = call("create_task", user, body={"title": "x"}).json
    for reply in (
        call("create_task", user, body={"title": "x", "position": "a"}),
        call("update_task", user, task["id"], body={"position": "a"}),
        call("update_task", user, task["id"], body={"position": "a", "list": None}),
    ):
        assert (reply.status, [one["pointer"] for one in reply.json["errors"]]) == (422, ["/position"])
    assert call("update_task", user, task["id"], body={"position": None}).json == task


@pytest.mark.parametrize("side", ["after", "before"])
def test_a_patch_of_a_position_makes_room(
    dynamodb_local_url: str, user: str, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two neighbours change places until there is no room. Then one of the two tasks there gets another position."""
    if not PROVE:  # a few swaps instead of 1,200
        monkeypatch.setattr(positions, "LONGEST", 45)
    names: dict[str, Any] = {}
    exec(PYTHON, names)  # noqa: S102 - it is our own
    with functions(table_at(dynamodb_local_url)) as call:
        made = {title: call("create_task", user, body={"title": title, "list": "home"}).json["id"] for title in "axyb"}
        anchor = made["a" if side == "after" else "b"]

        def swap(count: int) -> Reply:
            return call("move_task", user, made["xy"[count % 2]], body={side: anchor})

        def order() -> list[Any]:
            return [one["id"] for one in call("list_tasks", user, query={"list": "home"}).json["items"]]

        count = 0
        while (reply := swap(count)).status == 200:
            count += 1
            assert count < 2000
        assert (reply.status, reply.kind) == (409, "no-room")
        assert "PATCH" in reply.json["detail"]
        # The anchor moves away from its neighbour, and stays at its end of the list.
        before, end = order(), call("get_task", user, anchor).json["position"]
        low, high = ("", end) if side == "after" else (end, "")
        patch = {"position": names["position_between"](low, high)}
        assert call("update_task", user, anchor, body=patch).status == 200
        assert order() == before
        assert [swap(count + more).status for more in range(10)] == [200] * 10
