"""The requests of the store, its retries, and how it handles each response, with scripted responses."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from shared.batches import Batch
from shared.models import BatchResults, ChangesQuery, Move, NewTask, Task, TaskQuery
from shared.store import dynamodb, items
from shared.store.dynamodb import Failure, OutcomeUnknown, Table, Unavailable
from shared.store.engine import KeyReused
from shared.store.items import IdempotencyKey
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION, Precondition, TaskNotFound, VersionMismatch
from tests.unit.conftest import NOW, TASK_ID, Clock, Script, item, tombstone

LOST = ConnectionClosedError(endpoint_url="scripted")
SILENT = ReadTimeoutError(endpoint_url="scripted")
AWAY = EndpointConnectionError(endpoint_url="scripted")
READ: dict[str, Any] = {"Item": item()}


def still(version: int) -> dict[str, Any]:
    """The condition that the task is at this version of its life."""
    return {
        "ConditionExpression": "#version = :version AND #created_at = :created_at",
        "ExpressionAttributeNames": {"#version": "version", "#created_at": "created_at"},
        "ExpressionAttributeValues": {":version": {"N": str(version)}, ":created_at": {"N": str(NOW)}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


STILL = still(1)


def refused(found: dict[str, Any] | None) -> tuple[int, str, dict[str, Any]]:
    return 400, "ConditionalCheckFailedException", {} if found is None else {"Item": found}


def cancelled(*reasons: object) -> tuple[int, str, dict[str, Any]]:
    """A cancelled transaction: for each part None, a code, or the item that failed its condition."""

    def reported(reason: object) -> dict[str, Any]:
        if isinstance(reason, dict):
            return {"Code": "ConditionalCheckFailed", "Item": reason}
        return {"Code": reason or "None"}

    return 400, "TransactionCanceledException", {"CancellationReasons": [reported(reason) for reason in reasons]}


def at(version: int, *tokens: str, **changes: Any) -> dict[str, Any]:
    """The item at a version, with the tokens of its last writes, the newest first."""
    return item(version={"N": str(version)}, write_tokens={"L": [{"S": one} for one in tokens]}, **changes)


type Operation = Callable[[TaskStore], object]
WRITES: dict[str, Operation] = {
    "update": lambda store: store.update(TASK_ID, {"title": "Tea"}, ANY_VERSION),
    "toggle": lambda store: store.toggle(TASK_ID, ANY_VERSION),
    "delete": lambda store: store.delete(TASK_ID, ANY_VERSION),
}
CREATE: dict[str, Operation] = {"create": lambda store: store.create(NewTask(title="Buy milk"))}
READS: dict[str, Operation] = {
    "get": lambda store: store.get(TASK_ID),
    "list": lambda store: store.list(TaskQuery()),
    "changes": lambda store: store.changes(ChangesQuery()),
}
OPERATIONS = {**WRITES, **CREATE, **READS}
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "create": [{}],
    "get": [READ],
    "list": [{"Items": [item()], "Count": 1}],
    "changes": [{"Items": [item()], "Count": 1}],
    **{name: [READ, {}] for name in WRITES},
}
PASSING: dict[str, Any] = {
    "lost": LOST,
    "silent": SILENT,
    "away": AWAY,
    "garbled": b'{"Garbled": {}}',
    "500": (500, "InternalServerError"),
    "throttled": (400, "ThrottlingException"),
    "conflict": (400, "TransactionConflictException"),
}


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens of writes in this file are token1, token2, ..."""
    count = iter(range(1, 100))
    monkeypatch.setattr("shared.store.engine.secrets.token_urlsafe", lambda _: f"token{next(count)}")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_read_and_a_create_are_one_request_and_a_write_two(
    name: str, store: TaskStore, script: Script, clock: Clock
) -> None:
    script.responses = [*ANSWERS[name]]
    OPERATIONS[name](store)
    assert not clock.pauses


def test_a_write_reads_the_task_and_puts_its_next_version(store: TaskStore, script: Script) -> None:
    script.responses = [READ, {}]
    task = store.update(TASK_ID, {"title": "Tea"}, ANY_VERSION)
    (read, (_, put)) = script.requests
    key = {"pk": {"S": "USER#alice"}, "sk": {"S": f"TASK#{TASK_ID}"}}
    assert read == ("GetItem", {"TableName": "tasks", "Key": key, "ConsistentRead": True})
    assert put == {"TableName": "tasks", "Item": at(2, "token1", "first", title={"S": "Tea"}), **STILL}
    assert (task.title, task.version) == ("Tea", 2)


def test_a_create_is_on_condition_that_the_task_is_not_there(store: TaskStore, script: Script) -> None:
    script.responses = [{}]
    task = store.create(NewTask(title="Buy milk"))
    ((name, put),) = script.requests
    assert name == "PutItem"
    assert put == {
        "TableName": "tasks",
        "Item": items.to_item(task, "token1"),
        "ConditionExpression": "attribute_not_exists(#sk)",
        "ExpressionAttributeNames": {"#sk": "sk"},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING)
def test_a_short_failure_is_retried(name: str, failure: Any, store: TaskStore, script: Script) -> None:
    read, *write = ANSWERS[name]
    script.responses = [failure, failure, read, *([failure, failure, *write] if write else [])]
    OPERATIONS[name](store)


@pytest.mark.parametrize("name", [*WRITES, "create"])
def test_a_write_without_a_response_is_retried_byte_for_byte(name: str, store: TaskStore, script: Script) -> None:
    *read, write = ANSWERS[name]
    script.responses, script.seconds_per_request = [*read, SILENT, LOST, write], 1.0
    OPERATIONS[name](store)
    first, *others = script.puts
    assert others == [first, first]


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("others", range(4))
def test_a_condition_failed_by_the_own_write_is_success(
    name: str, others: int, store: TaskStore, script: Script
) -> None:
    tokens = [*(f"other{place}" for place in range(others)), "token1"]
    script.responses = [READ, LOST, refused(at(2 + others, *tokens))]
    result = OPERATIONS[name](store)
    # The response is what this operation wrote, without later writes of others.
    assert not isinstance(result, Task) or result.version == 2


def test_a_create_that_finds_its_own_item_returns_what_it_wrote(store: TaskStore, script: Script) -> None:
    script.responses = [LOST, refused(at(2, "other", "token1", title={"S": "changed"}))]
    task = store.create(NewTask(title="Buy milk"))
    assert (task.title, task.version) == ("Buy milk", 1)


def test_a_create_without_a_response_that_finds_another_task_is_unknown(store: TaskStore, script: Script) -> None:
    """It may have been applied, and its task may have been erased before the other one was created."""
    script.responses = [LOST, refused(at(1, "a"))]
    with pytest.raises(OutcomeUnknown):
        store.create(NewTask(title="Buy milk"))


CONFLICT = (400, "TransactionConflictException")


@pytest.mark.parametrize(
    ("responses", "failure"),
    [
        ([CONFLICT], Failure.CONTENDED),
        ([READ, CONFLICT], Failure.CONTENDED),
        ([(400, "ThrottlingException")], Failure.THROTTLED),
        ([AWAY], Failure.UNREACHABLE),
        ([SILENT], Failure.UNANSWERED),
    ],
)
def test_a_pause_that_takes_too_long_is_reported_with_its_reason(
    responses: list[Any], failure: Failure, store: TaskStore, script: Script, clock: Clock
) -> None:
    """A machine may be slow: when the pause is over, there is no time for another attempt."""
    clock.delay = 100
    script.responses = responses
    with pytest.raises(Unavailable) as late:
        store.toggle(TASK_ID, ANY_VERSION)
    assert late.value.failure is failure


def test_a_move_without_time_to_read_again_after_a_conflict_is_contended(store: TaskStore, script: Script) -> None:
    script.seconds_per_request = 2.0
    anchor = item(sk={"S": f"TASK#{OTHER_ID}"}, list={"S": "home"}, position={"S": "i"})
    read = {"Responses": {"tasks": [item(list={"S": "home"}), anchor]}, "UnprocessedKeys": {}}
    script.responses = [read, {"Items": [], "Count": 0}, refused(at(2, "a", list={"S": "home"}))]
    with pytest.raises(Unavailable) as late:
        store.move(TASK_ID, Move(after=OTHER_ID), ANY_VERSION)
    assert late.value.failure is Failure.CONTENDED


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("found", [None, at(1, "a", created_at={"N": str(NOW + 1)}), at(1, "a")])
def test_a_write_without_a_response_is_unknown_when_its_task_is_gone_or_another(
    name: str, found: dict[str, Any] | None, store: TaskStore, script: Script
) -> None:
    """An erased task may have been written before. Then it may have been created again, or have a lower version."""
    script.responses = [{"Item": at(2, "b")}, LOST, refused(found)]
    with pytest.raises(OutcomeUnknown):
        WRITES[name](store)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_whose_task_is_gone_does_not_find_it(name: str, store: TaskStore, script: Script) -> None:
    script.responses = [READ, refused(None)]
    with pytest.raises(TaskNotFound):
        WRITES[name](store)


def test_an_id_that_is_taken_overwrites_nothing(store: TaskStore, script: Script) -> None:
    script.responses = [refused(item())]
    with pytest.raises(VersionMismatch):
        store.create(NewTask(title="another"))


@pytest.mark.parametrize("first", [LOST, None], ids=["response lost", "response"])
@pytest.mark.parametrize("others", [1, 4])
def test_a_write_of_another_client_is_decided_again_on_the_returned_item(
    first: Any, others: int, store: TaskStore, script: Script, clock: Clock
) -> None:
    tokens = [f"other{place}" for place in range(others)]
    theirs = at(1 + others, *tokens, title={"S": "theirs"})
    script.responses = [READ, *([first] if first else []), refused(theirs), {}]
    task = store.toggle(TASK_ID, ANY_VERSION)
    assert (task.title, task.completed, task.version) == ("theirs", True, 2 + others)
    assert [name for name, _ in script.requests].count("GetItem") == 1
    assert script.puts[-1].items() >= still(1 + others).items()
    # A new attempt has a new token: a transaction with another content must not share it.
    assert script.tokens[-1] == "token2"
    assert clock.pauses[-1] == 0.01


def test_a_write_without_a_response_is_unknown_after_more_writes_than_an_item_has_tokens(
    store: TaskStore, script: Script
) -> None:
    forgotten = at(6, "a", "b", "c", "d")
    script.responses = [READ, LOST, refused(forgotten)]
    with pytest.raises(OutcomeUnknown):
        store.toggle(TASK_ID, ANY_VERSION)
    # A write with one request and one response was refused, however many writes came before.
    script.responses = [READ, refused(forgotten), {}]
    assert store.toggle(TASK_ID, ANY_VERSION).version == 7


def test_a_lost_response_of_an_earlier_attempt_does_not_make_a_write_unknown(store: TaskStore, script: Script) -> None:
    script.responses = [READ, LOST, refused(at(2, "a")), refused(at(8, "b", "c", "d", "e")), {}]
    assert store.toggle(TASK_ID, ANY_VERSION).version == 9
    script.responses = [READ, LOST, refused(at(2, "a")), *[AWAY] * (dynamodb.MAX_FAILURES - 1)]
    with pytest.raises(Unavailable):
        store.toggle(TASK_ID, ANY_VERSION)


@pytest.mark.parametrize("first", [LOST, None], ids=["response lost", "response"])
def test_a_final_refusal_is_returned_without_a_pause(
    first: Any, store: TaskStore, script: Script, clock: Clock
) -> None:
    script.responses = [READ, *([first] if first else []), refused(at(2, "a", title={"S": "Tea"}))]
    assert store.update(TASK_ID, {"title": "Tea"}, ANY_VERSION).version == 2
    assert len(clock.pauses) == (1 if first else 0)
    deleted = {**tombstone(), "version": {"N": "2"}}
    script.responses = [READ, *([first] if first else []), refused(deleted)]
    with pytest.raises(TaskNotFound):
        store.toggle(TASK_ID, ANY_VERSION)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("found", [None, tombstone(NOW // 1000)], ids=["never there", "expired"])
def test_a_missing_task_is_not_found(name: str, found: Any, store: TaskStore, script: Script) -> None:
    script.responses = [{} if found is None else {"Item": found}]
    with pytest.raises(TaskNotFound):
        OPERATIONS[name](store)


def test_a_task_in_the_trash_is_not_found_and_counts_as_deleted(store: TaskStore, script: Script) -> None:
    script.responses = [{"Item": tombstone()}] * 3
    for name in ("update", "toggle"):
        with pytest.raises(TaskNotFound):
            OPERATIONS[name](store)
    store.delete(TASK_ID, Precondition(frozenset({99})))


@pytest.mark.parametrize("response", [{}, {"Item": tombstone()}])
def test_get_of_a_task_that_is_not_live(response: dict[str, Any], store: TaskStore, script: Script) -> None:
    script.responses = [response]
    with pytest.raises(TaskNotFound):
        store.get(TASK_ID)


@pytest.mark.parametrize(
    "write",
    [
        lambda store, condition: store.update(TASK_ID, {"title": "Tea"}, condition),
        lambda store, condition: store.toggle(TASK_ID, condition),
        lambda store, condition: store.delete(TASK_ID, condition),
    ],
)
def test_a_failed_precondition_names_the_current_version(
    write: Callable[[TaskStore, Precondition], object], store: TaskStore, script: Script
) -> None:
    script.responses = [{"Item": at(3, "a")}]
    with pytest.raises(VersionMismatch) as mismatch:
        write(store, Precondition(frozenset({2})))
    assert mismatch.value.version == 3


def test_a_change_without_effect_writes_nothing(store: TaskStore, script: Script) -> None:
    script.responses = [READ, READ]
    assert store.update(TASK_ID, {}, ANY_VERSION).version == 1
    assert store.update(TASK_ID, {"title": "Buy milk", "description": None}, ANY_VERSION).version == 1


def test_a_page_has_a_cursor_only_where_more_may_follow(store: TaskStore, script: Script) -> None:
    key = {"pk": {"S": "USER#alice"}, "sk": {"S": f"TASK#{TASK_ID}"}, "by_creation": {"S": f"task#{TASK_ID}"}}
    script.responses = [{"Items": [item()], "Count": 1, "LastEvaluatedKey": key}, {"Items": [], "Count": 0}]
    first = store.list(TaskQuery(limit=1))
    assert [task.id for task in first.items] == [TASK_ID]
    second = store.list(TaskQuery(limit=1, cursor=first.next_cursor))
    assert script.requests[1][1]["ExclusiveStartKey"] == key
    assert (second.items, second.next_cursor) == ([], None)


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        ({}, {"Count": 3}),
        ({}, {"Count": 3, "Items": {}}),
        ({"Select": "COUNT"}, {"Count": 3, "Items": []}),
    ],
)
def test_a_query_needs_the_response_that_it_asks_for(
    request_: Any, response: dict[str, Any], store: TaskStore, script: Script
) -> None:
    query: Any = {"TableName": "tasks", "KeyConditionExpression": "pk = :pk", **request_}
    query["ExpressionAttributeValues"] = {":pk": {"S": "USER#alice"}}
    script.responses = [response, {"Count": 3} if request_ else {"Count": 3, "Items": []}]
    assert ("Items" in store._engine.query(query)) == ("Select" not in request_)
    assert len(script.requests) == 2


def test_a_list_leaves_out_what_has_expired(store: TaskStore, script: Script) -> None:
    script.responses = [{"Items": [tombstone(NOW // 1000), tombstone()], "Count": 2}]
    assert len(store.list(TaskQuery(status="deleted")).items) == 1


@pytest.mark.parametrize(
    ("failure", "reported"),
    [(AWAY, Failure.UNREACHABLE), ((400, "ProvisionedThroughputExceededException"), Failure.THROTTLED)],
)
@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name in OPERATIONS for place in range(len(ANSWERS[name]))]
)
def test_the_error_after_the_last_attempt_says_that_nothing_was_changed(
    name: str, place: int, failure: Any, reported: Failure, store: TaskStore, script: Script, clock: Clock
) -> None:
    script.responses = [*ANSWERS[name][:place], *[failure] * dynamodb.MAX_FAILURES]
    with pytest.raises(Unavailable) as unavailable:
        OPERATIONS[name](store)
    assert unavailable.value.failure is reported
    assert clock.pauses == [0.05, 0.1, 0.2, 0.4]


@pytest.mark.parametrize("name", OPERATIONS)
def test_after_a_lost_response_the_outcome_is_unknown(name: str, store: TaskStore, script: Script) -> None:
    script.responses = [*ANSWERS[name][:-1], LOST, *[AWAY] * (dynamodb.MAX_FAILURES - 1)]
    with pytest.raises(Unavailable if name in READS else OutcomeUnknown):
        OPERATIONS[name](store)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_request_begins_too_late_to_end_in_time(name: str, store: TaskStore, script: Script, clock: Clock) -> None:
    deadline, script.seconds_per_request = clock.seconds + 10, 2.0
    script.responses = [SILENT] * 3
    with pytest.raises((Unavailable, OutcomeUnknown)):
        OPERATIONS[name](store)
    assert len(script.requests) == 3
    assert clock.seconds < deadline - 2


def test_competing_writers_give_up_in_time(store: TaskStore, script: Script, clock: Clock) -> None:
    deadline = clock.seconds + 10
    # The script refuses as often as the time allows.
    script.responses = [READ, *(refused(at(number, "other")) for number in range(2, 60))]
    with pytest.raises(Unavailable) as unavailable:
        store.toggle(TASK_ID, ANY_VERSION)
    assert unavailable.value.failure is Failure.CONTENDED
    assert deadline - dynamodb.RESERVE - 0.2 < clock.seconds <= deadline - dynamodb.RESERVE
    assert clock.pauses[:6] == [0.01, 0.02, 0.04, 0.08, 0.16, 0.2]
    assert max(clock.pauses) == 0.2
    assert len(script.requests) > 20
    script.responses.clear()


def test_conflicts_are_retried_while_there_is_time(store: TaskStore, script: Script, clock: Clock) -> None:
    deadline = clock.seconds + 10
    script.responses = [READ, *[(400, "TransactionConflictException")] * 60]
    with pytest.raises(Unavailable) as unavailable:
        store.toggle(TASK_ID, ANY_VERSION)
    script.responses.clear()
    assert unavailable.value.failure is Failure.CONTENDED
    assert len(script.requests) > dynamodb.MAX_FAILURES
    assert deadline - dynamodb.RESERVE - 0.2 < clock.seconds <= deadline - dynamodb.RESERVE


def test_a_write_that_could_not_end_in_time_is_not_sent(store: TaskStore, script: Script) -> None:
    script.responses, script.seconds_per_request = [READ], 6.0
    with pytest.raises(Unavailable):
        store.toggle(TASK_ID, ANY_VERSION)


# Writes with an idempotency key are in one transaction with the record of the key.

ONCE = IdempotencyKey("digest", "asked", 3600)
OTHER_ID = "01a20720-1d65-7ec7-a429-721882d38932"
OPERATIONS_ON_TWO = Batch.model_validate(
    {
        "operations": [
            {"op": "update", "id": TASK_ID, "patch": {"title": "Tea"}},
            {"op": "create", "task": {"title": "b"}},
        ]
    }
).operations
LOOKED = {"Responses": [{"Item": item()}, {}]}


@pytest.fixture
def keyed(store: TaskStore, clock: Clock) -> TaskStore:
    return TaskStore(Table(store._engine._client, "tasks"), "alice", clock.seconds + 10, clock.time_ns, ONCE)


def record(token: str, fingerprint: str = "asked", expires_at: int = NOW // 1000 + 9) -> dict[str, Any]:
    return {
        "pk": {"S": "USER#alice"},
        "sk": {"S": "KEY#digest"},
        "schema": {"N": "1"},
        "fingerprint": {"S": fingerprint},
        "write_token": {"S": token},
        "results": {"L": [{"M": at(9, title={"S": "remembered"})}]},
        "expires_at": {"N": str(expires_at)},
    }


def test_a_keyed_write_reads_and_writes_the_record_of_the_key_with_the_task(keyed: TaskStore, script: Script) -> None:
    script.responses = [LOOKED, {}]
    assert keyed.toggle(TASK_ID, ANY_VERSION).version == 2
    (read, (write, sent)) = script.requests
    assert read[0] == "TransactGetItems"
    assert [part["Get"]["Key"]["sk"]["S"] for part in read[1]["TransactItems"]] == [f"TASK#{TASK_ID}", "KEY#digest"]
    put, kept = (part["Put"] for part in sent["TransactItems"])
    assert (write, sent["ClientRequestToken"], put["Item"]["write_tokens"]["L"][0]) == (
        "TransactWriteItems",
        "token1",
        {"S": "token1"},
    )
    assert {name: value for name, value in put.items() if name not in {"TableName", "Item"}} == STILL
    assert kept.pop("Item") == items.to_record(
        items.partition_of("alice"), ONCE, [items.from_item(put["Item"])], "token1", NOW
    )
    assert kept == {
        "TableName": "tasks",
        "ConditionExpression": "attribute_not_exists(#sk) OR #expires_at <= :now",
        "ExpressionAttributeNames": {"#sk": "sk", "#expires_at": "expires_at"},
        "ExpressionAttributeValues": {":now": {"N": str(NOW // 1000)}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    assert not keyed.replayed


def test_a_transaction_without_a_response_is_retried_byte_for_byte(keyed: TaskStore, script: Script) -> None:
    script.responses = [
        LOOKED,
        LOST,
        cancelled("TransactionConflict", None),
        (400, "TransactionInProgressException"),
        {},
    ]
    keyed.toggle(TASK_ID, ANY_VERSION)
    first, *others = [body for name, body in script.requests if name == "TransactWriteItems"]
    assert others == [first] * 3


def test_a_used_key_returns_the_first_response(keyed: TaskStore, script: Script) -> None:
    script.responses = [{"Responses": [{"Item": item()}, {"Item": record("another")}]}]
    assert keyed.toggle(TASK_ID, ANY_VERSION).title == "remembered"
    assert keyed.replayed


def test_a_key_used_at_the_same_time_returns_the_first_response(keyed: TaskStore, script: Script) -> None:
    script.responses = [LOOKED, cancelled(None, record("another"))]
    assert keyed.toggle(TASK_ID, ANY_VERSION).title == "remembered"
    assert keyed.replayed


@pytest.mark.parametrize(
    "refusal",
    [cancelled(None, record("token1")), cancelled(at(2, "token1"), None), cancelled(at(3, "a", "token1"), None)],
)
def test_a_transaction_that_finds_its_own_record_has_succeeded(refusal: Any, keyed: TaskStore, script: Script) -> None:
    script.responses = [LOOKED, LOST, refusal]
    assert keyed.toggle(TASK_ID, ANY_VERSION).version == 2
    assert not keyed.replayed


def test_a_key_of_another_request_is_refused(keyed: TaskStore, script: Script) -> None:
    other = record("another", "asked otherwise")
    script.responses = [{"Responses": [{"Item": item()}, {"Item": other}]}, LOOKED, cancelled(None, other)]
    for _ in range(2):
        with pytest.raises(KeyReused):
            keyed.toggle(TASK_ID, ANY_VERSION)


def test_a_key_that_has_expired_is_used_again(keyed: TaskStore, script: Script, clock: Clock) -> None:
    # The clock of the script is 83 ms before a whole second.
    clock.seconds += 0.083
    expired = record("another", expires_at=NOW // 1000 + 1)
    script.responses = [{"Responses": [{"Item": item()}, {"Item": expired}]}, {}]
    assert keyed.toggle(TASK_ID, ANY_VERSION).version == 2
    assert not keyed.replayed


def test_a_key_that_expires_during_the_request_is_used_again(keyed: TaskStore, script: Script) -> None:
    script.responses = [LOOKED, cancelled(None, record("another", expires_at=NOW // 1000)), {}]
    assert keyed.toggle(TASK_ID, ANY_VERSION).version == 2
    assert not keyed.replayed
    assert [name for name, _ in script.requests] == ["TransactGetItems", *["TransactWriteItems"] * 2]


def test_a_batch_retries_with_the_items_that_failed_its_conditions(keyed: TaskStore, script: Script) -> None:
    script.responses = [LOOKED, LOST, cancelled(at(2, "a"), None, None), {}]
    results: BatchResults = keyed.batch(OPERATIONS_ON_TWO)
    assert [result.task and result.task.version for result in results.results] == [3, 1]
    assert [name for name, _ in script.requests] == ["TransactGetItems", *["TransactWriteItems"] * 3]
    first, second = (script.requests[place][1]["TransactItems"] for place in (1, 3))
    assert first[0]["Put"].items() >= still(1).items()
    assert second[0]["Put"].items() >= still(2).items()
    assert first[1]["Put"]["Item"]["sk"] == second[1]["Put"]["Item"]["sk"]


def test_a_batch_keeps_the_items_whose_conditions_held(keyed: TaskStore, script: Script) -> None:
    other = item(sk={"S": f"TASK#{OTHER_ID}"})
    operations = [{"op": "toggle", "id": TASK_ID}, {"op": "toggle", "id": OTHER_ID}]
    script.responses = [{"Responses": [{"Item": item()}, {"Item": other}, {}]}, cancelled(at(2, "a"), None, None), {}]
    results = keyed.batch(Batch.model_validate({"operations": operations}).operations).results
    assert [result.task and result.task.version for result in results] == [3, 2]


def test_an_operation_of_a_batch_that_changes_nothing_is_checked_and_not_written(
    keyed: TaskStore, script: Script
) -> None:
    same = {"op": "update", "id": TASK_ID, "patch": {"title": "Buy milk"}}
    script.responses = [LOOKED, {}]
    (result,) = keyed.batch(Batch.model_validate({"operations": [same]}).operations).results
    assert result.task is not None
    assert result.task.version == 1
    check, _ = script.requests[1][1]["TransactItems"]
    assert check == {"ConditionCheck": {"TableName": "tasks", "Key": {k: item()[k] for k in ("pk", "sk")}, **STILL}}


def test_a_checked_task_does_not_show_whether_a_batch_was_applied(keyed: TaskStore, script: Script) -> None:
    """It never has the token: only the items that the batch writes have it."""
    operations = Batch.model_validate(
        {
            "operations": [
                {"op": "update", "id": TASK_ID, "patch": {"title": "Buy milk"}},
                {"op": "create", "task": {"title": "b"}},
            ]
        }
    ).operations
    script.responses = [LOOKED, LOST, cancelled(at(2, "a"), None, None)]
    with pytest.raises(OutcomeUnknown):
        keyed.batch(operations)


def test_a_batch_of_new_tasks_is_one_request(keyed: TaskStore, script: Script) -> None:
    script.responses = [{}]
    keyed.batch(OPERATIONS_ON_TWO[1:])
    ((name, sent),) = script.requests
    assert name == "TransactWriteItems"
    assert [part["Put"]["Item"]["sk"]["S"][:5] for part in sent["TransactItems"]] == ["TASK#", "KEY#d"]


def test_a_transaction_without_a_response_is_unknown_after_more_writes_than_an_item_has_tokens(
    keyed: TaskStore, script: Script
) -> None:
    script.responses = [LOOKED, LOST, cancelled(at(6, "a", "b", "c", "d"), None)]
    with pytest.raises(OutcomeUnknown):
        keyed.toggle(TASK_ID, ANY_VERSION)


@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException", "ResourceNotFoundException"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_error_in_our_request_is_not_retried(name: str, code: str, store: TaskStore, script: Script) -> None:
    script.responses = [(400, code)]
    with pytest.raises(store._engine._client.exceptions.ClientError, match=code):
        OPERATIONS[name](store)
