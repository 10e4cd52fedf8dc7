"""Reads and validates a request from an event of API Gateway."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from shared.fields import TASK_ID
from shared.http import bodies, idempotency, identity, preconditions, problems, telemetry
from shared.http.settings import settings
from shared.models import NoQuery
from shared.pseudonyms import pseudonym
from shared.store.dynamodb import Table
from shared.store.task_store import TaskStore
from shared.tasks import Precondition

CORRELATION_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

type Event = Mapping[str, Any]


class Request[Body: BaseModel | None = None, Query: NoQuery = NoQuery](NamedTuple):
    """A validated request. The type parameters are the models of its body and its query parameters."""

    tasks: TaskStore
    user_id: str
    task_id: str
    query: Query
    body: Body
    headers: Mapping[str, str]
    is_service: bool = False

    def require_service(self) -> None:
        """Raise a 403 problem unless the caller is a service."""
        if not self.is_service:
            raise problems.forbidden("This request needs the token of a service.")

    @property
    def precondition(self) -> Precondition:
        """The versions of the task that this request may write. Raises a 400 problem for a malformed header."""
        return preconditions.write_precondition(self.headers)

    @property
    def must_create(self) -> bool:
        """Whether the request is to create the task: `If-None-Match: *`, and no If-Match."""
        return preconditions.must_create(self.headers)


def read(  # noqa: PLR0913, PLR0917 - three sources: the event, the declaration, the store
    event: Event,
    record: telemetry.Record,
    body_model: type[BaseModel] | None,
    query_model: type[NoQuery],
    table: Table,
    deadline: float,
) -> Request[Any, Any]:
    """Read a request, and set its route and users in `record`. Raises a 400, 401, 403, 413, 415 or 422 problem."""
    headers: Mapping[str, str] = event.get("headers") or {}
    context = event["requestContext"]
    record.route = event["routeKey"]
    record.request_id = context["requestId"]
    correlation_id = headers.get("x-correlation-id", "")
    record.correlation_id = correlation_id if CORRELATION_ID.fullmatch(correlation_id) else record.request_id

    # Check the authorization first, so that a caller without access learns nothing from validation errors.
    authorizer: Mapping[str, Any] = context.get("authorizer") or {}
    claims: Mapping[str, str] = (authorizer.get("jwt") or {}).get("claims") or {}
    path: Mapping[str, str] = event["pathParameters"]
    actor = identity.actor_of(claims)
    tenant = identity.tenant_of(claims, settings().tenant_claim)
    record.actor = pseudonym(actor, tenant)
    record.user = pseudonym(path["user_id"], tenant)
    is_service = identity.is_service(claims, settings().service_scope, named=settings().names_service(actor))
    user_id = identity.addressed_user(
        actor, claims, path["user_id"], settings().spaces_claim, may_act_for_all=is_service
    )
    record.user = pseudonym(user_id, tenant)

    task_id = path.get("task_id", "").lower()
    if "task_id" in path and not TASK_ID.fullmatch(task_id):
        raise problems.bad_request("bad-task-id", "The task id in the path must be a UUID.")
    query = _query(event["rawQueryString"], event.get("queryStringParameters") or {}, query_model)
    raw = bodies.raw_body(event)
    body = None if body_model is None else bodies.parse(raw, headers, body_model)
    key = None
    if record.route.startswith("POST "):
        hours = settings().idempotency_hours
        key = idempotency.parse_idempotency_key(headers, hours, actor, raw, record.route, user_id, task_id)
    store = TaskStore(table, user_id, deadline, key=key, tenant=tenant, actor=actor)
    return Request(store, user_id, task_id, query, body, headers, is_service)


def _query(raw: str, parameters: Mapping[str, str], model: type[NoQuery]) -> NoQuery:
    # API Gateway joins the values of a repeated parameter with commas. A value may contain commas, too, so only the raw
    # query shows a repetition. It is parsed only if it has more parts than there are names.
    if raw.count("&") >= len(parameters) > 0:
        names = Counter(name for name, _ in parse_qsl(raw, keep_blank_values=True))
        if repeated := [name for name, count in names.items() if count > 1]:
            raise problems.invalid_query([f"{problems.shortened(name)}: Must be given only once" for name in repeated])
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        # The location of a fault is empty for a parameter name that is not UTF-8.
        faults = [
            problems.shortened(": ".join((*map(str, fault["loc"]), problems.words_for(fault))))
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise problems.invalid_query(faults) from None
