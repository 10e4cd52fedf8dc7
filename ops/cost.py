"""Calculates the cost of a million calls of each operation on AWS, and prints docs/cost.md.

    make cost

To change the document, change an input below, run the command, and commit both files. A test compares them.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ops import scale
from ops.command import run

# List prices in US dollars for us-east-1, without free tiers and discounts. Replace them with those of your region.
PRICES_OF = "2026-11-23"
API_REQUEST = 1.00e-6  # API Gateway, HTTP API, per request of up to 512 KB
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = 0.0000133334  # arm64
WRITE_UNIT = 0.625e-6  # DynamoDB on demand, standard table class
READ_UNIT = 0.125e-6
# The prices from here to BACKUP_GB were not checked against AWS's price list.
# The share of the price of an on-demand unit that a unit of provisioned capacity costs if it is always used. An hour
# costs 0.00065 for writes and 0.00013 for reads, and allows 3,600 units: the share is the same.
PROVISIONED = 0.00065 / 3600 / WRITE_UNIT
# DynamoDB auto scaling adds capacity if more than this share of it is used (AWS's default).
TARGET = 0.7
STORED_GB = 0.25  # DynamoDB, standard table class, per month
STORED_GB_IA, REQUESTS_IA = 0.10, 1.25  # the class Standard-IA, and its requests relative to the standard class
BACKUP_GB = 0.20  # point-in-time recovery, per month and GB of the table with its local indexes
LOG_GB = 0.50  # CloudWatch, standard class
TRACE = 5.00e-6  # X-Ray
EVENT = 1.00e-6  # EventBridge, custom events, for each 64 KB
ARCHIVED_GB = 0.10  # EventBridge, to put a GB of events into an archive
DELIVERY = 0.20e-6  # EventBridge, requests to API destinations

# The bytes that a request writes to logs: our line, the metrics, Lambda's own lines, and the access log of the API.
LOGGED = 390 + 250 + 450 + 330
# X-Ray samples one request per second and 5 % of the others.
SAMPLED = 0.05
# An event of a short task in bytes, how many events a call of publish_events gets on average, and how long it runs: an
# estimate. Lambda reads the stream without a charge.
EVENT_BYTES = 1_100
EVENTS_PER_CALL = 5
PUBLISH_MS = 25.0
# The write and read units of an erasure: for each task, and for the rest (docs/data-model.md).
ERASED_TASK = (4, 700 / 4096)
ERASURE = (3, 3)
# With this much memory a function has a whole processor. With less memory, the share is proportional. Source: AWS.
WHOLE_PROCESSOR_MB = 1769
MEMORY = (256, 512, 1024, 1769)
# The time in ms that a function waits for a response of DynamoDB: an estimate. AWS says "single-digit milliseconds".
DYNAMODB_MS = 5.0
# The processor time of a new function in ms: its start, with the connection to DynamoDB, and its first create.
START_MS, FIRST_MS = 152.0, 5.8


@dataclass(frozen=True)
class Operation:
    """An operation: processor time in ms (`make bench`), DynamoDB requests, and units (docs/data-model.md)."""

    name: str
    cpu: float
    requests: int
    write: float
    read: float


MEASURED_ON = "2026-11-25"
OPERATIONS = (
    Operation("create", 1.46, 1, 4, 0),
    Operation("get", 1.31, 1, 0, 1),
    Operation("list of 50", 2.0, 1, 0, 6),
    Operation("page of 50 changes", 1.97, 1, 0, 6),
    Operation("sync that finds nothing", 1.31, 1, 0, 1),
    Operation("update", 2.3, 2, 5, 1),
    Operation("toggle", 2.36, 2, 6, 1),
    Operation("delete", 2.36, 2, 6, 1),
    Operation("move in a list", 3.39, 3, 7, 3),
    Operation("create with a client's id", 1.46, 1, 4, 0),
    Operation("create with a key", 1.57, 1, 10, 0),
    Operation("toggle with a key", 2.59, 2, 14, 4),
)
# The operations that the arithmetic of growth counts (ops/scale.py).
USED = {
    "changes": "sync that finds nothing",
    "list": "list of 50",
    "get": "get",
    "create": "create",
    "toggle": "toggle",
    "update": "update",
    "move": "move in a list",
    "delete": "delete",
}
DAYS = 30
DEFAULT_MEMORY = 512  # template.yaml


def milliseconds(operation: Operation, memory: int) -> float:
    """The billed time of a call with this much memory. Lambda rounds it up to whole milliseconds."""
    duration = operation.cpu * max(1.0, WHOLE_PROCESSOR_MB / memory) + operation.requests * DYNAMODB_MS
    return float(math.ceil(duration))


def million(operation: Operation, memory: int) -> dict[str, float]:
    """The cost of a million calls in dollars, by AWS service."""
    seconds = milliseconds(operation, memory) / 1000
    per_call = {
        "API": API_REQUEST,
        "Lambda": LAMBDA_REQUEST + seconds * memory / 1024 * LAMBDA_GB_SECOND,
        "DynamoDB": operation.write * WRITE_UNIT + operation.read * READ_UNIT,
        "logs": LOGGED / 1e9 * LOG_GB,
        "traces": SAMPLED * TRACE,
    }
    return {name: cost * 1e6 for name, cost in per_call.items()}


def cold(memory: int) -> float:
    """The time until the first response of a new function in ms. It starts with a whole processor at any size."""
    return START_MS + FIRST_MS * max(1.0, WHOLE_PROCESSOR_MB / memory) + DYNAMODB_MS


def million_events() -> dict[str, float]:
    """The cost of a million events in dollars, by what it pays for."""
    call = LAMBDA_REQUEST + PUBLISH_MS / 1000 * 0.5 * LAMBDA_GB_SECOND + 2 * 390 / 1e9 * LOG_GB + SAMPLED * TRACE
    costs = {
        "stream": 0.0,
        "publish_events": call / EVENTS_PER_CALL,
        "bus": EVENT,
        "archive": EVENT_BYTES / 1e9 * ARCHIVED_GB,
        "webhook": DELIVERY,
    }
    return {name: cost * 1e6 for name, cost in costs.items()}


def erasure(tasks: int) -> float:
    """The cost in dollars of the erasure of a user. Its two calls are not included: they cost less than a hundredth."""
    write, read = (each * tasks + rest for each, rest in zip(ERASED_TASK, ERASURE, strict=True))
    return write * WRITE_UNIT + read * READ_UNIT


def month(users: int) -> dict[str, float]:
    """The cost of a month in dollars, of users who behave as in ops/scale.py."""
    by_name = {operation.name: operation for operation in OPERATIONS}
    costs: dict[str, float] = {}
    for use, (count, _, _) in scale.USE.items():
        calls = users * scale.DAILY * DAYS * count
        for name, cost in million(by_name[USED[use]], DEFAULT_MEMORY).items():
            costs[name] = costs.get(name, 0) + calls / 1e6 * cost
    gigabytes = scale.Load(users).gigabytes
    return {**costs, "storage": gigabytes * STORED_GB, "backups": gigabytes * BACKUP_GB}


def mean_of_peak() -> float:
    """The mean load as a share of that of the busiest minute (ops/scale.py)."""
    return 1 / (24 * scale.PEAK_HOUR * scale.PEAK_MINUTE)


def _table(*rows: Sequence[str]) -> str:
    """A table in Markdown. The first row is its head."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def _operations() -> str:
    services = list(million(OPERATIONS[0], DEFAULT_MEMORY))
    rows = []
    for operation in OPERATIONS:
        costs = million(operation, DEFAULT_MEMORY)
        shown = [f"{costs[name]:.2f}" for name in services]
        billed = f"{milliseconds(operation, DEFAULT_MEMORY):.0f}"
        rows.append([operation.name, billed, *shown, f"**{sum(costs.values()):.2f}**"])
    return _table(["operation", "ms billed", *services, "total"], *rows)


def _sizes() -> str:
    some = [one for one in OPERATIONS if one.name in {"create", "list of 50", "update"}]
    rows = [
        [
            f"{memory:,} MB",
            f"{cold(memory):.0f}",
            *(f"{milliseconds(one, memory):.0f}" for one in some),
            *(f"{million(one, memory)['Lambda']:.2f}" for one in some),
        ]
        for memory in MEMORY
    ]
    times = [f"{one.name}, ms" for one in some]
    return _table(["memory", "cold create, ms", *times, *(f"a million: {one.name}" for one in some)], *rows)


def _months() -> str:
    sizes = (10_000, 1_000_000, 10_000_000)
    months = [month(users) for users in sizes]
    rows = [[name, *(f"{one[name]:,.0f}" for one in months)] for name in months[0]]
    total = ["**total**", *(f"**{sum(one.values()):,.0f}**" for one in months)]
    return _table(["a month", *(f"{users:,} users" for users in sizes)], *rows, total)


def document() -> str:
    """Return the text of docs/cost.md."""
    events, of_month = million_events(), month(1_000_000)
    used, fixed, scaled = mean_of_peak(), PROVISIONED / mean_of_peak(), PROVISIONED / TARGET
    saved, monthly = of_month["DynamoDB"] * (1 - scaled), sum(of_month.values())
    cold_million = cold(DEFAULT_MEMORY) * 1e3 * DEFAULT_MEMORY / 1024 * LAMBDA_GB_SECOND
    break_even = (REQUESTS_IA - 1) / (1 - STORED_GB_IA / STORED_GB)
    stored = of_month["storage"] / of_month["DynamoDB"]
    return f"""# Cost

What the API costs on AWS. `make cost` writes this document from the inputs in [ops/cost.py](../ops/cost.py): list
prices in US dollars for us-east-1 on {PRICES_OF}, processor times measured on {MEASURED_ON}
([results](../bench/RESULTS.md)), and the units in [data-model.md](data-model.md). Free tiers, sign-ins and internet
traffic are not included. Check the prices of your region before you rely on a number. The
prices of storage, backups, provisioned capacity and Standard-IA were not checked against AWS's price list.

## A million calls, at {DEFAULT_MEMORY} MB

{_operations()}

The billed time of a call is its processor time plus {DYNAMODB_MS:.0f} ms for each DynamoDB request, while the function
waits. DynamoDB and the API are most of the cost: because of the three local indexes, a write of a task consumes four
to six units, and one or two more if the task is in a list, which the fourth index stores. An `Idempotency-Key` makes a
write a transaction with a second item. To create a task safely, `PUT` it under an id of the client: this costs no more
than a plain create.

## Memory

At {WHOLE_PROCESSOR_MB:,} MB a function has
[a whole processor](https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html), and with less memory a
proportional share. While it starts, it is
assumed to have a whole processor at any size, as others have measured. The cost is that of Lambda in dollars.

{_sizes()}

{MEMORY[0]} MB is the cheapest size for every operation. The template has {DEFAULT_MEMORY} MB: this costs a few cents
more for a million calls, less than 1 % of their total, and saves a third of the time of a call. {MEMORY[2]:,} MB saves
another fifth for a few cents more. The functions need less than 50 MB. Since August 2025 Lambda [bills the
start](https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/) of a function like a call:
a million cold starts cost {cold_million:.2f}.

## A million events

{_table([*events, "total"], [*(f"{cost:.2f}" for cost in events.values()), f"**{sum(events.values()):.2f}**"])}

Only with `Events=yes`; the webhook only with `WebhookUrl`. Each write is one event, and costs nothing more itself:
Lambda reads the stream [without a charge](https://aws.amazon.com/dynamodb/pricing/on-demand/). A call of
publish_events is assumed to get {EVENTS_PER_CALL} events and to run {PUBLISH_MS:.0f} ms. Deliveries to targets in the
same account are free. The archive also costs storage: a million events are {EVENT_BYTES * 1e6 / 1e9:.1f} GB.

To erase a thousand users with {scale.TASKS} tasks each costs {erasure(scale.TASKS) * 1000:.2f}, because each task
consumes {ERASED_TASK[0]} write units. With `Events=yes` each removed task is also an event.

## Three examples

{_months()}

Assume, as in [scale.md](scale.md), that {scale.DAILY * 100:.0f} % of the users are active on a day, that each of them
sends 40 requests then, and that a user has {scale.TASKS} tasks. Backups are point-in-time recovery. With `Events=yes`,
add the events of 12 writes. The logs cost less with `LogLevel=WARNING`.

## Provisioned capacity

The template uses on-demand capacity. A unit of [provisioned
capacity](https://aws.amazon.com/dynamodb/pricing/provisioned/) costs {PROVISIONED * 100:.0f} % of an on-demand unit if
it is always used. So it is cheaper if more than {PROVISIONED * 100:.0f} % of it is used, for reads and for writes
alike:

- **Without auto scaling**, it must suffice for the busiest minute. With the load of the examples, {used * 100:.0f} %
  of it is used on average: it costs {fixed * 100:.0f} % of on-demand capacity, and throttles what exceeds it.
- **With auto scaling** at its default target, {TARGET * 100:.0f} % of it is used if the load changes slowly: it costs
  {scaled * 100:.0f} %. With a million users this saves {saved:,.0f} of {monthly:,.0f} dollars a month. Auto scaling
  takes minutes, so a sudden peak is throttled first.

Use on-demand capacity until the load is steady and DynamoDB's part of the bill is worth the care. To switch, change
`BillingMode` in template.yaml.

## Storage and Standard-IA

A task of 700 bytes takes 2.8 KB, because the table and three indexes store it. A million tasks take 2.8 GB, which cost
{2.8 * STORED_GB:.2f} a month. In the table class Standard-IA, storage costs {STORED_GB_IA / STORED_GB * 100:.0f} % and
requests {REQUESTS_IA * 100:.0f} % of the standard class. It is cheaper if storage costs more than
{break_even * 100:.0f} % of the requests to DynamoDB. In the examples these are {stored * 100:.0f} %, so the class
makes little difference. It pays for users who keep many tasks and rarely change them.
"""


def main(arguments: Sequence[str]) -> int:
    """Print the document, and return the exit code."""
    argparse.ArgumentParser(prog="python -m ops.cost", description=__doc__.partition("\n")[0]).parse_args(arguments)
    return run(lambda _: document().removesuffix("\n"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
