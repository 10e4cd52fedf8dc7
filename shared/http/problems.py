"""The error responses of the API: problem details (RFC 9457)."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, NotRequired, Self, TypedDict

from pydantic import Field
from pydantic_core import ErrorDetails

# The most faults that a response lists, and the most characters of client input that one of its texts repeats.
MOST_FAULTS = 50
LONGEST_TEXT = 200

# What is wrong, for each of pydantic's types of errors. Its own messages use the words of Python.
_MUST_BE_AN_OBJECT = "Must be a JSON object"
_MUST_BE_A_WHOLE_NUMBER = "Must be a whole number"
_WORDS = {
    "missing": "Must be present",
    "extra_forbidden": "Must not be present, because this name is unknown",
    "invalid_key": "Must not be present, because this name is not valid Unicode",
    "model_type": _MUST_BE_AN_OBJECT,
    "model_attributes_type": _MUST_BE_AN_OBJECT,
    "dict_type": _MUST_BE_AN_OBJECT,
    "list_type": "Must be a JSON array",
    "string_type": "Must be a string",
    "string_unicode": "Must be valid Unicode",
    "bool_type": "Must be true or false",
    "int_type": _MUST_BE_A_WHOLE_NUMBER,
    "int_from_float": _MUST_BE_A_WHOLE_NUMBER,
    "int_parsing": _MUST_BE_A_WHOLE_NUMBER,
    "greater_than_equal": "Must be {ge} or more",
    "less_than_equal": "Must be {le} or less",
    "literal_error": "Must be {expected}",
    "too_short": "Must have at least {min_length} of them, not {actual_length}",
    "too_long": "Must have at most {max_length} of them, not {actual_length}",
    "union_tag_not_found": "Must have an op",
    "union_tag_invalid": "Must have an op that is one of {expected_tags}",
}


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


def unnamed_service() -> Problem:
    """403: the token has the service scope, but the deployment does not name its subject as a service."""
    return Problem(
        403,
        "unnamed-service",
        "Unnamed service",
        "This token has the service scope, but its subject is not one of the ServiceCallers of this deployment. As a "
        "user, send a token without this scope.",
    )


def no_tenant() -> Problem:
    """403: the token does not name the tenant of the caller."""
    return Problem(403, "no-tenant", "No tenant", "This token does not name a tenant. Send a token of your tenant.")


def body_too_large(limit: int) -> Problem:
    """413: the body is larger than `limit`, in bytes."""
    return Problem(
        413, "body-too-large", "Content too large", f"The body is larger than {limit} bytes. Send a smaller body."
    )


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


def words_for(error: ErrorDetails) -> str:
    """Say what is wrong with a value: in our words for an error of pydantic, and as it is for an error of our rules."""
    words = _WORDS.get(error["type"])
    return shortened(error["msg"] if words is None else words.format(**error.get("ctx", {})))


def shortened(text: str) -> str:
    """Cut a text that may repeat client input to 200 characters."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


def unavailable(kind: str, detail: str, retry_after: int) -> Problem:
    """503: the request cannot be completed now. `retry_after` is in seconds."""
    return Problem(503, kind, "Service unavailable", detail, headers={"Retry-After": str(retry_after)})
