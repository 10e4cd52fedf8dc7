"""What a million of each operation costs on AWS: prints docs/cost.md from the inputs below.

    make cost

Change an input, run it again, and commit both: a test holds the two together.
"""

import sys
from dataclasses import dataclass

# List prices in US dollars, us-east-1, without free tiers and discounts. Put your region's here.
PRICES_OF = "2026-11-23"
API_REQUEST = 1.00e-6  # API Gateway, HTTP API, a request of up to 512 KB
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = 0.0000133334  # arm64
WRITE_UNIT = 0.625e-6  # DynamoDB on demand, standard table class
READ_UNIT = 0.125e-6
LOG_GB = 0.50  # CloudWatch, standard class
TRACE = 5.00e-6  # X-Ray

# What a request writes into logs, in bytes: our line, the metrics, Lambda's own lines, and the API's access log.
LOGGED = 390 + 250 + 450 + 330
# X-Ray samples one request a second and 5 % of the others.
SAMPLED = 0.05
# A function has a whole processor at this many MB, and less in proportion: AWS's figure.
WHOLE_PROCESSOR_MB = 1769
MEMORY = (256, 512, 1024, 1769)
# How long DynamoDB takes to answer, in ms, while the function waits: within a region, single-digit.
DYNAMODB_MS = 5.0


@dataclass(frozen=True)
class Operation:
    """An operation: its processor time in ms (`make bench`), its requests, and its units (docs/data-model.md)."""

    name: str
    cpu: float
    requests: int
    write: float
    read: float


MEASURED_ON = "2026-11-24"
OPERATIONS = (
    Operation("create", 0.92, 1, 4, 0),
    Operation("get", 0.91, 1, 0, 1),
    Operation("list of 50", 1.8, 1, 0, 6),
    Operation("update", 1.05, 2, 5, 1),
    Operation("toggle", 0.98, 2, 6, 1),
    Operation("delete", 0.99, 2, 6, 1),
    Operation("create with a key", 1.06, 1, 10, 0),
    Operation("toggle with a key", 1.84, 2, 14, 4),
    Operation("sync that finds nothing", 0.91, 1, 0, 1),
)


def milliseconds(operation: Operation, memory: int) -> float:
    """How long a function of so much memory is billed for: Lambda rounds up to whole milliseconds."""
    took = operation.cpu * max(1.0, WHOLE_PROCESSOR_MB / memory) + operation.requests * DYNAMODB_MS
    return float(-(-took // 1))


def million(operation: Operation, memory: int) -> dict[str, float]:
    """What a million calls cost, in dollars, by what they are spent on."""
    seconds = milliseconds(operation, memory) / 1000
    each = {
        "API": API_REQUEST,
        "Lambda": LAMBDA_REQUEST + seconds * memory / 1024 * LAMBDA_GB_SECOND,
        "DynamoDB": operation.write * WRITE_UNIT + operation.read * READ_UNIT,
        "logs": LOGGED / 1e9 * LOG_GB,
        "traces": SAMPLED * TRACE,
    }
    return {name: cost * 1e6 for name, cost in each.items()}


def document() -> str:
    """The whole of docs/cost.md."""
    default = 512
    spent = list(million(OPERATIONS[0], default))
    rows = []
    for operation in OPERATIONS:
        costs = million(operation, default)
        shown = " | ".join(f"{costs[name]:.2f}" for name in spent)
        rows.append(
            f"| {operation.name} | {milliseconds(operation, default):.0f} | {shown} | **{sum(costs.values()):.2f}** |"
        )
    sizes = []
    for operation in OPERATIONS[:5]:
        totals = " | ".join(f"{sum(million(operation, memory).values()):.2f}" for memory in MEMORY)
        sizes.append(f"| {operation.name} | {totals} |")
    return f"""# Cost

Made by `make cost` from the inputs in [ops/cost.py](../ops/cost.py): list prices in US dollars of us-east-1 as of
{PRICES_OF}, processor time measured on {MEASURED_ON}, units as in [data-model.md](data-model.md). Free tiers, storage
and traffic to the internet are left out. Check the prices of your region before you rely on a figure.

## A million calls, at {default} MB

| operation | ms billed | {" | ".join(spent)} | all |
|---|---|{"---|" * len(spent)}---|
{chr(10).join(rows)}

A call is billed for its processor time, which is {WHOLE_PROCESSOR_MB / default:.1f} times longer at {default} MB than
at {WHOLE_PROCESSOR_MB:,} MB, where a function has a whole processor, and for {DYNAMODB_MS:.0f} ms a DynamoDB request,
during which it waits. Cold starts come on top: since August 2025 their start is billed like a call.

## The same by memory size

| operation | {" | ".join(f"{memory:,} MB" for memory in MEMORY)} |
|---|{"---|" * len(MEMORY)}
{chr(10).join(sizes)}

Memory hardly changes the cost of a million calls, since what is saved in size is spent in time; it changes how long a
cold start takes. DynamoDB and the API are most of the bill: three local indexes make a write of a task four to six
units.

A task of 700 bytes, stored in the table and three indexes, is 2.8 KB: a million tasks are 2.8 GB.
"""


if __name__ == "__main__":
    sys.stdout.write(document())
