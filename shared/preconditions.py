"""If-Match and If-None-Match (RFC 9110, section 13.1)."""

import re
from collections.abc import Mapping
from typing import Literal

from shared import problems
from shared.models import REPRESENTATION
from shared.tasks import Precondition

# How many ETags a header may name: more than any client needs.
MOST_TAGS = 100

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
# What a header may hold, for the contract: * or a list of tags.
ETAGS = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'
_OURS = re.compile(rf'"([1-9][0-9]{{0,14}})-{REPRESENTATION}"')


def if_match(value: str) -> Precondition:
    """The precondition that a value of If-Match stands for. Raises ValueError, with words, where it is malformed."""
    wanted = _versions(value, weak=False)
    return Precondition(None if wanted == "*" else wanted)


def write_precondition(headers: Mapping[str, str]) -> Precondition:
    """The precondition of a write. Raises a 400 problem for a malformed header.

    `If-None-Match: *` allows no version at all: no write here creates under an id of the client's.
    """
    wanted = _header(headers, "if-match", weak=False)
    unwanted = _header(headers, "if-none-match", weak=True)
    if unwanted == "*":
        return Precondition(wanted=frozenset())
    return Precondition(None if wanted == "*" else wanted, unwanted or frozenset())


def not_modified(headers: Mapping[str, str], version: int) -> bool:
    """Whether a GET with these headers is to be answered 304. Raises a 400 problem for a malformed header."""
    known = _header(headers, "if-none-match", weak=True)
    return known is not None and (known == "*" or version in known)


def _header(headers: Mapping[str, str], name: str, *, weak: bool) -> frozenset[int] | Literal["*"] | None:
    try:
        return None if name not in headers else _versions(headers[name], weak=weak)
    except ValueError as error:
        raise problems.bad_request("bad-etag", f"{name}: {error}.") from None


def _versions(value: str, *, weak: bool) -> frozenset[int] | Literal["*"]:
    if value.strip(" \t") == "*":
        return "*"
    # The tags are found before the value is split, since a tag may hold a comma.
    tags = _TAG.findall(value)
    if not tags or any(part.strip(" \t") not in ("", "tag") for part in _TAG.sub("tag", value).split(",")):
        raise ValueError('Must be * or a list of quoted ETags, such as "3-1"')
    if weak:
        tags = [tag.removeprefix("W/") for tag in tags]
    versions = frozenset(int(ours[1]) for tag in tags if (ours := _OURS.fullmatch(tag)))
    if len(versions) > MOST_TAGS:
        raise ValueError(f"May name at most {MOST_TAGS} ETags")
    return versions
