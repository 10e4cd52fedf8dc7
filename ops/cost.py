"""Calculates the cost of a million calls of each operation on AWS, and prints docs/cost.md.

    make cost

To change the document, change an input below, run the command, and commit both files. A test compares them.
"""

import math
import sys
from dataclasses import dataclass

# List prices in US dollars for us-east-1, without free tiers and discounts. Replace them with those of your region.
PRICES_OF = "2026-11-23"
API_REQUEST = 1.00e-6  # API Gateway, HTTP API, per request of up to 512 KB
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = 0.0000133334  # arm64
WRITE_UNIT = 0.625e-6  # DynamoDB on demand, standard table class
READ_UNIT = 0.125e-6
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
# With this much memory a function has a whole processor. With less memory, the share is proportional. Source: AWS.
WHOLE_PROCESSOR_MB = 1769
MEMORY = (256, 512, 1024, 1769)
# The time in ms that a function waits for a response of DynamoDB: an estimate. AWS says "single-digit milliseconds".
DYNAMODB_MS = 5.0


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
    Operation("create", 1.26, 1, 4, 0),
    Operation("get", 1.14, 1, 0, 1),
    Operation("list of 50", 2.06, 1, 0, 6),
    Operation("update", 2.28, 2, 5, 1),
    Operation("toggle", 2.2, 2, 6, 1),
    Operation("delete", 2.09, 2, 6, 1),
    Operation("move in a list", 3.5, 3, 7, 3),
    Operation("create with a key", 1.39, 1, 10, 0),
    Operation("toggle with a key", 2.2, 2, 14, 4),
    Operation("sync that finds nothing", 1.15, 1, 0, 1),
)


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


def document() -> str:
    """Return the text of docs/cost.md."""
    default = 512
    services = list(million(OPERATIONS[0], default))
    rows = []
    for operation in OPERATIONS:
        costs = million(operation, default)
        shown = " | ".join(f"{costs[name]:.2f}" for name in services)
        rows.append(
            f"| {operation.name} | {milliseconds(operation, default):.0f} | {shown} | **{sum(costs.values()):.2f}** |"
        )
    sizes = []
    for operation in OPERATIONS[:5]:
        totals = " | ".join(f"{sum(million(operation, memory).values()):.2f}" for memory in MEMORY)
        sizes.append(f"| {operation.name} | {totals} |")
    of_events = million_events()
    return f"""# Cost

The cost of a million calls of each operation on AWS. `make cost` writes this document from the inputs in
[ops/cost.py](../ops/cost.py): list prices in US dollars for us-east-1 on {PRICES_OF}, processor times measured on
{MEASURED_ON}, and the units in [data-model.md](data-model.md). Free tiers, storage and internet traffic are not
included. Check the prices of your region before you rely on a number.

## A million calls, at {default} MB

| operation | ms billed | {" | ".join(services)} | total |
|---|---|{"---|" * len(services)}---|
{chr(10).join(rows)}

The billed time of a call is its processor time plus {DYNAMODB_MS:.0f} ms for each DynamoDB request, while the function
waits. At {WHOLE_PROCESSOR_MB:,} MB a function has a whole processor. At {default} MB the processor time is
{WHOLE_PROCESSOR_MB / default:.1f} times longer. Cold starts cost extra: since August 2025 Lambda bills the start of a
function like a call.

## The same by memory size

| operation | {" | ".join(f"{memory:,} MB" for memory in MEMORY)} |
|---|{"---|" * len(MEMORY)}
{chr(10).join(sizes)}

The memory size has little effect on the cost of a million calls, because a function with less memory takes more time.
It changes the duration of cold starts. DynamoDB and the API are most of the cost: because of the three local indexes, a
write of a task consumes four to six units, and one or two more if the task is in a list, which the fourth index stores.

## A million events

| {" | ".join(of_events)} | total |
|{"---|" * len(of_events)}---|
| {" | ".join(f"{cost:.2f}" for cost in of_events.values())} | **{sum(of_events.values()):.2f}** |

Only with `Events=yes`; the webhook only with `WebhookUrl`. Each write is one event, and costs nothing more itself:
Lambda reads the stream without a charge. A call of publish_events is assumed to get {EVENTS_PER_CALL} events
and to run {PUBLISH_MS:.0f} ms. Deliveries to targets in the same account are free. The archive also costs storage: a
million events are {EVENT_BYTES * 1e6 / 1e9:.1f} GB.

## Storage

A task of 700 bytes takes 2.8 KB, because the table and three indexes store it. A million tasks take 2.8 GB.
"""


if __name__ == "__main__":
    sys.stdout.write(document())
