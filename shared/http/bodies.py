"""Request bodies: parses JSON strictly and validates it against the model of the operation."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.http import problems
from shared.http.problems import Fault
from shared.models import TaskPatch

# A body in bytes. Text that is escaped as \uXXXX takes up to three times its bytes in UTF-8, so that each batch whose
# tasks can be stored (shared/store/sizes.py) fits into a body, escaped or not.
LIMIT = 1280 * 1024

JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
# The names of UTF-8, and of ASCII, which is a part of it.
_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii"}


def raw_body(event: Mapping[str, Any]) -> bytes:
    """Return the bytes of the body of an event. Raises a 400 or 413 problem."""
    body = event.get("body") or ""
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, ValueError):
        raise problems.bad_request("bad-encoding", "The body is not valid UTF-8. Encode it in UTF-8.") from None
    if len(raw) > LIMIT:
        raise problems.body_too_large(LIMIT)
    return raw


def accepted(model: type[BaseModel]) -> tuple[str, ...]:
    """The content types that a body of this model may have, the preferred one first."""
    return (_MERGE_PATCH, JSON) if model is TaskPatch else (JSON,)


def parse[Model: BaseModel](raw: bytes, headers: Mapping[str, str], model: type[Model]) -> Model:
    """Parse and validate a body. Raises a 400, 415 or 422 problem. A 422 problem lists the first 50 faults."""
    _check_media_type(headers, accepted(model))
    value = _json(raw)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # A large body may have 100,000 faults.
        faults = error.errors(include_url=False, include_input=False)
        raise problems.invalid_body([_fault(fault) for fault in faults]) from None


def _check_media_type(headers: Mapping[str, str], wanted: tuple[str, ...]) -> None:
    media_type, *parameters = (part.strip().lower() for part in headers.get("content-type", "").split(";"))
    charsets = {
        parameter.removeprefix("charset=").strip('"') for parameter in parameters if parameter.startswith("charset=")
    }
    codings = {coding.strip() for coding in headers.get("content-encoding", "").lower().split(",")}
    patch = {"Accept-Patch": ", ".join(wanted)} if _MERGE_PATCH in wanted else {}
    if not codings <= {"identity", ""}:
        detail = "Send the body without a content coding."
        raise problems.unsupported_media_type(detail, {**patch, "Accept-Encoding": "identity"})
    if media_type not in wanted or not charsets <= _CHARSETS:
        raise problems.unsupported_media_type(f"Send the body as {' or '.join(wanted)}, in UTF-8.", patch)


def _json(raw: bytes) -> object:
    try:
        text = raw.decode()
        if text.startswith("\ufeff"):
            detail = "The body begins with a byte order mark (U+FEFF). Send it without one."
            raise problems.bad_request("bad-json", detail)
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise problems.bad_request("bad-encoding", "The body is not valid UTF-8. Encode it in UTF-8.") from None
    except UnicodeEncodeError:
        raise problems.bad_request(
            "bad-json", "The body contains a lone surrogate, which is not a character. Remove it."
        ) from None
    except json.JSONDecodeError as error:
        fault = error.msg.removesuffix(" at")
        detail = f"The body is not valid JSON: {fault} at line {error.lineno}, column {error.colno}."
        raise problems.bad_request("bad-json", detail) from None
    except (ValueError, RecursionError):
        raise problems.bad_request(
            "bad-json", "The body is nested too deeply, or contains a number with too many digits."
        ) from None
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise problems.bad_request("duplicate-key", "An object in the body has the same key twice. Send each key once.")
    return value


def _no_constant(constant: str) -> NoReturn:
    raise problems.bad_request("bad-json", f"The body is not valid JSON: it contains {constant}.")


# By default, a decoder accepts duplicate keys and NaN. It also accepts lone surrogates.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def _fault(error: ErrorDetails) -> Fault:
    place = error["loc"]
    if place[:1] == ("operations",):
        # pydantic puts the kind of the operation after its index, but the body has no such level.
        place = place[:2] + place[3:]
    if place[-1:] == ("[key]",):
        place = place[:-1]  # pydantic marks a faulty key so, after the key itself
    pointer = "".join("/" + problems.shortened(str(part)).replace("~", "~0").replace("/", "~1") for part in place)
    return Fault(pointer=pointer, detail=problems.words_for(error))
