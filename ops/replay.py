"""`python -m ops.replay`: publishes the current version of every task, and every erasure, of the time since a moment.

For events that were never published, such as after a failure of `publish_events` that lasted longer than the table's
stream keeps records. Consumers ignore versions that they have seen. See "Replays" in docs/events.md.
"""

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ops import stack
from ops.backfill import RateLimiter, State, add_rate, identity_of, new_client, walk
from ops.command import CommandError, given, run
from shared import events
from shared.pseudonyms import pseudonym_in
from shared.store import bus, items, marks
from shared.store.items import Item

# Seconds in which an event must be published.
_PATIENCE = 60.0


class Replay:
    """Publishes the event of a task's last write, or of the end of an erasure."""

    def __init__(self, client: Any, name: str, stack_id: str, *, full: bool, dry_run: bool) -> None:
        self._client = client
        self._bus = name
        self._stack_id = stack_id
        self._full = full
        self._dry_run = dry_run

    def __call__(self, item: Item) -> str:
        """Publish the event, and return "published". Raises the error of EventBridge after a minute of failures."""
        if self._dry_run:
            return "to publish"
        event, at = _event_of(item)
        tenant = items.tenant_of(item)
        detail = event.detail(tenant, pseudonym_in(self._stack_id, event.actor, tenant), full=self._full)
        entry = bus.entry(self._bus, event.detail_type, detail, at / 1000)
        done, error = bus.publish(self._client, [entry], time.monotonic() + _PATIENCE)
        if not done and error is not None:
            raise error
        return "published"


def _event_of(item: Item) -> tuple[events.Event, int]:
    """Return the event of a task or of the mark of an erased user, and its time in ms."""
    if item["sk"]["S"] == marks.SORT_KEY:
        erased = events.ErasureEvent(items.user_of(item), int(item["completed_at"]["N"]))
        return erased, erased.completed_at
    task = items.from_item(item)
    return events.replayed(task), task.updated_at


def main(arguments: Sequence[str]) -> int:
    """Replay events, and return the exit code."""
    return run(partial(_replay, _options(arguments)), "Run the same command to continue.")


def _replay(options: argparse.Namespace, stop: threading.Event) -> Counter[str]:
    outputs = stack.outputs(options.stack)
    if "EventBusName" not in outputs:
        raise CommandError(f"{options.stack} has no event bus. Deploy it with Events=yes.")
    since = round(options.since.timestamp() * 1000)
    search: dict[str, Any] = {
        "TableName": outputs["TableName"],
        # Marks of erased users have no updated_at, and a completed_at only at the end.
        "FilterExpression": "begins_with(sk, :task) AND updated_at >= :since OR sk = :mark AND completed_at >= :since",
        "ExpressionAttributeValues": {
            ":task": items.text("TASK#"),
            ":mark": items.text(marks.SORT_KEY),
            ":since": items.number(since),
        },
        "ConsistentRead": True,
    }
    kind, client = "count" if options.dry_run else "replay", new_client()
    name, bus_name = outputs["TableName"], outputs["EventBusName"]
    content = stack.parameters(options.stack).get("EventContent")
    if content is None:  # events must not have more than the owner of the stack wants
        raise CommandError(f"{options.stack} has no parameter EventContent. Deploy it with make deploy.")
    since_when = options.since.isoformat()
    purpose = f"{kind} {identity_of(client, name)} to {bus_name} since {since_when} with the content {content}"
    with State.at(Path(f".local/{kind}-{name}.events.json"), purpose, options.segments) as state:
        full = content == "full"
        work = Replay(bus.new_client(), bus_name, outputs["StackId"], full=full, dry_run=options.dry_run)
        return walk(client, search, work, state, RateLimiter(options.units), stop, outputs["StackId"])


def _time(text: str) -> datetime:
    """Parse a time with an offset, for argparse."""
    with suppress(ValueError, OverflowError):  # a time of the year 1 can be before the first time in UTC
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    raise argparse.ArgumentTypeError(f"must be a time with its offset, such as 2026-11-25T09:00:00Z, not {text!r}")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.replay", description=__doc__.partition("\n")[0])
    parser.add_argument("--stack", type=given, required=True, help="the name of the stack, such as tasks-prod")
    parser.add_argument("--since", type=_time, required=True, help="a time with its offset: 2026-11-25T09:00:00Z")
    add_rate(parser, "read units")
    parser.add_argument("--dry-run", action="store_true", help="only count the events")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
