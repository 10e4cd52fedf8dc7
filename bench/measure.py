"""Measures a process: its instructions, its processor time and its wall time."""

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import BUILD, OURS, ROOT, Contender
from bench.stub import TRASHED_ID

# The real interpreter: the link in a virtual environment would add the packages of the environment.
PYTHON = str(Path(sys.executable).resolve())
PROCESS = str(ROOT / "bench" / "process.py")
EVENTS = BUILD / "events"
WITH_KEY, EMPTY = "_with_key", "_empty"
STATUS = {"create_task": 201, f"create_task{WITH_KEY}": 201, "delete_task": 204}
_INSTRUCTIONS = re.compile(r"I\s+refs:\s+([\d,]+)")


@dataclass(frozen=True)
class Cost:
    """The processor time and wall time of a process or a call, in seconds."""

    cpu: float
    wall: float
    # The processor time of the first call of a fresh process.
    first: float = 0


def write_events() -> None:
    """Write the events of events/ in a form that all contenders accept: plain text bodies, and a list of 50."""
    EVENTS.mkdir(parents=True, exist_ok=True)
    for source in (ROOT / "events").glob("*.json"):
        event = json.loads(source.read_text())
        if "headers" not in event:  # not an operation of the API
            continue
        if event.get("isBase64Encoded"):
            event.update(body=base64.b64decode(event["body"]).decode(), isBase64Encoded=False)
        if source.stem == "list_tasks":
            event.update(rawQueryString="limit=50", queryStringParameters={"limit": "50"})
        if source.stem == "restore_task":
            event["pathParameters"]["task_id"] = TRASHED_ID
        if source.stem == "update_task":
            event["bodies"] = [event["body"], json.dumps({**json.loads(event["body"]), "description": "Four"})]
        # FastAPI parses application/json, but not merge patches, as JSON.
        if "content-type" in event["headers"]:
            event["headers"]["content-type"] = "application/json"
        (EVENTS / source.name).write_text(json.dumps(event))
        if source.stem in {"create_task", "toggle_task"}:
            event["headers"]["idempotency-key"] = "bench"
            (EVENTS / f"{source.stem}{WITH_KEY}.json").write_text(json.dumps(event))
        if source.stem == "list_changes":
            event.update(queryStringParameters={"limit": "1"})
            (EVENTS / f"{source.stem}{EMPTY}.json").write_text(json.dumps(event))


def function_of(operation: str) -> str:
    """Return the name of the function for a variant of an operation."""
    return operation.removesuffix(WITH_KEY).removesuffix(EMPTY)


_SETTINGS = {"SERVICE_SCOPE": "tasks/service", "IDEMPOTENCY_HOURS": "24", "STACK_ID": "stack"}


def environment(contender: Contender, url: str) -> Mapping[str, str]:
    """Return the environment of a function, with the endpoint of DynamoDB and without our own variables."""
    return {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_SESSION_TOKEN": "bench",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "TABLE_NAME": contender.table,
        "POWERTOOLS_SERVICE_NAME": "tasks",
        "POWERTOOLS_METRICS_NAMESPACE": "Tasks",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "PYTHONHASHSEED": "0",
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        **(_SETTINGS if contender.name == OURS else {}),
    }


def command(contender: Contender, operation: str, *counts: int) -> list[str]:
    """Return the command that starts a contender with the event of an operation."""
    event = EVENTS / f"{operation}.json"
    status = STATUS.get(operation, 200)
    # No site-packages (-S, -s), nothing from the working folder (-P), and nothing written (-B), as on Lambda.
    flags = ["-S", "-s", "-P", "-B"]
    return [
        PYTHON,
        *flags,
        PROCESS,
        str(contender.folder),
        contender.module,
        str(event),
        str(status),
        *map(str, counts),
    ]


def run(contender: Contender, operation: str, url: str) -> Cost:
    """Measure a fresh process until the end of its first response."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command(contender, operation),
        env=environment(contender, url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    stderr = process.stderr.read().decode()
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{contender.name}: {stderr}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, json.loads(stderr.splitlines()[-1])["cpu"])


def warm(contender: Contender, operation: str, url: str, warm_ups: int, calls: int) -> Cost:
    """Measure one call of a warm process."""
    done = subprocess.run(
        command(contender, operation, warm_ups, calls),
        env=environment(contender, url), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{contender.name}: {done.stderr}")
    return Cost(**json.loads(done.stderr.splitlines()[-1]))


def instructions(contender: Contender, operation: str, url: str, *counts: int) -> int:
    """Count the instructions of a fresh process with cachegrind."""
    cachegrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*cachegrind, *command(contender, operation, *counts)],
        env={"PATH": os.environ["PATH"], **environment(contender, url)},
        check=False,
        capture_output=True,
        text=True,
    )
    found = _INSTRUCTIONS.search(done.stderr)
    if done.returncode or not found:
        sys.exit(f"{contender.name}: {done.stderr}")
    return int(found[1].replace(",", ""))


def warm_instructions(contender: Contender, operation: str, url: str) -> float:
    """Count the instructions of one call of a warm process."""
    few, many = (instructions(contender, operation, url, 2, calls) for calls in (1, 11))
    return (many - few) / 10
