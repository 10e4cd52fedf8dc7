"""How many tasks of a page fit into a response: Lambda refuses a response that is too large, and the client gets a 500.

Lambda sends the JSON of the body as a string inside the JSON of the response, so it encodes each text twice. DynamoDB
returns at most 1 MB for a page, but it stores a control character in one byte, and Lambda sends it in seven.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic_core import to_json

from shared.fields import (
    DESCRIPTION_LENGTH,
    LIST_KEY_LENGTH,
    METADATA_BYTES,
    TAG_LENGTH,
    TAGS_MOST,
    TITLE_LENGTH,
    USER_ID_LENGTH,
)
from shared.models import Task
from shared.positions import LONGEST

# Lambda's limit for a response, in bytes.
RESPONSE_BYTES: Final = 6_291_556
# The part of a response that is not its tasks: the status, the headers with the link to the next page, and the cursor
# of the body. They repeat parts of the request, which has at most 10,240 bytes without its body.
RESERVE: Final = 16_384
ROOM: Final = RESPONSE_BYTES - RESERVE

# An upper bound of the size of a task. A character takes at most seven bytes: Lambda sends U+0001 as \\u0001.
_TEXTS = (
    TITLE_LENGTH
    + DESCRIPTION_LENGTH
    + TAGS_MOST * TAG_LENGTH
    + METADATA_BYTES
    + LIST_KEY_LENGTH
    + LONGEST  # of a position
    + 2 * USER_ID_LENGTH  # the owner, and who made this version
)
# The names of the fields, the id, the ETag, the times, the numbers, the time zone, and the quotes of all texts.
_OTHERS = 2048
LARGEST_TASK: Final = 7 * _TEXTS + _OTHERS
# A page of this number of tasks needs no measurement.
SURE_TO_FIT: Final = ROOM // LARGEST_TASK


def fitting(page: Sequence[Task]) -> int:
    """Return the number of tasks of a page, from its beginning, that fit into a response: at least one."""
    if len(page) <= SURE_TO_FIT:
        return len(page)
    room = ROOM
    for index, task in enumerate(page):
        room -= size_of(task)
        if room < 0:
            return max(index, 1)
    return len(page)


def size_of(task: Task) -> int:
    """Return the number of bytes of a task in what Lambda sends, with the comma behind it.

    The encoder of Lambda's runtime for Python 3.13 escapes the same characters as pydantic_core, and no others.
    """
    quotes, comma = 2, 1
    return len(to_json(task.model_dump_json())) - quotes + comma
