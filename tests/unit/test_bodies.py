"""Bodies are read strictly: ambiguous JSON is refused, and every error says what to correct."""

import base64
import json
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from shared.batches import Batch
from shared.http import bodies
from shared.http.problems import Problem, words_for
from shared.models import (
    BATCH_LIMIT,
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
from tests.inputs import FAULTY, MALFORMED, NO_OBJECT

JSON = {"content-type": "application/json"}
TOGGLE = {"op": "toggle", "id": "01a20720-1d65-7ec7-a429-721882d38931"}
MERGE = "application/merge-patch+json"


def refusal(raw: bytes, headers: dict[str, str] = JSON, model: Any = NewTask) -> Problem:
    with pytest.raises(Problem) as problem:
        bodies.parse(raw, headers, model)
    return problem.value


@pytest.mark.parametrize(("raw", "kind"), MALFORMED.values(), ids=MALFORMED)
def test_bodies_that_are_not_json(raw: bytes, kind: str) -> None:
    problem = refusal(raw)
    assert (problem.status, problem.kind) == (400, kind)


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b'\xef\xbb\xbf{"title": "x"}', "The body begins with a byte order mark (U+FEFF). Send it without one."),
        (b"\xef\xbb\xbf", "The body begins with a byte order mark (U+FEFF). Send it without one."),
        (b'"\x01"', "The body is not valid JSON: Invalid control character at line 1, column 2."),
        (b'{\n"title": "x', "The body is not valid JSON: Unterminated string starting at line 2, column 10."),
        (
            b'{"title": "x",}',
            "The body is not valid JSON: Illegal trailing comma before end of object at line 1, column 14.",
        ),
        ('{"title": "x"}'.encode("utf-16"), "The body is not valid UTF-8. Encode it in UTF-8."),
    ],
)
def test_messages_about_invalid_json_do_not_come_from_python(raw: bytes, detail: str) -> None:
    assert refusal(raw).detail == detail


@pytest.mark.parametrize(
    ("body", "model", "pointer", "detail"),
    [
        ([], NewTask, "", "Must be a JSON object"),
        ({"operations": {}}, Batch, "/operations", "Must be a JSON array"),
        ({"operations": [5]}, Batch, "/operations/0", "Must be a JSON object"),
        ({"operations": [{}]}, Batch, "/operations/0", "Must have an op"),
        ({"operations": [{"op": "create", "task": 5}]}, Batch, "/operations/0/task", "Must be a JSON object"),
        ({"operations": []}, Batch, "/operations", "Must have at least 1 of them, not 0"),
        ({"operations": [TOGGLE] * 26}, Batch, "/operations", "Must have at most 25 of them, not 26"),
        ({"title": "x", "priority": 10}, NewTask, "/priority", "Must be 9 or less"),
        ({"title": "x", "priority": 1.5}, NewTask, "/priority", "Must be a whole number"),
        ({"title": 5}, NewTask, "/title", "Must be a string"),
        ({"title": "x", "colour": 1}, NewTask, "/colour", "Must not be present, because this name is unknown"),
        ({}, NewTask, "/title", "Must be present"),
    ],
)
def test_messages_about_invalid_fields_do_not_come_from_pydantic(
    body: object, model: Any, pointer: str, detail: str
) -> None:
    assert refusal(json.dumps(body).encode(), model=model).errors == [{"pointer": pointer, "detail": detail}]


ODD_VALUES: list[Any] = [
    *(None, True, 0, -1, 10, 10**30, 1.5, 1e400, "", "x", "\udc80", [], [[]], {}, {"a": 1}, {"a": None}),
    *([{"op": "x"}], [{"op": []}], [{"op": "create"}] * (BATCH_LIMIT + 1)),
]
BODIES = (NewTask, TaskReplacement, TaskPatch, Move, Batch)
QUERIES = (TaskQuery, ChangesQuery, ClearQuery, EraseQuery, ReplaceQuery)
TYPES_OF_PYDANTIC = set(get_args(ErrorType))


@pytest.mark.parametrize("model", [*BODIES, *QUERIES])
def test_no_message_about_a_value_has_the_words_of_pydantic(model: type[BaseModel]) -> None:
    faults: list[ErrorDetails] = []
    values = ODD_VALUES if model in BODIES else ["", "x", "0", "10", "1" * 90, "\udc80"]
    for value in [*ODD_VALUES, *({name: one} for name in [*model.model_fields, "odd"] for one in values)]:
        try:
            model.model_validate(value)
        except ValidationError as error:
            faults += error.errors()
    of_pydantic = {fault["type"]: fault for fault in faults if fault["type"] in TYPES_OF_PYDANTIC}
    assert "extra_forbidden" in of_pydantic
    for fault in of_pydantic.values():
        assert words_for(fault).startswith("Must ")
        assert words_for(fault) != fault["msg"]


def test_a_byte_order_mark_inside_a_string_is_a_character() -> None:
    assert bodies.parse('{"title": "\ufeffx"}'.encode(), JSON, NewTask).title == "\ufeffx"


@pytest.mark.parametrize("raw", NO_OBJECT.values(), ids=NO_OBJECT)
def test_bodies_that_are_not_objects(raw: bytes) -> None:
    problem = refusal(raw)
    assert (problem.status, problem.errors) == (422, [{"pointer": "", "detail": "Must be a JSON object"}])


def test_a_surrogate_pair_is_one_character() -> None:
    assert bodies.parse(b'{"title": "\\ud83d\\ude00"}', JSON, NewTask).title == "\U0001f600"


def test_at_most_50_errors_are_listed() -> None:
    for count, detail in (
        (50, "The body has 50 faults; see errors."),
        (5000, "The body has 5000 faults; errors lists the first 50."),
    ):
        problem = refusal(json.dumps({"title": "a", **{f"field-{number}": 1 for number in range(count)}}).encode())
        assert problem.detail == detail
        assert [fault["pointer"] for fault in problem.errors] == [f"/field-{number}" for number in range(50)]


@pytest.mark.parametrize(
    ("body", "model"),
    [({"title": "a", "x" * 100_000: 1}, NewTask), ({"operations": [{"op": "x" * 100_000}]}, Batch)],
    ids=["a name", "an operation"],
)
def test_long_names_of_the_client_are_shortened_in_errors(body: object, model: Any) -> None:
    (fault,) = refusal(json.dumps(body).encode(), model=model).errors
    assert ("x" * 100 in str(fault)) == (model is NewTask)
    assert len(str(fault)) < 500


@pytest.mark.parametrize(("fields", "pointers"), FAULTY.values(), ids=FAULTY)
def test_every_error_has_a_pointer(fields: dict[str, object], pointers: list[str]) -> None:
    problem = refusal(json.dumps({"title": "x", **fields}).encode())
    assert sorted(fault["pointer"] for fault in problem.errors) == sorted(pointers)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON ;charset="UTF-8"',
        "application/json; v=1",
        "application/json;charset=utf8",
        "application/json; charset=UTF8; v=1",
        "application/json; charset=us-ascii",
        'application/json; charset="US-ASCII"',
        "application/json; charset=ascii; charset=utf-8",
    ],
)
def test_good_media_types(content_type: str) -> None:
    body = '{"title": "\u00e9"}'.encode()  # a body declared as US-ASCII is also read as UTF-8
    assert bodies.parse(body, {"content-type": content_type}, NewTask).title == "\u00e9"


@pytest.mark.parametrize("coding", ["identity", "Identity", " identity , identity", ""])
def test_the_content_coding_identity_is_accepted(coding: str) -> None:
    assert bodies.parse(b'{"title": "x"}', {**JSON, "content-encoding": coding}, NewTask).title == "x"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": MERGE},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json; charset=utf-8-sig"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json; charset=utf-8; charset=utf-16"},
        {"content-type": "application/json; charset="},
    ],
)
def test_bad_media_types(headers: dict[str, str]) -> None:
    problem = refusal(b'{"title": "x"}', headers)
    assert (problem.status, dict(problem.headers)) == (415, {})


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, br", "deflate,identity", "x"])
@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
def test_an_unsupported_content_coding_is_rejected_and_the_supported_one_named(coding: str, media_type: str) -> None:
    """RFC 9110, sections 12.5.3 and 15.5.16."""
    problem = refusal(b'{"title": "x"}', {"content-type": media_type, "content-encoding": coding})
    assert (problem.status, dict(problem.headers)) == (415, {"Accept-Encoding": "identity"})
    assert "without a content coding" in problem.detail


def test_a_patch_may_be_a_merge_patch() -> None:
    assert bodies.parse(b'{"title": "x"}', {"content-type": MERGE}, TaskPatch).changes() == {"title": "x"}
    problem = refusal(b"{}", {"content-type": "application/json-patch+json"}, TaskPatch)
    assert problem.headers["Accept-Patch"] == f"{MERGE}, application/json"


def test_raw_bodies() -> None:
    assert bodies.raw_body({}) == b""
    assert bodies.raw_body({"body": "\u00e9"}) == b"\xc3\xa9"
    assert bodies.raw_body({"body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True}) == b"\xff"
    assert len(bodies.raw_body({"body": "x" * bodies.LIMIT})) == bodies.LIMIT


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"body": "x" * (bodies.LIMIT + 1)}, 413),
        ({"body": "\u00e9" * (bodies.LIMIT // 2 + 1)}, 413),
        ({"body": "no base 64", "isBase64Encoded": True}, 400),
        ({"body": "\ud800"}, 400),
    ],
)
def test_bad_raw_bodies(event: dict[str, Any], status: int) -> None:
    with pytest.raises(Problem) as problem:
        bodies.raw_body(event)
    assert problem.value.status == status
