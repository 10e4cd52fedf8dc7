"""What the store sends, how often, and what it makes of each answer, with every answer scripted."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from shared import dynamodb
from shared.batches import Batch
from shared.dynamodb import Failure, OutcomeUnknown, Table, Unavailable
from shared.items import Once
from shared.models import NewTask, Task, TaskQuery
from shared.preconditions import ANY_VERSION, Precondition
from shared.task_store import CLOCK_SKEW, TaskNotFound, TaskStore, VersionMismatch
from tests.unit.conftest import NO_DUE, NOW, TASK_ID, Clock, Script, item, tombstone

LOST = ConnectionClosedError(endpoint_url="scripted")
SILENT = ReadTimeoutError(endpoint_url="scripted")
AWAY = EndpointConnectionError(endpoint_url="scripted")
DONE = item(by_status={"S": f"done#{NO_DUE}#{TASK_ID}"}, other_status={"S": f"open#{NO_DUE}#{TASK_ID}"})


def refused(found: dict[str, Any] | None) -> tuple[int, str, dict[str, Any]]:
    return 400, "ConditionalCheckFailedException", {} if found is None else {"Item": found}


def written_by(token: str, *others: str, at: int = NOW) -> dict[str, Any]:
    tokens = [*others, token, "-", "-", "-", "-"][:4]
    return item(
        version={"N": "2"},
        write_tokens={"L": [{"S": one} for one in tokens]},
        write_times={"L": [{"N": str(at if one != "-" else 0)} for one in tokens]},
    )


type Write = Callable[[TaskStore], object]
WRITES: dict[str, Write] = {
    "update": lambda store: store.update(TASK_ID, {"title": "Tea"}, ANY_VERSION),
    "toggle": lambda store: store.toggle(TASK_ID, ANY_VERSION),
    "delete": lambda store: store.delete(TASK_ID, ANY_VERSION),
}
OPERATIONS: dict[str, Write] = {
    **WRITES,
    "create": lambda store: store.create(NewTask(title="Buy milk")),
    "get": lambda store: store.get(TASK_ID),
    "list": lambda store: store.list(TaskQuery()),
}
ANSWERS: dict[str, dict[str, Any]] = {
    "create": {},
    "get": {"Item": item()},
    "list": {"Items": [item()], "Count": 1},
    **{name: {"Attributes": item()} for name in WRITES},
}


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens of writes in this file are token1, token2, ..."""
    count = iter(range(1, 100))
    monkeypatch.setattr("shared.task_store.secrets.token_urlsafe", lambda _: f"token{next(count)}")


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_one_request(name: str, store: TaskStore, script: Script, clock: Clock) -> None:
    script.answers = [ANSWERS[name]]
    OPERATIONS[name](store)
    assert len(script.requests) == 1
    assert not clock.pauses


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "failure",
    [
        LOST,
        SILENT,
        AWAY,
        b'{"Garbled": {}}',
        (500, "InternalServerError"),
        (400, "ThrottlingException"),
        (400, "TransactionConflictException"),
    ],
    ids=["lost", "silent", "away", "garbled", "500", "throttled", "conflict"],
)
def test_a_passing_failure_is_not_noticed(name: str, failure: Any, store: TaskStore, script: Script) -> None:
    script.answers = [failure, failure, ANSWERS[name]]
    OPERATIONS[name](store)
    assert len(script.requests) == 3


@pytest.mark.parametrize("name", ["create", *WRITES])
def test_all_sends_of_a_write_have_one_token_and_each_its_own_time(name: str, store: TaskStore, script: Script) -> None:
    script.answers, script.seconds_per_request = [SILENT, ANSWERS[name]], 2.0
    OPERATIONS[name](store)
    assert script.tokens == ["token1", "token1"]
    first, second = (body for _, body in script.requests)
    if name == "create":
        assert first["Item"]["sk"] == second["Item"]["sk"]
        times = [body["Item"]["updated_at"]["N"] for body in (first, second)]
    else:
        times = [script.values(place)[":now"] for place in (0, 1)]
        # Others' clocks are trusted only so far, once it is open whether the first send was applied.
        assert [int(script.values(place)[":since"]) - NOW for place in (0, 1)] == [0, -CLOCK_SKEW]
    assert [int(time) - NOW for time in times] == [0, 2050]


@pytest.mark.parametrize("name", WRITES)
def test_a_resend_that_finds_its_own_token_has_succeeded(name: str, store: TaskStore, script: Script) -> None:
    script.answers = [LOST, refused(written_by("token1", "other"))]
    OPERATIONS[name](store)
    assert len(script.requests) == 2


def test_a_create_that_finds_its_own_item_has_succeeded(store: TaskStore, script: Script) -> None:
    script.answers = [LOST, refused(written_by("token1"))]
    assert store.create(NewTask(title="Buy milk")).version == 2


@pytest.mark.parametrize("name", WRITES)
def test_a_resend_that_finds_itself_perhaps_forgotten_is_an_unknown_outcome(
    name: str, store: TaskStore, script: Script
) -> None:
    script.answers = [LOST, refused(written_by("a", "b", "c", "d", at=NOW - CLOCK_SKEW))]
    with pytest.raises(OutcomeUnknown):
        OPERATIONS[name](store)


def test_a_first_send_that_finds_four_writes_since_starts_over(store: TaskStore, script: Script) -> None:
    script.answers = [refused(written_by("a", "b", "c", "d", at=NOW)), {"Attributes": item()}]
    script.seconds_per_request = 0.001
    store.toggle(TASK_ID, ANY_VERSION)
    assert script.tokens == ["token1", "token1"]
    assert [int(script.values(place)[":since"]) - NOW for place in (0, 1)] == [0, 1]


def test_what_was_written_long_before_does_not_make_an_outcome_unknown(store: TaskStore, script: Script) -> None:
    script.answers = [LOST, refused(written_by("a", "b", "c", "d", at=NOW - CLOCK_SKEW - 1)), {"Attributes": item()}]
    store.toggle(TASK_ID, ANY_VERSION)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("found", [None, tombstone(NOW // 1000)], ids=["never there", "expired"])
def test_what_is_not_there_is_not_found(name: str, found: Any, store: TaskStore, script: Script) -> None:
    script.answers = [refused(found)]
    with pytest.raises(TaskNotFound):
        OPERATIONS[name](store)


def test_what_lies_in_the_trash_is_not_found_but_deleted_already(store: TaskStore, script: Script) -> None:
    script.answers = [refused(tombstone()), refused(tombstone()), refused(tombstone())]
    for name in ("update", "toggle"):
        with pytest.raises(TaskNotFound):
            OPERATIONS[name](store)
    store.delete(TASK_ID, Precondition(frozenset({99})))


@pytest.mark.parametrize("answer", [{}, {"Item": tombstone()}])
def test_get_of_what_is_not_live(answer: dict[str, Any], store: TaskStore, script: Script) -> None:
    script.answers = [answer]
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
def test_another_version_is_told(
    write: Callable[[TaskStore, Precondition], object], store: TaskStore, script: Script
) -> None:
    script.answers = [refused(item(version={"N": "3"}))]
    with pytest.raises(VersionMismatch) as mismatch:
        write(store, Precondition(frozenset({2})))
    assert mismatch.value.version == 3


def test_a_change_that_changes_nothing_writes_nothing(store: TaskStore, script: Script) -> None:
    script.answers = [refused(item())]
    assert store.update(TASK_ID, {"title": "Buy milk", "description": None}, ANY_VERSION).version == 1


def test_a_wrong_guess_of_the_status_costs_one_more_request_and_no_pause(
    store: TaskStore, script: Script, clock: Clock
) -> None:
    script.answers = [refused(DONE), {"Attributes": DONE}]
    store.update(TASK_ID, {"title": "Tea", "completed": True}, ANY_VERSION)
    assert [script.values(place)[":guess"] for place in (0, 1)] == ["open#", "done#"]
    assert clock.pauses == [0]


def test_a_lone_status_is_guessed_to_change(store: TaskStore, script: Script) -> None:
    script.answers = [{"Attributes": item()}, refused(item())]
    store.update(TASK_ID, {"completed": False}, ANY_VERSION)
    assert script.values(0)[":guess"] == "done#"
    assert store.update(TASK_ID, {"completed": False}, ANY_VERSION).completed is False


def test_an_empty_change_is_a_read(store: TaskStore, script: Script) -> None:
    script.answers = [{"Item": item()}, {"Item": item()}]
    assert isinstance(store.update(TASK_ID, {}, Precondition(frozenset({1}))), Task)
    with pytest.raises(VersionMismatch):
        store.update(TASK_ID, {}, Precondition(frozenset({2})))
    assert [name for name, _ in script.requests] == ["GetItem", "GetItem"]


def test_a_page_has_a_cursor_only_where_more_may_follow(store: TaskStore, script: Script) -> None:
    key = {"pk": {"S": "USER#alice"}, "sk": {"S": f"TASK#{TASK_ID}"}, "by_position": {"S": TASK_ID}}
    script.answers = [{"Items": [item()], "LastEvaluatedKey": key}, {"Items": []}]
    first = store.list(TaskQuery(limit=1))
    assert [task.id for task in first.items] == [TASK_ID]
    second = store.list(TaskQuery(limit=1, cursor=first.next_cursor))
    assert script.requests[1][1]["ExclusiveStartKey"] == key
    assert (second.items, second.next_cursor) == ([], None)


def test_a_list_leaves_out_what_has_expired(store: TaskStore, script: Script) -> None:
    script.answers = [{"Items": [tombstone(NOW // 1000), tombstone()]}]
    assert len(store.list(TaskQuery(status="deleted")).items) == 1


@pytest.mark.parametrize(
    ("failure", "told"),
    [(AWAY, Failure.UNREACHABLE), ((400, "ProvisionedThroughputExceededException"), Failure.THROTTLED)],
)
@pytest.mark.parametrize("name", OPERATIONS)
def test_after_the_last_send_it_is_told_that_nothing_was_changed(
    name: str, failure: Any, told: Failure, store: TaskStore, script: Script, clock: Clock
) -> None:
    script.answers = [failure] * dynamodb.MAX_FAILURES
    with pytest.raises(Unavailable) as unavailable:
        OPERATIONS[name](store)
    assert unavailable.value.failure is told
    assert clock.pauses == [0.05, 0.1, 0.2, 0.4]


@pytest.mark.parametrize("name", OPERATIONS)
def test_after_one_lost_answer_no_write_is_said_to_be_undone(name: str, store: TaskStore, script: Script) -> None:
    script.answers = [LOST, *[AWAY] * (dynamodb.MAX_FAILURES - 1)]
    with pytest.raises(Unavailable if name in {"get", "list"} else OutcomeUnknown):
        OPERATIONS[name](store)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_send_begins_too_late_to_end_in_time(name: str, store: TaskStore, script: Script, clock: Clock) -> None:
    deadline, script.seconds_per_request = clock.seconds + 10, 2.0
    script.answers = [SILENT] * 3
    with pytest.raises((Unavailable, OutcomeUnknown)):
        OPERATIONS[name](store)
    assert len(script.requests) == 3
    assert clock.seconds < deadline - 2


def test_contenders_give_up_in_time_too(store: TaskStore, script: Script, clock: Clock) -> None:
    deadline = clock.seconds + 10
    # Nobody is refused for ever, but the script does: as often as fits.
    script.answers = [refused(written_by("a", "b", "c", "d", at=NOW * 2)) for _ in range(60)]
    with pytest.raises(Unavailable) as unavailable:
        store.toggle(TASK_ID, ANY_VERSION)
    script.answers.clear()
    assert unavailable.value.failure is Failure.CONTENDED
    assert clock.seconds <= deadline - dynamodb.RESERVE
    assert max(clock.pauses) == dynamodb.LONGEST_DELAY


def test_conflicts_are_waited_for_as_long_as_there_is_time(store: TaskStore, script: Script, clock: Clock) -> None:
    deadline = clock.seconds + 10
    script.answers = [(400, "TransactionConflictException") for _ in range(60)]
    with pytest.raises(Unavailable) as unavailable:
        store.toggle(TASK_ID, ANY_VERSION)
    script.answers.clear()
    assert unavailable.value.failure is Failure.CONTENDED
    assert len(script.requests) > dynamodb.MAX_FAILURES
    assert deadline - dynamodb.RESERVE - dynamodb.LONGEST_DELAY < clock.seconds <= deadline - dynamodb.RESERVE


def keyed_store(store: TaskStore, clock: Clock, seconds: float) -> TaskStore:
    return TaskStore(
        Table(store._client, "tasks"), "alice", clock.seconds + seconds, clock.time_ns, Once("digest", "asked", 3600)
    )


def test_an_operation_of_a_batch_that_changes_nothing_is_checked_and_not_written(
    store: TaskStore, script: Script, clock: Clock
) -> None:
    (same,) = Batch.model_validate(
        {"operations": [{"op": "update", "id": TASK_ID, "patch": {"title": "Buy milk"}}]}
    ).operations
    script.answers = [{"Responses": [{}, {"Item": item()}]}, {}]
    (result,) = keyed_store(store, clock, 10).batch([same]).results
    assert result.task is not None
    assert result.task.version == 1
    _, (_, sent) = script.requests
    _, check = sent["TransactItems"]
    assert list(check) == ["ConditionCheck"]


def test_a_keyed_write_that_could_not_end_in_time_is_not_begun(store: TaskStore, script: Script, clock: Clock) -> None:
    keyed = keyed_store(store, clock, 8)
    script.answers, script.seconds_per_request = [{"Responses": [{}, {"Item": item()}]}], 4.0
    with pytest.raises(Unavailable):
        keyed.toggle(TASK_ID, ANY_VERSION)
    assert [name for name, _ in script.requests] == ["TransactGetItems"]


@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException", "ResourceNotFoundException"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_defect_is_not_sent_again(name: str, code: str, store: TaskStore, script: Script) -> None:
    script.answers = [(400, code)]
    with pytest.raises(store._client.exceptions.ClientError, match=code):
        OPERATIONS[name](store)
