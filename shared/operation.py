"""The HTTP frame of every operation: an API Gateway event in, a checked request, a response out."""

import gc
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, get_args, get_type_hints
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from shared import bodies, dynamodb, idempotency, identity, preconditions, problems, snapstart, telemetry
from shared.cursors import InvalidCursor
from shared.dynamodb import Failure, OutcomeUnknown, StorageFull, Table, Unavailable
from shared.engine import KeyReused
from shared.models import TASK_ID, BatchResults, Changes, Cleared, NoQuery, Task, TaskPage, TaskQuery, etag_of
from shared.problems import Problem
from shared.settings import settings
from shared.task_store import KeyMissing, OperationRefused, SyncTokenExpired, TaskStore
from shared.tasks import NotDeleted, Precondition, TaskNotFound, VersionMismatch

CORRELATION_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

type Event = Mapping[str, Any]


class LambdaContext(Protocol):
    """What an operation needs of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int:
        """How long the function may still run."""


class Response(NamedTuple):
    """An answer: a status, headers, and a body that is JSON already."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = {}


class Request[Body: BaseModel | None = None, Query: NoQuery = NoQuery](NamedTuple):
    """A request whose every part is checked: its handler names the models of its body and its query parameters."""

    tasks: TaskStore
    # The path of the user's tasks, for links.
    tasks_path: str
    task_id: str
    query: Query
    body: Body
    headers: Mapping[str, str]

    @property
    def precondition(self) -> Precondition:
        """The versions that a write may meet. Raises a 400 problem for a malformed header."""
        return preconditions.write_precondition(self.headers)


type Handler = Callable[[Event, LambdaContext], dict[str, Any]]


def operation(handle: Callable[[Request[Any, Any]], Response]) -> Handler:
    """Make a function of API Gateway's events out of a function of checked requests.

    Whatever goes wrong becomes a problem here, and every request is logged and counted here, under the name of the
    function's folder.
    """
    name = handle.__module__.split(".")[-2]
    body_model, query_model = models_of(handle)
    table_name = settings().table_name
    for model in (body_model, query_model, Task):
        if model is not None:
            model.model_rebuild()
    snapstart.prepare()
    if not gc.isenabled():  # shared/__init__.py has turned it off
        gc.freeze()
        gc.enable()

    def handler(event: Event, context: LambdaContext) -> dict[str, Any]:
        started = time.monotonic()
        record = telemetry.Record(name, "", "", "")
        try:
            deadline = started + context.get_remaining_time_in_millis() / 1000
            table = Table(dynamodb.client(), table_name)
            request = _request(event, record, body_model, query_model, table, deadline)
            response = handle(request)
            record.status = response.status
            if request.tasks.replayed:
                response = response._replace(headers={**response.headers, "Idempotency-Replayed": "true"})
        except Exception as error:  # noqa: BLE001 - the one place where an error becomes an answer
            problem = _problem_of(error)
            record.status, record.problem = problem.status, problem.kind
            if problem.status >= 500:  # noqa: PLR2004
                record.cause = telemetry.cause_of(error)
            response = _problem_response(problem, record.request_id)
        record.clock_skew_s = dynamodb.clock_skew()
        record.duration_ms = round((time.monotonic() - started) * 1000, 1)
        telemetry.report(record)
        return {
            "statusCode": response.status,
            "headers": {
                "Cache-Control": "no-store",
                "X-Correlation-Id": record.correlation_id,
                **response.headers,
            },
            "body": response.body,
            "isBase64Encoded": False,
        }

    return handler


def created(task: Task, request: Request[Any]) -> Response:
    """201, with the place of the new task."""
    shown = found(task)
    return Response(201, shown.body, {**shown.headers, "Location": f"{request.tasks_path}/{task.id}"})


def found(task: Task) -> Response:
    """200, with a task."""
    return Response(200, task.model_dump_json(), {"Content-Type": bodies.JSON, "ETag": task.etag})


def found_unless_known(task: Task, request: Request) -> Response:
    """200 with a task, or 304 where the client has it at this version."""
    headers = {"ETag": task.etag, "Cache-Control": "private, no-cache"}
    if preconditions.not_modified(request.headers, task.version):
        return Response(304, headers=headers)
    return Response(200, task.model_dump_json(), {"Content-Type": bodies.JSON, **headers})


def listed(page: TaskPage, request: Request[None, TaskQuery]) -> Response:
    """200, with a page of a list and a link to the next."""
    headers = {"Content-Type": bodies.JSON}
    if page.next_cursor is not None:
        query = request.query.following(page.next_cursor).model_dump(exclude_unset=True)
        headers["Link"] = f'<{request.tasks_path}?{urlencode(query)}>; rel="next"'
    return Response(200, page.model_dump_json(), headers)


def answered(result: BatchResults | Changes | Cleared) -> Response:
    """200, with what was done."""
    return Response(200, result.model_dump_json(), {"Content-Type": bodies.JSON})


def deleted() -> Response:
    """204."""
    return Response(204)


def models_of(handle: Callable[..., Response]) -> tuple[type[BaseModel] | None, type[NoQuery]]:
    """The models of the body (None where it takes none) and of the query that a handler's request names."""
    given = get_args(get_type_hints(handle)["request"])
    body = given[0] if given else None
    return (None if body is type(None) else body), (given[1] if len(given) > 1 else NoQuery)


def _request(  # noqa: PLR0913, PLR0917 - what a request is made of
    event: Event,
    record: telemetry.Record,
    body_model: type[BaseModel] | None,
    query_model: type[NoQuery],
    table: Table,
    deadline: float,
) -> Request[Any, Any]:
    headers: Mapping[str, str] = event.get("headers") or {}
    context = event["requestContext"]
    record.route = event["routeKey"]
    record.request_id = context["requestId"]
    correlation_id = headers.get("x-correlation-id", "")
    record.correlation_id = correlation_id if CORRELATION_ID.fullmatch(correlation_id) else record.request_id

    # Nothing of the request is looked at before it is known whose it is, and nothing fetched before it is known good.
    claims: Mapping[str, str] = context.get("authorizer", {}).get("jwt", {}).get("claims") or {}
    path: Mapping[str, str] = event["pathParameters"]
    actor = identity.actor_of(claims)
    record.actor = telemetry.pseudonym(actor)
    record.user = telemetry.pseudonym(path["user_id"])
    user_id = identity.addressed_user(actor, claims, path["user_id"], settings().service_scope)
    record.user = telemetry.pseudonym(user_id)

    task_id = path.get("task_id", "")
    if "task_id" in path and not TASK_ID.fullmatch(task_id):
        raise problems.bad_request("bad-task-id", "The task id in the path must be a UUID in lower-case letters.")
    query = _query(event.get("queryStringParameters") or {}, query_model)
    raw = bodies.raw_body(event)
    body = None if body_model is None else bodies.parse(raw, headers, body_model)
    once = None
    if record.route.startswith("POST "):
        once = idempotency.once_of(headers, settings().idempotency_hours, raw, record.route, user_id, task_id)
    tasks_path = f"/v1/users/{identity.path_segment(user_id, path['user_id'])}/tasks"
    return Request(TaskStore(table, user_id, deadline, once=once), tasks_path, task_id, query, body, headers)


def _query(parameters: Mapping[str, str], model: type[NoQuery]) -> NoQuery:
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        # A name that is no text has no place.
        faults = [problems.shortened(": ".join((*map(str, fault["loc"]), fault["msg"]))) for fault in error.errors()]
        raise problems.invalid_query(faults) from None


# The kind, what is told, and after how many seconds to try again.
_UNAVAILABLE = {
    Failure.THROTTLED: ("database-throttled", "Too much is asked for at once. Nothing was changed.", 2),
    Failure.CONTENDED: ("contended", "Too many write to this task at once. Nothing was changed.", 1),
    Failure.UNREACHABLE: ("database-unavailable", "The database cannot be reached. Nothing was changed.", 5),
    Failure.UNANSWERED: ("database-unavailable", "The database does not answer. Nothing was changed.", 5),
}


def _problem_of(error: Exception) -> Problem:  # noqa: C901, PLR0911, PLR0912 - one a kind of error
    match error:
        case Problem():
            return error
        case TaskNotFound():
            return problems.task_not_found()
        case NotDeleted():
            return problems.not_deleted()
        case KeyReused():
            return problems.key_reused()
        case KeyMissing():
            return problems.bad_request("idempotency-key-required", "This request needs an Idempotency-Key.")
        case OperationRefused(__cause__=Exception() as cause):
            return _problem_of(cause).at(f"/operations/{error.place}")
        case VersionMismatch():
            return problems.precondition_failed(f"The task's ETag is {etag_of(error.version)}, which is not asked for.")
        case InvalidCursor():
            return problems.bad_request("bad-cursor", "It is not one of this list and user; begin again without it.")
        case SyncTokenExpired():
            return problems.sync_token_expired()
        case OutcomeUnknown():
            detail = "The write may have been applied, or may not. Look before sending it again."
            return problems.unavailable("outcome-unknown", detail, retry_after=1)
        case StorageFull():
            return problems.storage_full()
        case Unavailable():
            return problems.unavailable(*_UNAVAILABLE[error.failure])
        case _:
            return problems.internal_error()


def _problem_response(problem: Problem, request_id: str) -> Response:
    return Response(
        problem.status, problem.body(request_id), {"Content-Type": "application/problem+json", **problem.headers}
    )
