"""The requests to DynamoDB, byte for byte, and the tasks that items become."""

from typing import Any

import pytest

from shared import expressions, items
from shared.cursors import InvalidCursor
from shared.expressions import Partition
from shared.items import Stamp
from shared.models import DeletedTask, NewTask, Status, Task
from shared.preconditions import ANY_VERSION, Precondition
from tests.unit.conftest import NO_DUE, NOW, TASK_ID, item, tombstone

ALICE = Partition("tasks", "alice")
STAMP = Stamp("token", NOW, NOW - 7)
KEY = {"pk": {"S": "USER#alice"}, "sk": {"S": f"TASK#{TASK_ID}"}}

# What every write to a live task does and asks, beside its own.
MEMORY = (
    "#updated_at = :now, #by_change = :change, #version = #version + :one, "
    "#write_tokens[3] = #write_tokens[2], #write_tokens[2] = #write_tokens[1], #write_tokens[1] = #write_tokens[0], "
    "#write_tokens[0] = :token, "
    "#write_times[3] = #write_times[2], #write_times[2] = #write_times[1], #write_times[1] = #write_times[0], "
    "#write_times[0] = :now"
)
GUARD = "attribute_exists(#by_position) AND NOT contains(#write_tokens, :token) AND #write_times[3] < :since"
SWAP = "#by_status = #other_status, #other_status = #by_status, #status_changed_at = :now"
VALUES = {
    ":now": {"N": str(NOW)},
    ":change": {"S": f"00{NOW}#{TASK_ID}"},
    ":one": {"N": "1"},
    ":token": {"S": "token"},
    ":since": {"N": str(NOW - 7)},
}
NAMES = ("by_change", "by_position", "updated_at", "version", "write_times", "write_tokens")


def change(update: str, condition: str, values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {
        "TableName": "tasks",
        "Key": KEY,
        "UpdateExpression": update,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{name}": name for name in (*NAMES, *names)},
        "ExpressionAttributeValues": {**VALUES, **values},
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_get() -> None:
    assert ALICE.get(TASK_ID) == {"TableName": "tasks", "Key": KEY, "ConsistentRead": True}


@pytest.mark.parametrize(
    ("status", "index", "prefix"),
    [
        ("all", "by_position", None),
        ("open", "by_status", "open#"),
        ("completed", "by_status", "done#"),
        ("deleted", "by_status", "deleted#"),
    ],
)
@pytest.mark.parametrize(("order", "forward"), [("asc", True), ("desc", False)])
def test_list(status: Status, index: str, prefix: str | None, order: Any, forward: bool) -> None:
    names, values = {"#pk": "pk"}, {":pk": {"S": "USER#alice"}}
    condition = "#pk = :pk"
    if prefix:
        names[f"#{index}"] = index
        values[":prefix"] = {"S": prefix}
        condition += f" AND begins_with(#{index}, :prefix)"
    assert ALICE.list(status, order, 7, None) == {
        "TableName": "tasks",
        "IndexName": index,
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ConsistentRead": True,
        "ScanIndexForward": forward,
        "Limit": 7,
    }


POSITIONS: dict[Status, str] = {
    "all": TASK_ID,
    "open": f"open#{NO_DUE}#{TASK_ID}",
    "completed": f"done#{NO_DUE}#{TASK_ID}",
    "deleted": f"deleted#00{NOW}#{TASK_ID}",
}


@pytest.mark.parametrize("status", POSITIONS)
@pytest.mark.parametrize("of", POSITIONS)
def test_a_list_goes_on_only_from_a_position_of_its_own(status: Status, of: Status) -> None:
    if status == of:
        request = ALICE.list(status, "asc", 7, POSITIONS[of])
        key: Any = {**KEY, request["IndexName"]: {"S": POSITIONS[of]}}
        assert request["ExclusiveStartKey"] == key
        assert expressions.position_of(key, status) == POSITIONS[of]
    else:
        with pytest.raises(InvalidCursor):
            ALICE.list(status, "asc", 7, POSITIONS[of])


@pytest.mark.parametrize("bad", ["", "x", TASK_ID.upper(), TASK_ID + "0", TASK_ID + "\n", f"USER#bob#{TASK_ID}"])
def test_no_other_position_is_let_through(bad: str) -> None:
    with pytest.raises(InvalidCursor):
        ALICE.list("all", "asc", 7, bad)


@pytest.mark.parametrize("completed", [False, True])
@pytest.mark.parametrize("description", [None, "", "Two bottles"])
def test_create(completed: bool, description: str | None) -> None:
    open_key, done_key = f"open#{NO_DUE}#{TASK_ID}", f"done#{NO_DUE}#{TASK_ID}"
    wanted = item(
        by_status={"S": done_key if completed else open_key},
        other_status={"S": open_key if completed else done_key},
        description=None if description is None else {"S": description},
        write_tokens={"L": [{"S": "token"}, {"S": "-"}, {"S": "-"}, {"S": "-"}]},
    )
    assert ALICE.create(TASK_ID, NewTask(title="Buy milk", description=description, completed=completed), STAMP) == {
        "TableName": "tasks",
        "Item": wanted,
        "ConditionExpression": "attribute_not_exists(#sk)",
        "ExpressionAttributeNames": {"#sk": "sk"},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_toggle() -> None:
    assert ALICE.toggle(TASK_ID, ANY_VERSION, STAMP) == change(
        f"SET {SWAP}, {MEMORY}", GUARD, {}, "by_status", "other_status", "status_changed_at"
    )


def test_delete() -> None:
    assert ALICE.delete(TASK_ID, ANY_VERSION, STAMP) == change(
        "SET #live_position = #by_position, #live_status = #by_status, #by_status = :deleted, #deleted_at = :now, "
        f"#expires_at = :expires, {MEMORY} REMOVE #by_position",
        GUARD,
        {":deleted": {"S": f"deleted#00{NOW}#{TASK_ID}"}, ":expires": {"N": str(NOW // 1000 + 2_592_000)}},
        *("by_status", "deleted_at", "expires_at", "live_position", "live_status"),
    )


@pytest.mark.parametrize(
    ("changes", "guess", "sets", "removes", "conditions", "values", "names"),
    [
        (
            *({"title": "Tea"}, False, "#title = :title, ", "", "NOT (#title = :title)"),
            *({":title": {"S": "Tea"}}, ["title"]),
        ),
        (
            *({"title": "Tea", "description": None}, False, "#title = :title, ", " REMOVE #description"),
            "NOT (#title = :title AND attribute_not_exists(#description))",
            *({":title": {"S": "Tea"}}, ["title", "description"]),
        ),
        (
            *({"completed": True}, False, f"{SWAP}, ", "", "begins_with(#by_status, :guess)"),
            *({":guess": {"S": "open#"}}, ["by_status", "other_status", "status_changed_at"]),
        ),
        (
            *({"completed": False}, True, f"{SWAP}, ", "", "begins_with(#by_status, :guess)"),
            *({":guess": {"S": "done#"}}, ["by_status", "other_status", "status_changed_at"]),
        ),
        (
            *({"title": "Tea", "completed": True}, False, f"#title = :title, {SWAP}, ", ""),
            "begins_with(#by_status, :guess)",
            {":guess": {"S": "open#"}, ":title": {"S": "Tea"}},
            ["by_status", "other_status", "status_changed_at", "title"],
        ),
        (
            *({"title": "Tea", "completed": False}, False, "#title = :title, ", ""),
            "begins_with(#by_status, :guess) AND NOT (#title = :title)",
            *({":guess": {"S": "open#"}, ":title": {"S": "Tea"}}, ["by_status", "title"]),
        ),
    ],
)
def test_update(
    changes: dict[str, str | bool | None],
    guess: bool,
    sets: str,
    removes: str,
    conditions: str,
    values: dict[str, Any],
    names: list[str],
) -> None:
    wanted = change(f"SET {sets}{MEMORY}{removes}", f"{GUARD} AND {conditions}", values, *names)
    assert ALICE.update(TASK_ID, changes, guess, ANY_VERSION, STAMP) == wanted


@pytest.mark.parametrize(
    ("precondition", "condition", "values"),
    [
        (Precondition(frozenset({3})), " AND #version IN (:wanted0)", {":wanted0": {"N": "3"}}),
        (
            Precondition(frozenset({4, 3})),
            " AND #version IN (:wanted0, :wanted1)",
            {":wanted0": {"N": "3"}, ":wanted1": {"N": "4"}},
        ),
        (Precondition(frozenset()), " AND #version IN (:wanted0)", {":wanted0": {"N": "0"}}),
        (
            Precondition(None, frozenset({5})),
            " AND NOT (#version IN (:unwanted0))",
            {":unwanted0": {"N": "5"}},
        ),
    ],
)
def test_preconditions(precondition: Precondition, condition: str, values: dict[str, Any]) -> None:
    wanted = change(
        f"SET {SWAP}, {MEMORY}", GUARD + condition, values, "by_status", "other_status", "status_changed_at"
    )
    assert ALICE.toggle(TASK_ID, precondition, STAMP) == wanted


def test_to_task() -> None:
    assert items.to_task(item(description={"S": "Two"})) == Task(
        id=TASK_ID,
        user_id="alice",
        title="Buy milk",
        description="Two",
        completed=False,
        completed_at=None,
        created_at=NOW,
        updated_at=NOW,
        version=1,
    )


def test_to_task_when_completed() -> None:
    task = items.to_task(item(by_status={"S": f"done#{NO_DUE}#{TASK_ID}"}, status_changed_at={"N": "5"}))
    assert (task.completed, task.completed_at, task.description) == (True, 5, None)


def test_to_task_in_the_trash() -> None:
    task = items.to_task(tombstone(NOW // 1000 + 9))
    assert isinstance(task, DeletedTask)
    assert (task.completed, task.deleted_at, task.purge_at) == (False, NOW, (NOW // 1000 + 9) * 1000)


def test_what_has_expired_is_gone_at_once() -> None:
    expires = NOW // 1000
    assert items.is_kept(tombstone(expires), expires * 1000 - 1)
    assert not items.is_kept(tombstone(expires), expires * 1000)
    assert items.is_kept(item(), NOW * 2)


def test_memory() -> None:
    times = {"L": [{"N": str(NOW)}, {"N": str(NOW)}, {"N": str(NOW)}, {"N": str(NOW - 7)}]}
    assert items.remembers(item(), Stamp("first", NOW, NOW))
    assert not items.remembers(item(), STAMP)
    assert items.has_forgotten(item(write_times=times), STAMP)
    assert not items.has_forgotten(item(write_times=times), Stamp("token", NOW, NOW - 6))
