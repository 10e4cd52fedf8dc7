"""`make dynamodb`: a DynamoDB in memory for functions under `sam local`, with the tasks that events/*.json speak of."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

from local import dynamodb, template, tokens
from shared import tasks
from shared.models import NewTask
from shared.store import items
from shared.store.dynamodb import new_client

ROOT = Path(__file__).parent.parent
PORT = 8002


def address() -> str:
    """Where containers reach this machine as host.docker.internal: on Linux Docker's bridge, elsewhere loopback."""
    docker = shutil.which("docker")
    if docker is None:
        return "127.0.0.1"
    # Docker 20.10 names no gateway until its second start. It is the first address of the subnet.
    wanted = "{{with index .IPAM.Config 0}}{{or .Gateway .Subnet}}{{end}}"
    inspect = [docker, "network", "inspect", "bridge", "--format", wanted]
    found = subprocess.run(inspect, check=False, capture_output=True, text=True).stdout.strip()
    try:
        bridge = str(next(iter(ip_network(found).hosts())))
        with socket.create_server((bridge, 0)):
            return bridge
    except (OSError, ValueError):  # Docker does not run, or in a virtual machine, and forwards to loopback
        return "127.0.0.1"


def _named(operation: str) -> tuple[str, str]:
    """The user and the id of the task that the event of an operation names."""
    parameters = json.loads((ROOT / "events" / f"{operation}_task.json").read_text())["pathParameters"]
    return parameters["user_id"], parameters["task_id"]


def main() -> None:
    """Serve until Ctrl-C."""
    os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local", AWS_DEFAULT_REGION="eu-central-1")  # noqa: S106
    loaded = template.load(ROOT / "template.yaml", {"JwtIssuer": tokens.ISSUER, "JwtAudience": tokens.AUDIENCE})
    with suppress(KeyboardInterrupt), dynamodb.moto(PORT, address()) as url:
        dynamodb.create_tables(loaded, url)
        now = time.time_ns() // 1_000_000
        new = NewTask(title="Buy milk", description="Two bottles")
        live, trashed = (
            tasks.create(None, task_id, user, new, now) for user, task_id in map(_named, ("get", "restore"))
        )
        for task in (live, tasks.delete(trashed, tasks.ANY_VERSION, now)):
            new_client(url).put_item(TableName="TaskTable", Item=items.to_item(task, "sample"))
        sys.stdout.write(f"DynamoDB on {url}, until Ctrl-C\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
