"""One log line and one set of metrics a request. Neither ever holds a task's text, a token or a plain user id."""

import hashlib
import logging
import traceback
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import ClientError
from pydantic_core import to_json


def _serialize(line: dict[str, Any]) -> str:
    # Takes 1 % of a warm call less than json.dumps.
    return to_json(line, fallback=str).decode()


logger = Logger(location=None, utc=True, use_rfc3339=True, json_serializer=_serialize)
metrics = Metrics()
# It tells at INFO where it found credentials, on every cold start; our lines are one a request.
logging.getLogger("botocore").setLevel(logging.WARNING)
# It warns of headers that it cannot read, and quotes them: a garbled answer may have a task's text there.
logging.getLogger("urllib3").setLevel(logging.ERROR)


@dataclass(slots=True)
class Record:
    """What is told of one request."""

    operation: str
    route: str
    request_id: str
    correlation_id: str
    actor: str = ""
    user: str = ""
    status: int = 500
    duration_ms: float = 0
    # Clients' faults and ours, by kind: the last part of the problem's type.
    problem: str | None = None
    cause: str | None = None
    # How far this machine's clock is off DynamoDB's, where it is further than sync allows for.
    clock_skew_s: float | None = None


@lru_cache(256)
def pseudonym(user_id: str) -> str:
    """A user id as logs name it: the first 16 hexadecimal digits of its SHA-256.

    Subjects may be e-mail addresses, and logs are read by more people, and kept in more places, than tasks are. One
    who knows the id still finds its requests.
    """
    return hashlib.sha256(user_id.encode(errors="surrogatepass")).hexdigest()[:16] if user_id else ""


def cause_of(error: BaseException) -> str:
    """Why a request failed: each error of the chain with its type, AWS's code for it, and the places in our code.

    Their messages are left out: those of pydantic and botocore may quote a task.
    """
    chain = []
    link: BaseException | None = error
    while link is not None:
        code = (
            f" {link.operation_name} {link.response.get('Error', {}).get('Code')}"
            if isinstance(link, ClientError)
            else ""
        )
        frames = [frame for frame in traceback.extract_tb(link.__traceback__) if "/shared/" in frame.filename]
        places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames)]
        chain.append(f"{type(link).__name__}{code} at {' < '.join(places)}")
        link = link.__cause__ or link.__context__
    return "; from ".join(chain)


def report(record: Record) -> None:
    """Write the log line and the metrics of a request."""
    fields = {name: value for name in Record.__slots__ if (value := getattr(record, name)) not in (None, "")}
    worrying = record.status > 500 or record.clock_skew_s is not None  # noqa: PLR2004
    level = logger.error if record.status == 500 else logger.warning if worrying else logger.info  # noqa: PLR2004
    level(f"{record.operation} {record.status}", extra=fields)

    # Counted twice, for each operation and for all of them: alarms cannot add up what has different dimensions.
    metrics.add_dimension(name="operation", value=record.operation)
    metrics.add_dimensions(service=metrics.service)
    # The number of its samples is that of the requests.
    metrics.add_metric(name="Latency", unit=MetricUnit.Milliseconds, value=record.duration_ms)
    if record.problem is not None:
        # Every client's fault is one kind; ours are told apart, since each asks for something else to be done.
        kind = "client-fault" if record.status < 500 else record.problem  # noqa: PLR2004
        metrics.add_metric(name=kind.title().replace("-", ""), unit=MetricUnit.Count, value=1)
    if record.clock_skew_s is not None:
        metrics.add_metric(name="ClockSkew", unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()
