"""The models of the API: what clients send, and what they get back."""

from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, computed_field, model_validator
from pydantic_core import PydanticCustomError

from shared.fields import (
    PRIORITY_MOST,
    USER_ID_LENGTH,
    Description,
    Due,
    ListKey,
    Metadata,
    MetadataPatch,
    Position,
    Priority,
    Tag,
    Tags,
    TaskId,
    Texts,
    Timestamp,
    TimeZone,
    Title,
    Token,
    at_most,
    digits,
    due_slot,
)

PAGE_LIMIT = 100
BATCH_LIMIT = 25
CHANGES_LIMIT = 500

# The version of the JSON of tasks in responses. Increase it if this JSON changes, so that every ETag changes.
REPRESENTATION = 1


# Imported tasks have versions above 2^31. Generators of clients make 32 bits of an integer without this format.
Version = Annotated[int, Field(json_schema_extra={"format": "int64"})]


def etag_of(version: int) -> str:
    """The strong ETag (RFC 9110, 8.8.3) of a task at a version, quotes included."""
    return f'"{version}-{REPRESENTATION}"'


Status = Literal["open", "completed", "deleted", "all"]
Order = Literal["asc", "desc"]


class Model(BaseModel):
    """The base of all models. Each is built at its first use, because a function uses only a few of them."""

    model_config = ConfigDict(defer_build=True)


class Input(Model):
    """What a client sends. Values are not converted, and unknown fields are rejected."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Fields(Input):
    """What clients may set."""

    title: Title = ""
    """Not blank. It is stored in Unicode form NFC, and its length is counted after that."""
    description: Description | None = None
    """It is stored in Unicode form NFC, and its length is counted after that."""
    completed: bool = False
    due: Due | None = None
    """A day or a local time. The server stores it as it is and never converts it; see `time_zone`."""
    time_zone: TimeZone | None = None
    """The IANA time zone of a `due` with a time, for clients; without it the time is local everywhere."""
    priority: Priority = 0
    """As in RFC 5545: 1 is the highest, 9 the lowest, 0 none."""
    tags: Tags = []
    """At most 20 different tags. They are stored in Unicode form NFC, and sorted."""
    list: ListKey | None = None
    """The list of the task. A list exists while tasks name it. A change of it sorts the task by its creation."""
    position: Position | None = None
    """The place in the list, for clients that order tasks themselves. Null sorts the task by its creation."""


class NewTask(_Fields):
    """A task to create."""

    title: Title
    metadata: Metadata = {}
    """Data of the client: at most 20 members and 2,048 bytes in UTF-8."""


class TaskReplacement(_Fields):
    """A task with new values. Fields that only the server sets are ignored, so that a fetched task can be sent back."""

    title: Title
    description: Description | None
    completed: bool
    metadata: Metadata = {}
    """Data of the client: at most 20 members and 2,048 bytes in UTF-8."""

    position: Position | None = Field(default=None, exclude=True)
    """Ignored, unless the request creates the task: a replacement does not move a task in its list."""
    id: object = Field(None, exclude=True)
    user_id: object = Field(None, exclude=True)
    completed_at: object = Field(None, exclude=True)
    """Ignored, except with `import=true`: only the server sets it."""
    created_at: object = Field(None, exclude=True)
    updated_at: object = Field(None, exclude=True)
    updated_by: object = Field(None, exclude=True)
    """Ignored, except with `import=true`: only the server sets it."""
    version: object = Field(None, exclude=True)
    etag: object = Field(None, exclude=True)
    deleted_at: object = Field(None, exclude=True)
    """Ignored, except with `import=true`, which creates a task with this time in the trash."""
    purge_at: object = Field(None, exclude=True)

    def changes(self) -> dict[str, Any]:
        """The new values of the fields that the request names; the others keep theirs."""
        return self.model_dump(exclude_unset=True)

    def new_task(self) -> NewTask:
        """The task to create with these values."""
        return NewTask(**self.model_dump(exclude_unset=True), position=self.position)

    def imported_task(self) -> "ImportedTask":
        """The task to import."""
        return ImportedTask(self.new_task(), self.completed_at, self.deleted_at, self.updated_by)


class ImportedTask(NamedTuple):
    """A task of an export: the fields of a new task, and three of the server in JSON, not validated."""

    new: NewTask
    completed_at: object
    deleted_at: object
    updated_by: object = None


class Merge(dict[str, str | None]):
    """Changes of an object, as a JSON merge patch (RFC 7396) of it: None removes a member."""


class TaskPatch(_Fields):
    """A JSON merge patch (RFC 7396) of a task: an absent field keeps its value."""

    metadata: MetadataPatch | None = None
    """Changes members by key; null removes a member, and null for all of it removes all."""

    def changes(self) -> dict[str, Any]:
        """The new values of the fields that the patch names, and the changes of metadata as a Merge."""
        named = self.model_dump(exclude_unset=True)
        if "metadata" in named:
            named["metadata"] = {} if named["metadata"] is None else Merge(named["metadata"])
        return named


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
    due: str | None
    """A day, such as 2026-12-24, or a local time, such as 2026-12-24T17:00:00."""
    time_zone: str | None
    """The IANA time zone of a `due` with a time."""
    priority: int
    """RFC 5545: 1 is the highest, 9 the lowest, 0 none."""
    tags: Texts
    metadata: dict[str, str]
    """The client's own data."""
    list: str | None
    """The list that the task is in."""
    position: str | None
    """The place in the list, for comparing: by bytes, then by id. Null without a list."""
    created_at: Timestamp
    updated_at: Timestamp
    updated_by: str | None
    """Who made this version: the subject of a member of a space or of a service; null for the owner."""
    version: Version
    """It increases with every write. It begins at 1, and far above for a task that was imported: at the time in ms."""
    first_version: int = Field(default=1, exclude=True)
    """The version at which this life of the task began. For the rules: clients do not see it."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property: python/mypy#1362
    @property
    def etag(self) -> str:
        """The value to send as If-Match or If-None-Match."""
        return etag_of(self.version)


class DeletedTask(Task):
    """A task in the trash."""

    deleted_at: Timestamp
    """When it was moved to the trash. Only a task in the trash has this field and `purge_at`."""
    purge_at: Timestamp
    """When it is removed permanently."""


class Move(Input):
    """Where to put a task in a list: after another task or before it. Name exactly one of the two."""

    # Exactly one of the two. Generators of clients make no type of a `oneOf` whose members have no types.
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["after"], "properties": {"after": {}}},
            "then": {"not": {"required": ["before"], "properties": {"before": {}}}},
            "else": {"required": ["before"], "properties": {"before": {}}},
        }
    )

    after: TaskId | None = None
    """The id of the task that this one goes after; null puts it at the beginning."""
    before: TaskId | None = None
    """The id of the task that this one goes before; null puts it at the end."""
    list: ListKey = ""
    """The list to move to. Without it, the task stays in its list."""

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if len(self.model_fields_set & {"after", "before"}) != 1:
            raise PydanticCustomError("place", "Must have exactly one of after and before")
        return self

    @property
    def is_after(self) -> bool:
        """Whether the task goes after the anchor, or to the beginning; else before it, or to the end."""
        return "after" in self.model_fields_set

    @property
    def anchor(self) -> str | None:
        """The id of the other task, if one is named."""
        return self.after if self.is_after else self.before


class TaskPage(Model):
    """A page of a list. The list ends only when next_cursor is null: a page can be short or empty before that."""

    # As any: each item has its own serializer. That of a union would serialize each item twice.
    items: list[Annotated[Task | DeletedTask, SerializeAsAny()]]
    next_cursor: str | None


class Cleared(Model):
    """How many tasks a request moved to the trash, and whether there are more to clear."""

    cleared: int
    more: bool


class BatchResult(Model):
    """The result of one operation of a batch. A deleted task is not shown."""

    op: Literal["create", "update", "toggle", "delete", "restore", "move"]
    id: str
    task: Task | None


class BatchResults(Model):
    """The results of a batch, in the order of its operations."""

    results: list[BatchResult]


class Tombstone(Model):
    """What remains of a deleted task, for clients that keep copies."""

    id: str
    deleted: Literal[True]
    """Always true."""
    version: Version
    deleted_at: Timestamp


class Changes(Model):
    """Changes, and the token of the next request: send it at once while has_more is true, else at the next sync."""

    # The title is the name of this type in generated clients.
    items: list[Annotated[Task | Tombstone, SerializeAsAny(), Field(json_schema_extra={"title": "Change"})]]
    next_since: str
    has_more: bool


class Receipt(Model):
    """What a finished erasure leaves: a mark with these times."""

    user_id: str
    marked_at: Timestamp
    """Since when writes are refused."""
    completed_at: Timestamp
    """When nothing was left."""
    expires_at: Timestamp
    """When the mark disappears. The user id can be used again then."""


class Erased(Model):
    """What a request of an erasure did. Repeat it while `more` is true."""

    erased: int
    """How many items this request removed: tasks, tasks in the trash, records of idempotency keys."""
    more: bool
    receipt: Receipt | None
    """Null while `more` is true."""


class NoQuery(Model):
    """A route that takes no query parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EraseQuery(NoQuery):
    """A confirmation, so that nobody is erased by mistake."""

    confirm: Annotated[str, at_most(USER_ID_LENGTH)]
    """The user id again."""


class ReplaceQuery(NoQuery):
    """How to create a task under the client's id."""

    importing: Literal["true"] | None = Field(None, alias="import")
    """With `If-None-Match: *`: the id may be of any age. It needs the service scope."""


class TaskQuery(NoQuery):
    """Which tasks to list, and how."""

    status: Status = "all"
    """Which tasks: all are those that are not deleted, and deleted is the trash."""
    list: ListKey | None = None
    """Only tasks of this list: first the open ones, then the completed ones, each by position."""
    order: Order = "asc"
    """Open tasks are sorted by due date, completed ones by completion, the trash by deletion, and all by creation."""
    tag: Tag | None = None
    """Only tasks with this tag."""
    priority_max: Annotated[int, Field(ge=1, le=PRIORITY_MOST), BeforeValidator(digits)] | None = None
    """Only tasks with a priority from 1 (the highest) to this one."""
    due_after: Due | None = None
    """Only open tasks that are due after this day or local time."""
    due_before: Due | None = None
    """Only open tasks that are due before this day or local time."""
    limit: Annotated[int, Field(ge=1), BeforeValidator(digits)] = 50
    """How many tasks a page has at most. A limit above 100 means 100."""
    cursor: Token | None = None
    """The next_cursor of the previous page, which had the same user and the same parameters except `limit`."""

    @model_validator(mode="after")
    def _check_due(self) -> Self:
        if (self.due_after or self.due_before) and self.status != "open":
            raise PydanticCustomError("due_of_open", "due_after and due_before need status=open")
        if (self.due_after or self.due_before) and self.list:
            raise PydanticCustomError("due_of_list", "due_after and due_before cannot be used with list")
        if self.due_after and self.due_before and due_slot(self.due_after) >= self.due_before:
            raise PydanticCustomError("due_range", "due_after must be earlier than due_before")
        return self

    @property
    def scope(self) -> tuple[str, ...]:
        """All that a cursor of this list must match."""
        return tuple(
            "" if one is None else str(one)
            for one in (
                self.status,
                self.list,
                self.order,
                self.tag,
                self.priority_max,
                self.due_after,
                self.due_before,
            )
        )

    @property
    def is_filtered(self) -> bool:
        """Whether the page leaves out tasks of the list."""
        return self.tag is not None or self.priority_max is not None or self.filters_list

    @property
    def filters_list(self) -> bool:
        """Whether the list is a filter: the trash is sorted by deletion, and not by list."""
        return self.list is not None and self.status == "deleted"

    @property
    def page_size(self) -> int:
        """The limit, or the size of the largest page if the limit is above it."""
        return min(self.limit, PAGE_LIMIT)

    def following(self, cursor: str) -> Self:
        """The query for the page that begins at the cursor."""
        return self.model_copy(update={"cursor": cursor})


class ChangesQuery(NoQuery):
    """Which changes to list."""

    since: Token | None = None
    """The next_since of the previous page. Without it, the sync returns all tasks."""
    limit: Annotated[int, Field(ge=1), BeforeValidator(digits)] = 100
    """How many items a page has at most. A limit above 500 means 500."""

    @property
    def page_size(self) -> int:
        """The limit, or the size of the largest page if the limit is above it."""
        return min(self.limit, CHANGES_LIMIT)


class ClearQuery(NoQuery):
    """Which tasks to clear. At least one parameter is required, so that nothing is cleared by mistake."""

    status: Annotated[Literal["completed"], Field(json_schema_extra={"example": "completed"})] | None = None
    """Only completed tasks."""
    list: ListKey | None = None
    """Only tasks of this list."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.status is None and self.list is None:
            raise PydanticCustomError("clear_all", "Must have status=completed, list, or both")
        return self

    def matches(self, task: Task) -> bool:
        """Whether the query names this task."""
        return (self.status is None or task.completed) and (self.list is None or task.list == self.list)
