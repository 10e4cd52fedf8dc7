"""DynamoDB's answers: checked, and read by the JSON module instead of botocore's walk through every value.

An answer has the shape that botocore would give it already, except for blobs and times, which no item of ours has.
botocore tests each value for the ten types that it may have: two thirds of the work for a page of 50 tasks. Errors
are still read by botocore.
"""

import json
import time
import zlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from botocore.parsers import ResponseParserError

# How many seconds this machine's clock was ahead of DynamoDB's, by the last answer.
skew = [0.0]


def read(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Read an answer, as a handler of botocore's before-parse. Raises ResponseParserError for what is garbled."""
    headers: Mapping[str, str] = response_dict["headers"]
    date = headers.get("date")
    if date is not None:
        skew[0] = time.time() - _seconds_of(date)
    # Of an answer that is no JSON botocore makes an empty one, which would read as "no such task".
    body: bytes = response_dict["body"]
    checksum = headers.get("x-amz-crc32")
    if body[:1] + body[-1:] != b"{}" or (checksum is not None and int(checksum) != zlib.crc32(body)):
        raise ResponseParserError("not an answer of DynamoDB's")
    if response_dict["status_code"] < 300:  # noqa: PLR2004 - successes
        try:
            customized_response_dict.update(json.loads(body))
        except ValueError as error:
            raise ResponseParserError("not an answer of DynamoDB's") from error
        response_dict["body"] = b"{}"


@lru_cache(1)  # most answers come within the second of the one before
def _seconds_of(date: str) -> float:
    """An HTTP date (RFC 9110, 5.6.7) in seconds since 1970."""
    return parsedate_to_datetime(date).timestamp()
