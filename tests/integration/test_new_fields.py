"""A field that is added only to the models and the codec survives every operation.

Without this test, a field that one operation does not copy would be acknowledged with 200 and lost.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from pydantic.fields import FieldInfo

from shared import batches, models
from shared.store import items
from shared.store.items import NUMBER, Field
from tests.conftest import table_at
from tests.inprocess import Functions, Reply, functions

# One field of each type that an attribute can have and a client can send.
ADDED: dict[str, tuple[Any, Any, Field]] = {
    "size": (int, 0, replace(NUMBER, absent=0)),
    "words": (
        list[str],
        [],
        Field(
            lambda words: {"L": [{"S": word} for word in words]},
            lambda attribute: [word["S"] for word in attribute["L"]],
            [],
        ),
    ),
    "labels": (
        dict[str, str],
        {},
        Field(
            lambda labels: {"M": {name: {"S": label} for name, label in labels.items()}},
            lambda attribute: {name: label["S"] for name, label in attribute["M"].items()},
            {},
        ),
    ),
}
SET = {"size": 3, "words": ["b", "a"], "labels": {"x": "1", "y": ""}}
OTHER = {"size": -1, "words": ["c"], "labels": {}}


def add_fields() -> None:
    """Add the fields to the models and the codec of this process."""
    for model in (models.NewTask, models.TaskReplacement, models.TaskPatch, models.Task, models.DeletedTask):
        for name, (kind, default, _) in ADDED.items():
            model.model_fields[name] = FieldInfo(annotation=kind, default=default)
    for module in (models, batches):
        for model in vars(module).values():
            if isinstance(model, type) and issubclass(model, models.Model):
                model.model_rebuild(force=True)
    items.FIELDS.update({name: field for name, (_, _, field) in ADDED.items()})


def fields_of(task: dict[str, Any]) -> dict[str, Any]:
    return {name: task[name] for name in ADDED}


def journey(url: str, user: str) -> None:
    """Every operation, each with the field set before or by it."""
    add_fields()
    with functions(table_at(url)) as ask:
        plain(ask, user)
        by_key(ask, user)
        in_a_batch(ask, user)


def plain(ask: Functions, user: str) -> None:
    bare = good(ask("create_task", user, body={"title": "bare"}))
    assert fields_of(bare) == {"size": 0, "words": [], "labels": {}}
    task = good(ask("create_task", user, body={"title": "t", **SET}))
    task_id = task["id"]
    assert fields_of(task) == SET
    assert good(ask("get_task", user, task_id)) == task
    assert good(ask("list_tasks", user))["items"] == [bare, task]
    for name, value in OTHER.items():
        changed = good(ask("update_task", user, task_id, body={name: value}))
        assert fields_of(changed) == {**SET, name: value}
        assert (changed["version"], changed["completed"]) == (task["version"] + 1, False)
        task = good(ask("update_task", user, task_id, body={name: SET[name]}))
        assert fields_of(task) == SET
    assert good(ask("update_task", user, task_id, body=SET))["version"] == task["version"]
    assert fields_of(good(ask("update_task", user, task_id, body={"title": "u", "completed": True}))) == SET
    assert fields_of(good(ask("toggle_task", user, task_id))) == SET
    assert fields_of(good(ask("move_task", user, task_id, body={"list": "home", "after": None}))) == SET
    replacement = {"title": "r", "description": None, "completed": True, **OTHER}
    assert fields_of(good(ask("replace_task", user, task_id, body=replacement))) == OTHER
    good(ask("clear_tasks", user, query={"status": "completed"}))
    (trashed,) = good(ask("list_tasks", user, query={"status": "deleted"}))["items"]
    assert fields_of(trashed) == OTHER
    restored = good(ask("restore_task", user, task_id))
    assert fields_of(restored) == OTHER
    assert restored in good(ask("list_changes", user))["items"]
    assert ask("delete_task", user, task_id).status == 204
    assert fields_of(good(ask("restore_task", user, task_id))) == OTHER
    assert fields_of(good(ask("get_task", user, task_id))) == OTHER


def by_key(ask: Functions, user: str) -> None:
    created = [
        ask("create_task", user, body={"title": "k", **SET}, headers={"idempotency-key": "create"}) for _ in range(2)
    ]
    task = good(created[0])
    assert good(created[1]) == task
    assert fields_of(task) == SET
    toggled = [ask("toggle_task", user, task["id"], headers={"idempotency-key": "toggle"}) for _ in range(2)]
    assert [fields_of(good(one)) for one in toggled] == [SET, SET]
    place = {"list": "home", "after": None}
    moved = [ask("move_task", user, task["id"], body=place, headers={"idempotency-key": "move"}) for _ in range(2)]
    assert [fields_of(good(one)) for one in moved] == [SET, SET]
    assert ask("delete_task", user, task["id"]).status == 204
    restored = [ask("restore_task", user, task["id"], headers={"idempotency-key": "restore"}) for _ in range(2)]
    assert [fields_of(good(one)) for one in restored] == [SET, SET]


def in_a_batch(ask: Functions, user: str) -> None:
    task_ids = [good(ask("create_task", user, body={"title": "b", **SET}))["id"] for _ in range(5)]
    assert ask("delete_task", user, task_ids[3]).status == 204
    operations = [
        {"op": "create", "task": {"title": "c", **OTHER}},
        {"op": "update", "id": task_ids[0], "patch": OTHER},
        {"op": "toggle", "id": task_ids[1]},
        {"op": "delete", "id": task_ids[2]},
        {"op": "restore", "id": task_ids[3]},
        {"op": "move", "id": task_ids[4], "list": "home", "before": None},
    ]
    responses = [
        good(ask("batch_tasks", user, body={"operations": operations}, headers={"idempotency-key": "batch"}))
        for _ in range(2)
    ]
    shown = [result["task"] and fields_of(result["task"]) for result in responses[0]["results"]]
    assert shown == [OTHER, OTHER, SET, None, SET, SET]
    assert responses[1] == responses[0]
    created, updated, toggled, _, restored, moved = (result["task"] for result in responses[0]["results"])
    assert (updated["completed"], toggled["completed"]) == (False, True)
    for task in (created, updated, toggled, restored, moved):
        assert good(ask("get_task", user, task["id"])) == task
    assert fields_of(good(ask("restore_task", user, task_ids[2]))) == SET


def good(reply: Reply) -> Any:
    assert reply.status in (200, 201), reply
    return reply.json


def test_a_new_field_needs_only_the_models_and_the_codec(engine_url: str, user: str) -> None:
    """In its own process, because it changes the models."""
    run: Callable[..., Any] = journey
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        process.submit(run, engine_url, user).result()


def test_a_field_that_the_codec_does_not_know_is_an_error(moto_url: str, user: str) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        assert process.submit(_statuses_without, moto_url, user).result() == dict.fromkeys(ADDED, 500)


def _statuses_without(url: str, user: str) -> dict[str, int]:
    """The status of a create for each field that the codec does not know."""
    add_fields()
    statuses = {}
    with functions(table_at(url)) as ask:
        assert ask("create_task", user, body={"title": "t", **SET}).status == 201
        for forgotten in ADDED:
            field = items.FIELDS.pop(forgotten)
            statuses[forgotten] = ask("create_task", user, body={"title": "t", **SET}).status
            items.FIELDS[forgotten] = field
    return statuses
