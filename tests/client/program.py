"""What somebody writes against the generated client: run by test_generated_client.py, with the address and a token."""

import sys
from datetime import datetime

from tasks_client import AuthenticatedClient
from tasks_client.api.tasks import (
    create_task,
    delete_task,
    get_task,
    list_changes,
    list_tasks,
    move_task,
    toggle_task,
    update_task,
)
from tasks_client.models import (
    Changes,
    ListTasksStatus,
    Move,
    NewTask,
    Problem,
    Task,
    TaskPage,
    TaskPatch,
    Tombstone,
)


def main(url: str, token: str) -> None:
    """Create, list, update, move, toggle and delete a task."""
    with AuthenticatedClient(base_url=url, token=token) as client:
        created = create_task.sync("me", client=client, body=NewTask(title="Buy milk"))
        assert isinstance(created, Task), created
        assert (created.title, created.completed, created.version) == ("Buy milk", False, 1)

        page = list_tasks.sync("me", client=client, limit=10)
        assert isinstance(page, TaskPage), page
        assert [task.id for task in page.items] == [created.id]

        patch = TaskPatch(description="Two bottles")
        updated = update_task.sync("me", created.id, client=client, body=patch, if_match=created.etag)
        assert isinstance(updated, Task), updated
        assert (updated.title, updated.description, updated.version) == ("Buy milk", "Two bottles", 2)
        refused = update_task.sync_detailed("me", created.id, client=client, body=patch, if_match=created.etag)
        assert refused.status_code == 412, refused

        moved = move_task.sync("me", created.id, client=client, body=Move(list_="shop", after=None))
        assert isinstance(moved, Task), moved
        assert (moved.list_, moved.version) == ("shop", 3)
        page = list_tasks.sync("me", client=client, list_="shop")
        assert isinstance(page, TaskPage), page
        assert page.items == [moved]

        toggled = toggle_task.sync("me", created.id, client=client, idempotency_key="one")
        assert isinstance(toggled, Task), toggled
        assert toggled.completed
        assert toggled.completed_at is not None
        assert toggled.completed_at.tzinfo is not None

        assert delete_task.sync_detailed("me", created.id, client=client).status_code == 204
        trash = list_tasks.sync("me", client=client, status=ListTasksStatus.DELETED)
        assert isinstance(trash, TaskPage), trash
        assert [task.id for task in trash.items] == [created.id]
        assert isinstance(trash.items[0].purge_at, datetime)
        changes = list_changes.sync("me", client=client)
        assert isinstance(changes, Changes), changes
        assert [isinstance(one, Tombstone) and one.deleted for one in changes.items] == [True]
        gone = get_task.sync("me", created.id, client=client)
        assert isinstance(gone, Problem), gone
        assert gone.type_ == "urn:problem:tasks:task-not-found"

    with AuthenticatedClient(base_url=url, token="x.y.z") as stranger:  # noqa: S106 - no token at all
        assert list_tasks.sync_detailed("me", client=stranger).status_code == 401


if __name__ == "__main__":
    main(*sys.argv[1:])
