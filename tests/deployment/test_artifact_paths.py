"""No path of any function needs the files that artifacts/trim.py removes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.session import Session
from werkzeug.serving import make_server

from artifacts import trim
from local.serving import running
from shared.store import dynamodb
from tests.conftest import ROOT
from tests.deployment.conftest import HOST, OPERATIONS, built, operation

PATHS = Path(__file__).parent / "paths.py"
# botocore with all its handlers and rules.
ORDINARY = Session()


def test_every_path_of_every_function_runs_with_only_the_artifacts(folder: Path, moto_url: str) -> None:
    # The Python of Lambda differs from this one only in its packages, and -I and -S hide all of them here.
    artifacts = [str(built(folder, function, HOST)) for function in OPERATIONS]
    names = [operation(function) for function in OPERATIONS if function != "GetOpenapi"]
    routes = {name: json.loads((ROOT / "events" / f"{name}.json").read_text())["routeKey"] for name in names}
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_DYNAMODB": moto_url,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "TABLE_NAME": "TaskTable",
        "SERVICE_CALLERS": "service",
        "STACK_ID": "stack",
        "POWERTOOLS_SERVICE_NAME": "tasks",
        "POWERTOOLS_METRICS_NAMESPACE": "Tasks",
    }
    python = subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(PATHS), json.dumps(routes), *artifacts],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert python.returncode == 0, python.stderr
    printed = json.loads(python.stderr.splitlines()[-1])
    assert printed["wrong"] == []
    assert printed["elsewhere"] == []
    endpoints = printed["endpoints"]
    assert endpoints["cn-north-1 false"] == "https://dynamodb.cn-north-1.amazonaws.com.cn/"
    # The endpoint list of AWS has these two. The endpoint rules return the endpoints without FIPS instead.
    for region in ("us-gov-east-1", "us-gov-west-1"):
        assert endpoints.pop(f"{region} true") == f"https://dynamodb-fips.{region}.amazonaws.com/"
    # Artifacts have no endpoint rules. An ordinary client has them.
    partitions = ORDINARY.get_available_partitions()
    regions = [region for partition in partitions for region in ORDINARY.get_available_regions("dynamodb", partition)]
    assert endpoints == {
        f"{region} {fips}": sent_by(ordinary_client(region, fips), "GetItem").url
        for fips in ("false", "true")
        for region in (*regions, "eu-central-9")
        if not (region.startswith("us-gov-") and fips == "true")
    }


def test_the_artifact_of_events_publishes_in_every_region(folder: Path) -> None:
    """Its botocore has only EventBridge."""
    artifact = built(folder, "PublishEvents", HOST)
    script = (
        "import json, os, sys, types\n"
        f"sys.path[:] = [path for path in sys.path if 'site-packages' not in path] + [{str(artifact)!r}]\n"
        "from functions.publish_events import app\n"
        "from shared.store import bus\n"
        "context = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000)\n"
        "endpoints = {}\n"
        "for region in json.loads(sys.argv[1]):\n"
        "    os.environ['AWS_DEFAULT_REGION'] = region\n"
        "    bus.session.cache_clear()\n"
        "    endpoints[region] = bus.new_client().meta.endpoint_url\n"
        "bus.session.cache_clear()\n"
        "os.environ.update(AWS_DEFAULT_REGION='eu-central-1', AWS_ENDPOINT_URL_EVENTBRIDGE=sys.argv[2])\n"
        "response = app.handler(json.load(sys.stdin), context)\n"
        "sys.stderr.write(json.dumps([endpoints, response, sorted(sys.modules)]))\n"
    )
    regions = ["eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1"]
    environment = {
        "STACK_ID": "stack",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "EVENT_BUS": "events",
        "EVENT_CONTENT": "full",
        "POWERTOOLS_SERVICE_NAME": "tasks",
        "POWERTOOLS_METRICS_NAMESPACE": "Tasks",
    }
    with accepting() as (url, accepted):
        ran = subprocess.run(
            [sys.executable, "-I", "-B", "-c", script, json.dumps(regions), url],
            input=(ROOT / "events" / "publish_events.json").read_text(),
            env=environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    endpoints, response, modules = json.loads(ran.stderr.splitlines()[-1])
    assert response == {"batchItemFailures": []}
    assert [one["DetailType"] for one in accepted] == ["task.created", "task.completed", "task.purged"]
    assert endpoints == {region: ordinary_client(region, service="events").meta.endpoint_url for region in regions}
    assert "boto3" not in modules


@contextmanager
def accepting() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An EventBridge that accepts everything; yields its URL and the accepted requests."""
    accepted: list[dict[str, Any]] = []

    def respond(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        entries = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))["Entries"]
        accepted.extend(entries)
        start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"FailedEntryCount": 0, "Entries": [{"EventId": "x"}] * len(entries)}).encode()]

    with running(make_server("127.0.0.1", 0, respond)) as url:
        yield url, accepted


def test_trimming_fails_when_a_replaced_module_is_gone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "botocore").symlink_to(built(folder, OPERATIONS[0], HOST) / "botocore")
    with pytest.raises(FileNotFoundError, match="urllib3/http2"):
        trim.install_stubs(tmp_path, trim.STUBS)


# The events of botocore for a request and its response, and their handlers.
EVENTS = """
    provide-client-params before-parameter-build before-endpoint-resolution before-call request-created choose-signer
    before-sign before-send response-received before-parse needs-retry after-call after-call-error
"""
HANDLERS = [
    "request-created: RequestSigner.handler",
    "request-created: UserAgentString.rebuild_and_replace_user_agent_handler",
    "before-parse: read",
    "after-call: RetryQuotaChecker.release_retry_quota",
]
KEY = {"pk": {"S": "x"}, "sk": {"S": "x"}}
REQUESTS: dict[str, dict[str, Any]] = {
    "BatchGetItem": {"RequestItems": {"TaskTable": {"Keys": [KEY], "ConsistentRead": True}}},
    "BatchWriteItem": {"RequestItems": {"TaskTable": [{"DeleteRequest": {"Key": KEY}}]}},
    "GetItem": {"TableName": "tasks", "Key": KEY, "ConsistentRead": True},
    "PutItem": {"TableName": "tasks", "Item": KEY},
    "Query": {
        "TableName": "tasks",
        "KeyConditionExpression": "pk = :x",
        "ExpressionAttributeValues": {":x": {"S": "x"}},
    },
    "TransactGetItems": {"TransactItems": [{"Get": {"TableName": "tasks", "Key": KEY}}]},
    "TransactWriteItems": {
        "TransactItems": [{"Put": {"TableName": "tasks", "Item": KEY}}],
        "ClientRequestToken": "x",
    },
}


def test_every_request_is_covered() -> None:
    assert set(REQUESTS) == set(trim.OPERATIONS)


@pytest.mark.parametrize("operation", REQUESTS)
def test_only_needed_botocore_handlers_run(operation: str) -> None:
    emitter: Any = dynamodb.new_client("http://dynamodb.invalid").meta.events
    found = [
        f"{event}: {handler.__qualname__}"
        for event in EVENTS.split()
        for handler in emitter._emitter._handlers.prefix_search(f"{event}.dynamodb.{operation}")
    ]
    # That of Powertools is not in the artifacts.
    assert [name for name in found if "add_powertools_feature" not in name] == HANDLERS


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_request_matches_an_ordinary_client_except_for_retry_headers(operation: str) -> None:
    ours = sent_by(dynamodb.new_client(credentials=("test", "test")), operation)
    ordinary = sent_by(ordinary_client("eu-central-1"), operation)
    assert (ours.method, ours.url, ours.body) == (ordinary.method, ordinary.url, ordinary.body)
    assert set(ordinary.headers) - set(ours.headers) == {"amz-sdk-invocation-id", "amz-sdk-request"}
    for name, value in ours.headers.items():
        if name == "Authorization":
            assert credential_scope(value) == credential_scope(ordinary.headers[name])
        elif name not in {"User-Agent", "X-Amz-Date"}:
            assert value == ordinary.headers[name], name


def credential_scope(authorization: Any) -> list[bytes]:
    """The region and the service in the signature of a request, without the key and the day."""
    scope: list[bytes] = authorization.split(b",")[0].split(b"/")[2:]
    return scope


def ordinary_client(region: str, fips: str = "false", service: str = "dynamodb") -> Any:
    return ORDINARY.create_client(
        service, region, config=Config(use_fips_endpoint=fips == "true"),
        aws_access_key_id="test", aws_secret_access_key="test",  # noqa: S106
    )  # fmt: skip


class Sent(Exception):
    """A request was about to be sent."""


def sent_by(client: Any, operation: str) -> AWSPreparedRequest:
    """The request that a client would send."""
    sent: list[AWSPreparedRequest] = []

    def stop(request: AWSPreparedRequest, **_: object) -> None:
        sent.append(request)
        raise Sent

    client.meta.events.register("before-send.dynamodb", stop)
    with pytest.raises(Sent):
        getattr(client, xform_name(operation))(**REQUESTS[operation])
    return sent[0]
