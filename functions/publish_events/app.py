"""Publishes an event for each new version of a task. Lambda calls it with records of the table's stream."""

import gc
import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from shared import events
from shared.http import telemetry
from shared.models import DeletedTask, Task
from shared.store import bus, items


class LambdaContext(Protocol):
    """The part of Lambda's context object that this function uses."""

    def get_remaining_time_in_millis(self) -> int:
        """The time until Lambda stops the function."""


class Unreadable(Exception):
    """A record holds an item that this release cannot read."""


_BUS = os.environ["EVENT_BUS"]
_FULL = os.environ["EVENT_CONTENT"] == "full"
for model in (Task, DeletedTask):
    model.model_rebuild()
if not gc.isenabled():  # shared/__init__.py disables it
    gc.freeze()
    gc.enable()


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Publish the events of the records in their order.

    Return the first record whose event is not published: Lambda sends it and all later records again. Raises Unreadable
    for a batch that begins with a record that cannot be read. Then Lambda halves the batch, until the record is alone,
    and only this record ends in the queue of failures.
    """
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    records = event["Records"]
    entries, of_records = [], []
    failed, error = len(records), None
    for place, record in enumerate(records):
        try:
            happened = events.happened(_task(record, "OldImage"), _task(record, "NewImage"))
        except Exception as unreadable:  # noqa: BLE001 - whatever is wrong with it, the records before it are published
            failed, error = place, unreadable
            break
        if happened is not None:
            at = record["dynamodb"]["ApproximateCreationDateTime"]
            tenant = items.tenant_of(record["dynamodb"]["Keys"])
            entries.append(bus.entry(happened, _BUS, at, tenant=tenant, full=_FULL))
            of_records.append(place)
    published, refused = bus.publish(_client(), entries, deadline)
    if published < len(entries):
        failed, error = of_records[published], refused
    _log(len(records), published, error)
    if failed == 0 and error is not refused and len(records) > 1:
        raise Unreadable from None  # its message could quote the text of a task
    return {
        "batchItemFailures": [{"itemIdentifier": one["dynamodb"]["SequenceNumber"]} for one in records[failed:][:1]]
    }


def _task(record: Mapping[str, Any], image: str) -> Task | None:
    """The task in an image of a record. None if there is no such image, or if it is no task."""
    item = record["dynamodb"].get(image)
    return items.from_item(item) if item is not None and item["sk"]["S"].startswith("TASK#") else None


@cache
def _client() -> Any:
    # Made at the first call, so that a snapshot of SnapStart contains no credentials.
    return bus.new_client()


def _log(records: int, published: int, error: Exception | None) -> None:
    fields: dict[str, Any] = {"operation": "publish_events", "records": records, "published": published}
    if error is None:
        telemetry.logger.info("published", extra=fields)
    else:
        telemetry.logger.error("not all published", extra={**fields, "cause": telemetry.cause_of(error)})
