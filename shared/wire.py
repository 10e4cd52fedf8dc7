"""DynamoDB's answers: checked, and read by the JSON module instead of botocore's walk through every value.

An answer has the shape that botocore would give it already, except for blobs and times, which no item of ours has.
botocore makes a copy of each value by a function of its type: two thirds of the work for a page of 50 tasks. Here each
value is only checked to have its type, so that no garbled one is met later. Errors are still read by botocore.
"""

import json
import re
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from botocore.model import OperationModel
from botocore.parsers import ResponseParserError

# How many seconds this machine's clock was ahead of DynamoDB's, by the last answer.
skew = [0.0]

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?")
# Items of this release have only the first four. A newer release may store the others.
_TYPES: Mapping[str, Any] = {
    "S": str,
    "N": str,
    "L": list,
    "M": dict,
    "BOOL": bool,
    "NULL": bool,
    "B": str,
    "SS": list,
    "NS": list,
    "BS": list,
}


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
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
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
    elif status < HTTPStatus.BAD_REQUEST or not _is_error(answer):
        raise ResponseParserError("The answer is neither a success nor an error.")


def _is_success(answer: Mapping[str, Any], operation: str) -> bool:
    """Whether it has what the operation's answer always has, and each part that the store looks into in its type."""
    items = answer.get("Items", None if operation == "Query" else [])
    responses = answer.get("Responses", None if operation == "TransactGetItems" else [])
    return (
        "__type" not in answer
        and isinstance(items, list)
        and isinstance(responses, list)
        and all(map(_is_item, items))
        and all(isinstance(one, dict) for one in responses)
        and all(_is_item(one["Item"]) for one in (answer, *responses) if "Item" in one)
        and _is_item(answer.get("LastEvaluatedKey", {}))
    )


def _is_error(answer: Mapping[str, Any]) -> bool:
    """Whether it names its error, and each part that botocore and the store look into is in its type."""
    reasons = answer.get("CancellationReasons", [])
    return (
        isinstance(answer.get("__type"), str)
        and isinstance(reasons, list)
        and all(isinstance(reason, dict) and isinstance(reason.get("Code"), str | None) for reason in reasons)
        and all(_is_item(one["Item"]) for one in (answer, *reasons) if one.get("Item") is not None)
    )


def _is_item(value: Any) -> bool:
    try:
        return _are_attributes(value.values())
    except (AttributeError, ValueError, RecursionError):
        return False


def _are_attributes(values: Iterable[Any]) -> bool:
    """Whether each is a value of DynamoDB's, like {"S": "text"}. Raises for one that is not an object of one member."""
    for value in values:
        ((kind, inner),) = value.items()
        if type(inner) is not _TYPES.get(kind):
            return False
        if kind == "S":
            continue
        if kind == "N" and not (inner.isdecimal() or _NUMBER.fullmatch(inner)):
            return False
        if kind == "L" and not _are_attributes(inner):
            return False
        if kind == "M" and not _are_attributes(inner.values()):
            return False
    return True


def _note_skew(date: str | None) -> None:
    # A date that cannot be read says nothing of the clock, and nothing of the answer.
    with suppress(ValueError, TypeError, OverflowError):
        if date is not None:
            skew[0] = time.time() - _seconds_of(date)


@lru_cache(1)  # most answers come within the second of the one before
def _seconds_of(date: str) -> float:
    """An HTTP date (RFC 9110, 5.6.7) in seconds since 1970."""
    return parsedate_to_datetime(date).timestamp()
