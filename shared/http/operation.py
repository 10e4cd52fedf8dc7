"""The frame of every operation: validates the event, calls the handler, and converts its result to a response."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from shared import LambdaContext, end_start
from shared.http import bodies, requests, snapstart, telemetry
from shared.http.errors import problem_of
from shared.http.requests import Event, Request
from shared.http.responses import Response
from shared.http.settings import settings
from shared.models import NoQuery, Task
from shared.store import dynamodb
from shared.store.dynamodb import Table

type Handle = Callable[[Request[Any, Any]], Response[Any]]
type Handler = Callable[[Event, LambdaContext], dict[str, Any]]


class Declaration(NamedTuple):
    """The declaration of an operation, from its handler. The frame and the contract are derived from it."""

    handle: Handle
    # The name of the function's folder.
    name: str
    body: type[BaseModel] | None
    query: type[NoQuery]
    result: type[BaseModel] | None
    # The errors of the rules and of the store that a request can cause. Clients get them as problems.
    raises: Sequence[type[Exception]]


def operation(*, raises: Sequence[type[Exception]] = ()) -> Callable[[Handle], Handler]:
    """Make a Lambda handler from a function that takes a validated request and returns a response.

    The Lambda handler converts every error to a problem, and writes the log line and the metrics. `raises` lists the
    errors of the rules and of the store that a request of this operation can cause. The contract lists their problems.
    """
    return lambda handle: framed(declare(handle, raises))


def declare(handle: Handle, raises: Sequence[type[Exception]]) -> Declaration:
    """Read the declaration of a handler. Raises TypeError, with an example, if an annotation is missing."""
    types = get_type_hints(handle)
    request, response = types.get("request"), types.get("return")
    if Request not in {request, get_origin(request)} or get_origin(response) is not Response:
        example = "def handler(request: Request[NewTask]) -> Response[Task]"
        raise TypeError(f"{handle.__module__}: declare the types of the request and of the result, as in `{example}`")
    body, query = get_args(request) or (None, NoQuery)
    (result,) = get_args(response)
    body, result = (None if one is type(None) else one for one in (body, result))
    return Declaration(handle, handle.__module__.split(".")[-2], body, query, result, raises)


def framed(declaration: Declaration) -> Handler:
    """Make the Lambda handler of a declared operation."""
    name, table_name = declaration.name, settings().table_name
    for model in (declaration.body, declaration.query, declaration.result, Task):
        if model is not None:
            model.model_rebuild()
    snapstart.prepare()
    end_start()

    def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
        started = time.monotonic()
        record = telemetry.Record(name, "", "", "")
        try:
            deadline = started + context.get_remaining_time_in_millis() / 1000
            table = Table(dynamodb.client(), table_name)
            request = requests.read(event, record, declaration.body, declaration.query, table, deadline)
            status, result, extra = declaration.handle(request)
            headers = {"Content-Type": bodies.JSON, **extra} if result is not None else {**extra}
            body = "" if result is None else result.model_dump_json()
            if request.tasks.replayed:
                headers["Idempotency-Replayed"] = "true"
        except Exception as error:  # noqa: BLE001 - every error gets a response
            problem = problem_of(error)
            status, body, headers = problem.status, problem.body(record.request_id), problem.all_headers
            record.problem = problem.kind
            if status >= 500:  # noqa: PLR2004
                record.cause = telemetry.cause_of(error)
        record.status = status
        record.clock_skew_s = dynamodb.clock_skew()
        record.duration_ms = round((time.monotonic() - started) * 1000, 1)
        telemetry.report(record)
        return {
            "statusCode": status,
            "headers": {"Cache-Control": "no-store", "X-Correlation-Id": record.correlation_id, **headers},
            "body": "" if record.route.startswith("HEAD ") else body,
            "isBase64Encoded": False,
        }

    return handler
