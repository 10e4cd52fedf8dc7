"""Every text of a request is cut off by its length before any other rule sees it, whatever that rule costs."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from shared import etags
from shared.batches import Batch
from shared.fields import (
    DESCRIPTION_LENGTH,
    DUE_LENGTH,
    LIST_KEY_LENGTH,
    METADATA_KEY_LENGTH,
    METADATA_VALUE_LENGTH,
    NUMBER_LENGTH,
    TAG_LENGTH,
    TASK_ID_LENGTH,
    TIME_ZONE_LENGTH,
    TITLE_LENGTH,
    TOKEN_LENGTH,
    USER_ID_LENGTH,
    milliseconds,
)
from shared.http.idempotency import parse_idempotency_key
from shared.http.problems import Problem
from shared.models import (
    ChangesQuery,
    ClearQuery,
    EraseQuery,
    Move,
    NewTask,
    ReplaceQuery,
    TaskPatch,
    TaskQuery,
    TaskReplacement,
)
from shared.positions import LONGEST

# The most characters of each text, by the name of its field. None is one of a few words.
CAPS: dict[str, int | None] = {
    "title": TITLE_LENGTH,
    "description": DESCRIPTION_LENGTH,
    "due": DUE_LENGTH,
    "due_after": DUE_LENGTH,
    "due_before": DUE_LENGTH,
    "time_zone": TIME_ZONE_LENGTH,
    "tags": TAG_LENGTH,
    "tag": TAG_LENGTH,
    "list": LIST_KEY_LENGTH,
    "position": LONGEST,
    "metadata": METADATA_VALUE_LENGTH,
    "metadata key": METADATA_KEY_LENGTH,
    "after": TASK_ID_LENGTH,
    "before": TASK_ID_LENGTH,
    "cursor": TOKEN_LENGTH,
    "since": TOKEN_LENGTH,
    "limit": NUMBER_LENGTH,
    "priority_max": NUMBER_LENGTH,
    "confirm": USER_ID_LENGTH,
    "status": None,
    "order": None,
    "import": None,
}
BODIES: tuple[type[BaseModel], ...] = (NewTask, TaskPatch, TaskReplacement, Move)
QUERIES: tuple[type[BaseModel], ...] = (TaskQuery, ChangesQuery, ClearQuery, EraseQuery, ReplaceQuery)
# The patterns for due dates, ETags, and so on take long for some of these.
BAD = ("T", "T+", "0", "e\u0301", "\u0301", "\0", "\x01", " ", '"', 'W/"', "a,", "\U0001f600", "T00:00", "-", "\\")


def texts(model: type[BaseModel]) -> Iterator[str]:
    """The names of all texts of a model. The fields that only the server sets are ignored."""
    for name, field in model.model_fields.items():
        if field.exclude and name != "position":
            continue
        if field.annotation is not bool and name not in {"completed", "priority"}:
            yield field.alias or name
        if name == "metadata":
            yield "metadata key"


def body(name: str, text: str) -> dict[str, Any]:
    match name:
        case "tags":
            return {"tags": [text]}
        case "metadata":
            return {"metadata": {"k": text}}
        case "metadata key":
            return {"metadata": {text: "v"}}
    return {name: text}


CASES = [(model, name) for model in BODIES + QUERIES for name in texts(model)]


def faults(model: type[BaseModel], value: object) -> Mapping[str, str]:
    """The types of the faults by the name of the field."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return {str(fault["loc"][0]) if fault["loc"] else "": fault["type"] for fault in error.errors()}
    return {}


def test_every_text_is_in_the_table() -> None:
    assert {name for _, name in CASES} == CAPS.keys()


@pytest.mark.parametrize(("model", "name"), CASES)
def test_a_text_that_is_too_long_is_refused_for_its_length(model: type[BaseModel], name: str) -> None:
    cap, field = CAPS[name], name.removesuffix(" key")
    expected = "literal_error" if cap is None else "text_too_long"
    one_over = ("7" if "limit" in name or "max" in name else "x") * ((cap or 20) + 1)
    long = [(bad * 200_000)[:200_000] for bad in BAD]
    for text in (one_over, *long, f"2026-12-24{'T' * 200_000}"):
        assert faults(model, body(name, text))[field] == expected, text[:20]


def test_texts_of_a_batch_are_cut_off() -> None:
    for op in ("update", "toggle", "delete", "restore", "move"):
        for name, cap in (("id", TASK_ID_LENGTH), ("if_match", etags.MOST_CHARACTERS)):
            for text in ("x" * (cap + 1), *((bad * 200_000)[:200_000] for bad in BAD)):
                one = {"op": op, "id": "01a20720-1d65-7ec7-a429-721882d38931", name: text}
                with pytest.raises(ValidationError) as refused:
                    Batch.model_validate({"operations": [one]})
                (message,) = [fault["msg"] for fault in refused.value.errors() if fault["loc"][-1] == name]
                assert message.startswith(f"Must have at most {cap} characters")


@pytest.mark.parametrize("bad", BAD)
def test_headers_and_times_are_cut_off(bad: str) -> None:
    text = (bad * 200_000)[:200_000]
    with pytest.raises(ValueError, match="Must have at most 10240 characters"):
        etags.versions_in(text, weak=True)
    with pytest.raises(Problem) as refused:
        parse_idempotency_key({"idempotency-key": text}, 1, "alice", b"")
    assert "1 to 255" in refused.value.detail
    assert milliseconds(text) is None
