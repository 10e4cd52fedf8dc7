"""What somebody writes against the Python client of openapi-generator: run by test_generators.py."""

import sys

from openapi_client import (
    ApiClient,
    ApiException,
    Batch,
    BatchOperation,
    Configuration,
    CreateOperation,
    DeleteOperation,
    Move,
    NewTask,
    Task,
    TaskPatch,
    TasksApi,
    Tombstone,
)


def main(url: str, token: str) -> None:
    """Create, list, update, move, batch, delete and synchronize."""
    with ApiClient(Configuration(host=url, access_token=token)) as client:
        api = TasksApi(client)
        milk = api.create_task("me", NewTask(title="Buy milk", due="2026-12-24", tags=["shop"]))
        assert (milk.title, milk.completed, milk.version, milk.deleted_at) == ("Buy milk", False, 1, None)
        assert api.list_tasks("me", limit=10).items == [milk]

        patch = TaskPatch(description="Two bottles")
        updated = api.update_task("me", milk.id, patch, if_match=milk.etag)
        assert (updated.title, updated.description, updated.version) == ("Buy milk", "Two bottles", 2)
        refused = None
        try:
            api.update_task("me", milk.id, patch, if_match=milk.etag)
        except ApiException as error:
            refused = error.status
        assert refused == 412

        moved = api.move_task("me", milk.id, Move(list="shop", after=None))
        assert (moved.list, moved.version) == ("shop", 3)

        create = BatchOperation(CreateOperation(op="create", task=NewTask(title="Buy bread")))
        delete = BatchOperation(DeleteOperation(op="delete", id=milk.id))
        results = api.batch_tasks("me", "one", Batch(operations=[create, delete])).results
        assert [(one.op, one.task is None) for one in results] == [("create", False), ("delete", True)]

        (trashed,) = api.list_tasks("me", status="deleted").items
        assert trashed.id == milk.id
        assert trashed.deleted_at is not None
        assert trashed.purge_at is not None
        bread, gone = (one.actual_instance for one in api.list_changes("me").items)
        bread, gone = (bread, gone) if isinstance(bread, Task) else (gone, bread)
        assert isinstance(bread, Task), bread
        assert bread.title == "Buy bread"
        assert isinstance(gone, Tombstone), gone
        assert (gone.id, gone.deleted, gone.version) == (milk.id, True, 4)


if __name__ == "__main__":
    main(*sys.argv[1:])
