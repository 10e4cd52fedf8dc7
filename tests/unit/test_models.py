"""What clients may send, to the last code point, and what they get back."""

import json
import sys
import unicodedata
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from shared.models import (
    ChangesQuery,
    DeletedTask,
    NewTask,
    Task,
    TaskPage,
    TaskPatch,
    TaskQuery,
    TaskReplacement,
    rfc3339,
)

TASK = Task(
    id="i",
    user_id="alice",
    title="Buy milk",
    description=None,
    completed=True,
    completed_at=2,
    created_at=0,
    updated_at=1_795_415_874_917,
    version=3,
)
WHOLE = {"title": "Buy milk", "description": None, "completed": False}


@pytest.mark.parametrize(
    "body",
    [
        {"title": "x"},
        {"title": "x" * 255, "description": "y" * 1000, "completed": True},
        {"title": "\U0001f600" * 255},
        {"title": "e\u0301" * 255},  # 510 code points, of which 255 are stored
        {"title": " x "},
        {"title": "x", "description": ""},
        {"title": "x", "description": None},
    ],
)
def test_good_tasks(body: dict[str, Any]) -> None:
    new = NewTask.model_validate(body)
    assert new.title == unicodedata.normalize("NFC", body["title"])
    assert (new.description, new.completed) == (body.get("description"), body.get("completed", False))


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["title"]),
        ({"title": None}, ["title"]),
        ({"title": 5}, ["title"]),
        ({"title": ""}, ["title"]),
        ({"title": " \t\u2003\n"}, ["title"]),
        ({"title": "x" * 256}, ["title"]),
        ({"title": "\u0958" * 128}, ["title"]),  # each becomes two in NFC
        ({"title": "a\0b"}, ["title"]),
        ({"title": "x", "description": "y" * 1001}, ["description"]),
        ({"title": "x", "description": "\0"}, ["description"]),
        ({"title": "x", "description": 1}, ["description"]),
        ({"title": "x", "completed": "yes"}, ["completed"]),
        ({"title": "x", "completed": 1}, ["completed"]),
        ({"title": "x", "completed": None}, ["completed"]),
        ({"title": "x", "color": "red"}, ["color"]),
        ({"title": "x", "id": "i"}, ["id"]),
        ({"title": 5, "description": 5, "completed": 5, "etag": 5}, ["title", "description", "completed", "etag"]),
    ],
)
def test_every_fault_of_a_new_task_is_found(body: dict[str, Any], where: list[str]) -> None:
    with pytest.raises(ValidationError) as error:
        NewTask.model_validate(body)
    assert [fault["loc"] for fault in error.value.errors()] == [(place,) for place in where]


@pytest.mark.parametrize("field", WHOLE)
def test_a_replacement_names_every_field(field: str) -> None:
    with pytest.raises(ValidationError):
        TaskReplacement.model_validate({name: value for name, value in WHOLE.items() if name != field})


def test_a_task_that_was_read_can_be_sent_back() -> None:
    body = json.loads(TASK.model_dump_json())
    assert TaskReplacement.model_validate(body).changes() == {**WHOLE, "completed": True}
    with pytest.raises(ValidationError):
        TaskReplacement.model_validate({**body, "colour": "red"})


def test_every_field_that_a_task_shows_is_taken_back() -> None:
    assert TaskReplacement.model_fields.keys() == {*DeletedTask.model_fields, *DeletedTask.model_computed_fields}


@pytest.mark.parametrize("patch", [{}, {"title": "x"}, {"description": None}, {"completed": False}, WHOLE])
def test_a_patch_changes_what_it_names(patch: dict[str, Any]) -> None:
    assert TaskPatch.model_validate(patch).changes() == patch


@pytest.mark.parametrize("patch", [{"title": None}, {"title": " "}, {"completed": None}, {"id": "i"}, {"version": 1}])
def test_bad_patches(patch: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TaskPatch.model_validate(patch)


@pytest.mark.parametrize("model", [NewTask, TaskReplacement, TaskPatch])
@pytest.mark.parametrize("body", [None, [], "x", 5, [["title", "x"]]])
def test_only_objects_are_bodies(model: type[BaseModel], body: object) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(body)


@given(st.text(min_size=1, max_size=300))
def test_a_title_that_is_let_through_is_normal_and_fits(text: str) -> None:
    try:
        title = NewTask(title=text).title
    except ValidationError:
        normal = unicodedata.normalize("NFC", text)
        assert "\0" in text or not text.strip() or len(normal) > 255
    else:
        assert title == unicodedata.normalize("NFC", text)
        assert 1 <= len(title) <= 255


@pytest.mark.parametrize(("field", "longest"), [("title", 255), ("description", 1000)])
def test_a_text_that_is_far_too_long_is_not_normalized(
    field: str, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalized: list[int] = []

    def normalize(form: Literal["NFC"], text: str) -> str:
        normalized.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr("shared.models.unicodedata", SimpleNamespace(normalize=normalize))
    for length in (4 * longest, 4 * longest + 1, 100_000):
        with pytest.raises(ValidationError, match=f"at most {longest} characters, not {length}"):
            NewTask.model_validate({"title": "a", field: "a" * length})
    # The title is normalized each time, where it is not the field that is too long.
    assert max(normalized) == 4 * longest


# Each has four code points in form NFD, and one in NFC.
@pytest.mark.parametrize("character", ["\u1f82", "\u1fa7"])
def test_a_text_that_fits_in_normal_form_is_taken(character: str) -> None:
    sent = unicodedata.normalize("NFD", character * 255)
    assert len(sent) == 4 * 255
    assert NewTask(title=sent).title == character * 255


def test_no_character_stands_for_more_than_four() -> None:
    decomposed = (unicodedata.normalize("NFD", chr(point)) for point in range(sys.maxunicode + 1))
    assert max(map(len, decomposed)) == 4


def test_a_task_as_shown() -> None:
    assert json.loads(TASK.model_dump_json()) == {
        "id": "i",
        "user_id": "alice",
        "title": "Buy milk",
        "description": None,
        "completed": True,
        "completed_at": "1970-01-01T00:00:00.002Z",
        "created_at": "1970-01-01T00:00:00.000Z",
        "updated_at": "2026-11-23T06:37:54.917Z",
        "version": 3,
        "etag": '"3-1"',
    }


def test_a_page_shows_both_kinds_of_task() -> None:
    deleted = DeletedTask(**TASK.model_dump(mode="python", exclude={"etag"}) | dict(_TIMES), deleted_at=5, purge_at=6)
    shown = json.loads(TaskPage(items=[TASK, deleted], next_cursor="c").model_dump_json())
    assert "deleted_at" not in shown["items"][0]
    assert shown["items"][1]["purge_at"] == "1970-01-01T00:00:00.006Z"


_TIMES = {"completed_at": 2, "created_at": 0, "updated_at": 1}


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(999, "1970-01-01T00:00:00.999Z"), (253402300799999, "9999-12-31T23:59:59.999Z")]
)
def test_times(milliseconds: int, text: str) -> None:
    assert rfc3339(milliseconds) == text


@pytest.mark.parametrize(
    ("query", "size"), [({}, 50), ({"limit": "1"}, 1), ({"limit": "100"}, 100), ({"limit": "99999999999"}, 100)]
)
def test_page_sizes(query: dict[str, str], size: int) -> None:
    assert TaskQuery.model_validate(query).page_size == size


@pytest.mark.parametrize(
    ("query", "size"), [({}, 100), ({"limit": "1"}, 1), ({"limit": "500"}, 500), ({"limit": "501"}, 500)]
)
def test_page_sizes_of_changes(query: dict[str, str], size: int) -> None:
    assert ChangesQuery.model_validate(query).page_size == size


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": limit} for limit in ("0", "-1", "1.0", "1e2", " 1", "+1", "", "x", "\u0661", "1_0")),
        *({"status": status} for status in ("", "OPEN", "done", "open,completed")),
        *({"order": order} for order in ("", "ASC", "up")),
        *({"cursor": cursor} for cursor in ("", "x" * 513)),
        {"state": "open"},
    ],
)
def test_bad_queries(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TaskQuery.model_validate(query)
