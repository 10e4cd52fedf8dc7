"""Hooks of Schemathesis for rules of this API that no schema contains."""

import json
import random
import re
import unicodedata
import uuid
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import use_after_free

from shared.etags import ETAGS

# Statuses of valid requests that depend on the state.
MET = {
    f"urn:problem:tasks:{kind}"
    for kind in (
        *("bad-cursor", "forbidden", "idempotency-key-reused", "not-deleted", "precondition-failed"),
        *("sync-token-expired", "task-not-found", "unusable-id", "no-list", "anchor-not-in-list", "no-room"),
    )
}
ETAG = re.compile(ETAGS)
# Words of errors that no schema describes.
BEYOND = (
    "for the same task",
    "a character that is visible",
    "that exist",
    "an IANA time zone",
    "null unless due has a time",
    "different tags",
    "bytes in UTF-8",
    "combining marks",
    "control characters",
    "need status=open",
    "must be earlier",
    "cannot be used with list",
    "Must have status=completed, list, or both",
    "Must be the id of another task",
)
LONGEST = {"title": 255, "description": 8192}


@schemathesis.hook
def before_call(_ctx: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]) -> None:
    """Remove values that would hide the rest of a request: "0" as an ETag, and one key for nearly every request."""
    headers = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    if headers is None or headers.mode.is_negative or not case.headers:
        return
    for name in ("If-Match", "If-None-Match"):
        if name in case.headers and not ETAG.fullmatch(str(case.headers[name])):
            del case.headers[name]
    # A tenth keep their key, so that some are replayed and some rejected.
    if "Idempotency-Key" in case.headers and random.random() > 0.1:  # noqa: S311
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schemathesis.check
def good_requests_are_taken(
    _ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Fail if a request that the contract allows is rejected as invalid."""
    meta = case.meta
    if response.status_code < 400 or meta is None or not meta.generation.mode.is_positive:
        return
    # Some cases that are marked as valid have an invalid part.
    if not all(part.mode.is_positive for part in meta.components.values()):
        return
    problem = response.json()
    if problem.get("type") in MET or _is_beyond_a_schema(case.body, problem):
        return
    raise AssertionError(f"refused, though the contract allows it: {problem}")


@schemathesis.check
def deleted_tasks_are_gone(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> bool | None:
    """Fail if a task can be used after it was deleted, unless it was restored."""
    sent = ctx.internals.find_all_cases()
    if any(one.path.endswith("/restore") or '"restore"' in json.dumps(one.body, default=str) for one in sent):
        return None
    return use_after_free(ctx, response, case)


def _is_beyond_a_schema(body: Any, problem: dict[str, Any]) -> bool:
    """Whether a body is invalid by a rule that no schema describes."""
    faults = {fault["pointer"].rpartition("/")[2]: fault["detail"] for fault in problem.get("errors", ())}
    if any(words in detail for detail in (*faults.values(), problem.get("detail", "")) for words in BEYOND):
        return True
    # The length is counted in NFC, in which a few texts are longer.
    texts = {name: body.get(name) for name in faults} if isinstance(body, dict) else {}
    return bool(texts) and all(
        isinstance(text, str) and len(unicodedata.normalize("NFC", text)) > LONGEST.get(name, len(text))
        for name, text in texts.items()
    )
