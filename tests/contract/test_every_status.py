"""Every status of every operation is reached, and every operation has a contract."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.checker import contract
from shared.store import cursors
from tests import guard
from tests.api import OPERATIONS, PUBLIC, Api, Backend, Operation, Response, Task, new_id

# The statuses of the function of each operation, by the contract; API Gateway adds more.
STATUSES = {
    operation["operationId"]: {
        int(status)
        for status, response in operation["responses"].items()
        if int(status) < 400 or "application/problem+json" in contract().resolved(response)["content"]
    }
    for operation in contract().operations
    if operation["operationId"] in OPERATIONS
}
# test_unavailable.py tests these two for every operation.
PAIRS = [(name, status) for name, statuses in STATUSES.items() for status in sorted(statuses - {500, 503})]


def invalid(api: Api, one: Operation, task: Task) -> Response:
    return one.ask(api, task["id"], body={"colour": "red"})


def reused(api: Api, one: Operation, task: Task) -> Response:
    """Two requests with one key."""
    key = {"Idempotency-Key": "the same"}
    one.ask(api, task["id"], headers=key)
    return one.ask(api, task["id"], headers={**key, "If-Match": "*"})


NOBODYS = "018f3a5c-0000-7000-8000-000000000000"
type Ask = Callable[[Api, Operation, Task], Response]
REQUESTS: dict[int, Ask] = {
    **dict.fromkeys((200, 204), lambda api, one, task: one.ask(api, task["id"])),
    201: lambda api, one, _: one.ask(api, new_id(), headers={"If-None-Match": "*"}),
    409: lambda api, one, task: one.ask(api, task["id"], body={"list": "x", "after": NOBODYS} if one.body else None),
    304: lambda api, one, task: one.ask(api, task["id"], headers={"If-None-Match": task["etag"]}),
    400: lambda api, one, task: one.ask(api, task["id"], query="colour=red"),
    401: lambda api, one, task: one.ask(api, task["id"], headers={"Authorization": None}),
    403: lambda api, one, task: one.ask(Api(api.url, "someone-else", api.caller), task["id"]),
    404: lambda api, one, _: one.ask(api, str(uuid.uuid4())),
    412: lambda api, one, task: one.ask(api, task["id"], headers={"If-None-Match": "*"}),
    413: lambda api, one, task: one.ask(api, task["id"], body=b" " * 1_400_000),
    415: lambda api, one, task: one.ask(api, task["id"], headers={"Content-Type": "text/plain"}),
    422: lambda api, one, task: (invalid if one.body else reused)(api, one, task),
    507: lambda api, one, task: one.ask(api, task["id"]),
}
# Operations of batches that fail with these statuses; {id} is that of a live task.
BATCHES = {
    404: {"op": "toggle", "id": NOBODYS},
    409: {"op": "restore", "id": "{id}"},
    412: {"op": "toggle", "id": "{id}", "if_match": '"9-1"'},
}


@pytest.mark.parametrize(("name", "status"), PAIRS, ids=[f"{name}-{status}" for name, status in PAIRS])
def test_every_status_of_an_operation_is_reached(
    backend: Backend, failing: Backend, user: str, name: str, status: int
) -> None:
    if status == 507:
        api, task = Api(failing.url, f"ItemCollectionSizeLimitExceededException-{user}"), {"id": str(uuid.uuid4())}
    else:
        api = Api(backend.url, user)
        task = api.made() if status == 409 else OPERATIONS[name].task_for(api)
    if status == 410:
        old = cursors.encode("000000000000001", guard.partition_of(user), "changes")
        assert api.changes(since=old).status == status
        return
    if name == "batch_tasks" and status in BATCHES:
        response = api.batch({key: value.replace("{id}", task["id"]) for key, value in BATCHES[status].items()})
        assert response.status == status
        assert response.json["errors"][0]["pointer"] == "/operations/0"
        return
    assert REQUESTS[status](api, OPERATIONS[name], task).status == status


@pytest.mark.parametrize("name", OPERATIONS | PUBLIC)
def test_every_operation_of_the_template_has_a_contract(name: str) -> None:
    assert Path(__file__).with_name(f"test_{name}.py").exists()
