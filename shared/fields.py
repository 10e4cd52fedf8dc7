"""The fields of a task: types, limits and validators.

Validators are functions of this module, because the build refers to them by name (artifacts/freeze.py).
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import groupby
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from shared.positions import LONGEST, PATTERN

TITLE_LENGTH = 255
DESCRIPTION_LENGTH = 8192
PRIORITY_MOST = 9
TAG_LENGTH = 50
TAGS_MOST = 20
LIST_KEY_LENGTH = 64
LIST_KEY = rf"[A-Za-z0-9._~@:+=-]{{1,{LIST_KEY_LENGTH}}}"
METADATA_KEY_LENGTH = 40
METADATA_KEY = rf"[A-Za-z0-9_.:-]{{1,{METADATA_KEY_LENGTH}}}"
METADATA_VALUE_LENGTH = 500
METADATA_MOST = 20
METADATA_BYTES = 2048
# The maximum number of successive combining marks in a long text. Real text has fewer than ten.
MARKS_MOST = 1000
TASK_ID_LENGTH = 36
# Longer than every valid due date and time zone, so that a client that sends an offset learns what is wrong.
DUE_LENGTH = 40
TIME_ZONE_LENGTH = 64
# The maximum number of digits of a number in a query.
NUMBER_LENGTH = 100
TOKEN_LENGTH = 512
# The maximum number of characters in the id of a user: that of OpenID Connect Core 1.0, section 2.
USER_ID_LENGTH = 255
# Every subject that this standard allows, if its characters are printable.
USER_ID = re.compile(rf"[ -~]{{1,{USER_ID_LENGTH}}}")

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# A response has lowercase letters. A request may have uppercase ones, too (RFC 9562, section 4).
ANY_UUID = UUID.replace("a-f", "a-fA-F")
TASK_ID = re.compile(UUID)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The longest RFC 3339 time that is accepted: with nanoseconds and an offset.
_TIME_LENGTH = 40
_TWO_DIGITS = [f"{number:02}" for number in range(60)]
_DUE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")
# The sort key of tasks without a due date. It is after all due dates.
NO_DUE_DATE = "9999-99-99T99:99:99Z"
_OFFSET = re.compile(r".*T.*(Z|[+-][0-9]{2}:?([0-9]{2})?)", re.IGNORECASE)
# For the contract: due dates, except that every month has 31 days.
_DUE_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)?$"
# For the contract: the rule for a title in addition to its length.
_NOT_BLANK = r"^[^\x00]*[^\s\x00-\x1f][^\x00]*$"
_NO_NUL = r"^[^\x00]*$"
# For the contract: no control character, and one that is no white space. A pattern that works in all languages cannot
# name the other invisible characters.
_TAG_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"


def rfc3339(milliseconds: int) -> str:
    """Format milliseconds since 1970 as an RFC 3339 time in UTC."""
    # A page contains hundreds of times, and datetime.isoformat takes twice as long.
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    two = _TWO_DIGITS
    return f"{_date(days)}T{two[hour]}:{two[minute]}:{two[second]}.{milliseconds:03}Z"


@lru_cache(1024)
def _date(days: int) -> str:
    return (_EPOCH + timedelta(days)).date().isoformat()


def milliseconds(time: object) -> int | None:
    """Return an RFC 3339 time in milliseconds since 1970; None if it is no such time, or before 1970."""
    try:
        moment = datetime.fromisoformat(_limited(_TIME_LENGTH, time)) if isinstance(time, str) else None
    except (PydanticCustomError, ValueError):
        return None
    if moment is None or moment.tzinfo is None or moment < _EPOCH:
        return None
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _text(longest: int, text: str) -> str:
    """Normalize a text to NFC, and check its length in code points before and after that."""
    # A character in NFC replaces at most four code points, so a longer text stays too long.
    if len(text) > 4 * longest:
        return _limited(longest, text)
    _no_nul(text)
    # The time to normalize successive combining marks grows with the square of their number.
    if len(text) > MARKS_MOST and _longest_run_of_marks(text) > MARKS_MOST:
        raise PydanticCustomError("marks", "Must have at most {most} combining marks in a row", {"most": MARKS_MOST})
    return _limited(longest, unicodedata.normalize("NFC", text))


def at_most(longest: int) -> AfterValidator:
    """The first rule of a text. The time of the other rules can grow with the square of the length, or faster."""
    return AfterValidator(partial(_limited, longest))


def _limited(longest: int, text: str) -> str:
    if len(text) > longest:
        raise PydanticCustomError(
            "text_too_long",
            "Must have at most {longest} characters, not {length}",
            {"longest": longest, "length": len(text)},
        )
    return text


def _longest_run_of_marks(text: str) -> int:
    if text.isascii():
        return 0
    runs = groupby(text, key=lambda character: unicodedata.combining(character) > 0)
    return max((sum(1 for _ in run) for is_mark, run in runs if is_mark), default=0)


# Invisible characters: separators, controls, formats, marks without a base, and these, which Unicode counts as
# letters and symbols: the Hangul fillers and the empty Braille pattern.
_INVISIBLE = ("Z", "Cc", "Cf", "M")
_FILLERS = "\u115f\u1160\u3164\uffa0\u2800"


def _not_blank(text: str) -> str:
    if all(character in _FILLERS or unicodedata.category(character).startswith(_INVISIBLE) for character in text):
        raise PydanticCustomError("blank", "Must have a character that is visible")
    return text


def _due(text: str) -> str:
    """Parse a day, or a day and a time, without a zone. Seconds are added."""
    form = _DUE.fullmatch(text)
    if form is None:
        if _OFFSET.fullmatch(text):
            message = (
                "Must not have an offset: send the local time, such as 2026-12-24T17:00:00. "
                "A task names its zone in time_zone"
            )
        else:
            message = "Must be a day, such as 2026-12-24, or a local time, such as 2026-12-24T17:00:00"
        raise PydanticCustomError("due", message)
    text = f"{text}:00" if form[2] and not form[3] else text
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("due", "Must be a day and a time that exist") from None
    return text


def due_slot(due: str | None) -> str:
    """Return the sort key of a due date, 20 characters: a day sorts after its last minute, and no due date is last.

    The Z is padding: the time is local.
    """
    if due is None:
        return NO_DUE_DATE
    return f"{due}Z" if "T" in due else f"{due}T24:00:00Z"


def _time_zone(name: str) -> str:
    from shared.time_zones import TIME_ZONES  # noqa: PLC0415 - 600 names, which few requests need

    if name not in TIME_ZONES:
        raise PydanticCustomError("time_zone", "Must be the name of an IANA time zone, such as Europe/Berlin")
    return name


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "Must not contain the NUL character")
    return text


def _tag(text: str) -> str:
    text = _text(TAG_LENGTH, text)
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise PydanticCustomError("control", "Must not contain control characters")
    return _not_blank(text.strip())


def _task_id(text: str) -> str:
    if not TASK_ID.fullmatch(text := text.lower()):
        raise PydanticCustomError("task_id", "Must be a UUID")
    return text


def _tags(tags: list[str]) -> list[str]:
    tags = sorted(set(tags))
    if len(tags) > TAGS_MOST:
        raise PydanticCustomError(
            "too_many_tags",
            "Must be at most {most} different tags, not {count}",
            {"most": TAGS_MOST, "count": len(tags)},
        )
    return tags


def _list_key(key: str) -> str:
    if not re.fullmatch(LIST_KEY, key):
        raise PydanticCustomError("list_key", "Must have 1 to 64 of the characters A-Z a-z 0-9 . _ ~ @ : + = -")
    return key


def _position(position: str) -> str:
    if not re.fullmatch(PATTERN, position):
        raise PydanticCustomError("position", "Must have only the characters 0-9 a-z, and no 0 at the end")
    return position


def _token(token: str) -> str:
    if not token:
        raise PydanticCustomError("empty", "Must not be empty")
    return token


def _metadata_key(key: str) -> str:
    if not re.fullmatch(METADATA_KEY, key):
        raise PydanticCustomError("metadata_key", "Must have 1 to 40 of the characters A-Z a-z 0-9 _ . : -")
    return key


def _metadata(metadata: dict[str, str]) -> dict[str, str]:
    fault = metadata_fault(metadata)
    if fault is not None:
        raise PydanticCustomError("metadata", "{fault}", {"fault": fault})
    return metadata


def metadata_fault(metadata: dict[str, str]) -> str | None:
    """Return what is wrong with the size of metadata, or None."""
    if len(metadata) > METADATA_MOST:
        return f"Must have at most {METADATA_MOST} members, not {len(metadata)}"
    size = sum(len(key) + len(value.encode()) for key, value in metadata.items())
    if size > METADATA_BYTES:
        return f"Must have at most {METADATA_BYTES} bytes in UTF-8, keys and values together, not {size}"
    return None


def _whole(number: object) -> object:
    """Accept a number such as 5.0, which is a whole number in JSON."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def digits(text: object) -> object:
    """Accept only digits in a query parameter, not +1 or 1_0."""
    if isinstance(text, str) and not (_limited(NUMBER_LENGTH, text).isascii() and text.isdecimal()):
        raise PydanticCustomError("whole_number", "Must be a whole number of 1 or more")
    return text


TaskId = Annotated[
    str, at_most(TASK_ID_LENGTH), AfterValidator(_task_id), Field(json_schema_extra={"pattern": f"^{ANY_UUID}$"})
]
Title = Annotated[
    str,
    AfterValidator(partial(_text, TITLE_LENGTH)),
    AfterValidator(_not_blank),
    Field(json_schema_extra={"minLength": 1, "maxLength": TITLE_LENGTH, "pattern": _NOT_BLANK}),
]
Description = Annotated[
    str,
    AfterValidator(partial(_text, DESCRIPTION_LENGTH)),
    Field(json_schema_extra={"maxLength": DESCRIPTION_LENGTH, "pattern": _NO_NUL}),
]
Due = Annotated[str, at_most(DUE_LENGTH), AfterValidator(_due), Field(json_schema_extra={"pattern": _DUE_PATTERN})]
TimeZone = Annotated[
    str,
    at_most(TIME_ZONE_LENGTH),
    AfterValidator(_time_zone),
    Field(json_schema_extra={"pattern": r"^[A-Za-z0-9_+/-]+$"}),
]
# A cursor or a sync token, which the server made.
Token = Annotated[
    str,
    at_most(TOKEN_LENGTH),
    Field(json_schema_extra={"minLength": 1, "maxLength": TOKEN_LENGTH}),
    AfterValidator(_token),
]
Priority = Annotated[int, Field(ge=0, le=PRIORITY_MOST), BeforeValidator(_whole)]
Tag = Annotated[
    str,
    AfterValidator(_tag),
    Field(json_schema_extra={"minLength": 1, "maxLength": TAG_LENGTH, "pattern": _TAG_PATTERN}),
]
Tags = Annotated[list[Tag], AfterValidator(_tags)]
# In a model that has a field `list`, the type of that name cannot be used.
Texts = list[str]
ListKey = Annotated[
    str, at_most(LIST_KEY_LENGTH), AfterValidator(_list_key), Field(json_schema_extra={"pattern": f"^{LIST_KEY}$"})
]
Position = Annotated[
    str, at_most(LONGEST), AfterValidator(_position), Field(json_schema_extra={"pattern": f"^{PATTERN}$"})
]
_Key = Annotated[str, at_most(METADATA_KEY_LENGTH), AfterValidator(_metadata_key)]
_Value = Annotated[
    str,
    at_most(METADATA_VALUE_LENGTH),
    AfterValidator(_no_nul),
    Field(json_schema_extra={"maxLength": METADATA_VALUE_LENGTH, "pattern": _NO_NUL}),
]
Metadata = Annotated[
    dict[_Key, _Value],
    AfterValidator(_metadata),
    Field(json_schema_extra={"maxProperties": METADATA_MOST, "propertyNames": {"pattern": f"^{METADATA_KEY}$"}}),
]
Timestamp = Annotated[
    int,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
MetadataPatch = Annotated[
    dict[_Key, _Value | None], Field(json_schema_extra={"propertyNames": {"pattern": f"^{METADATA_KEY}$"}})
]
