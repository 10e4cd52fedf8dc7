"""Checks the responses of DynamoDB, and parses them with pydantic's JSON parser instead of botocore's.

A parsed response already has the shape that botocore would produce, except for blobs and times, which our items do not
use. botocore copies every value with a function for its type, which takes two thirds of the time for a page of 50
tasks. The values are not checked one by one, because DynamoDB's checksum covers them all. botocore still parses errors.
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

_REQUIRED_MEMBERS: Mapping[str, Mapping[str, type]] = {
    "Query": {"Count": int},  # a query that only counts has no items: Engine.query knows what it asked for
    "TransactGetItems": {"Responses": list},
    "BatchGetItem": {"Responses": dict, "UnprocessedKeys": dict},
    "BatchWriteItem": {"UnprocessedItems": dict},
}


class ClockSkew:
    """The seconds by which this machine's clock was ahead of DynamoDB's at the last response."""

    seconds: float = 0.0


clock_skew = ClockSkew()


def read(
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    operation_model: OperationModel,
    **_: object,
) -> None:
    """Parse a response. Register this function as a handler of botocore's event before-parse.

    Raises ResponseParserError if the response does not come from DynamoDB or is damaged. It is then unknown whether
    the request was applied.
    """
    headers: Mapping[str, str] = response_dict["headers"]
    _measure_skew(headers.get("date"))
    body: bytes = response_dict["body"]
    checksum = headers.get("x-amz-crc32")
    if checksum is not None and checksum != str(zlib.crc32(body)):
        raise ResponseParserError("The checksum of the response is wrong.")
    try:
        response = from_json(body)
    except ValueError as error:
        raise ResponseParserError("The response is not JSON.") from error
    # botocore would read any other value as an empty response, and an empty GetItem response means "no such task".
    if not isinstance(response, dict):
        raise ResponseParserError("The response is not a JSON object.")
    status: int = response_dict["status_code"]
    if status == HTTPStatus.OK:
        if not _is_success(response, operation_model.name):
            raise ResponseParserError("The response does not fit the operation.")
        customized_response_dict.update(response)
        response_dict["body"] = b"{}"
    elif status < HTTPStatus.BAD_REQUEST or not isinstance(response.get("__type"), str):
        raise ResponseParserError("The response is neither a success nor an error.")


def _is_success(response: Mapping[str, Any], operation: str) -> bool:
    required = _REQUIRED_MEMBERS.get(operation, {})
    return "__type" not in response and all(isinstance(response.get(name), kind) for name, kind in required.items())


def _measure_skew(date: str | None) -> None:
    # A malformed date does not make the response invalid: keep the last measurement.
    with suppress(ValueError, TypeError, OverflowError):
        if date is not None:
            clock_skew.seconds = time.time() - _seconds_of(date)


@lru_cache(1)  # most responses have the same date, in whole seconds, as the one before
def _seconds_of(date: str) -> float:
    """Convert an HTTP date (RFC 9110, section 5.6.7) to seconds since 1970."""
    return parsedate_to_datetime(date).timestamp()
