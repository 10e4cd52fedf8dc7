"""A process that publishes the events of a table's stream, like Lambda. Tests start, kill and restart it.

    python -m tests.publisher STREAM_ARN SETTINGS CHECKPOINTS

It writes the checkpoints that Lambda keeps into a file, and skipped records into another file beside it.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import boto3

from local.streams import Record, StreamMapping
from local.workers import FunctionError
from shared.store.bus import RESERVE


def streams(url: str) -> Any:
    return boto3.client("dynamodbstreams", endpoint_url=url)


def stream_of(url: str, table: str) -> str:
    """The ARN of the stream of a table."""
    arn: str = boto3.client("dynamodb", endpoint_url=url).describe_table(TableName=table)["Table"]["LatestStreamArn"]
    return arn


def invoking(handler: Callable[[Any, Any], Any], seconds: float = RESERVE + 0.1) -> Callable[[dict[str, Any]], Any]:
    """Calls a handler like Lambda: with JSON, and with its exceptions as function errors.

    By default it has time for a few attempts of each request.
    """

    def invoke(event: dict[str, Any]) -> Any:
        try:
            context = SimpleNamespace(get_remaining_time_in_millis=lambda: int(seconds * 1000))
            return handler(json.loads(json.dumps(event)), context)
        except Exception as error:
            raise FunctionError from error

    return invoke


class _Saved(dict[str, str]):
    """Checkpoints that survive a killed process."""

    @classmethod
    def at(cls, path: Path) -> Self:
        saved = cls(json.loads(path.read_text())) if path.exists() else cls()
        saved.path = path
        return saved

    path: Path

    def __setitem__(self, shard: str, number: str) -> None:
        super().__setitem__(shard, number)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self))
        new.replace(self.path)


def main(stream_arn: str, settings: Any, checkpoints: Path) -> None:
    """Publish until killed."""
    from functions.publish_events.app import handler  # noqa: PLC0415 - it reads the environment

    def park(records: Sequence[Record]) -> None:
        with checkpoints.with_suffix(".parked").open("a") as file:
            file.writelines(f"{one['dynamodb']['SequenceNumber']}\n" for one in records)

    client = streams(os.environ["AWS_ENDPOINT_URL_DYNAMODB"])
    mapping = StreamMapping(
        client, stream_arn, settings, invoking(handler), park, lambda _: time.sleep(0.01), _Saved.at(checkpoints)
    )
    while True:
        if mapping.poll() == 0:
            time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]))
