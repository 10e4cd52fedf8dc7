"""The queries of lists and changes, byte for byte, and the positions that they reject."""

from typing import Any

import pytest

from shared.fields import due_slot
from shared.models import Order, Status, TaskQuery
from shared.store import queries
from shared.store.cursors import InvalidCursor
from shared.store.items import partition_of
from tests.unit.conftest import NO_DUE, NOW, TASK_ID

ALICE = partition_of("alice")

PK = {"S": "USER#alice"}
KEY = {"pk": PK, "sk": {"S": f"TASK#{TASK_ID}"}}
LISTS: dict[Status, tuple[str, str, str]] = {
    "all": ("by_creation", "task#", f"task#{TASK_ID}"),
    "open": ("by_status", "task#open#", f"task#open#{NO_DUE}#{TASK_ID}"),
    "completed": ("by_status", "task#done#", f"task#done#00{NOW}#{TASK_ID}"),
    "deleted": ("by_status", "task#trash#", f"task#trash#00{NOW}#{TASK_ID}"),
}


@pytest.mark.parametrize("status", LISTS)
@pytest.mark.parametrize(("order", "forward"), [("asc", True), ("desc", False)])
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_list(status: Status, order: Order, forward: bool, goes_on: bool) -> None:
    index, prefix, position = LISTS[status]
    query = TaskQuery(status=status, order=order)
    request: Any = queries.of_list("tasks", ALICE, query, 7, position if goes_on else None)
    start = {"ExclusiveStartKey": {**KEY, index: {"S": position}}} if goes_on else {}
    assert request == {
        "TableName": "tasks",
        "IndexName": index,
        "KeyConditionExpression": "#pk = :pk AND begins_with(#index, :start)",
        "ExpressionAttributeNames": {"#pk": "pk", "#index": index},
        "ExpressionAttributeValues": {":pk": PK, ":start": {"S": prefix}},
        "ConsistentRead": True,
        "ScanIndexForward": forward,
        "Limit": 7,
        **start,
    }
    last_key: Any = {**KEY, index: {"S": position}}
    assert queries.position_of(request, last_key) == position


@pytest.mark.parametrize("status", LISTS)
def test_a_list_rejects_a_position_outside_it(status: Status) -> None:
    *_, own = LISTS[status]
    others = [position for *_, position in LISTS.values() if position != own]
    for position in (
        *others,
        own[1:],
        f"x{own}",
        f"{own}0",
        f"{own}\n",
        own[:-1],
        own.upper(),
        own.replace("task", "list"),
        "",
        "#",
    ):
        with pytest.raises(InvalidCursor):
            queries.of_list("tasks", ALICE, TaskQuery(status=status), 7, position)


@pytest.mark.parametrize("position", [None, f"00{NOW}#task#{TASK_ID}", f"00{NOW + 1}#task#{TASK_ID}"])
def test_changes(position: str | None) -> None:
    request: Any = queries.of_changes("tasks", ALICE, NOW, 7, position)
    start = {} if position is None else {"ExclusiveStartKey": {**KEY, "by_change": {"S": position}}}
    assert request == {
        "TableName": "tasks",
        "IndexName": "by_change",
        "KeyConditionExpression": "#pk = :pk AND #index >= :start",
        "ExpressionAttributeNames": {"#pk": "pk", "#index": "by_change"},
        "ExpressionAttributeValues": {":pk": PK, ":start": {"S": f"00{NOW}"}},
        "ConsistentRead": True,
        "ScanIndexForward": False,
        "Limit": 7,
        **start,
    }


@pytest.mark.parametrize(
    "position",
    [
        f"00{NOW - 1}#task#{TASK_ID}",
        f"00{NOW}#{TASK_ID}",
        f"0{NOW}#task#{TASK_ID}",
        f"000{NOW}#task#{TASK_ID}",
        f"00{NOW}#task#{TASK_ID}0",
        f"00{NOW}#list#{TASK_ID}",
        "",
    ],
)
def test_changes_reject_a_position_outside_them(position: str) -> None:
    with pytest.raises(InvalidCursor):
        queries.of_changes("tasks", ALICE, NOW, 7, position)


def open_tasks(**query: str) -> TaskQuery:
    return TaskQuery.model_validate({"status": "open", **query})


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ({"due_after": "2026-12-20"}, "2026-12-20T24:00:00Z$", NO_DUE),
        ({"due_after": "2026-12-20T10:00"}, "2026-12-20T10:00:00Z$", NO_DUE),
        ({"due_before": "2026-12-28"}, "", "2026-12-28"),
        ({"due_before": "2026-12-28T10:00"}, "", "2026-12-28T10:00:00"),
        ({"due_after": "2026-12-20", "due_before": "2026-12-28"}, "2026-12-20T24:00:00Z$", "2026-12-28"),
    ],
)
def test_due_dates_are_a_range_of_keys(query: dict[str, str], start: str, end: str) -> None:
    request: Any = queries.of_list("tasks", ALICE, open_tasks(**query), 7, None)
    assert request["KeyConditionExpression"] == "#pk = :pk AND #index BETWEEN :start AND :end"
    values = {":pk": PK, ":start": {"S": f"task#open#{start}"}, ":end": {"S": f"task#open#{end}"}}
    assert (request["ExpressionAttributeValues"], request["Limit"]) == (values, 7)


DUE = [
    "2026-12-23T23:59:59",
    "2026-12-23",
    "2026-12-24T00:00:00",
    "2026-12-24T17:00:00",
    "2026-12-24",
    "2026-12-25T00:00:00",
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"due_before": "2026-12-24"}, DUE[:2]),
        ({"due_before": "2026-12-24T17:00"}, DUE[:3]),
        ({"due_before": "2026-12-24T17:00:01"}, DUE[:4]),
        ({"due_after": "2026-12-24"}, DUE[5:]),
        ({"due_after": "2026-12-24T17:00"}, DUE[4:]),
        ({"due_after": "2026-12-23", "due_before": "2026-12-25"}, DUE[2:5]),
        ({"due_after": "0001-01-01"}, DUE),
        ({"due_before": "9999-12-31"}, DUE),
    ],
)
def test_which_due_dates_are_in_a_range(query: dict[str, str], found: list[str]) -> None:
    values: Any = queries.of_list("tasks", ALICE, open_tasks(**query), 7, None)["ExpressionAttributeValues"]
    keys = {due: f"task#open#{due_slot(due)}#{TASK_ID}" for due in (*DUE, None)}
    assert sorted(keys.values()) == list(keys.values())
    assert [due for due, key in keys.items() if values[":start"]["S"] <= key <= values[":end"]["S"]] == found


@pytest.mark.parametrize("slot", ["2026-12-20T24:00:00Z", "2026-12-28T00:00:00Z", NO_DUE])
def test_a_range_of_due_dates_rejects_a_position_outside_it(slot: str) -> None:
    query = open_tasks(due_after="2026-12-20", due_before="2026-12-28")
    inside = f"task#open#2026-12-24T24:00:00Z#{TASK_ID}"
    assert queries.of_list("tasks", ALICE, query, 7, inside)["ExclusiveStartKey"]["by_status"] == {"S": inside}
    with pytest.raises(InvalidCursor):
        queries.of_list("tasks", ALICE, query, 7, f"task#open#{slot}#{TASK_ID}")


@pytest.mark.parametrize(
    ("query", "condition", "values"),
    [
        ({"tag": "e\u0301"}, "contains(#tags, :tag)", {":tag": {"S": "\u00e9"}}),
        (
            {"priority_max": "3"},
            "#priority BETWEEN :one AND :priority_max",
            {":one": {"N": "1"}, ":priority_max": {"N": "3"}},
        ),
        (
            {"tag": "a", "priority_max": "9"},
            "contains(#tags, :tag) AND #priority BETWEEN :one AND :priority_max",
            {":tag": {"S": "a"}, ":one": {"N": "1"}, ":priority_max": {"N": "9"}},
        ),
    ],
)
def test_a_filter_reads_1_mb(query: dict[str, str], condition: str, values: dict[str, Any]) -> None:
    request: Any = queries.of_list("tasks", ALICE, TaskQuery.model_validate(query), 7, None)
    assert request["FilterExpression"] == condition
    assert request["Limit"] == 2500
    assert request["ExpressionAttributeValues"] == {":pk": PK, ":start": {"S": "task#"}, **values}
    named = {"#pk": "pk", "#index": "by_creation"}
    assert request["ExpressionAttributeNames"] == named | {
        f"#{name}": name for name in ("tags", "priority") if f"#{name}" in condition
    }
