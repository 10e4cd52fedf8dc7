"""The shape of a task: what clients send, what they get back, and the limits of every field."""

import re
import unicodedata
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    computed_field,
)
from pydantic_core import PydanticCustomError

TITLE_LENGTH = 255
DESCRIPTION_LENGTH = 1000
PAGE_LIMIT = 100
BATCH_LIMIT = 25
CHANGES_LIMIT = 500

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TASK_ID = re.compile(UUID)
_EPOCH = datetime(1970, 1, 1)  # in UTC
# For the contract: what a validator of a title asks for beside its length.
_NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"
_NO_NUL = r"^[^\x00]*$"

# The number of the form in which tasks are shown. Raise it whenever the form changes, so that every ETag does.
REPRESENTATION = 1


def etag_of(version: int) -> str:
    """The strong ETag (RFC 9110, 8.8.3) of a task at a version, quotes included."""
    return f'"{version}-{REPRESENTATION}"'


def rfc3339(milliseconds: int) -> str:
    """A time in milliseconds since 1970 as an RFC 3339 time in UTC."""
    # A page shows hundreds of times, and keyword arguments would make each a fifth slower.
    return (_EPOCH + timedelta(0, 0, 0, milliseconds)).isoformat("T", "milliseconds") + "Z"


def _text(longest: int, text: str) -> str:
    """The text in normal form, whose code points are counted as they will be stored: after that."""
    if "\0" in text:
        raise PydanticCustomError("nul", "Must not contain the NUL character")
    # To normalize takes time with the square of the length. No character of a text in form NFC stands for more than
    # four code points, so a text that is longer than this stays too long, and is refused at once.
    if len(text) <= 4 * longest:
        text = unicodedata.normalize("NFC", text)
    if len(text) > longest:
        raise PydanticCustomError(
            "too_long",
            "Must have at most {longest} characters, not {length}",
            {"longest": longest, "length": len(text)},
        )
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "Must not be blank")
    return text


def _digits(text: object) -> object:
    if isinstance(text, str) and not (text.isascii() and text.isdecimal()):
        raise PydanticCustomError("whole_number", "Must be a whole number of 1 or more")
    return text


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
Timestamp = Annotated[
    int,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Status = Literal["open", "completed", "deleted", "all"]
Order = Literal["asc", "desc"]


class Model(BaseModel):
    """What all models share: each is built when it is first used, since a function uses but a few."""

    model_config = ConfigDict(defer_build=True)


class Input(Model):
    """What a client sends: nothing is converted, nothing unknown is let through."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NewTask(Input):
    """A task to create."""

    title: Title
    """Stored in Unicode form NFC, and its length counted so; not blank."""
    description: Description | None = None
    """Stored in Unicode form NFC, and its length counted so."""
    completed: bool = False


class TaskReplacement(Input):
    """A task as it shall be. What the server alone sets is ignored, so that a task that was read can be sent back."""

    title: Title
    """Stored in Unicode form NFC, and its length counted so; not blank."""
    description: Description | None
    """Stored in Unicode form NFC, and its length counted so."""
    completed: bool

    id: object = Field(None, exclude=True)
    user_id: object = Field(None, exclude=True)
    completed_at: object = Field(None, exclude=True)
    created_at: object = Field(None, exclude=True)
    updated_at: object = Field(None, exclude=True)
    version: object = Field(None, exclude=True)
    etag: object = Field(None, exclude=True)

    def changes(self) -> dict[str, str | bool | None]:
        """Every mutable field with its value."""
        return self.model_dump()


class TaskPatch(Input):
    """A JSON merge patch (RFC 7396) of a task: what is absent stays, and null clears a description."""

    title: Title = ""
    """Stored in Unicode form NFC, and its length counted so; not blank."""
    description: Description | None = None
    """Stored in Unicode form NFC, and its length counted so; null clears it."""
    completed: bool = False

    def changes(self) -> dict[str, str | bool | None]:
        """The fields that the patch names, with their values."""
        return self.model_dump(exclude_unset=True)


class Task(Model):
    """A task of one user."""

    model_config = ConfigDict(frozen=True)

    id: str
    """A UUID of version 7: tasks sort by it in the order of their creation."""
    user_id: str
    title: str
    description: str | None
    completed: bool
    completed_at: Timestamp | None
    """When it was completed last; null for an open task."""
    created_at: Timestamp
    updated_at: Timestamp
    version: int
    """How often it was written."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property: python/mypy#1362
    @property
    def etag(self) -> str:
        """The value to send as If-Match or If-None-Match."""
        return etag_of(self.version)


class DeletedTask(Task):
    """A task in the trash."""

    deleted_at: Timestamp
    purge_at: Timestamp
    """When it is gone for good."""


class TaskPage(Model):
    """Some tasks of a list. Only a null next_cursor ends the list; a page may be short, or empty, before."""

    items: list[Task | DeletedTask]
    next_cursor: str | None


class Cleared(Model):
    """What clearing the completed tasks did: how many went to the trash, and whether more are left to clear."""

    cleared: int
    more: bool


class BatchResult(Model):
    """What became of one operation of a batch; a deleted task is not shown."""

    op: Literal["create", "update", "toggle", "delete", "restore"]
    id: str
    task: Task | None


class BatchResults(Model):
    """The results of a batch, in the order of its operations."""

    results: list[BatchResult]


class Tombstone(Model):
    """What is left of a deleted task for those who keep copies."""

    id: str
    deleted: Literal[True]
    version: int
    deleted_at: Timestamp


class Changes(Model):
    """What has changed, and the token to go on from: at once while has_more is true, else whenever one likes."""

    items: list[Task | Tombstone]
    next_since: str
    has_more: bool


class NoQuery(Model):
    """A route that takes no query parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskQuery(NoQuery):
    """Which tasks to list, and how."""

    status: Status = "all"
    """Which tasks: all are those that are not deleted, and deleted is the trash."""
    order: Order = "asc"
    """By creation; the trash by deletion."""
    limit: Annotated[int, Field(ge=1), BeforeValidator(_digits)] = 50
    """How many tasks a page has at most; above 100 means 100."""
    cursor: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """The next_cursor of the page before, of the same user, status and order."""

    @property
    def page_size(self) -> int:
        """The limit, or the largest page where it asks for more."""
        return min(self.limit, PAGE_LIMIT)

    def following(self, cursor: str) -> Self:
        """The query for the page that begins at the cursor."""
        return self.model_copy(update={"cursor": cursor})


class ChangesQuery(NoQuery):
    """Since when to list changes; without a token, everything that there is."""

    since: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """The next_since of the page before; without it, everything that there is."""
    limit: Annotated[int, Field(ge=1), BeforeValidator(_digits)] = 100
    """How many items a page has at most; above 500 means 500."""

    @property
    def page_size(self) -> int:
        """The limit, or the largest page where it asks for more."""
        return min(self.limit, CHANGES_LIMIT)


class ClearQuery(NoQuery):
    """Which tasks to clear: it must be said, so that nothing is ever cleared by mistake."""

    status: Literal["completed"]
    """None but `completed`; it must be said."""
