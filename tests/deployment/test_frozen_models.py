"""The frozen models of the artifacts, with the schemas of pydantic but without pydantic, behave like pydantic."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from artifacts import freeze
from tests.conftest import ROOT, sized
from tests.deployment.conftest import HOST, built
from tests.deployment.models import validated

TASK_ID = "01a20720-1d65-7ec7-a429-721882d38931"
PLANNED = {
    "due": "2026-12-24T17:00:00",
    "time_zone": "Europe/Berlin",
    "priority": 1,
    "tags": ["home"],
    "metadata": {"color": "red"},
    "list": "home",
}
TASK = {
    **PLANNED,
    "id": TASK_ID,
    "user_id": "alice",
    "title": "x",
    "description": None,
    "completed": True,
    "position": "0mwwgm5w42gszb",
    "version": 3,
    "completed_at": 1_795_415_874_917,
    "created_at": 1_795_415_874_917,
    "updated_at": 0,
    "updated_by": "bob",
}
DELETED = {**TASK, "deleted_at": 1_795_415_874_917, "purge_at": 1_795_415_874_000}
NEW = {"title": "x", "description": "y", "completed": False, **PLANNED}
ON_TASK = {"id": TASK_ID, "if_match": '"3-1"'}
MOVE = {"after": TASK_ID, "list": "home"}
OPERATIONS: list[dict[str, Any]] = [
    {"op": "create", "task": NEW},
    {"op": "update", "patch": NEW, **ON_TASK},
    *(
        {"op": op, **ON_TASK, "id": TASK_ID[:-1] + end}
        for op, end in (("toggle", "2"), ("delete", "3"), ("restore", "4"))
    ),
    {"op": "move", **ON_TASK, "id": TASK_ID[:-1] + "5", **MOVE},
]
RESULT = {"op": "toggle", "id": TASK_ID, "task": TASK}
TOMBSTONE = {"id": TASK_ID, "deleted": True, "version": 4, "deleted_at": 0}
RECEIPT = {"user_id": "alice", "marked_at": 0, "completed_at": 1_795_415_874_917, "expires_at": 1_798_871_974_000}
GOOD: dict[str, dict[str, Any]] = {
    "shared.models": {
        **dict.fromkeys(("NewTask", "TaskPatch"), NEW),
        "TaskReplacement": {**TASK, "etag": '"3-1"'},
        "Task": TASK,
        "Move": MOVE,
        "DeletedTask": DELETED,
        "Tombstone": TOMBSTONE,
        "TaskPage": {"items": [TASK, DELETED], "next_cursor": "x"},
        "Cleared": {"cleared": 3, "more": False},
        "BatchResult": RESULT,
        "BatchResults": {"results": [RESULT, {**RESULT, "task": None}]},
        "Changes": {"items": [TASK, TOMBSTONE], "next_since": "x", "has_more": True},
        "TaskQuery": {"status": "open", "order": "desc", "limit": "20", "cursor": "x"},
        "ReplaceQuery": {"import": "true"},
        "EraseQuery": {"confirm": "alice"},
        "Receipt": RECEIPT,
        "Erased": {"erased": 0, "more": False, "receipt": RECEIPT},
        "ChangesQuery": {"since": "x", "limit": "20"},
        "ClearQuery": {"status": "completed"},
        "_Fields": {name: value for name, value in NEW.items() if name != "metadata"},
        "Model": {},
        "Input": {},
        "NoQuery": {},
    },
    "shared.batches": {
        "Batch": {"operations": OPERATIONS},
        "_OnTask": ON_TASK,
        **{f"{one['op'].title()}Operation": one for one in OPERATIONS},
    },
    "shared.http.settings": {"Settings": {"TABLE_NAME": "tasks", "SERVICE_SCOPE": "a/b", "IDEMPOTENCY_HOURS": "24"}},
}
NAUGHTY: list[str] = json.loads((ROOT / "tests" / "property" / "naughty_strings.json").read_text())
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        *(text for text in NAUGHTY if text.isprintable()),
        "x" * 256,
        "\u0958" * 128,
        "y" * 1001,
        "1",
        "-1",
        "\u0661",
        "\0",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 10**20) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def near(value: Any) -> st.SearchStrategy[Any]:
    """JSON similar to a value, or with a wrong part in it."""
    if isinstance(value, dict):
        inner = {name: near(one) for name, one in value.items()}
        some = st.fixed_dictionaries({}, optional=inner)
        more = st.builds(lambda one, other: one | other, some, st.dictionaries(TEXT, JSON, max_size=1))
        return st.just(value) | st.fixed_dictionaries(inner) | some | more
    if isinstance(value, list):
        return st.lists(st.one_of(*map(near, value)), max_size=4)
    return st.just(value) | st.just(value) | TEXT | JSON


@pytest.fixture(scope="module")
def stand_in(folder: Path) -> Iterator[Callable[..., Any]]:
    """Runs the models of an artifact."""
    script = ROOT / "tests" / "deployment" / "models.py"
    command = [sys.executable, "-I", "-S", "-B", str(script), str(built(folder, "BatchTasks", HOST))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(*arguments: object) -> Any:
            process.stdin.write(json.dumps(arguments) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return json.loads(process.stdout.readline())  # type: ignore[union-attr]

        yield ask
        process.stdin.close()


EVERY = [(module, name) for module, good in GOOD.items() for name in good]


@pytest.mark.parametrize(("module", "name"), EVERY)
@hypothesis(max_examples=sized(30, 30, 1000))
@given(data=st.data())
def test_a_frozen_model_and_pydantic_give_the_same_result(
    stand_in: Callable[..., Any], module: str, name: str, data: st.DataObject
) -> None:
    value = data.draw(near(GOOD[module][name]))
    assert stand_in(module, name, value) == json.loads(json.dumps(validated(module, name, value)))


def test_every_model_has_a_valid_value() -> None:
    for module, good in GOOD.items():
        for name, value in good.items():
            assert isinstance(validated(module, name, value), dict), name
    frozen: dict[str, Any] = {}
    exec(freeze.frozen(), frozen)  # noqa: S102 - our own
    assert set(frozen["SCHEMAS"]) == {name for _, name in EVERY}


def test_the_same_code_freezes_to_the_same_bytes() -> None:
    again = "from artifacts import freeze; import sys; sys.stdout.write(freeze.frozen())"
    other = subprocess.run([sys.executable, "-c", again], cwd=ROOT, check=True, capture_output=True, text=True)
    assert other.stdout == freeze.frozen()


class Foreign:
    """A class outside this project."""


@pytest.mark.parametrize("value", [lambda text: text, Foreign, {"type": "definition-ref"}, [1.5], partial(len)])
def test_a_schema_that_cannot_be_frozen_ends_the_build(value: object) -> None:
    with pytest.raises(ValueError, match="cannot be frozen"):
        freeze.source_of(value)
