"""`make run EVENTS=yes`: publishes the events of the local table through moto's EventBridge, and shows them."""

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3

from local.streams import Record, StreamMapping
from local.template import Template
from local.workers import Workers

# Seconds between two looks at the stream.
_PAUSE = 0.2


@contextmanager
def publishing(template: Template, table_url: str, bus_url: str, log: Path) -> Iterator[None]:
    """Publish the events of the template's table; print each as a line, and write them into `log` as JSON lines."""
    (function,) = (one for one in template.functions if one.stream is not None)
    (table,) = template.tables
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": table_url, "AWS_ENDPOINT_URL_EVENTBRIDGE": bus_url}
    queue = _queue_behind(function.environment["EVENT_BUS"], bus_url)
    dynamodb = _client("dynamodb", table_url)
    workers = Workers(function, environment, max_workers=1, queue_timeout=function.timeout)
    mapping = StreamMapping(
        client=_client("dynamodbstreams", table_url),
        stream_arn=dynamodb.describe_table(TableName=table.arguments["TableName"])["Table"]["LatestStreamArn"],
        settings=function.stream or {},
        invoke=lambda event: workers.invoke(json.dumps(event)),
        park=_park,
    )
    stop = threading.Event()
    mapping.pause = stop.wait
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")

    def publish() -> None:
        while not stop.wait(_PAUSE):
            with _going_on("did not read the stream"):
                mapping.poll()
            with _going_on("did not read the bus"):
                for event in _received(*queue):
                    text = json.dumps(event, ensure_ascii=False)
                    with _going_on(f"not written into {log}", text):
                        _append(text, log)
                    with _going_on("not printed", text):
                        sys.stdout.write(_line(event))
                        sys.stdout.flush()

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(function.timeout)
        workers.close()


@contextmanager
def _going_on(failed: str, event: str = "") -> Iterator[None]:
    """Report any exception on standard error, with the event that it concerns. The thread must not end."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the events after it can still be published
        with suppress(Exception):  # standard error itself may be closed, or on a full disk
            sys.stderr.write(f"events: {failed} ({type(error).__name__}: {error}) {event}".rstrip() + "\n")


def _append(line: str, log: Path) -> None:
    """Append a line, or nothing: the next line would otherwise continue a half line."""
    end = log.stat().st_size if log.exists() else 0
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError:
        with suppress(OSError):
            os.truncate(log, end)
        raise


def _client(service: str, url: str) -> Any:
    make: Any = boto3.client
    return make(service, endpoint_url=url)


def _queue_behind(bus: str, url: str) -> tuple[Any, str]:
    """Create the bus, and a queue that gets all of its events."""
    events, sqs = (_client(name, url) for name in ("events", "sqs"))
    events.create_event_bus(Name=bus)
    queue: str = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="all", EventBusName=bus, EventPattern=json.dumps({"source": ["tasks"]}))
    events.put_targets(Rule="all", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    return sqs, queue


def _received(sqs: Any, queue: str) -> Iterator[dict[str, Any]]:
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            yield json.loads(message["Body"])


def _line(event: dict[str, Any]) -> str:
    detail = event["detail"]
    if "task_id" not in detail:
        return f"{event['detail-type']:15} {detail['user_id']}\n"
    changed = ", ".join(detail["changed"])
    return f"{event['detail-type']:15} {detail['user_id']} {detail['task_id']} version {detail['version']} {changed}\n"


def _park(records: Sequence[Record]) -> None:
    numbers = ", ".join(one["dynamodb"]["SequenceNumber"] for one in records)
    sys.stderr.write(f"events: gave up the records {numbers}\n")
