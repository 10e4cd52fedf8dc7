"""The parser reads responses as botocore does, and refuses garbled ones."""

import json
import zlib
from typing import Any

import pytest
from botocore.parsers import ResponseParserError, create_parser
from hypothesis import given
from hypothesis import strategies as st

from shared import tasks
from shared.models import NewTask, Task, TaskPage
from shared.store import dynamodb, items, parser
from shared.tasks import ANY_VERSION

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
NEW = st.builds(
    NewTask,
    title=TEXT.map(lambda text: text + "x"),
    description=st.none() | TEXT.map(lambda text: text + " "),
    completed=st.booleans(),
)
TASK_ID = "01a20720-1d65-7ec7-a429-721882d38931"
NOW = 1_795_415_874_917
ERROR = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "refused"}


@pytest.fixture(scope="module")
def model() -> Any:
    return dynamodb.session().get_service_model("dynamodb")


def stored_item(new: NewTask, *, deleted: bool = False) -> Any:
    task: Task = tasks.create(None, TASK_ID, "älice", new, NOW)
    return items.to_item(tasks.delete(task, ANY_VERSION, NOW) if deleted else task, "Zk3v9xPq0sE")


def raw_response(body: object, status: int = 200) -> dict[str, Any]:
    raw = json.dumps(body).encode()
    return {"status_code": status, "headers": {"x-amz-crc32": str(zlib.crc32(raw))}, "body": raw}


def plain(model: Any, operation: str, body: object, status: int = 200) -> dict[str, Any]:
    """Parse a response with botocore alone."""
    shape = model.operation_model(operation).output_shape
    parsed: dict[str, Any] = create_parser("json").parse(raw_response(body, status), shape)
    return parsed


def fast(model: Any, operation: str, body: object, status: int = 200) -> dict[str, Any]:
    """Parse it with our handler, combined as in botocore.endpoint."""
    response, customized = raw_response(body, status), dict[str, Any]()
    parser.read(response, customized, model.operation_model(operation))
    shape = model.operation_model(operation).output_shape
    parsed: dict[str, Any] = create_parser("json").parse(response, shape)
    return {**parsed, **customized}


@given(news=st.lists(NEW, max_size=4), deleted=st.booleans(), more=st.booleans())
def test_a_page_is_read_as_botocore_reads_it(model: Any, news: list[NewTask], deleted: bool, more: bool) -> None:
    stored: list[Any] = [stored_item(new, deleted=deleted) for new in news]
    body = {"Items": stored, "Count": len(stored), "ScannedCount": len(stored)}
    if more:
        body["LastEvaluatedKey"] = items.key_of(items.partition_of("älice"), TASK_ID)
    mine, theirs = fast(model, "Query", body), plain(model, "Query", body)
    assert mine == theirs
    pages = [
        TaskPage(items=[items.from_item(item) for item in read["Items"]], next_cursor=None) for read in (mine, theirs)
    ]
    assert pages[0].model_dump_json() == pages[1].model_dump_json()


@given(new=NEW)
def test_an_item_is_read_as_botocore_reads_it(model: Any, new: NewTask) -> None:
    item = stored_item(new)
    bodies: list[tuple[str, object]] = [
        ("GetItem", {"Item": item}),
        ("GetItem", {}),
        ("PutItem", {}),
        ("TransactGetItems", {"Responses": [{"Item": item}, {}]}),
        ("TransactWriteItems", {}),
    ]
    for operation, body in bodies:
        assert fast(model, operation, body) == plain(model, operation, body)


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_is_parsed_by_botocore(model: Any, status: int) -> None:
    assert fast(model, "PutItem", ERROR, status) == plain(model, "PutItem", ERROR, status)


@pytest.mark.parametrize(
    "garbled",
    [
        *(
            b"",
            b"{",
            b"<html></html>",
            b"[]",
            b"5",
            b"null",
            b'{"Item": }',
            b'{"Item": {}} {}',
            b"\xff{}",
            b"[" * 100_000,
        ),
        json.dumps(ERROR).encode(),
    ],
)
def test_a_garbled_response_without_a_checksum_is_refused(model: Any, garbled: bytes) -> None:
    with pytest.raises(ResponseParserError):
        parser.read({"status_code": 200, "headers": {}, "body": garbled}, {}, model.operation_model("PutItem"))


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("Query", {}),
        ("Query", {"Items": []}),
        ("Query", {"Items": [], "Count": "0"}),
        ("TransactGetItems", {}),
        ("TransactGetItems", {"Responses": "x"}),
    ],
)
def test_a_response_without_the_requested_parts_is_refused(model: Any, operation: str, body: object) -> None:
    with pytest.raises(ResponseParserError):
        fast(model, operation, body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Item": {}},
        {"__type": 5},
    ],
)
def test_an_error_of_an_unknown_shape_is_refused(model: Any, body: object) -> None:
    with pytest.raises(ResponseParserError):
        fast(model, "TransactWriteItems", body, 400)


def test_attributes_of_every_type_are_read(model: Any) -> None:
    """A newer release may store types that this release does not."""
    values: list[Any] = [
        *({"S": ""}, {"N": "0"}, {"N": "-1.5"}, {"N": "1E+100"}, {"BOOL": True}, {"NULL": True}),
        *({"SS": ["x"]}, {"NS": ["1"]}, {"L": []}, {"L": [{"M": {}}, {"S": "x"}]}, {"M": {"a": {"L": []}}}),
    ]
    body = {"Item": {str(place): value for place, value in enumerate(values)}}
    assert fast(model, "GetItem", body) == plain(model, "GetItem", body)


def test_a_response_with_a_wrong_checksum_is_refused(model: Any) -> None:
    response = raw_response({"Item": {}})
    response["body"] = response["body"].replace(b"Item", b"Itme")
    with pytest.raises(ResponseParserError):
        parser.read(response, {}, model.operation_model("GetItem"))


@pytest.mark.parametrize("checksum", ["", "x", "12a", "1_2", "-5", "\u0661", "9" * 5000])
def test_a_checksum_that_is_not_a_number_is_refused(model: Any, checksum: str) -> None:
    response = raw_response({"Item": {}})
    response["headers"]["x-amz-crc32"] = checksum
    with pytest.raises(ResponseParserError):
        parser.read(response, {}, model.operation_model("GetItem"))


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Mon, 99 Nov 2026", "Mon, 23 Nov 99999 06:37:54 GMT", "Mon, 23 Nov 2026 06:37:54 +9999"]
)
def test_an_invalid_date_header_is_ignored(model: Any, monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    monkeypatch.setattr(parser.clock_skew, "seconds", 1.5)
    response = raw_response({"Item": {}})
    response["headers"]["date"] = date
    read: dict[str, Any] = {}
    parser.read(response, read, model.operation_model("GetItem"))
    assert (read, parser.clock_skew.seconds) == ({"Item": {}}, 1.5)
