"""Pages of the largest tasks: what Lambda sends for a page is within its limit, and a walk shows every task once."""

import json
from collections.abc import Mapping
from typing import Any

import moto.dynamodb.models.table as moto_table
import pytest

from shared.models import NewTask
from shared.store import dynamodb
from shared.store.dynamodb import Table
from shared.store.pages import RESERVE
from shared.store.task_store import TaskStore
from tests.conftest import TABLE, deadline_in
from tests.inprocess import Functions, Reply, functions
from tests.sizes import MOST_BYTES, encoded, largest_task

CONTROLS = largest_task("\x01")
# All that a link to the next page can contain.
LONGEST_QUERY = {
    "limit": "9" * 100,
    "status": "completed",
    "list": CONTROLS["list"],
    "order": "desc",
    "tag": CONTROLS["tags"][0],
    "priority_max": "9",
}
# The response repeats this one.
HEADERS = {"x-correlation-id": "x" * 128}
WALKS: dict[str, tuple[str, dict[str, str], dict[str, Any], int, int]] = {
    # DynamoDB returns these tasks as one page of 1 MB, for which Lambda would send 6,296,037 bytes.
    "changes": (
        "list_changes",
        {"limit": "500"},
        {"description": "\x01" * 6295, "tags": CONTROLS["tags"], "metadata": dict.fromkeys("abcdefghijkl", "")},
        127,
        2,
    ),
    "control characters": ("list_tasks", LONGEST_QUERY, CONTROLS, 85, 2),
    # DynamoDB ends these pages, at 1 MB: this is never too much for Lambda.
    "quotes and backslashes": ("list_tasks", {"limit": "100"}, largest_task('"\\'), 20, 1),
    "not ASCII": ("list_tasks", {"limit": "100"}, largest_task("\N{LATIN SMALL LETTER E WITH ACUTE}"), 20, 1),
    "emoji": ("list_tasks", {"limit": "100"}, largest_task("\N{GRINNING FACE}"), 30, 2),
}


@pytest.fixture
def table(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table whose pages have up to 1,048,576 bytes, as in DynamoDB. Moto ends them at 1,000,000, and is slow."""
    monkeypatch.setattr(moto_table, "RESULT_SIZE_LIMIT", 1024 * 1024)
    monkeypatch.setattr(dynamodb, "READ_TIMEOUT", 60.0)
    monkeypatch.setattr(dynamodb, "SEND_TIMEOUT", 60.0)
    return Table(dynamodb.new_client(moto_url), TABLE)


@pytest.mark.parametrize(("name", "query", "fields", "count", "pages"), WALKS.values(), ids=WALKS)
def test_lambda_can_send_every_page(
    table: Table, user: str, name: str, query: dict[str, str], fields: dict[str, Any], count: int, pages: int
) -> None:
    # The longest user id, which every task contains. Quotes take the most space.
    caller = user.ljust(255, '"')
    store = TaskStore(table, caller, deadline_in(200))
    ids = [store.create(NewTask(**{"title": "x", **fields})).id for _ in range(count)]
    with functions(table) as call:
        replies = walk(call, name, caller, query)
    sizes = [len(encoded(reply.response)) for reply in replies]
    assert max(sizes) <= MOST_BYTES
    assert sorted(item["id"] for reply in replies for item in reply.json["items"]) == sorted(ids)
    assert len(sizes) == pages
    assert all(len(encoded(without_tasks(reply))) <= RESERVE for reply in replies)


def walk(call: Functions, name: str, user: str, query: Mapping[str, str]) -> list[Reply]:
    """Return all pages of a list or of the changes."""
    replies: list[Reply] = []
    following: dict[str, str] = {}
    while not replies or following:
        replies.append(call(name, user, query={**query, **following}, headers=HEADERS, seconds=200))
        assert replies[-1].status == 200
        page = replies[-1].json
        following = {"cursor": page["next_cursor"]} if page.get("next_cursor") else {}
        if page.get("has_more"):
            following = {"since": page["next_since"]}
    return replies


def without_tasks(reply: Reply) -> Mapping[str, Any]:
    """Return the response of a page without its tasks."""
    return {**reply.response, "body": json.dumps({**reply.json, "items": []})}
