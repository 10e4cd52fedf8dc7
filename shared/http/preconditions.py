"""Parses the headers If-Match and If-None-Match (RFC 9110, section 13.1)."""

from collections.abc import Mapping

from shared.etags import Versions, versions_in
from shared.http import problems
from shared.tasks import Precondition


def write_precondition(headers: Mapping[str, str]) -> Precondition:
    """Return the precondition of a write. Raises a 400 problem for a malformed header.

    `If-None-Match: *` allows no version at all.
    """
    wanted = _header(headers, "if-match", weak=False)
    unwanted = _header(headers, "if-none-match", weak=True)
    if unwanted == "*":
        return Precondition(wanted=frozenset())
    return Precondition(None if wanted == "*" else wanted, unwanted or frozenset())


def must_create(headers: Mapping[str, str]) -> bool:
    """Whether a PUT with these headers creates the task (RFC 9110, section 13.1.2)."""
    return "if-match" not in headers and headers.get("if-none-match", "").strip(" \t") == "*"


def not_modified(headers: Mapping[str, str], version: int) -> bool:
    """Whether the response to a GET with these headers is 304. Raises a 400 problem for a malformed header."""
    known = _header(headers, "if-none-match", weak=True)
    return known is not None and (known == "*" or version in known)


def _header(headers: Mapping[str, str], name: str, *, weak: bool) -> Versions | None:
    try:
        return None if name not in headers else versions_in(headers[name], weak=weak)
    except ValueError as error:
        raise problems.bad_request("bad-etag", f"{name}: {error}.") from None
