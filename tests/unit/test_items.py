"""The codec between the state of a task and its item."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import tasks
from shared.models import DeletedTask, NewTask, Task
from shared.store import items
from shared.store.items import FIELDS, from_item, from_record, to_item, to_record
from shared.tasks import ANY_VERSION
from tests.unit.conftest import NO_DUE, NOW, TASK_ID, item, tombstone

LATER = NOW + 5


def task(**changes: Any) -> Task:
    return tasks.create(None, TASK_ID, "alice", NewTask(title="Buy milk"), NOW).model_copy(update=changes)


def test_the_item_of_a_new_task() -> None:
    assert to_item(task(), "first") == item()


def test_the_item_of_a_completed_task() -> None:
    completed = tasks.toggle(task(description="d"), ANY_VERSION, LATER)
    assert to_item(completed, "second", item()) == item(
        description={"S": "d"},
        completed_at={"N": str(LATER)},
        updated_at={"N": str(LATER)},
        version={"N": "2"},
        by_status={"S": f"task#done#00{LATER}#{TASK_ID}"},
        by_change={"S": f"00{LATER}#task#{TASK_ID}"},
        write_tokens={"L": [{"S": "second"}, {"S": "first"}]},
    )


def test_the_item_of_a_deleted_task() -> None:
    deleted = tasks.delete(task(), ANY_VERSION, LATER)
    assert to_item(deleted, "second", item()) == item(
        updated_at={"N": str(LATER)},
        version={"N": "2"},
        deleted_at={"N": str(LATER)},
        expires_at={"N": str(LATER // 1000 + 30 * 24 * 3600)},
        by_creation=None,
        by_status={"S": f"task#trash#00{LATER}#{TASK_ID}"},
        by_change={"S": f"00{LATER}#task#{TASK_ID}"},
        write_tokens={"L": [{"S": "second"}, {"S": "first"}]},
    )


@pytest.mark.parametrize("stored", [item(), item(completed_at={"N": "7"}, description={"S": "d"}), tombstone()])
def test_an_item_is_written_as_it_was_read(stored: dict[str, Any]) -> None:
    state = from_item(stored)
    again = to_item(state, before=stored)
    keys = {"by_status", "by_creation", "by_change"}
    assert {name: value for name, value in again.items() if name not in keys} == {
        name: value for name, value in stored.items() if name not in keys
    }
    assert from_item(again) == state


texts = st.text(max_size=5)
moments = st.integers(0, 4_000_000_000_000)


@given(completed_at=st.none() | moments, description=st.none() | texts, title=texts, deleted_at=st.none() | moments)
def test_every_state_survives_the_codec(
    completed_at: int | None, description: str | None, title: str, deleted_at: int | None
) -> None:
    state = task(title=title, description=description, completed_at=completed_at, completed=completed_at is not None)
    if deleted_at is not None:
        state = tasks.delete(state, ANY_VERSION, deleted_at)
    assert from_item(to_item(state, "token")) == state


@given(
    due=st.none() | st.dates().map(str) | st.datetimes().map(lambda one: one.isoformat("T", "seconds")),
    priority=st.integers(0, 9),
    tags=st.lists(texts),
    metadata=st.dictionaries(texts, texts),
)
def test_the_details_survive_the_codec(
    due: str | None, priority: int, tags: list[str], metadata: dict[str, str]
) -> None:
    state = task(due=due, time_zone="Europe/Berlin", priority=priority, tags=tags, metadata=metadata)
    stored = to_item(state, "token")
    assert from_item(stored) == state
    assert ("priority" in stored, "tags" in stored, "metadata" in stored) == (priority > 0, tags != [], metadata != {})


@pytest.mark.parametrize(
    ("due", "slot"),
    [
        (None, "9999-99-99T99:99:99Z"),
        ("2026-12-24", "2026-12-24T24:00:00Z"),
        ("2026-12-24T17:00:00", "2026-12-24T17:00:00Z"),
    ],
)
def test_an_open_task_is_sorted_by_its_due_date(due: str | None, slot: str) -> None:
    assert to_item(task(due=due), "token")["by_status"] == {"S": f"task#open#{slot}#{TASK_ID}"}
    completed = task(due=due, completed=True, completed_at=7)
    assert to_item(completed, "token")["by_status"] == {"S": f"task#done#000000000000007#{TASK_ID}"}


def test_every_field_of_the_models_has_its_place_in_the_codec() -> None:
    """A field that the codec does not store would be acknowledged and lost."""
    derived = {"id", "user_id", "completed", "purge_at"}
    assert set(DeletedTask.model_fields) == set(FIELDS) | derived
    with pytest.raises(KeyError):
        to_item(task(colour="red"), "token")


def test_a_write_is_remembered_for_three_more() -> None:
    stored = item()
    for number in range(5):
        stored = to_item(from_item(stored), f"token {number}", stored)
    assert items.write_tokens(stored) == ["token 4", "token 3", "token 2", "token 1"]


def test_attributes_of_a_newer_release_are_kept() -> None:
    newer = item(schema={"N": "2"}, colour={"S": "red"}, by_reserve={"S": "task#x"})
    written = to_item(tasks.toggle(from_item(newer), ANY_VERSION, LATER), "second", newer)
    assert (written["colour"], written["by_reserve"], written["schema"]) == (
        {"S": "red"},
        {"S": "task#x"},
        {"N": "1"},
    )


def test_an_item_of_an_older_release_is_upgraded() -> None:
    assert items.current(item()) == item()
    with pytest.raises(LookupError, match="no step from schema 0"):  # there is no older release yet
        items.current(item(schema={"N": "0"}))


def test_an_item_names_its_task() -> None:
    assert items.task_id_of(item()) == TASK_ID


def test_a_record_holds_the_response_without_keys_and_tokens() -> None:
    once = items.IdempotencyKey("digest", "asked", 3600)
    results = [task(), tasks.delete(task(), ANY_VERSION, LATER)]
    record = to_record(items.partition_of("alice"), once, results, "token", NOW)
    assert (record["pk"], record["sk"], record["schema"]) == ({"S": "USER#alice"}, {"S": "KEY#digest"}, {"N": "1"})
    assert not {"by_status", "by_change", "by_creation", "write_tokens"} & {
        name for result in record["results"]["L"] for name in result["M"]
    }
    assert from_record(record) == items.Record("asked", "token", results, (NOW // 1000 + 3600) * 1000)


def test_due_slots_are_as_long_as_a_time() -> None:
    assert len(NO_DUE) == len("2026-12-24T17:00:00Z")


USER_IDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)
# Ids of few characters, including all with a meaning in keys, so that two ids are often similar.
ALIKE = st.text("a#%235", min_size=1, max_size=8)


@given(USER_IDS | ALIKE)
def test_a_partition_key_identifies_its_user(user_id: str) -> None:
    key = items.partition_of(user_id)
    assert items.user_of({"pk": key}) == user_id
    assert key["S"].startswith("USER#")
    assert key["S"].count("#") == 1


def test_a_partition_key_changes_no_more_of_a_user_id_than_it_must() -> None:
    assert items.partition_of("CORP\\a/b@c+d|e: #%") == {"S": "USER#CORP\\a/b@c+d|e: %23%25"}


@given(st.tuples(ALIKE, ALIKE | st.just("")), st.tuples(ALIKE, ALIKE | st.just("")))
def test_two_users_have_two_partitions_in_tenants_and_without(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (items.partition_of(*one) == items.partition_of(*other)) is (one == other)
    stored = {"pk": items.partition_of(*one)}
    assert (items.user_of(stored), items.tenant_of(stored)) == one
