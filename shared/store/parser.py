"""DynamoDB's answers: checked, and read by pydantic's JSON parser instead of botocore's walk through every value.

An answer has the shape that botocore would give it already, except for blobs and times, which no item of ours has.
botocore makes a copy of each value by a function of its type: two thirds of the work for a page of 50 tasks. DynamoDB's
checksum covers every value, so none needs a check of its own. Errors are still read by botocore.
"""

import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from botocore.model import OperationModel
from botocore.parsers import ResponseParserError
from pydantic_core import from_json

# How many seconds this machine's clock was ahead of DynamoDB's, by the last answer.
skew = [0.0]

_PARTS = {"Query": "Items", "TransactGetItems": "Responses"}


def read(
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    operation_model: OperationModel,
    **_: object,
) -> None:
    """Read an answer, as a handler of botocore's before-parse.

    Raises ResponseParserError for what is no answer of DynamoDB's: what became of the request is then unknown.
    """
    headers: Mapping[str, str] = response_dict["headers"]
    _note_skew(headers.get("date"))
    body: bytes = response_dict["body"]
    checksum = headers.get("x-amz-crc32")
    if checksum is not None and checksum != str(zlib.crc32(body)):
        raise ResponseParserError("The checksum of the answer is wrong.")
    try:
        answer = from_json(body)
    except ValueError as error:
        raise ResponseParserError("The answer is not JSON.") from error
    # botocore makes an empty answer of what is no object, which would read as "no such task".
    if not isinstance(answer, dict):
        raise ResponseParserError("The answer is not a JSON object.")
    status: int = response_dict["status_code"]
    if status == HTTPStatus.OK:
        if not _is_success(answer, operation_model.name):
            raise ResponseParserError("The answer is not one to this operation.")
        customized_response_dict.update(answer)
        response_dict["body"] = b"{}"
    elif status < HTTPStatus.BAD_REQUEST or not isinstance(answer.get("__type"), str):
        raise ResponseParserError("The answer is neither a success nor an error.")


def _is_success(answer: Mapping[str, Any], operation: str) -> bool:
    """Whether it has the part that each answer to this operation has."""
    part = _PARTS.get(operation)
    return "__type" not in answer and (part is None or isinstance(answer.get(part), list))


def _note_skew(date: str | None) -> None:
    # A date that cannot be read says nothing of the clock, and nothing of the answer.
    with suppress(ValueError, TypeError, OverflowError):
        if date is not None:
            skew[0] = time.time() - _seconds_of(date)


@lru_cache(1)  # most answers come within the second of the one before
def _seconds_of(date: str) -> float:
    """An HTTP date (RFC 9110, 5.6.7) in seconds since 1970."""
    return parsedate_to_datetime(date).timestamp()
