"""What clients may send, up to the exact limits, and what they get back."""

import json
import re
import sys
import unicodedata
from datetime import datetime, timedelta
from importlib import resources
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from shared.fields import rfc3339
from shared.models import (
    ChangesQuery,
    DeletedTask,
    Merge,
    NewTask,
    Task,
    TaskPage,
    TaskPatch,
    TaskQuery,
    TaskReplacement,
)
from shared.time_zones import TIME_ZONES

TASK = Task(
    id="i",
    user_id="alice",
    title="Buy milk",
    description=None,
    completed=True,
    completed_at=2,
    created_at=0,
    updated_at=1_795_415_874_917,
    updated_by=None,
    due=None,
    time_zone=None,
    priority=0,
    tags=[],
    metadata={},
    list=None,
    position=None,
    version=3,
)
DETAILS: dict[str, Any] = {"due": None, "time_zone": None, "priority": 0, "tags": [], "metadata": {}, "list": None}
WHOLE = {"title": "Buy milk", "description": None, "completed": False}


@pytest.mark.parametrize(
    "body",
    [
        {"title": "x"},
        {"title": "x" * 255, "description": "y" * 8192, "completed": True},
        {"title": "\U0001fae9"},  # an emoji that is younger than Python's Unicode
        {"title": "\u200bx\u2060"},
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
    "title",
    [
        "\u200b",
        "\u2060",
        "\ufeff",
        "\u3164",
        "\u202e",
        "\u0301",
        "\u115f\u1160\uffa0",
        "\u2800",
        "\x7f",
        "\u00ad",
        "\U000e0020",
    ],
)
def test_a_title_without_visible_characters_is_blank(title: str) -> None:
    for text in (title, f" {title}\t"):
        with pytest.raises(ValidationError, match="a character that is visible"):
            NewTask(title=text)


@pytest.mark.parametrize(
    ("due", "shown"),
    [
        ("2026-12-24", "2026-12-24"),
        ("2026-12-24T17:00", "2026-12-24T17:00:00"),
        ("2026-12-24T17:00:01", "2026-12-24T17:00:01"),
        ("2028-02-29", "2028-02-29"),
        ("0001-01-01", "0001-01-01"),
        ("9999-12-31T23:59:59", "9999-12-31T23:59:59"),
        (None, None),
    ],
)
def test_due_dates_are_kept_unchanged(due: str | None, shown: str | None) -> None:
    assert NewTask(title="x", due=due).due == shown


@pytest.mark.parametrize(
    ("due", "message"),
    [
        ("2026-02-30", "that exist"),
        ("2027-02-29", "that exist"),
        ("2026-13-01", "that exist"),
        ("0000-01-01", "that exist"),
        ("2026-12-24T25:00", "that exist"),
        ("2026-12-24T24:00", "that exist"),
        ("2026-12-24T23:59:60", "that exist"),
        ("2026-12-24T17:00Z", "must not have an offset.*time_zone"),
        ("2026-12-24T17:00:00z", "must not have an offset.*time_zone"),
        ("2026-12-24T17:00:00+01:00", "must not have an offset.*time_zone"),
        ("2026-12-24T17:00-0800", "must not have an offset.*time_zone"),
        ("2026-12-24T17:00:00.000Z", "must not have an offset.*time_zone"),
        ("2026-12-24T17:00:00.5", "a day, such as"),
        ("2026-12-24 17:00", "a day, such as"),
        ("20261224", "a day, such as"),
        ("2026-W52-4", "a day, such as"),
        ("2026-12-24\n", "a day, such as"),
        ("\u0662026-12-24", "a day, such as"),
        ("tomorrow", "a day, such as"),
        ("", "a day, such as"),
        (20261224, "string"),
    ],
)
def test_bad_due_dates(due: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?i){message}"):
        NewTask(title="x", due=due)


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "US/Pacific"])
def test_time_zones(name: str) -> None:
    assert NewTask(title="x", due="2026-12-24T17:00", time_zone=name).time_zone == name


@pytest.mark.parametrize(
    "name", ["Mars/Base", "Factory", "europe/berlin", "", "Europe/Berlin ", "+01:00", "../etc/passwd"]
)
def test_unknown_time_zones(name: str) -> None:
    with pytest.raises(ValidationError, match="IANA time zone, such as Europe/Berlin"):
        NewTask(title="x", due="2026-12-24T17:00", time_zone=name)


def test_the_names_of_time_zones_are_those_of_the_locked_tzdata() -> None:
    assert set(resources.files("tzdata").joinpath("zones").read_text().split()) == {*TIME_ZONES, "Factory"}


def test_tags_are_a_set() -> None:
    assert NewTask(title="x", tags=["b", "e\u0301", " a ", "\u00e9", "b"]).tags == ["a", "b", "\u00e9"]
    assert NewTask(title="x", tags=["a", " a", "a\u3000", "\u2003a "]).tags == ["a"]
    assert NewTask(title="x", tags=["x"] * 1000).tags == ["x"]
    assert NewTask(title="x", tags=["\U0001f600" * 50]).tags == ["\U0001f600" * 50]
    assert len(NewTask(title="x", tags=[str(number) for number in range(20)]).tags) == 20


@pytest.mark.parametrize("metadata", [None, {"a": None}])  # in a patch, these remove metadata
def test_bad_metadata_of_a_new_task(metadata: object) -> None:
    with pytest.raises(ValidationError):
        NewTask.model_validate({"title": "x", "metadata": metadata})


def test_a_priority_may_be_written_with_a_decimal_point() -> None:
    assert repr(NewTask.model_validate({"title": "x", "priority": 5.0}).priority) == "5"


def test_metadata_of_2048_bytes_is_accepted_and_kept_unchanged() -> None:
    metadata = {"abcd": "x" * 500, "b": "\u00e9" * 500, "c": "x" * 500, "d": "x" * 41}
    assert NewTask(title="x", metadata=metadata).metadata == metadata
    raw = {"a": "e\u0301\t "}
    assert NewTask(title="x", metadata=raw).metadata == raw


@pytest.mark.parametrize(
    ("patch", "changes"),
    [
        ({"metadata": {"a": "1", "b": None}}, {"metadata": Merge({"a": "1", "b": None})}),
        ({"metadata": None}, {"metadata": {}}),
        ({"metadata": {}}, {"metadata": Merge()}),
        ({"tags": ["b", "a"]}, {"tags": ["a", "b"]}),
        ({"due": None, "time_zone": None}, {"due": None, "time_zone": None}),
    ],
)
def test_what_a_patch_of_details_changes(patch: dict[str, Any], changes: dict[str, Any]) -> None:
    made = TaskPatch.model_validate(patch).changes()
    assert made == changes
    assert type(made.get("metadata")) is type(changes.get("metadata"))


def test_a_replacement_keeps_the_details_that_it_does_not_name() -> None:
    assert TaskReplacement.model_validate(WHOLE).changes() == WHOLE
    changes = {**WHOLE, "priority": 3, "metadata": {"a": "1"}}
    assert TaskReplacement.model_validate(changes).changes() == changes
    assert type(TaskReplacement.model_validate(changes).changes()["metadata"]) is dict


def test_a_long_run_of_combining_marks_is_refused_before_it_is_normalized() -> None:
    assert NewTask(title="x", description="e" + "\u0301" * 1000 + "y" * 1000).description is not None
    with pytest.raises(ValidationError, match="at most 1000 combining marks in a row"):
        NewTask(title="x", description="e" + "\u0301\u0323" * 501)


@pytest.mark.parametrize("field", WHOLE)
def test_a_replacement_names_every_field(field: str) -> None:
    with pytest.raises(ValidationError):
        TaskReplacement.model_validate({name: value for name, value in WHOLE.items() if name != field})


def test_a_task_that_was_read_can_be_sent_back() -> None:
    body = json.loads(TASK.model_dump_json())
    assert TaskReplacement.model_validate(body).changes() == {**WHOLE, **DETAILS, "completed": True}
    with pytest.raises(ValidationError):
        TaskReplacement.model_validate({**body, "colour": "red"})


def test_every_field_of_a_response_is_accepted_in_a_request() -> None:
    assert TaskReplacement.model_fields.keys() == {
        *(name for name, field in DeletedTask.model_fields.items() if not field.exclude),
        *DeletedTask.model_computed_fields,
    }


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
def test_an_accepted_title_is_normalized_and_fits(text: str) -> None:
    try:
        title = NewTask(title=text).title
    except ValidationError:
        normal = unicodedata.normalize("NFC", text)
        visible = [
            one
            for one in text
            if unicodedata.category(one)[0] not in "ZM" and unicodedata.category(one) not in ("Cc", "Cf")
        ]
        assert (
            re.search("\0", text) or not "".join(visible).strip("\u115f\u1160\u3164\uffa0\u2800") or len(normal) > 255
        )
    else:
        assert title == unicodedata.normalize("NFC", text)
        assert 1 <= len(title) <= 255


@pytest.mark.parametrize(("field", "longest"), [("title", 255), ("description", 8192)])
def test_a_text_that_is_far_too_long_is_not_normalized(
    field: str, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalized: list[int] = []

    def normalize(form: Literal["NFC"], text: str) -> str:
        normalized.append(len(text))
        return original(form, text)

    original = unicodedata.normalize
    monkeypatch.setattr("shared.fields.unicodedata.normalize", normalize)
    for length in (4 * longest, 4 * longest + 1, 100_000):
        with pytest.raises(ValidationError, match=f"at most {longest} characters, not {length}"):
            NewTask.model_validate({"title": "a", field: "a" * length})
    # The title is normalized in each case except the one in which it is too long.
    assert max(normalized) == 4 * longest


# Each has four code points in form NFD, and one in NFC.
@pytest.mark.parametrize("character", ["\u1f82", "\u1fa7"])
def test_a_text_that_fits_in_normal_form_is_accepted(character: str) -> None:
    sent = unicodedata.normalize("NFD", character * 255)
    assert len(sent) == 4 * 255
    assert NewTask(title=sent).title == character * 255


def test_no_character_decomposes_into_more_than_four() -> None:
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
        "updated_by": None,
        **DETAILS,
        "position": None,
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


@given(st.integers(min_value=0, max_value=253402300799999))
def test_times_are_those_of_datetime(milliseconds: int) -> None:
    expected = datetime(1970, 1, 1) + timedelta(milliseconds=milliseconds)
    assert rfc3339(milliseconds) == expected.isoformat("T", "milliseconds") + "Z"


@pytest.mark.parametrize(
    ("query", "size"), [({}, 50), ({"limit": "1"}, 1), ({"limit": "100"}, 100), ({"limit": "99999999999"}, 100)]
)
def test_page_sizes(query: dict[str, str], size: int) -> None:
    assert TaskQuery.model_validate(query).page_size == size


def test_only_the_same_list_has_the_same_scope() -> None:
    open_due = [{"status": "open", name: "2026-12-24"} for name in ("due_after", "due_before")]
    named = [{name: value} for name in ("tag", "list") for value in ("None", "null", "1")]
    lists = [{}, {"status": "open"}, {"order": "desc"}, {"priority_max": "1"}, *named, *open_due]
    assert len({TaskQuery.model_validate(query).scope for query in lists}) == len(lists)
    for query in lists:
        more = TaskQuery.model_validate({**query, "limit": "1", "cursor": "x"})
        assert more.scope == TaskQuery.model_validate(query).scope


@pytest.mark.parametrize(
    ("query", "size"), [({}, 100), ({"limit": "1"}, 1), ({"limit": "500"}, 500), ({"limit": "501"}, 500)]
)
def test_page_sizes_of_changes(query: dict[str, str], size: int) -> None:
    assert ChangesQuery.model_validate(query).page_size == size


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": limit} for limit in ("0", "-1", "1.0", "1e2", " 1", "+1", "", "x", "\u0661", "\u00b2", "1_0")),
        *({"status": status} for status in ("", "OPEN", "done", "open,completed")),
        *({"order": order} for order in ("", "ASC", "up")),
        *({"cursor": cursor} for cursor in ("", "x" * 513)),
        *({"tag": tag} for tag in ("", "x" * 51, "a\tb")),
        *({"priority_max": number} for number in ("0", "10", "x", "-1", "")),
        *({"status": "open", "due_before": due} for due in ("", "tomorrow", "2026-02-30", "2026-12-24T10:00Z")),
        *({"status": status, "due_after": "2026-12-24"} for status in ("all", "completed", "deleted")),
        {"due_before": "2026-12-24"},
        {"status": "open", "due_after": "2026-12-24", "due_before": "2026-12-24"},
        {"status": "open", "due_after": "2026-12-24", "due_before": "2026-12-24T10:00"},
        {"status": "open", "due_after": "2026-12-25", "due_before": "2026-12-24"},
        {"state": "open"},
    ],
)
def test_bad_queries(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TaskQuery.model_validate(query)
