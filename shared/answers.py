"""DynamoDB's answers: checked, and read without botocore's parser.

The parser probes each of the ten types that a value may have, for every value: of a page of 50 tasks it is two thirds
of the work. On the wire an answer has the shape that the parser gives it, blobs and times aside, and no item of ours
has any of those. So the body of a success is read by the JSON parser and handed over; errors go botocore's way.
"""

import json
import time
import zlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.parsers import ResponseParserError

# How many seconds this machine's clock was ahead of DynamoDB's, by the last answer.
skew = [0.0]


def read(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Read an answer, as a handler of botocore's before-parse. Raises ResponseParserError for what is garbled."""
    headers: Mapping[str, str] = response_dict["headers"]
    date = headers.get("date")
    if date is not None:
        skew[0] = time.time() - parsedate_to_datetime(date).timestamp()
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
