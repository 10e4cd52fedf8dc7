"""Concurrent writers with lost responses: the version counts exactly the applied writes."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.models import NewTask
from shared.store.dynamodb import OutcomeUnknown, Table, Unavailable
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION
from tests.conftest import SCALE, deadline_in, table_at
from tests.wire import Wire, lost_after_and

WRITERS = 64


def at_once(count: int, act: Callable[[int], str]) -> Counter[str]:
    """Run this many calls at the same time, and return their outcomes."""
    barrier = threading.Barrier(count)

    def one(number: int) -> str:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(one, range(count)))


def outcome(table: Table, user: str, task_id: str) -> str:
    store = TaskStore(table, user, deadline_in(10))
    try:
        store.toggle(task_id, ANY_VERSION)
    except OutcomeUnknown:
        return "unknown"
    except Unavailable:
        return "unavailable"
    return "done"


@pytest.mark.parametrize("round_", range(SCALE))
def test_64_concurrent_toggles_all_count(dynamodb_local_url: str, user: str, round_: int) -> None:  # noqa: ARG001 - repeats
    table = table_at(dynamodb_local_url)
    store = TaskStore(table, user, deadline_in(60))
    task = store.create(NewTask(title="contended"))
    outcomes = at_once(WRITERS, lambda _: outcome(table, user, task.id))
    end = store.get(task.id)
    assert set(outcomes) <= {"done", "unavailable"}
    assert end.version == 1 + outcomes["done"]
    assert end.completed == (outcomes["done"] % 2 == 1)


@pytest.mark.parametrize("seed", range(SCALE))
def test_toggles_with_lost_responses_are_applied_once_or_reported(
    dynamodb_local_url: str, user: str, seed: int
) -> None:
    """After each lost response a second writer writes before the first can retry."""
    table = table_at(dynamodb_local_url)
    other = TaskStore(table_at(dynamodb_local_url, "other"), user, deadline_in(60))
    task = other.create(NewTask(title="contended"))
    others = Counter[str]()
    dice = random.Random(seed)  # noqa: S311 - no secret

    def write() -> None:
        other.toggle(task.id, ANY_VERSION)
        others["done"] += 1

    with Wire(table, lambda: lost_after_and(write) if dice.random() < 0.1 else None) as wire:
        outcomes = at_once(WRITERS, lambda _: outcome(table, user, task.id))
    end = other.get(task.id)
    applied = sum(wire.applied.values())
    assert max(wire.applied.values()) == 1, "a write was applied twice"
    assert others["done"] > 0
    assert outcomes["done"] <= applied <= outcomes["done"] + outcomes["unknown"]
    assert end.version == 1 + applied + others["done"]
    assert end.completed == ((applied + others["done"]) % 2 == 1)
