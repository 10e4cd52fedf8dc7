"""DynamoDB's answers: checked, and read by the JSON module instead of botocore's walk through every value.

An answer has the shape that botocore would give it already, except for blobs and times, which no item of ours has.
botocore tests each value for the ten types that it may have: two thirds of the work for a page of 50 tasks. Errors
are still read by botocore.
"""

import json
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

# How many seconds this machine's clock was ahead of DynamoDB's, by the last answer.
skew = [0.0]


# What an answer that is no error holds, where it holds it, and the operations whose answer always does.
_MEMBERS = {"Item": dict, "Attributes": dict, "Items": list, "Responses": list, "LastEvaluatedKey": dict}
_REQUIRED = {"Query": "Items", "TransactGetItems": "Responses"}


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
    answer = _parsed(body)
    status: int = response_dict["status_code"]
    if status == HTTPStatus.OK:
        required = _REQUIRED.get(operation_model.name)
        if "__type" in answer or (required is not None and required not in answer) or not _is_shaped(answer):
            raise ResponseParserError("The answer is not one to this operation.")
        customized_response_dict.update(answer)
        response_dict["body"] = b"{}"
    elif status < HTTPStatus.BAD_REQUEST or not _is_error(answer):
        raise ResponseParserError("The answer is neither a success nor an error.")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ResponseParserError("The answer is not JSON.") from error
    # botocore makes an empty answer of what is no object, which would read as "no such task".
    if not isinstance(answer, dict):
        raise ResponseParserError("The answer is not a JSON object.")
    return answer


def _is_shaped(answer: Mapping[str, Any]) -> bool:
    return all(isinstance(answer[name], kind) for name, kind in _MEMBERS.items() if name in answer)


def _is_error(answer: Mapping[str, Any]) -> bool:
    """Whether it names its error, and has what botocore and the store look into, in the types that they expect."""
    reasons = answer.get("CancellationReasons", [])
    return (
        isinstance(answer.get("__type"), str)
        and isinstance(reasons, list)
        and all(isinstance(reason, dict) for reason in reasons)
        and all(isinstance(one.get("Item"), dict | None) for one in (answer, *reasons))
    )


def _note_skew(date: str | None) -> None:
    # A date that cannot be read says nothing of the clock, and nothing of the answer.
    with suppress(ValueError, TypeError, OverflowError):
        if date is not None:
            skew[0] = time.time() - _seconds_of(date)


@lru_cache(1)  # most answers come within the second of the one before
def _seconds_of(date: str) -> float:
    """An HTTP date (RFC 9110, 5.6.7) in seconds since 1970."""
    return parsedate_to_datetime(date).timestamp()
