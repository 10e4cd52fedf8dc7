"""The JSON Schema of the events: `make openapi` writes docs/events.schema.json from the models."""

import json
from pathlib import Path

from pydantic import BaseModel

from contract.schemas import Schema, schema_of
from shared.fields import Timestamp
from shared.models import Task, Version

DOCUMENT = Path(__file__).parent.parent / "docs" / "events.schema.json"


class TaskEvent(BaseModel):
    """The detail of an event. docs/events.md explains it."""

    tenant: str | None
    """The tenant of the user; null without tenants."""
    user_id: str
    task_id: str
    actor: str | None
    """The pseudonym of who made this version, as in the log; null if nobody did: the task was removed."""
    version: Version
    """The version of the task that the write made: 1, 2, 3 and so on, or the same from the time of an import on."""
    changed: list[str] | None
    """The fields that the write changed, sorted; null if this is not known."""
    task: Task | None = None
    """The task at this version; null if it was purged. Missing where events contain ids only."""


class UserErasedEvent(BaseModel):
    """The detail of `user.erased`: the erasure of a user has ended."""

    tenant: str | None
    """The tenant of the user; null without tenants."""
    user_id: str
    completed_at: Timestamp
    """When nothing was left of the user. Ignore older events of this user that arrive later."""


def text() -> str:
    """The text of the document."""
    made: Schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema_of(TaskEvent | UserErasedEvent)}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
