"""Converts the errors of the rules and of the store to problems."""

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


def problem_of(error: Exception) -> Problem:  # noqa: C901, PLR0911, PLR0912 - one case for each error
    """Return the problem that the client gets for an error. An error that is not listed here is a bug: 500."""
    match error:
        case Problem():
            return error
        case UserErased():
            return problems.user_erased()
        case TaskNotFound():
            return problems.task_not_found()
        case NotDeleted():
            return problems.not_deleted()
        case NoList():
            return problems.no_list()
        case AnchorNotInList():
            return problems.anchor_not_in_list()
        case NoRoom():
            return problems.no_room()
        case KeyReused():
            return problems.key_reused()
        case BatchTooLarge():
            return problems.batch_too_large(MOST_BYTES)
        case KeyMissing():
            return problems.bad_request(
                "idempotency-key-required", "This request requires an Idempotency-Key. Send one."
            )
        case UnusableId():
            return problems.unusable_id()
        case InvalidTask():
            return problems.invalid_body([Fault(pointer=f"/{error.field}", detail=error.message)])
        case OperationRefused(__cause__=Exception() as cause):
            return problem_of(cause).inside(f"/operations/{error.place}", error.part)
        case VersionMismatch():
            detail = f"The task's current ETag is {etag_of(error.version)}, which does not satisfy the precondition."
            return problems.precondition_failed(detail)
        case InvalidCursor():
            detail = "This cursor or sync token does not belong to this list and user. Start again without it."
            return problems.bad_request("bad-cursor", detail)
        case SyncTokenExpired():
            return problems.sync_token_expired()
        case OutcomeUnknown():
            detail = (
                "The write may or may not have been applied. "
                "Retry with the same Idempotency-Key, or read the task before you retry."
            )
            return problems.unavailable("outcome-unknown", detail, retry_after=1)
        case StorageFull():
            return problems.storage_full()
        case Unavailable():
            return problems.unavailable(*_UNAVAILABLE[error.failure])
        case _:
            return problems.internal_error()
