"""A process ends before or after any DynamoDB request of an operation without a key, and the client retries.

With a key, tests/faults/test_keys.py. Without one a create or an unconditional toggle that is sent again is done
again: that is what keys are for, so they have no place here but to show it.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from shared.models import ChangesQuery, Move, NewTask, Task, TaskQuery
from shared.store.dynamodb import Table
from shared.store.task_store import TaskStore
from shared.tasks import ANY_VERSION, NotDeleted, Precondition, VersionMismatch
from tests.conftest import COMPLETED, deadline_in, table_at
from tests.wire import Crash, Fault, Wire, crash_after, crash_before

FIRST = Precondition(frozenset({1}))
# The title of each task, whether it is completed, whether it is in the trash, its list, and its version.
type State = list[tuple[str, bool, bool, str | None, int]]


@dataclass
class Scene:
    """A user with an open task, two completed ones and one in the trash; the second and third are in a list."""

    store: TaskStore
    open: Task
    done: Task
    trashed: Task

    def state(self) -> State:
        pages = {status: self.store.list(TaskQuery(status=status)).items for status in ("all", "deleted")}
        return sorted(
            (task.title, task.completed, status == "deleted", task.list, task.version)
            for status, tasks in pages.items()
            for task in tasks
        )


@dataclass
class Operation:
    """An operation: its number of requests, its call, and the error of a retry after it was applied."""

    requests: int
    ask: Callable[[TaskStore, Scene], object]
    done: type[Exception] | None = None


def move(store: TaskStore, scene: Scene, precondition: Precondition) -> Task:
    """Move the open task into the list."""
    return store.move(scene.open.id, Move(list="home", before=scene.done.id), precondition)


OPERATIONS = {
    "get": Operation(1, lambda store, scene: store.get(scene.open.id)),
    "list": Operation(1, lambda store, _: store.list(TaskQuery())),
    "changes": Operation(1, lambda store, _: store.changes(ChangesQuery())),
    "update": Operation(2, lambda store, scene: store.update(scene.open.id, {"title": "new"}, ANY_VERSION)),
    "update, If-Match": Operation(
        2, lambda store, scene: store.update(scene.open.id, {"title": "new"}, FIRST), VersionMismatch
    ),
    "update of nothing": Operation(1, lambda store, scene: store.update(scene.open.id, {}, ANY_VERSION)),
    "complete": Operation(2, lambda store, scene: store.update(scene.open.id, {"completed": True}, ANY_VERSION)),
    "replace": Operation(
        2,
        lambda store, scene: store.update(
            scene.done.id, {"title": "new", "description": None, "completed": True}, ANY_VERSION
        ),
    ),
    "toggle, If-Match": Operation(2, lambda store, scene: store.toggle(scene.open.id, FIRST), VersionMismatch),
    "delete": Operation(2, lambda store, scene: store.delete(scene.open.id, ANY_VERSION)),
    "delete, If-Match": Operation(2, lambda store, scene: store.delete(scene.open.id, FIRST)),
    "restore": Operation(2, lambda store, scene: store.restore(scene.trashed.id, ANY_VERSION), NotDeleted),
    "move": Operation(3, lambda store, scene: move(store, scene, ANY_VERSION)),
    "move, If-Match": Operation(3, lambda store, scene: move(store, scene, FIRST), VersionMismatch),
    "clear": Operation(3, lambda store, _: store.clear(COMPLETED)),
}
BOUNDARIES = [
    pytest.param(operation, request, crash, id=f"{name}-{request}-{crash.__name__}")
    for name, operation in OPERATIONS.items()
    for request in range(operation.requests)
    for crash in (crash_before, crash_after)
]


def made(table: Table, user: str) -> Scene:
    store = TaskStore(table, user, deadline_in(10))
    tasks = [
        store.create(NewTask(title=title, completed=title in "bc", list="home" if title in "bc" else None))
        for title in "abcd"
    ]
    store.delete(tasks[3].id, ANY_VERSION)
    return Scene(store, tasks[0], tasks[1], tasks[3])


@pytest.fixture
def scene(engine_url: str, user: str) -> Scene:
    return made(table_at(engine_url), user)


@pytest.mark.parametrize(("operation", "request_", "crash"), BOUNDARIES)
def test_a_crash_at_any_boundary_and_a_retry_have_the_effect_of_one_run(
    scene: Scene, wired: Table, wire: Wire, user: str, operation: Operation, request_: int, crash: Fault
) -> None:
    whole = made(wired, f"{user}-whole")
    operation.ask(TaskStore(wired, f"{user}-whole", deadline_in(10)), whole)
    wire.requests.clear()
    store = TaskStore(wired, user, deadline_in(10))
    wire.faults = [*[None] * request_, crash]
    with pytest.raises(Crash):
        operation.ask(store, scene)
    with suppress(*([operation.done] if operation.done and crash is crash_after else [])):
        operation.ask(store, scene)
    assert scene.state() == whole.state()


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_the_number_of_boundaries_is_right(
    scene: Scene, wired: Table, wire: Wire, user: str, operation: Operation
) -> None:
    operation.ask(TaskStore(wired, user, deadline_in(10)), scene)
    assert len(wire.requests) == operation.requests


def test_without_a_key_a_retried_create_can_make_a_second_task(
    scene: Scene, wired: Table, wire: Wire, user: str
) -> None:
    store = TaskStore(wired, user, deadline_in(10))
    for crash, tasks in ((crash_before, 1), (crash_after, 3)):
        wire.faults = [crash]
        with pytest.raises(Crash):
            store.create(NewTask(title="new"))
        store.create(NewTask(title="new"))
        assert [title for title, *_ in scene.state()].count("new") == tasks
