"""The error responses of the API: problem details (RFC 9457)."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, NotRequired, Self, TypedDict

from pydantic import Field

# The most faults that a response lists, and the most characters of client input that one of its texts repeats.
MOST_FAULTS = 50
LONGEST_TEXT = 200


class Fault(TypedDict):
    """One fault in a body."""

    pointer: str
    """The place of the fault in the body: a JSON Pointer (RFC 6901)."""
    detail: str
    """What is wrong there."""


class ProblemBody(TypedDict):
    """Problem details (RFC 9457): the body of every error response."""

    type: str
    """The kind of the problem, for programs. These values do not change."""
    title: str
    status: int
    detail: str
    """What is wrong and what to do, for people. Programs must not depend on this text."""
    instance: str
    """The request id. Use it to find the request in the log."""
    errors: NotRequired[Annotated[Sequence[Fault], Field(max_length=MOST_FAULTS)]]
    """The faults in the body, at most 50, or the operation of a batch that failed."""


class Problem(Exception):
    """An error that becomes an error response.

    `kind` is the last part of its type, `urn:problem:tasks:<kind>`, and must not change: programs depend on it.
    `detail` says what is wrong and what to do.
    """

    def __init__(  # noqa: PLR0913 - these are the members of RFC 9457
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def inside(self, pointer: str, part: str) -> Self:
        """Add the place in a batch: the pointer of the operation, and from there on the one of its fields."""
        self.errors = [
            Fault(pointer=f"{pointer}{part}{fault['pointer']}", detail=fault["detail"]) for fault in self.errors
        ] or [Fault(pointer=pointer, detail=self.detail)]
        return self

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers of the response, including Content-Type."""
        return {"Content-Type": "application/problem+json", **self.headers}

    def body(self, instance: str) -> str:
        """Return the problem as JSON. `instance` is the request id."""
        body = ProblemBody(
            type=f"urn:problem:tasks:{self.kind}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            instance=instance,
        )
        if self.errors:
            body["errors"] = self.errors
        return json.dumps(body)


def bad_request(kind: str, detail: str) -> Problem:
    """400: a part of the request is malformed."""
    return Problem(400, kind, "Bad request", detail)


def no_identity() -> Problem:
    """401: the event has no verified claims. No authorizer is in front of the function, or the token has no subject."""
    return Problem(
        401,
        "no-identity",
        "Unauthorized",
        "The request has no verified identity. Send an access token.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def forbidden(detail: str) -> Problem:
    """403: the caller is not allowed to do this. The problem must not show whether another user exists."""
    return Problem(403, "forbidden", "Forbidden", detail)


def no_tenant() -> Problem:
    """403: the token does not name the tenant of the caller."""
    return Problem(403, "no-tenant", "No tenant", "This token does not name a tenant. Send a token of your tenant.")


def user_erased() -> Problem:
    """403: the user was erased, or is being erased."""
    detail = "This user was erased, or is being erased. Nothing can be written for this user id."
    return Problem(403, "user-erased", "User erased", detail)


def task_not_found() -> Problem:
    """404: the user has no such task."""
    return Problem(404, "task-not-found", "Task not found", "This user has no task with this id.")


def not_deleted() -> Problem:
    """409: the task to restore is not in the trash."""
    return Problem(409, "not-deleted", "Not deleted", "The task is not in the trash, so it cannot be restored.")


def no_list() -> Problem:
    """409: a task to move is in no list, and the request names none."""
    return Problem(409, "no-list", "No list", "The task is in no list. Name the list to move it to.")


def anchor_not_in_list() -> Problem:
    """409: the task to move after or before is not there."""
    detail = "The task to move after or before is not in this list. Read the list again, and choose another one."
    return Problem(409, "anchor-not-in-list", "Anchor not in list", detail)


def no_room() -> Problem:
    """409: so many tasks were moved to this place that a position between them would be too long."""
    detail = (
        "Too many tasks were moved to this place. To make room, move the task that you named to another place of the "
        "list, and then back."
    )
    return Problem(409, "no-room", "No room", detail)


def unusable_id() -> Problem:
    """422: a new task cannot have this id."""
    detail = (
        "The id of a new task must be a UUID of version 7 that is at most 29 days old and at most one day ahead. "
        "Generate a new one, and check the clock of the client."
    )
    return Problem(422, "unusable-id", "Unusable id", detail)


def key_reused() -> Problem:
    """422: the Idempotency-Key belongs to another request."""
    detail = "This Idempotency-Key was used for another request. Send a new key with each new request."
    return Problem(422, "idempotency-key-reused", "Idempotency-Key reused", detail)


def sync_token_expired() -> Problem:
    """410: the sync token is too old, so deletions may be missing, or it comes from a clock that was ahead."""
    detail = (
        "The sync token is more than 30 days old, or the server's clock was ahead when it was made. "
        "Sync again without a token and delete local tasks that are not returned."
    )
    return Problem(410, "sync-token-expired", "Sync token expired", detail)


def precondition_failed(detail: str) -> Problem:
    """412: the precondition does not allow the current version of the task."""
    return Problem(412, "precondition-failed", "Precondition failed", detail)


def body_too_large(limit: int) -> Problem:
    """413: the body is larger than `limit`, in bytes."""
    return Problem(
        413, "body-too-large", "Content too large", f"The body is larger than {limit} bytes. Send a smaller body."
    )


def batch_too_large(limit: int) -> Problem:
    """422: a batch whose tasks are together over the limit, in bytes."""
    detail = (
        f"The tasks that the batch writes are together over {limit:,} bytes. Send fewer operations in a batch. "
        "Nothing was changed."
    )
    return Problem(422, "batch-too-large", "Batch too large", detail)


def unsupported_media_type(detail: str, headers: Mapping[str, str]) -> Problem:
    """415: the content type, charset or content coding of the body is not supported."""
    return Problem(415, "unsupported-media-type", "Unsupported media type", detail, headers=headers)


def invalid_body(errors: Sequence[Fault]) -> Problem:
    """422: the body is JSON, but not valid for the operation. The problem lists the first 50 faults."""
    count = "1 fault" if len(errors) == 1 else f"{len(errors)} faults"
    where = "see errors" if len(errors) <= MOST_FAULTS else f"errors lists the first {MOST_FAULTS}"
    return Problem(422, "invalid-body", "Invalid body", f"The body has {count}; {where}.", errors=errors[:MOST_FAULTS])


def invalid_query(errors: Sequence[str]) -> Problem:
    """400: query parameters are not valid. The detail names the first 50 faults."""
    more = f"; and {len(errors) - MOST_FAULTS} more" if len(errors) > MOST_FAULTS else ""
    return bad_request("bad-query", f"Query parameters are not valid: {'; '.join(errors[:MOST_FAULTS])}{more}.")


def shortened(text: str) -> str:
    """Cut a text that may repeat client input to 200 characters."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def internal_error() -> Problem:
    """500: a bug in this service. The response gives no details, only the request id; the log has the cause."""
    return Problem(
        500,
        "internal-error",
        "Internal server error",
        "The server has an internal error. Report the request id if it happens again.",
    )


def storage_full() -> Problem:
    """507: the user's storage has reached its limit, and the write needs more."""
    detail = (
        "The user's storage has reached its limit of 10 GB. To free space now, shorten or remove descriptions. Deleted "
        "tasks free their space after 30 days."
    )
    return Problem(507, "storage-full", "Storage full", detail)


def unavailable(kind: str, detail: str, retry_after: int) -> Problem:
    """503: the request cannot be completed now. `retry_after` is in seconds."""
    return Problem(503, kind, "Service unavailable", detail, headers={"Retry-After": str(retry_after)})
