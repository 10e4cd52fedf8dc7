"""The events of each operation, from the states before and after it."""

import itertools
import json
import random
import time
from typing import Any

import pytest

from shared import events, tasks
from shared.models import DeletedTask, NewTask, Task
from shared.store import bus
from shared.store.uuid7 import uuid7

NOW = 1_795_415_874_917
ID = str(uuid7(NOW * 1_000_000))


def task(**fields: Any) -> Task:
    """A task at version 3."""
    made = tasks.create(None, ID, "alice", NewTask(title="x", **fields), NOW)
    return made.model_copy(update={"version": 3})


OPEN = task()
DONE = task(completed=True)
TRASHED = tasks.delete(OPEN, tasks.ANY_VERSION, NOW + 5)


def changed(found: Task, **changes: Any) -> Task:
    return tasks.change(found, changes, tasks.ANY_VERSION, NOW + 5)


@pytest.mark.parametrize(
    ("before", "after", "kind", "fields"),
    [
        (None, OPEN.model_copy(update={"version": 1}), "created", []),
        (None, task(completed=True).model_copy(update={"version": 1}), "created", []),
        (None, OPEN, "restored", []),  # from a backup
        (None, TRASHED, "deleted", []),  # from a backup
        (OPEN, changed(OPEN, title="y"), "updated", ["title"]),
        (OPEN, changed(OPEN, due="2026-12-24", tags=["a"]), "updated", ["due", "tags"]),
        (OPEN, changed(OPEN, completed=True), "completed", ["completed", "completed_at"]),
        (OPEN, changed(OPEN, completed=True, title="y"), "completed", ["completed", "completed_at", "title"]),
        (DONE, changed(DONE, completed=False), "reopened", ["completed", "completed_at"]),
        (
            OPEN,
            OPEN.model_copy(update={"list": "home", "position": "V", "title": "y", "version": 4}),
            "moved",
            ["list", "position", "title"],
        ),
        (OPEN, OPEN.model_copy(update={"list": "home", "version": 4}), "moved", ["list"]),
        (OPEN, OPEN.model_copy(update={"position": "V", "version": 4}), "moved", ["position"]),
        (
            OPEN,
            DONE.model_copy(update={"list": "home", "version": 4}),
            "completed",
            ["completed", "completed_at", "list"],
        ),
        (OPEN, TRASHED, "deleted", ["deleted_at", "purge_at"]),
        (TRASHED, tasks.restore(TRASHED, tasks.ANY_VERSION, NOW + 9), "restored", ["deleted_at", "purge_at"]),
        (TRASHED, DONE.model_copy(update={"version": 9}), "restored", None),
    ],
)
def test_each_write_gives_one_event_of_the_most_specific_type(
    before: Task | None, after: Task, kind: str, fields: list[str] | None
) -> None:
    event = events.happened(before, after)
    assert event is not None
    assert (event.type, event.user_id, event.task_id, event.version) == (kind, "alice", ID, after.version)
    assert fields is None or event.changed == fields
    assert event.task == after
    assert kind in events.TYPES


@pytest.mark.parametrize("last", [TRASHED, OPEN])
def test_a_purged_event_has_the_version_after_the_last_and_no_task(last: Task) -> None:
    event = events.happened(last, None)
    assert event is not None
    assert tuple(event) == ("purged", "alice", ID, last.version + 1, [], None)
    assert event.detail("", "", full=True)["task"] is None
    assert event.actor == ""


def test_a_write_without_a_new_version_gives_no_event() -> None:
    assert events.happened(OPEN, OPEN.model_copy(update={"title": "upgraded"})) is None
    assert events.happened(None, None) is None


def test_a_replayed_event_has_the_type_of_the_last_write() -> None:
    completed = changed(OPEN, completed=True)
    renamed = tasks.change(completed, {"title": "y"}, tasks.ANY_VERSION, NOW + 6)
    kinds = {
        events.replayed(one).type: one for one in (OPEN.model_copy(update={"version": 1}), TRASHED, completed, renamed)
    }
    assert list(kinds) == ["created", "deleted", "completed", "updated"]
    assert events.replayed(OPEN).changed is None


def test_an_event_shows_the_task_as_the_api_does_or_only_ids() -> None:
    event = events.happened(None, TRASHED)
    assert event is not None
    ids: dict[str, object] = {"tenant": None, "user_id": "alice", "actor": "2bd8", "task_id": ID, "version": 4}
    ids["changed"] = []
    assert event.detail("", "2bd8", full=False) == ids
    assert event.detail("", "2bd8", full=True) == {**ids, "task": json.loads(TRASHED.model_dump_json())}
    assert isinstance(event.task, DeletedTask)


def test_an_event_names_its_actor_and_is_no_change_of_a_field() -> None:
    by_bob = tasks.written_by("bob", changed(OPEN, completed=True), OPEN)
    by_alice = tasks.written_by(None, changed(by_bob, completed=False), by_bob)
    made = [events.happened(*pair) for pair in ((OPEN, by_bob), (by_bob, by_alice))]
    assert [(one.actor, one.changed) for one in made if one is not None] == [
        ("bob", ["completed", "completed_at"]),
        ("alice", ["completed", "completed_at"]),
    ]
    assert events.replayed(by_bob).actor == "bob"


def test_events_are_sent_in_batches_that_eventbridge_takes() -> None:
    """At most 10 events and 256 KB in a batch; in order, and each event once."""
    sizes = random.Random(0)  # noqa: S311 - not a secret
    sent: list[list[dict[str, Any]]] = []

    class Client:
        def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - botocore's name
            sent.append(Entries)
            return {"Entries": [{"EventId": "x"}] * len(Entries)}

    long = [task(description="\x01" * sizes.choice([0, 8192])) for _ in range(45)]
    made = [
        bus.entry("bus", "task.created", events.replayed(one).detail("", "", full=True), NOW / 1000) for one in long
    ]
    assert bus.publish(Client(), made, time.monotonic() + 600) == (45, None)
    assert list(itertools.chain(*sent)) == made
    assert all(len(batch) <= 10 for batch in sent)
    assert all(sum(len(one["Detail"].encode()) for one in batch) < 256_000 for batch in sent)
    # Each batch is full: the first event of the next one did not fit.
    for batch, after in itertools.pairwise(sent):
        assert len(batch) == 10 or sum(len(one["Detail"]) for one in (*batch, after[0])) > 250_000


def test_the_end_of_an_erasure_names_the_user_and_no_task() -> None:
    event = events.ErasureEvent("alice", 5)
    assert event.detail_type == "user.erased"
    shown = {"tenant": "acme", "user_id": "alice", "completed_at": "1970-01-01T00:00:00.005Z"}
    assert event.detail("acme", "", full=True) == event.detail("acme", "", full=False) == shown
