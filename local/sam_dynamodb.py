"""`make dynamodb`: serves an in-memory DynamoDB for `sam local`, with the tasks that events/*.json name."""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import boto3

from local import dynamodb, template, tokens
from ops.command import run
from shared import tasks
from shared.models import NewTask
from shared.store import items
from shared.store.dynamodb import new_client

ROOT = Path(__file__).parent.parent
PORT = 8002


def address() -> str:
    """Return the address of host.docker.internal on this machine: Docker's bridge on Linux, otherwise loopback."""
    docker = shutil.which("docker")
    if docker is None:
        return "127.0.0.1"
    # Docker 20.10 reports no gateway before its second start. The gateway is the first address of the subnet.
    template_of_address = "{{with index .IPAM.Config 0}}{{or .Gateway .Subnet}}{{end}}"
    inspect = [docker, "network", "inspect", "bridge", "--format", template_of_address]
    found = subprocess.run(inspect, check=False, capture_output=True, text=True).stdout.strip()
    try:
        bridge = str(next(iter(ip_network(found).hosts())))
        with socket.create_server((bridge, 0)):
            return bridge
    except (OSError, ValueError):  # no Docker, or Docker in a virtual machine, which forwards to loopback
        return "127.0.0.1"


def _ids_in_event(operation: str) -> tuple[str, str]:
    """Return the user id and the task id in the event of an operation."""
    parameters = json.loads((ROOT / "events" / f"{operation}_task.json").read_text())["pathParameters"]
    return parameters["user_id"], parameters["task_id"]


def main(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C, and return the exit code."""
    argparse.ArgumentParser(prog="python -m local.sam_dynamodb", description=__doc__).parse_args(arguments)
    return run(_serve)


def _serve(stop: threading.Event) -> int:
    os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local", AWS_DEFAULT_REGION="eu-central-1")  # noqa: S106
    loaded = template.load(ROOT / "template.yaml", tokens.PARAMETERS)
    with dynamodb.moto(PORT, address()) as url:
        dynamodb.create_tables(loaded, url)
        # `sam local` takes the name `local` for the stack.
        boto3.client("events", endpoint_url=url).create_event_bus(Name="local-events")
        now = time.time_ns() // 1_000_000
        new = NewTask(title="Buy milk", description="Two bottles")
        live, trashed = (
            tasks.create(None, task_id, user, new, now) for user, task_id in map(_ids_in_event, ("get", "restore"))
        )
        for task in (live, tasks.delete(trashed, tasks.ANY_VERSION, now)):
            new_client(url).put_item(TableName="TaskTable", Item=items.to_item(task, "sample"))
        sys.stdout.write(f"Serving DynamoDB on {url}. Press Ctrl-C to stop.\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
