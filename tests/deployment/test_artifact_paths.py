"""What artifacts/trim.py takes out of the artifacts, no path of any function needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.session import Session

from artifacts import trim
from shared.store import dynamodb
from tests.deployment.conftest import FUNCTIONS, HOST, built

PATHS = Path(__file__).parent / "paths.py"


def test_every_path_of_every_function_runs_on_the_artifacts_alone(folder: Path, moto_url: str) -> None:
    # Lambda's python is no other than this one's but for its packages, of which -I and -S leave none.
    artifacts = [str(built(folder, function, HOST)) for function in FUNCTIONS]
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_DYNAMODB": moto_url,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "TABLE_NAME": "TaskTable",
        "POWERTOOLS_SERVICE_NAME": "tasks",
        "POWERTOOLS_METRICS_NAMESPACE": "Tasks",
    }
    python = subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(PATHS), *artifacts],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert python.returncode == 0, python.stderr
    told = json.loads(python.stderr.splitlines()[-1])
    assert told["wrong"] == []
    assert told["elsewhere"] == []
    assert told["endpoints"] == [
        "https://dynamodb.eu-central-1.amazonaws.com/",
        "https://dynamodb.cn-north-1.amazonaws.com.cn/",
        "https://dynamodb.us-gov-west-1.amazonaws.com/",
    ]


def test_trimming_stops_where_a_module_is_gone_that_it_stands_in_for(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "botocore").symlink_to(built(folder, FUNCTIONS[0], HOST) / "botocore")
    with pytest.raises(FileNotFoundError, match="urllib3/http2"):
        trim.install_stubs(tmp_path, trim.STUBS)


# What a request and its answer go through in botocore.
EVENTS = """
    provide-client-params before-parameter-build before-endpoint-resolution before-call request-created choose-signer
    before-sign before-send before-parse needs-retry after-call
"""


@pytest.mark.parametrize("operation", trim.OPERATIONS)
def test_dynamodb_gets_every_handler_of_botocores_that_another_session_would_give_it(operation: str) -> None:
    def names_of_handlers(session: Session) -> list[str]:
        found = session.get_component("event_emitter")._emitter._handlers
        names = [f"{event}.dynamodb.{operation}" for event in EVENTS.split()]
        # Not the functions themselves: Powertools makes a new one for each session.
        handlers = [handler for name in names for handler in found.prefix_search(name)]
        return sorted(getattr(handler, "__qualname__", type(handler).__name__) for handler in handlers)

    dynamodb.session.cache_clear()
    assert names_of_handlers(dynamodb.session()) == names_of_handlers(Session())
