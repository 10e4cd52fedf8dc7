"""Ids, settings, the meaning of failures, and what is logged about them."""

import io
import itertools
import json
import os
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from pydantic import ValidationError

from shared.fields import TASK_ID
from shared.http import telemetry
from shared.http.settings import Settings
from shared.pseudonyms import pseudonym, pseudonym_in
from shared.store import dynamodb, parser
from shared.store.dynamodb import Failure, OutcomeUnknown, Retries, StorageFull, failure_of
from shared.store.uuid7 import uuid7
from tests.unit.conftest import NOW

AT = {"endpoint_url": "x"}


def test_ids_are_uuids_of_version_7_with_their_time() -> None:
    made = uuid7(NOW * 1_000_000 + 999_999)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == NOW
    assert TASK_ID.fullmatch(str(made))


def test_ids_sort_by_time_within_a_millisecond_too() -> None:
    made = [str(uuid7(NOW * 1_000_000 + offset)) for offset in range(0, 3_000_000, 500)]
    assert made == sorted(made)
    assert all(a != b for a, b in itertools.pairwise(made))


def test_ids_of_one_instant_differ() -> None:
    assert len({uuid7(NOW) for _ in range(1000)}) == 1000


def test_settings() -> None:
    settings = Settings.model_validate({"TABLE_NAME": "tasks", "PATH": "/bin"})
    assert (settings.table_name, settings.service_scope) == ("tasks", "tasks/service")
    assert Settings.model_validate({"TABLE_NAME": "tasks", "SERVICE_SCOPE": ""}).service_scope == ""


@pytest.mark.parametrize("callers", ["a", "a,b", ",a", "b,a,", "a,a"])
def test_services_are_named_by_their_subjects(callers: str) -> None:
    settings = Settings.model_validate({"TABLE_NAME": "tasks", "SERVICE_CALLERS": callers})
    assert settings.names_service("a")
    assert not any(map(settings.names_service, ("", " a", "A", "ab", "a,b ", callers.replace("a", "c"))))


def test_without_names_there_is_no_service() -> None:
    settings = Settings.model_validate({"TABLE_NAME": "tasks"})
    assert not any(map(settings.names_service, ("a", ",", " ")))


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TABLE_NAME": ""},
        {"TABLE_NAME": "ab"},
        {"TABLE_NAME": "a b c"},
        {"TABLE_NAME": "tasks", "SERVICE_SCOPE": "a b"},
    ],
)
def test_bad_settings(environment: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(environment)


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "Buy milk"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "UpdateItem")


def cancelled(*codes: str) -> ClientError:
    response: Any = {
        "Error": {"Code": "TransactionCanceledException"},
        "CancellationReasons": [{"Code": code} for code in codes],
    }
    return ClientError(response, "TransactWriteItems")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        *((client_error(code), Failure.THROTTLED) for code in ("ThrottlingException", "RequestLimitExceeded")),
        (client_error("ProvisionedThroughputExceededException"), Failure.THROTTLED),
        (client_error("TransactionConflictException"), Failure.CONTENDED),
        (client_error("ThrottlingException", 500), Failure.THROTTLED),
        (cancelled("None", "TransactionConflict"), Failure.CONTENDED),
        (cancelled("ThrottlingError"), Failure.THROTTLED),
        (cancelled("ProvisionedThroughputExceeded", "None"), Failure.THROTTLED),
        (cancelled("ValidationError", "None"), None),
        (client_error("InternalServerError", 500), Failure.UNANSWERED),
        (client_error("", 503), Failure.UNANSWERED),
        (client_error("ValidationException"), None),
        (client_error("AccessDeniedException"), None),
        (EndpointConnectionError(**AT), Failure.UNREACHABLE),
        (ConnectTimeoutError(**AT), Failure.UNREACHABLE),
        (ProxyConnectionError(proxy_url="x"), Failure.UNREACHABLE),
        (SSLError(**AT, error=OSError()), Failure.UNANSWERED),
        (client_error("InternalServerError"), Failure.UNANSWERED),
        (ReadTimeoutError(**AT), Failure.UNANSWERED),
        (ResponseParserError("x"), Failure.UNANSWERED),
        (NoCredentialsError(), None),
        (KeyError("x"), None),
    ],
)
def test_what_a_failure_means(error: Exception, failure: Failure | None) -> None:
    assert failure_of(error) is failure


@pytest.mark.parametrize(("off", "skew"), [(0, None), (3, None), (-2, None), (4, 4.0), (-3, -3.0), (3600, 3600.0)])
def test_a_wrong_clock_is_logged(
    off: int, skew: float | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    date = datetime(2026, 11, 23, 6, 37, 54, tzinfo=UTC)
    response = {"body": b"{}", "status_code": 200, "headers": {"date": format_datetime(date, usegmt=True)}}
    monkeypatch.setattr(parser.clock_skew, "seconds", 0.0)
    monkeypatch.setattr("time.time", lambda: date.timestamp() + off)
    parser.read(response, {}, dynamodb.session().get_service_model("dynamodb").operation_model("PutItem"))
    assert dynamodb.clock_skew() == skew
    telemetry.report(telemetry.Record("get_task", "GET /x", "r", "c", status=200, clock_skew_s=skew))
    assert ('"ClockSkew":[1.0]' in capsys.readouterr().out) == (skew is not None)


FULL = [
    client_error("ItemCollectionSizeLimitExceededException"),
    cancelled("None", "ItemCollectionSizeLimitExceeded"),
    cancelled("ThrottlingError", "ItemCollectionSizeLimitExceeded"),
]


@pytest.mark.parametrize("error", FULL)
def test_a_full_storage_ends_a_write(error: ClientError) -> None:
    with pytest.raises(StorageFull):
        Retries(time.monotonic() + 60, writing=True).wait_after_failure(error)


@pytest.mark.parametrize("error", FULL)
def test_full_storage_after_a_lost_response_does_not_decide_the_first_request(error: ClientError) -> None:
    retries = Retries(time.monotonic() + 60, writing=True)
    retries.wait_after_failure(ReadTimeoutError(**AT))
    with pytest.raises(OutcomeUnknown):
        retries.wait_after_failure(error)


def test_a_cause_names_an_error_without_a_code() -> None:
    response: Any = {}
    assert telemetry.cause_of(ClientError(response, "PutItem")) == "ClientError PutItem None at "


def test_a_cause_names_errors_and_places_without_quoting_data() -> None:
    try:
        try:
            Settings.model_validate({"TABLE_NAME": "secret name"})
        except ValidationError as error:
            raise client_error("ValidationException") from error
    except ClientError as error:
        cause = telemetry.cause_of(error)
    assert cause.startswith("ClientError UpdateItem ValidationException at ")
    assert "ValidationError" in cause
    assert "secret" not in cause
    assert "milk" not in cause


@pytest.mark.parametrize(
    ("status", "problem", "counted"),
    [
        (200, None, {}),
        (404, "task-not-found", {"ClientFault": [1.0]}),
        (503, "outcome-unknown", {"OutcomeUnknown": [1.0]}),
        (503, "database-throttled", {"DatabaseThrottled": [1.0]}),
        (500, "internal-error", {"InternalError": [1.0]}),
    ],
)
def test_metrics_of_a_request(
    status: int, problem: str | None, counted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    record = telemetry.Record("get_task", "GET /x", "r", "c", status=status, duration_ms=12.5, problem=problem)
    telemetry.report(record)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    emitted = json.loads(line)
    (sets,) = (one["Dimensions"] for one in emitted.pop("_aws")["CloudWatchMetrics"])
    assert sorted(map(sorted, sets)) == [["operation", "service"], ["service"]]
    assert emitted == {"operation": "get_task", "service": "tasks", "Latency": [12.5], **counted}


@pytest.mark.parametrize(
    ("status", "skew", "level"),
    [(404, None, "INFO"), (500, None, "ERROR"), (503, None, "WARNING"), (200, 3.0, "WARNING")],
)
@pytest.mark.parametrize("trace", [None, "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"])
def test_the_log_line_of_a_request(
    status: int, skew: float | None, level: str, trace: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", written)
    if trace is not None:
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    record = telemetry.Record("get_task", "GET /x", "r", "c", user="2bd806c97f0e00af", status=status, clock_skew_s=skew)
    telemetry.report(record)
    line = json.loads(written.getvalue())
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert line == {
        "level": level,
        "message": f"get_task {status}",
        "service": "tasks",
        "operation": "get_task",
        "route": "GET /x",
        "request_id": "r",
        "correlation_id": "c",
        "user": "2bd806c97f0e00af",
        "status": status,
        "duration_ms": 0,
        **({} if skew is None else {"clock_skew_s": skew}),
        **({} if trace is None else {"xray_trace_id": "1-5759e988-bd862e3fe1be46a994272793"}),
    }


def test_pseudonyms() -> None:
    # printf %s alice | openssl dgst -sha256 -hmac stack | cut -d' ' -f2 | cut -c1-16
    assert pseudonym_in("stack", "alice") == "cd13b63c2fcca903"
    assert pseudonym_in("stack", "alice") != pseudonym_in("stack2", "alice")
    assert pseudonym_in("stack", "alice") != pseudonym_in("stack", "alice", "acme")
    assert pseudonym_in("stack", "") == ""
    assert pseudonym_in("stack", "\ud800") != pseudonym_in("stack", "\ud801")
    assert pseudonym("alice", "acme") == pseudonym_in(os.environ["STACK_ID"], "alice", "acme")
