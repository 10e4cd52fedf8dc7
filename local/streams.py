"""Imitates Lambda's event source mapping: reads the stream of a table and calls a function with its records."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.workers import FunctionError

type Record = Mapping[str, Any]
# Calls the function with an event, and returns its response. Raises FunctionError.
type Invoke = Callable[[dict[str, Any]], Any]


@dataclass
class StreamMapping:
    """Reads every shard from its start, and keeps the place of each in `checkpoints`.

    `settings` are the properties of the mapping in template.yaml. `park` gets the records that are given up.
    """

    client: Any
    stream_arn: str
    settings: Mapping[str, Any]
    invoke: Invoke
    park: Callable[[Sequence[Record]], None]
    pause: Callable[[float], object] = time.sleep
    # By shard: the sequence number of the last record that is done.
    checkpoints: dict[str, str] = field(default_factory=dict)

    def poll(self) -> int:
        """Handle all records that the stream has now; return how many."""
        return sum(self._handle(shard, records) for shard, records in self._batches())

    def _batches(self) -> Iterator[tuple[str, list[Record]]]:
        # A shard is listed behind its parent, whose records are older.
        for shard in self._shards():
            after = self.checkpoints.get(shard)
            place: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
            if after is not None:
                place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
            iterator = self.client.get_shard_iterator(StreamArn=self.stream_arn, ShardId=shard, **place)[
                "ShardIterator"
            ]
            while iterator:
                page = self.client.get_records(ShardIterator=iterator, Limit=self.settings["BatchSize"])
                if not page["Records"]:
                    break
                yield shard, page["Records"]
                iterator = page.get("NextShardIterator")

    def _shards(self) -> list[str]:
        shards: list[Mapping[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            page = self.client.describe_stream(StreamArn=self.stream_arn, **more)["StreamDescription"]
            shards += page["Shards"]
            if "LastEvaluatedShardId" not in page:
                break
            more = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
        parents = {one["ShardId"]: one.get("ParentShardId") for one in shards}

        def depth(shard: str | None) -> int:
            return 1 + depth(parents[shard]) if shard in parents else 0

        return sorted(parents, key=depth)

    def _handle(self, shard: str, records: Sequence[Record]) -> int:
        waiting = [[self._for_lambda(one) for one in records if self._passes(one)]]
        attempts = 0
        while waiting:
            batch = waiting.pop(0)
            done, failed = self._call(batch)
            if failed and done == 0:
                if failed == "error" and len(batch) > 1 and self.settings["BisectBatchOnFunctionError"]:
                    half = len(batch) // 2
                    waiting[:0] = [batch[:half], batch[half:]]
                    continue
                if attempts == self.settings["MaximumRetryAttempts"]:
                    self.park(batch)
                    done, failed = len(batch), ""
                else:
                    self.pause(min(60.0, 0.1 * 2**attempts))
                    attempts += 1
            if done:
                attempts = 0
                self.checkpoints[shard] = batch[done - 1]["dynamodb"]["SequenceNumber"]
            if failed:
                waiting.insert(0, batch[done:])
        self.checkpoints[shard] = records[-1]["dynamodb"]["SequenceNumber"]
        return len(records)

    def _call(self, batch: list[Record]) -> tuple[int, str]:
        """Call the function; return how many records of the batch are done, and what failed: nothing, some, or all."""
        if not batch:
            return 0, ""
        try:
            response = self.invoke({"Records": batch}) or {}
        except FunctionError:
            return 0, "error"
        failed = {one["itemIdentifier"] for one in response.get("batchItemFailures", ())}
        places = [place for place, one in enumerate(batch) if one["dynamodb"]["SequenceNumber"] in failed]
        return (places[0], "reported") if places else (len(batch), "")

    def _passes(self, record: Record) -> bool:
        filters = self.settings.get("FilterCriteria", {}).get("Filters", ())
        return not filters or any(_matches(json.loads(one["Pattern"]), record) for one in filters)

    def _for_lambda(self, record: Record) -> Record:
        """The record as it stands in an event: with its time as a number, so that it is JSON."""
        change = record["dynamodb"]
        at = change["ApproximateCreationDateTime"].timestamp()
        return {
            **record,
            "eventSourceARN": self.stream_arn,
            "dynamodb": {**change, "ApproximateCreationDateTime": at},
        }


def _matches(pattern: Any, value: Any) -> bool:
    """Whether a value fits a filter pattern, as far as template.yaml uses patterns: objects, texts and prefixes."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(_matches(inner, value.get(name)) for name, inner in pattern.items())
    return any(
        isinstance(value, str) and value.startswith(one["prefix"]) if isinstance(one, dict) else value == one
        for one in pattern
    )
