"""Bodies are read strictly: what JSON leaves open is refused, and every refusal says what to mend."""

import base64
import json
from typing import Any

import pytest

from shared.batches import Batch
from shared.http import bodies
from shared.http.problems import Problem
from shared.models import NewTask, TaskPatch

JSON = {"content-type": "application/json"}
MERGE = "application/merge-patch+json"


def refusal(raw: bytes, headers: dict[str, str] = JSON, model: Any = NewTask) -> Problem:
    with pytest.raises(Problem) as problem:
        bodies.parse(raw, headers, model)
    return problem.value


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "bad-json"),
        (b"not json", "bad-json"),
        (b"{}x", "bad-json"),
        (b"{'title': 1}", "bad-json"),
        (b'{"title": NaN}', "bad-json"),
        (b'{"title": -Infinity}', "bad-json"),
        (b'\xef\xbb\xbf{"title": "x"}', "bad-json"),
        (b'{"title": "\\ud800"}', "bad-json"),
        (b'{"\\udfff": 1}', "bad-json"),
        (b'{"title": "\xff"}', "bad-encoding"),
        (b'{"title": "\xed\xa0\x80"}', "bad-encoding"),
        ('{"title": "x"}'.encode("utf-16"), "bad-encoding"),
        (b'{"title": "a", "title": "a"}', "duplicate-key"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "duplicate-key"),
        (b"[" * 100_000, "bad-json"),
        (b'{"title": ' + b"9" * 5000 + b"}", "bad-json"),
        (b'{"title": "a\nb"}', "bad-json"),
    ],
)
def test_no_json(raw: bytes, kind: str) -> None:
    problem = refusal(raw)
    assert (problem.status, problem.kind) == (400, kind)


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b'\xef\xbb\xbf{"title": "x"}', "The body begins with a byte order mark (U+FEFF). Send it without one."),
        (b"\xef\xbb\xbf", "The body begins with a byte order mark (U+FEFF). Send it without one."),
        (b'"\x01"', "The body is not JSON: Invalid control character at line 1, column 2."),
        (b'{\n"title": "x', "The body is not JSON: Unterminated string starting at line 2, column 10."),
        (b'{"title": "x",}', "The body is not JSON: Illegal trailing comma before end of object at line 1, column 14."),
        ('{"title": "x"}'.encode("utf-16"), "The body is not UTF-8."),
    ],
)
def test_the_words_for_what_is_no_json_are_not_those_of_python(raw: bytes, detail: str) -> None:
    assert refusal(raw).detail == detail


@pytest.mark.parametrize(
    ("body", "model", "pointer", "detail"),
    [
        ([], NewTask, "", "Must be a JSON object"),
        ({"operations": {}}, Batch, "/operations", "Must be a JSON array"),
        ({"operations": [5]}, Batch, "/operations/0", "Must be a JSON object"),
        ({"operations": [{}]}, Batch, "/operations/0", "Must have an op"),
        ({"operations": [{"op": "create", "task": 5}]}, Batch, "/operations/0/task", "Must be a JSON object"),
    ],
)
def test_the_words_for_a_fault_are_not_those_of_python(body: object, model: Any, pointer: str, detail: str) -> None:
    assert refusal(json.dumps(body).encode(), model=model).errors == [{"pointer": pointer, "detail": detail}]


def test_a_byte_order_mark_within_a_text_is_a_character() -> None:
    assert bodies.parse('{"title": "\ufeffx"}'.encode(), JSON, NewTask).title == "\ufeffx"


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"x"', b"5", b"1e400"])
def test_no_object(raw: bytes) -> None:
    problem = refusal(raw)
    assert (problem.status, problem.errors) == (422, [{"pointer": "", "detail": "Must be a JSON object"}])


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert bodies.parse(b'{"title": "\\ud83d\\ude00"}', JSON, NewTask).title == "\U0001f600"


def test_at_most_50_faults_are_listed() -> None:
    for count, said in (
        (50, "The body has 50 faults; see errors."),
        (5000, "The body has 5000 faults; errors lists the first 50."),
    ):
        problem = refusal(json.dumps({"title": "a", **{f"field-{number}": 1 for number in range(count)}}).encode())
        assert problem.detail == said
        assert [fault["pointer"] for fault in problem.errors] == [f"/field-{number}" for number in range(50)]


@pytest.mark.parametrize(
    ("body", "model"),
    [({"title": "a", "x" * 100_000: 1}, NewTask), ({"operations": [{"op": "x" * 100_000}]}, Batch)],
    ids=["a name", "an operation"],
)
def test_what_the_client_sent_is_repeated_in_part(body: object, model: Any) -> None:
    (fault,) = refusal(json.dumps(body).encode(), model=model).errors
    assert "x" * 100 in str(fault)
    assert len(str(fault)) < 500


def test_every_fault_has_a_pointer() -> None:
    problem = refusal(json.dumps({"title": 5, "a/b~c": 1}).encode())
    assert [fault["pointer"] for fault in problem.errors] == ["/title", "/a~1b~0c"]


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
    body = '{"title": "\u00e9"}'.encode()  # read as UTF-8 also where it is declared as US-ASCII
    assert bodies.parse(body, {"content-type": content_type}, NewTask).title == "\u00e9"


@pytest.mark.parametrize("coding", ["identity", "Identity", " identity , identity", ""])
def test_no_content_coding(coding: str) -> None:
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
def test_a_content_coding_is_refused_with_the_one_that_is_taken(coding: str, media_type: str) -> None:
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
