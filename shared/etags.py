"""ETags of tasks (RFC 9110, section 8.8.3), and the lists of them in If-Match and If-None-Match (section 13.1)."""

import re
from typing import Literal

from shared.models import REPRESENTATION
from shared.tasks import Precondition

# The maximum number of ETags in a list: more than any client needs.
MOST_TAGS = 100
# The maximum length of a list. API Gateway accepts 10,240 bytes for all headers together.
MOST_CHARACTERS = 10_240

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
# The pattern of the headers in the contract: * or tags.
ETAGS = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'
_OURS = re.compile(rf'"([1-9][0-9]{{0,14}})-{REPRESENTATION}"')

type Versions = frozenset[int] | Literal["*"]


def if_match(value: str) -> Precondition:
    """Parse a value of If-Match. Raises ValueError, with a message, if it is malformed."""
    wanted = versions_in(value, weak=False)
    return Precondition(None if wanted == "*" else wanted)


def versions_in(value: str, *, weak: bool) -> Versions:
    """Return the versions that a list of ETags names, or `*`. Other ETags match no version.

    With `weak`, `W/"3-1"` also names version 3. Raises ValueError, with a message, if the value is malformed.
    """
    if len(value) > MOST_CHARACTERS:
        raise ValueError(f"Must have at most {MOST_CHARACTERS} characters")
    if value.strip(" \t") == "*":
        return "*"
    # Find the tags before splitting the value, because a tag may contain a comma.
    tags = _TAG.findall(value)
    if not tags or any(part.strip(" \t") not in ("", "tag") for part in _TAG.sub("tag", value).split(",")):
        raise ValueError('Must be * or a list of quoted ETags, such as "3-1"')
    if weak:
        tags = [tag.removeprefix("W/") for tag in tags]
    versions = frozenset(int(ours[1]) for tag in tags if (ours := _OURS.fullmatch(tag)))
    if len(versions) > MOST_TAGS:
        raise ValueError(f"May name at most {MOST_TAGS} ETags")
    return versions
