"""Moto keeps nothing, DynamoDB Local keeps its data, tables match the template, and all processes end."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from local import dynamodb, sam_dynamodb
from local.template import Template
from tests.conftest import eventually
from tests.local.conftest import PARAMETERS, descendants, gone

ROOT = Path(dynamodb.__file__).parent.parent
# A process that serves and stores, to be killed.
VICTIM = f"""
import sys, threading, urllib.request
from pathlib import Path
import boto3
from local import dynamodb, template
from local.gateway import serve
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
if __name__ == "__main__":
    loaded = template.load(folder / "template.yaml", {PARAMETERS!r})
    with dynamodb.dynamodb_local(Path(sys.argv[2])) as url, serve(loaded, {{}}) as address:
        dynamodb.create_tables(loaded, url)
        boto3.client("dynamodb", endpoint_url=url).put_item(TableName="Things", Item={{"pk": {{"S": "kept"}}}})
        urllib.request.urlopen(address + "/public").read()
        threading.Thread(target=lambda: urllib.request.urlopen(address + "/trouble/hang"), daemon=True).start()
        print("ready", flush=True)
        threading.Event().wait()
"""


def client(url: str) -> Any:
    return boto3.client("dynamodb", endpoint_url=url)


def test_moto_creates_the_tables_of_the_template_once(tiny: Template) -> None:
    with dynamodb.moto() as url:
        dynamodb.create_tables(tiny, url)
        ttl = client(url).describe_time_to_live(TableName="Things")["TimeToLiveDescription"]
        assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")
        client(url).put_item(TableName="Things", Item={"pk": {"S": "kept"}})
        dynamodb.create_tables(tiny, url)
        assert client(url).get_item(TableName="Things", Key={"pk": {"S": "kept"}})["Item"] == {"pk": {"S": "kept"}}


def test_moto_loses_no_update(tiny: Template) -> None:
    with dynamodb.moto() as url, dynamodb.moto() as other:  # they share their tables
        dynamodb.create_tables(tiny, url)

        def add(number: int) -> None:
            own = client((url, other)[number % 2])
            for _ in range(20):
                own.update_item(
                    TableName="Things",
                    Key={"pk": {"S": "a"}},
                    UpdateExpression="ADD n :one",
                    ExpressionAttributeValues={":one": {"N": "1"}},
                )

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(4)))
        assert client(url).get_item(TableName="Things", Key={"pk": {"S": "a"}})["Item"]["n"] == {"N": "80"}


def test_a_stream_never_has_the_records_of_a_failed_transaction(engine_url: str) -> None:
    """Not even for a reader that began before, and whose iterator stays valid."""
    name, own = f"streamed-{uuid.uuid4()}", client(engine_url)
    own.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    streams: Any = boto3.client("dynamodbstreams", endpoint_url=engine_url)
    arn = own.describe_table(TableName=name)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}

    def put(key: str) -> Any:
        condition = "attribute_not_exists(pk)"
        return {"Put": {"TableName": name, "Item": {"pk": {"S": key}}, "ConditionExpression": condition}}

    def read(iterator: str) -> tuple[list[tuple[str, int]], str]:
        page = streams.get_records(ShardIterator=iterator)
        changes = [record["dynamodb"] for record in page["Records"]]
        return [(one["Keys"]["pk"]["S"], int(one["SequenceNumber"])) for one in changes], page["NextShardIterator"]

    own.transact_write_items(TransactItems=[put("first")])
    found, iterator = read(streams.get_shard_iterator(**place)["ShardIterator"])
    for number in range(2):
        with pytest.raises(own.exceptions.TransactionCanceledException):
            own.transact_write_items(TransactItems=[put("undone"), put("first")])
        assert "Item" not in own.get_item(TableName=name, Key={"pk": {"S": "undone"}})
        more, iterator = read(iterator)
        assert more == []
        own.transact_write_items(TransactItems=[put(f"{number}a"), put(f"{number}b")])
        more, iterator = read(iterator)
        found += more
    # The parts of a transaction have no order.
    keys = [key for key, _ in found]
    assert [keys[:1], sorted(keys[1:3]), sorted(keys[3:])] == [["first"], ["0a", "0b"], ["1a", "1b"]]
    numbers = [number for _, number in found]
    assert numbers == sorted(set(numbers))
    assert read(streams.get_shard_iterator(**place)["ShardIterator"])[0] == found


@pytest.mark.usefixtures("needs_dynamodb_local")
def test_data_survives_a_kill_and_processes_do_not(folder: Path, tmp_path: Path) -> None:
    with running_victim(folder, tmp_path) as victim:
        # A resource tracker, the fork server, two workers (one of them in a handler that hangs), sh and java.
        below = eventually(lambda: found if len(found := descendants(victim.pid)) >= 6 else None)
        victim.send_signal(signal.SIGKILL)
        with dynamodb.dynamodb_local(tmp_path / "data") as url:
            assert client(url).get_item(TableName="Things", Key={"pk": {"S": "kept"}})["Item"] == {"pk": {"S": "kept"}}
        assert gone(below)


class running_victim:  # noqa: N801 - reads as the context it is
    def __init__(self, folder: Path, tmp_path: Path) -> None:
        script = tmp_path / "victim.py"
        script.write_text(VICTIM)
        environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(folder), str(tmp_path / "data")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> subprocess.Popen[str]:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.mark.parametrize(
    ("gateway", "subnet", "expected"),
    [
        ("172.18.0.9", "172.18.0.0/16", "172.18.0.9"),
        ("", "172.17.0.0/16", "172.17.0.1"),  # Docker 20.10, until its second start
        ("", "", "127.0.0.1"),  # it is not executable
    ],
)
def test_containers_reach_the_dynamodb_of_the_gateway(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gateway: str, subnet: str, expected: str
) -> None:
    docker = tmp_path / "docker"
    asked = f'case "$*" in *Subnet*) echo "{gateway or subnet}";; *) echo "{gateway}";; esac'
    docker.write_text(f"#!/bin/sh\n{asked}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("socket.create_server", lambda _: nullcontext())
    assert sam_dynamodb.address() == expected


def test_a_table_of_another_release_is_refused_in_one_line(template: Template) -> None:
    (table,) = template.tables
    indexes = table.arguments["LocalSecondaryIndexes"][:3]
    keys = {"pk", "sk", *(index["IndexName"] for index in indexes)}
    defined = [one for one in table.arguments["AttributeDefinitions"] if one["AttributeName"] in keys]
    older = {**table.arguments, "LocalSecondaryIndexes": indexes, "AttributeDefinitions": defined}
    with dynamodb.moto() as url:
        name = f"Older-{uuid.uuid4()}"
        past = replace(table, arguments={**older, "TableName": name})
        for _ in range(2):
            dynamodb.create_tables(replace(template, tables=(past,)), url)
        today = replace(table, arguments={**table.arguments, "TableName": name})
        with pytest.raises(ValueError, match=r"^The table .* was made by another release: its indexes differ\."):
            dynamodb.create_tables(replace(template, tables=(today,)), url)
