"""Which problem each error of the rules and of the store becomes."""

from shared.http import problems
from shared.http.problems import Fault, Problem
from shared.models import etag_of
from shared.store.cursors import InvalidCursor
from shared.store.dynamodb import Failure, OutcomeUnknown, StorageFull, Unavailable
from shared.store.engine import BatchTooLarge, KeyReused
from shared.store.sizes import MOST_BYTES
from shared.store.task_store import KeyMissing, OperationRefused, SyncTokenExpired
from shared.tasks import InvalidTask, NotDeleted, TaskNotFound, UnusableId, VersionMismatch

# The kind of the problem, its detail, and the seconds after which to retry.
_UNAVAILABLE = {
    Failure.THROTTLED: ("database-throttled", "The database limits the rate of requests. Nothing was changed.", 2),
    Failure.CONTENDED: ("contended", "Too many requests write to this task at the same time. Nothing was changed.", 1),
    Failure.UNREACHABLE: ("database-unavailable", "The database cannot be reached. Nothing was changed.", 5),
    Failure.UNANSWERED: ("database-unavailable", "The database does not answer. Nothing was changed.", 5),
}


def problem_of(error: Exception) -> Problem:  # noqa: C901, PLR0911, PLR0912 - one case for each error
    """The problem that a client gets for an error. An error that is not listed here is a defect: 500."""
    match error:
        case Problem():
            return error
        case TaskNotFound():
            return problems.task_not_found()
        case NotDeleted():
            return problems.not_deleted()
        case KeyReused():
            return problems.key_reused()
        case BatchTooLarge():
            return problems.batch_too_large(MOST_BYTES)
        case KeyMissing():
            return problems.bad_request("idempotency-key-required", "This request needs an Idempotency-Key.")
        case UnusableId():
            return problems.unusable_id()
        case InvalidTask():
            return problems.invalid_body([Fault(pointer=f"/{error.field}", detail=error.message)])
        case OperationRefused(__cause__=Exception() as cause):
            return problem_of(cause).inside(f"/operations/{error.place}", error.part)
        case VersionMismatch():
            detail = f"The ETag of the task is {etag_of(error.version)}, which the request does not allow."
            return problems.precondition_failed(detail)
        case InvalidCursor():
            detail = "The cursor or sync token does not belong to this list and user. Start again without it."
            return problems.bad_request("bad-cursor", detail)
        case SyncTokenExpired():
            return problems.sync_token_expired()
        case OutcomeUnknown():
            detail = "The write may or may not have been applied. Read the task before you send the write again."
            return problems.unavailable("outcome-unknown", detail, retry_after=1)
        case StorageFull():
            return problems.storage_full()
        case Unavailable():
            return problems.unavailable(*_UNAVAILABLE[error.failure])
        case _:
            return problems.internal_error()
