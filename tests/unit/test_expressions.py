"""The requests to DynamoDB, byte for byte, and the tasks that items become."""

import sys
from typing import Any

import pytest

from shared import expressions, items, upgrades
from shared.cursors import InvalidCursor
from shared.expressions import Partition
from shared.items import Once, Stamp
from shared.models import DeletedTask, NewTask, Status, Task
from shared.preconditions import ANY_VERSION, Precondition
from tests.unit.conftest import NO_DUE, NOW, TASK_ID, item, tombstone

ALICE = Partition("tasks", "alice")
STAMP = Stamp("token", NOW, NOW - 7)
KEY = {"pk": {"S": "USER#alice"}, "sk": {"S": f"TASK#{TASK_ID}"}}

# What every write to a live task does and asks, beside its own.
MEMORY = (
    "#schema = :schema, #updated_at = :now, #by_change = :change, #version = #version + :one, "
    "#write_tokens[3] = #write_tokens[2], #write_tokens[2] = #write_tokens[1], #write_tokens[1] = #write_tokens[0], "
    "#write_tokens[0] = :token, "
    "#write_times[3] = #write_times[2], #write_times[2] = #write_times[1], #write_times[1] = #write_times[0], "
    "#write_times[0] = :now"
)
GUARD = (
    "attribute_exists(#by_position) AND #schema >= :schema AND NOT contains(#write_tokens, :token) "
    "AND #write_times[3] < :since"
)
SWAP = "#by_status = #other_status, #other_status = #by_status, #status_changed_at = :now"
VALUES = {
    ":now": {"N": str(NOW)},
    ":change": {"S": f"00{NOW}#{TASK_ID}"},
    ":one": {"N": "1"},
    ":token": {"S": "token"},
    ":since": {"N": str(NOW - 7)},
    ":schema": {"N": "1"},
}
NAMES = ("by_change", "by_position", "schema", "updated_at", "version", "write_times", "write_tokens")


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


def test_changes() -> None:
    wanted = {
        "TableName": "tasks",
        "IndexName": "by_change",
        "KeyConditionExpression": "#pk = :pk AND #by_change BETWEEN :start AND :end",
        "ExpressionAttributeNames": {"#pk": "pk", "#by_change": "by_change"},
        "ExpressionAttributeValues": {
            ":pk": {"S": "USER#alice"},
            ":start": {"S": f"00{NOW}#"},
            ":end": {"S": f"00{NOW + 8}#"},
        },
        "ConsistentRead": True,
        "Limit": 9,
    }
    assert ALICE.changes(NOW, NOW + 7, 9, None) == wanted
    for place in (f"00{NOW}#{TASK_ID}", f"00{NOW + 7}#{TASK_ID}"):
        start = {**KEY, "by_change": {"S": place}}
        assert ALICE.changes(NOW, NOW + 7, 9, place) == {**wanted, "ExclusiveStartKey": start}
    for place in (f"00{NOW - 1}#{TASK_ID}", f"00{NOW + 8}#{TASK_ID}", TASK_ID, f"00{NOW}#x", ""):
        with pytest.raises(InvalidCursor):
            ALICE.changes(NOW, NOW + 7, 9, place)


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


def test_delete_of_completed_tasks_only() -> None:
    request = ALICE.delete(TASK_ID, ANY_VERSION, STAMP, only_completed=True)
    assert request["ConditionExpression"] == f"{GUARD} AND begins_with(#by_status, :done)"
    assert request["ExpressionAttributeValues"][":done"] == {"S": "done#"}


def test_restore() -> None:
    wanted = change(
        f"SET #by_position = #live_position, #by_status = #live_status, {MEMORY} "
        "REMOVE #live_position, #live_status, #deleted_at, #expires_at",
        GUARD.replace("#by_position", "#live_position") + " AND #expires_at > :second",
        {":second": {"N": str(NOW // 1000)}},
        *("by_status", "deleted_at", "expires_at", "live_position", "live_status"),
    )
    assert ALICE.restore(TASK_ID, ANY_VERSION, STAMP) == wanted


ONCE = Once("digest", "fingerprint", 3600)
RECORD_KEY = {"pk": {"S": "USER#alice"}, "sk": {"S": "KEY#digest"}}


def test_look() -> None:
    gets = [{"Get": {"TableName": "tasks", "Key": key}} for key in (RECORD_KEY, KEY)]
    assert ALICE.look(ONCE, [TASK_ID]) == {"TransactItems": gets}


def test_commit() -> None:
    shown = {name: value for name, value in item().items() if name not in {"other_status", "by_change"}}
    record: dict[str, Any] = {
        **RECORD_KEY,
        "schema": {"N": "1"},
        "fingerprint": {"S": "fingerprint"},
        "write_token": {"S": "token"},
        "results": {"L": [{"M": {key: value for key, value in shown.items() if not key.startswith("write_")}}]},
        "expires_at": {"N": str(NOW // 1000 + 3600)},
    }
    request = ALICE.commit(ONCE, [item()], [ALICE.put_new(item())], STAMP)
    assert request["TransactItems"] == [
        {
            "Put": {
                "TableName": "tasks",
                "Item": record,
                "ConditionExpression": "attribute_not_exists(#sk) OR #expires_at <= :second",
                "ExpressionAttributeNames": {"#sk": "sk", "#expires_at": "expires_at"},
                "ExpressionAttributeValues": {":second": {"N": str(NOW // 1000)}},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        },
        {
            "Put": {
                "TableName": "tasks",
                "Item": item(),
                "ConditionExpression": "attribute_not_exists(#sk)",
                "ExpressionAttributeNames": {"#sk": "sk"},
            }
        },
    ]
    assert items.results_of(record) == [record["results"]["L"][0]["M"]]
    assert items.to_task(items.results_of(record)[0]) == items.to_task(item())


def test_what_a_transaction_writes_over_and_relies_on_is_at_its_version() -> None:
    still = {
        "TableName": "tasks",
        "ConditionExpression": "#version = :version",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {":version": {"N": "7"}},
    }
    assert ALICE.put_over(item(), 7) == {"Put": {**still, "Item": item()}}
    assert ALICE.check(TASK_ID, 7) == {"ConditionCheck": {**still, "Key": KEY}}


LATER = Stamp("later", NOW + 5000, NOW)


def written(before: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a write at LATER makes of an item at version 1, beside these changes."""
    marks = {
        "updated_at": {"N": str(NOW + 5000)},
        "by_change": {"S": f"00{NOW + 5000}#{TASK_ID}"},
        "version": {"N": "2"},
        "write_tokens": {"L": [{"S": "later"}, {"S": "first"}, {"S": "-"}, {"S": "-"}]},
        "write_times": {"L": [{"N": str(NOW + 5000)}, {"N": str(NOW)}, {"N": "0"}, {"N": "0"}]},
    }
    return {name: value for name, value in {**before, **marks, **changes}.items() if value is not None}


def test_items_that_writes_make() -> None:
    swapped = {
        "by_status": {"S": f"done#{NO_DUE}#{TASK_ID}"},
        "other_status": {"S": f"open#{NO_DUE}#{TASK_ID}"},
        "status_changed_at": {"N": str(NOW + 5000)},
    }
    assert items.toggled(item(), LATER) == written(item(), **swapped)
    assert items.updated(item(), {"completed": True}, LATER) == written(item(), **swapped)
    assert items.updated(item(), {"completed": False}, LATER) == written(item())
    described = item(description={"S": "d"})
    assert items.updated(described, {"title": "x", "description": None}, LATER) == written(item(), title={"S": "x"})
    thrown_away = written(
        item(),
        by_position=None,
        by_status={"S": f"deleted#00{NOW + 5000}#{TASK_ID}"},
        live_status={"S": f"open#{NO_DUE}#{TASK_ID}"},
        live_position={"S": TASK_ID},
        deleted_at={"N": str(NOW + 5000)},
        expires_at={"N": str((NOW + 5000) // 1000 + 2_592_000)},
    )
    assert items.deleted(item(), LATER) == thrown_away
    assert items.restored(tombstone(), LATER) == written(item())


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


def test_upgrade() -> None:
    old = item(schema={"N": "0"}, other_status=None, colour={"S": "red"}, title={"S": "Buy milk"})
    assert expressions.upgrade("tasks", old, item(title={"S": "Buy tea"})) == {
        "TableName": "tasks",
        "Key": KEY,
        "UpdateExpression": "SET #schema = :schema, #title = :title, #other_status = :other_status REMOVE #colour",
        "ConditionExpression": "#schema = :old_schema AND #version = :old_version",
        "ExpressionAttributeNames": {
            f"#{name}": name for name in ("colour", "other_status", "schema", "title", "version")
        },
        "ExpressionAttributeValues": {
            ":schema": {"N": "1"},
            ":title": {"S": "Buy tea"},
            ":other_status": {"S": f"done#{NO_DUE}#{TASK_ID}"},
            ":old_schema": {"N": "0"},
            ":old_version": {"N": "1"},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_the_chain_of_upgrades_has_no_gap() -> None:
    assert sorted(upgrades.STEPS) == list(range(items.SCHEMA - len(upgrades.STEPS), items.SCHEMA))


@pytest.mark.parametrize("schema", [items.SCHEMA, items.SCHEMA + 1])
def test_what_needs_no_upgrade_does_not_even_import_it(schema: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "shared.upgrades")
    found = item(schema={"N": str(schema)})
    assert items.current(found) is found
    assert "shared.upgrades" not in sys.modules
