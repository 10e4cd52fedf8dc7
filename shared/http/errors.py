"""Converts the errors of the rules and of the store to problems."""

from collections.abc import Mapping

from shared.http import problems
from shared.http.problems import Fault, Problem
from shared.models import etag_of
from shared.positions import NoRoom
from shared.store.cursors import InvalidCursor
from shared.store.dynamodb import Failure, OutcomeUnknown, StorageFull, Unavailable
from shared.store.engine import BatchTooLarge, KeyReused
from shared.store.marks import UserErased
from shared.store.sizes import MOST_BYTES
from shared.store.task_store import KeyMissing, OperationRefused, SyncTokenExpired
from shared.tasks import AnchorNotInList, InvalidTask, NoList, NotDeleted, TaskNotFound, UnusableId, VersionMismatch

# The status, kind, title and detail of each error that has no arguments.
_PROBLEMS: Mapping[type[Exception], tuple[int, str, str, str]] = {
    KeyMissing: (
        400,
        "idempotency-key-required",
        "Bad request",
        "This request requires an Idempotency-Key. Send one.",
    ),
    InvalidCursor: (
        400,
        "bad-cursor",
        "Bad request",
        "This cursor or sync token does not belong to this list and user. Start again without it.",
    ),
    UserErased: (
        403,
        "user-erased",
        "User erased",
        "This user was erased, or is being erased. Nothing can be written for this user id.",
    ),
    TaskNotFound: (404, "task-not-found", "Task not found", "This user has no task with this id."),
    NotDeleted: (409, "not-deleted", "Not deleted", "The task is not in the trash, so it cannot be restored."),
    NoList: (409, "no-list", "No list", "The task is in no list. Name the list to move it to."),
    AnchorNotInList: (
        409,
        "anchor-not-in-list",
        "Anchor not in list",
        "The task to move after or before is not in this list. Read the list again, and choose another one.",
    ),
    NoRoom: (
        409,
        "no-room",
        "No room",
        (
            "There is no position left between the two tasks at this place. To make room, change the `position` of one "
            "of them with PATCH. Then move the task again."
        ),
    ),
    SyncTokenExpired: (
        410,
        "sync-token-expired",
        "Sync token expired",
        (
            "The sync token is more than 30 days old, or the server's clock was ahead when it was made. "
            "Sync again without a token and delete local tasks that are not returned."
        ),
    ),
    KeyReused: (
        422,
        "idempotency-key-reused",
        "Idempotency-Key reused",
        "This Idempotency-Key was used for another request. Send a new key with each new request.",
    ),
    BatchTooLarge: (
        422,
        "batch-too-large",
        "Batch too large",
        (
            f"The tasks that the batch writes are together over {MOST_BYTES:,} bytes. Send fewer operations in a "
            "batch. Nothing was changed."
        ),
    ),
    UnusableId: (
        422,
        "unusable-id",
        "Unusable id",
        (
            "The id of a new task must be a UUID of version 7 that is at most 29 days old and at most one day ahead. "
            "Generate a new one, and check the clock of the client."
        ),
    ),
    StorageFull: (
        507,
        "storage-full",
        "Storage full",
        (
            "The user's storage has reached its limit of 10 GB. To free space now, shorten or remove descriptions. "
            "Deleted tasks free their space after 30 days."
        ),
    ),
}
# A bug in this service. The response gives no details, only the request id; the log has the cause.
_INTERNAL_ERROR = (
    500,
    "internal-error",
    "Internal server error",
    "The server has an internal error. Report the request id if it happens again.",
)
# The kind of the problem, its detail, and Retry-After in seconds.
_UNAVAILABLE = {
    Failure.THROTTLED: (
        "database-throttled",
        "The database is throttling requests. Nothing was changed. Retry later.",
        2,
    ),
    Failure.CONTENDED: ("contended", "Other requests are writing to this task. Nothing was changed. Retry later.", 1),
    Failure.UNREACHABLE: (
        "database-unavailable",
        "The database cannot be reached. Nothing was changed. Retry later.",
        5,
    ),
    Failure.UNANSWERED: ("database-unavailable", "The database does not respond. Nothing was changed. Retry later.", 5),
}


def problem_of(error: Exception) -> Problem:  # noqa: PLR0911 - one return for each error with arguments
    """Return the problem that the client gets for an error. An error that is not listed here is a bug: 500."""
    match error:
        case Problem():
            return error
        case InvalidTask():
            return problems.invalid_body([Fault(pointer=f"/{error.field}", detail=error.message)])
        case OperationRefused(__cause__=Exception() as cause):
            return problem_of(cause).inside(f"/operations/{error.index}", error.part)
        case VersionMismatch():
            detail = f"The task's current ETag is {etag_of(error.version)}, which does not satisfy the precondition."
            return Problem(412, "precondition-failed", "Precondition failed", detail)
        case OutcomeUnknown():
            detail = (
                "The write may or may not have been applied. "
                "Retry with the same Idempotency-Key, or read the task before you retry."
            )
            return problems.unavailable("outcome-unknown", detail, retry_after=1)
        case Unavailable():
            return problems.unavailable(*_UNAVAILABLE[error.failure])
        case _:
            return Problem(*_PROBLEMS.get(type(error), _INTERNAL_ERROR))
