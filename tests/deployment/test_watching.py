"""Alarms, dashboard and saved queries use metrics and fields that the functions emit, and the docs list every alarm."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.store.dynamodb import READ_TIMEOUT
from tests.api import Api, serving
from tests.conftest import ROOT
from tests.contract.failing_dynamodb import failing_dynamodb
from tests.deployment.conftest import of_type
from tests.markdown import documents, spans

TASK_ID = "018f3a5c-0000-7000-8000-000000000000"
# The metrics of AWS by its documentation: metrics and dimensions by namespace.
AWS: dict[str, tuple[set[str], set[tuple[str, ...]]]] = {
    "AWS/ApiGateway": ({"Count", "4xx", "5xx", "Latency"}, {("ApiId",)}),
    "AWS/DynamoDB": (
        {
            *("ReadThrottleEvents", "WriteThrottleEvents", "ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"),
            *("TransactionConflict", "SystemErrors"),
        },
        {("TableName",), ("TableName", "Operation")},
    ),
    "AWS/Lambda": (
        {"ConcurrentExecutions", "Throttles", "IteratorAge", "Invocations", "Errors"},
        {(), ("FunctionName",)},
    ),
    "AWS/SQS": ({"ApproximateNumberOfMessagesVisible"}, {("QueueName",)}),
}

type Metric = tuple[str, str, tuple[str, ...]]


@pytest.fixture(scope="module")
def lines(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The log lines of the functions for requests with every counted failure."""
    log = tmp_path_factory.mktemp("watched") / "log"
    with failing_dynamodb() as url, serving(url, moto_url, log) as backend:

        def get(user: str) -> int:
            return Api(backend.url, f"{user}-x").get(TASK_ID).status

        with ThreadPoolExecutor(3) as pool:
            failed = pool.map(get, ("AccessDeniedException", "ThrottlingException", "late", "InternalServerError"))
            lost = pool.submit(Api(backend.url, "InternalServerError-x").create)
            full = pool.submit(Api(backend.url, "ItemCollectionSizeLimitExceededException-x").create)
            contended = pool.submit(Api(backend.url, "TransactionConflictException-x").toggle, TASK_ID)
            assert list(failed) == [500, 503, 503, 503]
            assert (lost.result().status, contended.result().status, full.result().status) == (503, 503, 507)
        assert Api(backend.url, "x").get("no-uuid").status == 400
        assert Api(backend.url, "x", claims={"scope": "tasks/service"}).get(TASK_ID).status == 403
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def emitted(lines: list[dict[str, Any]]) -> set[Metric]:
    """Every metric with each of its sets of dimensions, from the embedded metric format."""
    return {
        (metrics["Namespace"], metric["Name"], tuple(sorted(dimensions)))
        for line in lines
        if "_aws" in line
        for metrics in line["_aws"]["CloudWatchMetrics"]
        for metric in metrics["Metrics"]
        for dimensions in metrics["Dimensions"]
    }


def is_there(metric: Metric, emitted: set[Metric], translated: dict[str, Any]) -> bool:
    namespace, name, dimensions = metric
    if namespace in AWS:
        names, sets = AWS[namespace]
        return name in names and dimensions in sets
    filters = of_type(translated, "AWS::Logs::MetricFilter").values()
    filtered = {
        (one["MetricNamespace"]["Fn::Sub"], one["MetricName"], ())
        for each in filters
        for one in each["Properties"]["MetricTransformations"]
    }
    return metric in emitted | filtered


def watched(alarm: dict[str, Any]) -> Iterator[tuple[Metric, dict[str, Any]]]:
    """The metrics of an alarm, each with its dimensions."""
    properties = alarm["Properties"]
    metrics = [one["MetricStat"]["Metric"] for one in properties.get("Metrics", ()) if "MetricStat" in one]
    for metric in metrics or [properties]:
        namespace = metric["Namespace"]
        dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        plain = namespace["Fn::Sub"] if isinstance(namespace, dict) else namespace
        yield (plain, metric["MetricName"], tuple(sorted(dimensions))), dimensions


def test_alarms_watch_what_is_emitted(translated: dict[str, Any], emitted: set[Metric]) -> None:
    alarms = of_type(translated, "AWS::CloudWatch::Alarm")
    assert len(alarms) == 12
    service = translated["Resources"]["GetTask"]["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    for name, alarm in alarms.items():
        for metric, dimensions in watched(alarm):
            assert is_there(metric, emitted, translated), (name, metric)
            # Of this stack only, not of others in the account.
            assert dimensions.get("service", service) == service
            assert dimensions.get("ApiId", {"Ref": "Api"}) == {"Ref": "Api"}
            assert dimensions.get("TableName", {"Ref": "TaskTable"}) == {"Ref": "TaskTable"}
            assert dimensions.get("FunctionName", {"Ref": "EraseUser"})["Ref"] in {"EraseUser", "PublishEvents"}
            if "QueueName" in dimensions:
                queue, attribute = dimensions["QueueName"]["Fn::GetAtt"]
                assert (translated["Resources"][queue]["Condition"], attribute) == (alarm["Condition"], "QueueName")


def test_every_failure_of_the_service_has_an_alarm(translated: dict[str, Any], emitted: set[Metric]) -> None:
    ours = {name for namespace, name, _ in emitted if namespace == "Tasks"} - {"Latency", "ClientFault"}
    assert ours == {
        *("InternalError", "DatabaseThrottled", "DatabaseUnavailable", "Contended", "OutcomeUnknown", "ClockSkew"),
        *("StorageFull", "UnnamedService"),
    }
    alarms = of_type(translated, "AWS::CloudWatch::Alarm").values()
    names = {metric[1] for alarm in alarms for metric, _ in watched(alarm)}
    # Two mean too many requests at once: throttling of the table has an alarm, and a task has few writers. The third is
    # refused: everybody who gets the scope from a careless issuer could ring an alarm.
    assert ours - names == {"DatabaseThrottled", "Contended", "UnnamedService"}


def test_expressions_name_metrics_of_their_alarm(translated: dict[str, Any]) -> None:
    for alarm in of_type(translated, "AWS::CloudWatch::Alarm").values():
        metrics = alarm["Properties"].get("Metrics")
        if metrics is None:
            continue
        (expression,) = [one["Expression"] for one in metrics if "Expression" in one]
        ids = {one["Id"] for one in metrics if "MetricStat" in one}
        assert set(re.findall(r"\b[a-z]\w*", expression)) == ids
        assert {one.get("ReturnData", True) for one in metrics if "MetricStat" in one} == {False}
        assert len({one["MetricStat"]["Period"] for one in metrics if "MetricStat" in one}) == 1


def test_every_alarm_notifies_the_topic_and_none_fires_without_data(translated: dict[str, Any]) -> None:
    for alarm in of_type(translated, "AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        assert properties["TreatMissingData"] == "notBreaching"
        actions = {"Fn::If": ["WithAlarmTopic", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}
        assert properties["AlarmActions"] == properties["OKActions"] == actions
    latency = translated["Resources"]["LatencyAlarm"]["Properties"]
    assert latency["Threshold"] == READ_TIMEOUT * 1000


def breaches(expression: str, threshold: float, **metrics: float) -> bool:
    """Whether the metric math of CloudWatch exceeds the threshold for these values of its metrics."""
    python = re.sub(r"FILL\((\w+), 0\)", r"\1", expression)
    python = re.sub(r"IF\((.+?), (\w+), (\w+)\)", r"(\2 if \1 else \3)", python)
    return bool(eval(python, {}, metrics) > threshold)  # noqa: S307 - the expressions are our own


@pytest.mark.parametrize(
    ("faults", "full", "requests", "rings"),
    [
        *((1, 0, 1, False), (1, 0, 20, False), (2, 0, 2, True), (5, 0, 100, False), (6, 0, 100, True)),
        # API Gateway counts 507 among its 5xx.
        *((90, 90, 100, False), (90, 84, 100, True), (0, 1, 1, False)),
    ],
)
def test_single_faults_and_full_storage_do_not_fire_an_alarm(
    translated: dict[str, Any], faults: int, full: int, requests: int, rings: bool
) -> None:
    alarm = translated["Resources"]["FaultAlarm"]["Properties"]
    (expression,) = [one["Expression"] for one in alarm["Metrics"] if "Expression" in one]
    assert breaches(expression, alarm["Threshold"], faults=faults, full=full, requests=requests) is rings
    assert alarm["DatapointsToAlarm"] == 3


def test_the_dashboard_shows_what_is_emitted(translated: dict[str, Any], emitted: set[Metric]) -> None:
    properties = translated["Resources"]["Dashboard"]["Properties"]
    # Dashboards are global in an account.
    assert properties["DashboardName"] == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}
    body, names = properties["DashboardBody"]["Fn::Sub"]
    dashboard = json.loads(body)
    # A reference to an optional resource would fail the deployment without it.
    used = {name.partition(".")[0] for name in re.findall(r"\$\{(\w+[.\w]*)\}", body)}
    assert {name for name in used - set(names) if "Condition" in translated["Resources"][name]} == set()
    assert set(names) <= used
    (status,) = [one["properties"]["alarms"] for one in dashboard["widgets"] if one["type"] == "alarm"]
    # A dashboard cannot show the alarms of resources that are not deployed.
    alarms = of_type(translated, "AWS::CloudWatch::Alarm")
    assert {one[2:-5] for one in status} == {name for name, alarm in alarms.items() if "Condition" not in alarm}
    shown = 0
    for widget in dashboard["widgets"]:
        if widget["type"] != "metric":
            continue
        row: list[str] = []
        for line in widget["properties"]["metrics"]:
            texts = [part for part in line if isinstance(part, str)]
            if not texts:
                for namespace, dimensions, name in re.findall(
                    r"SEARCH\('\{([\w/]+),([\w,]+)\}.*MetricName=\"(\w+)\"", line[0]["expression"]
                ):
                    metric = (namespace, name, tuple(sorted(dimensions.split(","))))
                    if namespace in AWS:
                        metric = (namespace, name, tuple(dimensions.split(",")))
                    assert is_there(metric, emitted, translated), metric
                    shown += 1
                continue
            row = row if texts == ["..."] else [row[place] if one == "." else one for place, one in enumerate(texts)]
            assert is_there((row[0], row[1], tuple(row[2::2])), emitted, translated), row
            shown += 1
    assert shown > 20
    # CloudWatch uses longer periods for a view of a week: rates must follow, and no title may name a period.
    assert not re.search(r'"expression": "[^"]*/ *\d', body)
    assert not [one for one in dashboard["widgets"] if "minute" in one["properties"]["title"]]


BUILT_IN = {"@timestamp"}
# The keywords of a query: commands, functions and operators of CloudWatch Logs Insights.
WORDS = {
    *("fields", "filter", "sort", "limit", "stats", "by", "as", "desc", "and", "or", "in", "count", "count_distinct"),
    *("pct", "max", "sum", "ispresent"),
}


def used_by(query: str) -> set[str]:
    """The fields that a query of CloudWatch Logs Insights reads."""
    text = re.sub(r'"[^"]*"', "", query)
    return set(re.findall(r"@?[a-zA-Z_]\w*", text)) - WORDS - set(re.findall(r" as (\w+)", text)) - BUILT_IN


def of_requests(lines: list[dict[str, Any]]) -> set[str]:
    """The fields of the log lines of requests."""
    return {name for line in lines if "_aws" not in line for name in line}


def test_queries_of_the_documents_use_existing_fields(lines: list[dict[str, Any]]) -> None:
    queries = {span for document in documents() for span in spans(document) if re.match("(fields|filter|stats) ", span)}
    assert queries
    for query in queries:
        assert used_by(query) <= of_requests(lines), query


def test_queries_use_existing_fields(translated: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    (stage,) = of_type(translated, "AWS::ApiGatewayV2::Stage").values()
    access = set(json.loads(stage["Properties"]["AccessLogSettings"]["Format"]))
    queries = of_type(translated, "AWS::Logs::QueryDefinition")
    assert len(queries) >= 5
    for name, query in queries.items():
        properties = query["Properties"]
        (group,) = properties["LogGroupNames"]
        used = used_by(properties["QueryString"])
        assert used, name
        there = {"FunctionLogs": of_requests(lines), "ApiLogs": access}[group["Ref"]]
        assert used <= there, (name, used - there)
    (pattern,) = [one["Properties"]["FilterPattern"] for one in of_type(translated, "AWS::Logs::MetricFilter").values()]
    assert set(re.findall(r"\$\.(\w+)", pattern)) <= access


def test_every_alarm_has_its_section_and_every_section_its_alarm(translated: dict[str, Any]) -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text()
    alarms = set(of_type(translated, "AWS::CloudWatch::Alarm"))
    assert set(re.findall(r"^### (\w+Alarm)$", runbook, re.MULTILINE)) == alarms
    index = re.findall(r"^\| \[(\w+Alarm)\]\(#(\w+)\) \|", runbook, re.MULTILINE)
    assert {name for name, _ in index} == alarms
    assert all(anchor == name.lower() for name, anchor in index)
    queries = of_type(translated, "AWS::Logs::QueryDefinition").values()
    names = {one["Properties"]["Name"]["Fn::Sub"].partition("/")[2] for one in queries}
    assert not [name for name in names if f"*{name}*" not in runbook]
