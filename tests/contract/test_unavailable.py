"""Responses, their delay, and log lines when DynamoDB throttles, fails, is silent or cannot be reached."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api import OPERATIONS, TEMPLATE, Api, Backend, Operation, Response
from tests.conftest import mixed
from tests.contract.shapes import is_problem

TASK_ID = "018f3a5c-0000-7000-8000-000000000000"
TIMEOUTS = {function.handler.rpartition(".")[2]: function.timeout for function in TEMPLATE.functions}
# They write without a read. All others have sent no write when the database fails.
BLIND = {"create_task", "batch_tasks"}


def ask(backend: Backend, users: Sequence[str], *operations: Operation) -> list[tuple[str, Operation, Response]]:
    """Send each operation for a user whose id says how the database fails."""
    asked = mixed(users, operations)
    # Most of the time is waiting.
    with ThreadPoolExecutor(4) as pool:
        responses = pool.map(lambda pair: pair[1].ask(Api(backend.url, pair[0]), TASK_ID), asked)
        return [(*pair, response) for pair, response in zip(asked, responses, strict=True)]


def is_unavailable(response: Response, kind: str) -> bool:
    assert is_problem(response, 503, kind)
    assert response.headers["Retry-After"].isdecimal()
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    return True


def why(backend: Backend, operation: Operation, response: Response) -> str:
    """Return the cause from the log, and check that the function returned within its time limit."""
    line = backend.logged(response.json["instance"])
    assert line["duration_ms"] < 1000 * TIMEOUTS[operation.name]
    assert (line["status"], line["level"]) == (response.status, "WARNING" if response.status == 503 else "ERROR")
    return str(line["cause"])


def test_a_closed_port_is_503_in_time_and_the_log_says_why(cut_off: Backend, user: str) -> None:
    for _, operation, response in ask(cut_off, [user], *OPERATIONS.values()):
        assert is_unavailable(response, "database-unavailable")
        assert "Nothing was changed" in response.json["detail"]
        assert "EndpointConnectionError" in why(cut_off, operation, response)


def test_silence_is_503_in_time_and_the_log_says_why(failing: Backend, user: str) -> None:
    chosen = [OPERATIONS["list_tasks"], OPERATIONS["toggle_task"], OPERATIONS["create_task"]]
    for _, operation, response in ask(failing, [f"silence-{user}"], *chosen):
        assert is_unavailable(response, "outcome-unknown" if operation.name in BLIND else "database-unavailable")
        assert "ReadTimeoutError" in why(failing, operation, response)


def test_throttling_is_503_and_says_that_nothing_was_changed(failing: Backend, user: str) -> None:
    codes = ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"]
    for who, operation, response in ask(failing, [f"{code}-{user}" for code in codes], *OPERATIONS.values()):
        assert is_unavailable(response, "database-throttled")
        assert "Nothing was changed" in response.json["detail"]
        assert who.partition("-")[0] in why(failing, operation, response)


@pytest.mark.parametrize("how", ["InternalServerError", "nonsense"])
def test_a_failing_database_is_503_with_what_is_known(failing: Backend, user: str, how: str) -> None:
    for _, operation, response in ask(failing, [f"{how}-{user}"], *OPERATIONS.values()):
        assert is_unavailable(response, "outcome-unknown" if operation.name in BLIND else "database-unavailable")
        assert {"InternalServerError": how, "nonsense": "ResponseParserError"}[how] in why(failing, operation, response)


def test_a_permanent_error_is_500_without_internal_details(failing: Backend, user: str) -> None:
    codes = ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"]
    for who, operation, response in ask(failing, [f"{code}-{user}" for code in codes], *OPERATIONS.values()):
        code = who.partition("-")[0]
        assert is_problem(response, 500, "internal-error")
        assert not any(
            word in response.content.decode() for word in (code, "secret", "dynamo", "Dynamo", user, "Table")
        )
        cause = why(failing, operation, response)
        assert code in cause
        assert "secret" not in cause
