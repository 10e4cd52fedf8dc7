"""Errors as clients see them: RFC 9457 problem details."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, NotRequired, Self, TypedDict

from pydantic import Field

# How many faults an answer lists, and how long a text in it may be that repeats what the client sent.
MOST_FAULTS = 50
LONGEST_TEXT = 200


class Fault(TypedDict):
    """One fault of a body: where it lies (JSON Pointer, RFC 6901) and what is wrong there."""

    pointer: str
    """A JSON Pointer (RFC 6901)."""
    detail: str


class ProblemBody(TypedDict):
    """An answer that is not what the caller asked for (RFC 9457)."""

    type: str
    """Which problem it is, for programs: it never changes."""
    title: str
    status: int
    detail: str
    """What is wrong here, and what to mend, for people."""
    instance: str
    """The request id: it finds the request in the log."""
    errors: NotRequired[Annotated[Sequence[Fault], Field(max_length=MOST_FAULTS)]]
    """The faults of the body, at most 50, or the operation of a batch that cannot be done."""


class Problem(Exception):
    """An answer that is not what the caller asked for.

    `kind` names it for good, as `urn:problem:tasks:<kind>`; `detail` tells the caller what to mend.
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
        """The same problem, of an operation of a batch at a pointer; its faults are in a part of the operation."""
        self.errors = [
            Fault(pointer=f"{pointer}/{part}{fault['pointer']}", detail=fault["detail"]) for fault in self.errors
        ] or [Fault(pointer=pointer, detail=self.detail)]
        return self

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers of the answer, its content type included."""
        return {"Content-Type": "application/problem+json", **self.headers}

    def body(self, instance: str) -> str:
        """The problem as JSON; `instance` is the request id."""
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
    """400: the request cannot be understood."""
    return Problem(400, kind, "Bad request", detail)


def no_identity() -> Problem:
    """401: no authorizer stood before the function, or it verified no one."""
    return Problem(
        401,
        "no-identity",
        "Unauthorized",
        "The request carries no verified identity.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def forbidden(detail: str) -> Problem:
    """403: the caller may not do this, and is not told whether the user exists."""
    return Problem(403, "forbidden", "Forbidden", detail)


def task_not_found() -> Problem:
    """404: the addressed user has no such task."""
    return Problem(404, "task-not-found", "Task not found", "The user has no task with this id.")


def not_deleted() -> Problem:
    """409: a task to restore that is not in the trash."""
    return Problem(409, "not-deleted", "Not deleted", "The task is not in the trash.")


def unusable_id() -> Problem:
    """422: an id that no new task may have."""
    detail = (
        "The id of a new task must be a UUID of version 7 that is at most 29 days old and at most one day ahead. "
        "Make a new one, and check the clock of the client."
    )
    return Problem(422, "unusable-id", "Unusable id", detail)


def key_reused() -> Problem:
    """422: an Idempotency-Key that belongs to another request."""
    detail = "This Idempotency-Key was used for another request; send each request with a key of its own."
    return Problem(422, "idempotency-key-reused", "Idempotency-Key reused", detail)


def sync_token_expired() -> Problem:
    """410: a sync token from so long ago that deletions since may have been forgotten."""
    detail = (
        "The sync token cannot be continued: it is more than 30 days old, or the clock that made it was ahead. "
        "Sync again without a token and delete local tasks that are not returned."
    )
    return Problem(410, "sync-token-expired", "Sync token expired", detail)


def precondition_failed(detail: str) -> Problem:
    """412: the task is not at a version that the request allows."""
    return Problem(412, "precondition-failed", "Precondition failed", detail)


def body_too_large(limit: int) -> Problem:
    """413: a body over the limit, in bytes."""
    return Problem(413, "body-too-large", "Content too large", f"The body is over {limit} bytes.")


def batch_too_large(limit: int) -> Problem:
    """422: a batch whose tasks are together over the limit, in bytes."""
    detail = (
        f"The tasks that the batch writes are together over {limit:,} bytes. Send fewer operations in a batch. "
        "Nothing was changed."
    )
    return Problem(422, "batch-too-large", "Batch too large", detail)


def unsupported_media_type(detail: str, headers: Mapping[str, str]) -> Problem:
    """415: a body of a type, charset or coding that is not read here."""
    return Problem(415, "unsupported-media-type", "Unsupported media type", detail, headers=headers)


def invalid_body(errors: Sequence[Fault]) -> Problem:
    """422: JSON, but not what the operation takes; the first 50 faults are listed."""
    count = "1 fault" if len(errors) == 1 else f"{len(errors)} faults"
    where = "see errors" if len(errors) <= MOST_FAULTS else f"errors has the first {MOST_FAULTS}"
    return Problem(422, "invalid-body", "Invalid body", f"The body has {count}; {where}.", errors=errors[:MOST_FAULTS])


def invalid_query(errors: Sequence[str]) -> Problem:
    """400: query parameters that the operation does not take; the first 50 faults are named."""
    more = f"; and {len(errors) - MOST_FAULTS} more" if len(errors) > MOST_FAULTS else ""
    return bad_request("bad-query", f"Query parameters: {'; '.join(errors[:MOST_FAULTS])}{more}.")


def shortened(text: str) -> str:
    """A text that may repeat what the client sent, at most 200 characters of it."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def internal_error() -> Problem:
    """500: a defect of ours, of which nothing is told; the request id finds it in the log."""
    return Problem(500, "internal-error", "Internal server error", "Something went wrong on our side.")


def storage_full() -> Problem:
    """507: the user's storage has reached its limit, and the write would have made it larger."""
    detail = (
        "The user's storage has reached its limit of 10 GB. To free space at once, shorten or clear descriptions; "
        "deleted tasks free theirs after 30 days."
    )
    return Problem(507, "storage-full", "Storage full", detail)


def unavailable(kind: str, detail: str, retry_after: int) -> Problem:
    """503: not now; `retry_after` is in seconds."""
    return Problem(503, kind, "Service unavailable", detail, headers={"Retry-After": str(retry_after)})
