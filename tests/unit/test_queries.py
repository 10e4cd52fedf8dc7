"""The queries of lists and changes, byte for byte, and the positions that they refuse."""

from typing import Any

import pytest

from shared.models import Order, Status, TaskQuery
from shared.store import queries
from shared.store.cursors import InvalidCursor
from tests.unit.conftest import NO_DUE, NOW, TASK_ID

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
    request: Any = queries.of_list("tasks", "alice", query, 7, position if goes_on else None)
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
def test_a_list_does_not_go_on_from_a_position_outside_it(status: Status) -> None:
    *_, own = LISTS[status]
    others = [position for *_, position in LISTS.values() if position != own]
    for position in (
        *others,
        own[1:],
        f"x{own}",
        f"{own}0",
        own[:-1],
        own.upper(),
        own.replace("task", "list"),
        "",
        "#",
    ):
        with pytest.raises(InvalidCursor):
            queries.of_list("tasks", "alice", TaskQuery(status=status), 7, position)


@pytest.mark.parametrize("position", [None, f"00{NOW}#task#{TASK_ID}", f"00{NOW + 1}#task#{TASK_ID}"])
def test_changes(position: str | None) -> None:
    request: Any = queries.of_changes("tasks", "alice", NOW, 7, position)
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
def test_changes_do_not_go_on_from_a_position_outside_them(position: str) -> None:
    with pytest.raises(InvalidCursor):
        queries.of_changes("tasks", "alice", NOW, 7, position)
