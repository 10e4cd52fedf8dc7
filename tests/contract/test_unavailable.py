"""What callers are told, how soon, and what is logged, when DynamoDB throttles, fails, is silent or is away."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api import OPERATIONS, TEMPLATE, Answer, Api, Backend, Operation
from tests.contract.shapes import is_problem

TASK_ID = "018f3a5c-0000-7000-8000-000000000000"
TIMEOUTS = {function.handler.rpartition(".")[2]: function.timeout for function in TEMPLATE.functions}
# They write without reading first. All others have sent no write yet when the database fails.
BLIND = {"create_task", "batch_tasks"}


def ask(backend: Backend, user: str, *operations: Operation) -> list[tuple[Operation, Answer]]:
    # Most of each answer's time is waiting.
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda operation: operation.ask(Api(backend.url, user), TASK_ID), operations)
        return list(zip(operations, answers, strict=True))


def is_unavailable(answer: Answer, kind: str) -> bool:
    assert is_problem(answer, 503, kind)
    assert answer.headers["Retry-After"].isdecimal()
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    return True


def why(backend: Backend, operation: Operation, answer: Answer) -> str:
    """What the log says is the cause; and that the function answered within its own time limit."""
    line = backend.logged(answer.json["instance"])
    assert line["duration_ms"] < 1000 * TIMEOUTS[operation.name]
    assert (line["status"], line["level"]) == (answer.status, "WARNING" if answer.status == 503 else "ERROR")
    return str(line["cause"])


def test_a_closed_port_is_503_in_time_and_the_log_says_why(cut_off: Backend, user: str) -> None:
    for operation, answer in ask(cut_off, user, *OPERATIONS.values()):
        assert is_unavailable(answer, "database-unavailable")
        assert "Nothing was changed" in answer.json["detail"]
        assert "EndpointConnectionError" in why(cut_off, operation, answer)


def test_silence_is_503_in_time_and_the_log_says_why(failing: Backend, user: str) -> None:
    chosen = [OPERATIONS["list_tasks"], OPERATIONS["toggle_task"], OPERATIONS["create_task"]]
    for operation, answer in ask(failing, f"silence-{user}", *chosen):
        assert is_unavailable(answer, "outcome-unknown" if operation.name in BLIND else "database-unavailable")
        assert "ReadTimeoutError" in why(failing, operation, answer)


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"]
)
def test_throttling_is_503_and_says_that_nothing_was_changed(failing: Backend, user: str, code: str) -> None:
    for operation, answer in ask(failing, f"{code}-{user}", *OPERATIONS.values()):
        assert is_unavailable(answer, "database-throttled")
        assert "Nothing was changed" in answer.json["detail"]
        assert code in why(failing, operation, answer)


@pytest.mark.parametrize("how", ["InternalServerError", "nonsense"])
def test_a_failing_database_is_503_and_says_what_is_known(failing: Backend, user: str, how: str) -> None:
    for operation, answer in ask(failing, f"{how}-{user}", *OPERATIONS.values()):
        assert is_unavailable(answer, "outcome-unknown" if operation.name in BLIND else "database-unavailable")
        assert {"InternalServerError": how, "nonsense": "ResponseParserError"}[how] in why(failing, operation, answer)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_what_trying_again_would_not_mend_is_500_and_says_nothing_of_the_inside(
    failing: Backend, user: str, code: str
) -> None:
    for operation, answer in ask(failing, f"{code}-{user}", *OPERATIONS.values()):
        assert is_problem(answer, 500, "internal-error")
        assert not any(word in answer.content.decode() for word in (code, "secret", "dynamo", "Dynamo", user, "Table"))
        cause = why(failing, operation, answer)
        assert code in cause
        assert "secret" not in cause
