"""`make run EVENTS=yes`: publishes the events of the local table through moto's EventBridge, and shows them."""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

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
    with log.open("w") as file:

        def publish() -> None:
            while not stop.wait(_PAUSE):
                try:
                    mapping.poll()
                    for event in _received(*queue):
                        file.write(json.dumps(event, ensure_ascii=False) + "\n")
                        file.flush()
                        sys.stdout.write(_line(event))
                        sys.stdout.flush()
                except (BotoCoreError, ClientError) as error:
                    sys.stderr.write(f"events: {error}\n")

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(function.timeout)
            workers.close()


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
