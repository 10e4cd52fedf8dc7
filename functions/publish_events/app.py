"""Publishes an event for each new version of a task. Lambda calls it with records of the table's stream."""

import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from shared import LambdaContext, end_start, events
from shared.http import telemetry
from shared.models import DeletedTask, Task
from shared.pseudonyms import pseudonym
from shared.store import bus, items, marks


class Unreadable(Exception):
    """A record holds an item that this release cannot read."""


_BUS = os.environ["EVENT_BUS"]
_FULL = os.environ["EVENT_CONTENT"] == "full"
for model in (Task, DeletedTask):
    model.model_rebuild()
end_start()


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
            happened = _happened(record)
        except Exception as unreadable:  # noqa: BLE001 - whatever is wrong with it, the records before it are published
            failed, error = place, unreadable
            break
        if happened is not None:
            at = record["dynamodb"]["ApproximateCreationDateTime"]
            tenant = items.tenant_of(record["dynamodb"]["Keys"])
            detail = happened.detail(tenant, pseudonym(happened.actor, tenant), full=_FULL)
            entries.append(bus.entry(_BUS, happened.detail_type, detail, at))
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


def _happened(record: Mapping[str, Any]) -> events.Event | None:
    """The event of a record, which is of a task or of the mark of an erased user. None if nothing happened."""
    before, after = (record["dynamodb"].get(image) for image in ("OldImage", "NewImage"))
    key = record["dynamodb"]["Keys"]
    if key["sk"]["S"] == marks.SORT_KEY:
        completed_at = marks.completed_at(after)
        if completed_at is None or marks.completed_at(before) is not None:
            return None
        return events.ErasureEvent(items.user_of(key), completed_at)
    if not key["sk"]["S"].startswith("TASK#"):
        return None
    return events.happened(*(None if item is None else items.from_item(item) for item in (before, after)))


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
