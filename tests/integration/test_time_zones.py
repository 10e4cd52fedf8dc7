"""A due date does not change with the time zone of the process."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

JOURNEY = """
import time
from shared import tasks
from shared.models import NewTask, TaskQuery
from shared.store import items, queries
from shared.store.uuid7 import uuid7

now = time.time_ns()
for due in ("2026-12-24", "2026-12-24T00:30:00", "2026-03-29T02:30:00"):
    task = tasks.create(None, str(uuid7(now)), "alice", NewTask(title="x", due=due), now // 10**6)
    item = items.to_item(task, "token")
    print(items.from_item(item).due, item["by_status"]["S"][:31], time.timezone != 0)
query = TaskQuery(status="open", due_after="2026-12-23", due_before="2026-12-25")
print(queries.of_list("tasks", items.partition_of("alice"), query, 1, None)["ExpressionAttributeValues"])
"""
EXPECTED = """
2026-12-24 task#open#2026-12-24T24:00:00Z# True
2026-12-24T00:30:00 task#open#2026-12-24T00:30:00Z# True
2026-03-29T02:30:00 task#open#2026-03-29T02:30:00Z# True
{':pk': {'S': 'USER#alice'}, ':start': {'S': 'task#open#2026-12-23T24:00:00Z$'}, ':end': {'S': 'task#open#2026-12-25'}}
"""


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_a_due_date_does_not_shift(zone: str) -> None:
    environment = {**os.environ, "TZ": zone, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", JOURNEY], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == EXPECTED.strip(), ran.stderr
