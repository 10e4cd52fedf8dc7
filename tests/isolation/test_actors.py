"""Who acted: a version of a task, an event and the log name the actor, and an Idempotency-Key belongs to the actor."""

import uuid

import pytest

from local.template import PSEUDO_PARAMETERS
from local.tokens import SERVICE
from shared.pseudonyms import pseudonym_in
from tests.api import Api, Backend, Response, new_id
from tests.contract.shapes import is_problem
from tests.isolation.conftest import SPACES, TENANT


@pytest.fixture
def members(tenants: Backend, user: str) -> tuple[Api, Api]:
    """Two members of a space, whose id is not that of a member."""
    space = f"space-{user}"
    claims = {SPACES: [space], TENANT: "acme"}
    return Api(tenants.url, f"ann-{user}", space, claims), Api(tenants.url, f"ben-{user}", space, claims)


@pytest.fixture
def owner(tenants: Backend, user: str) -> Api:
    return Api(tenants.url, user, claims={TENANT: "acme"})


@pytest.fixture
def service(tenants: Backend, user: str) -> Api:
    return Api(tenants.url, SERVICE, user, {"scope": "tasks/service", TENANT: "acme"})


def writers(response: Response) -> list[str | None]:
    return [task["updated_by"] for task in response.tasks]


def test_every_write_names_its_actor(members: tuple[Api, Api]) -> None:
    ann, ben = members
    task = ann.made(list="home")
    other = ann.made(list="home")["id"]
    assert task["updated_by"] == ann.caller
    whole = {"title": "whole", "description": None, "completed": False}
    for response in (
        ben.update(task["id"], {"title": "new"}),
        ben.replace(task["id"], whole),
        ben.toggle(task["id"]),
        ben.move(task["id"], {"after": None}),
        ben.replace(new_id(), whole, if_none_match="*"),
        ben.batch({"op": "create", "task": {"title": "x"}}, {"op": "toggle", "id": other}),
    ):
        assert response.status in (200, 201)
        assert set(writers(response)) == {ben.caller}
    assert ann.delete(task["id"]).status == 204
    assert writers(ben.page(status="deleted")) == [ann.caller]
    assert writers(ben.restore(task["id"])) == [ben.caller]
    assert ann.send("DELETE", f"{ann.tasks}?list=home").json["cleared"] == 2
    assert writers(ben.page(status="deleted")) == [ann.caller, ann.caller]


def test_a_write_of_the_owner_names_nobody(owner: Api, service: Api) -> None:
    task = owner.made()
    assert task["updated_by"] is None
    assert writers(service.toggle(task["id"])) == [SERVICE]
    assert writers(owner.get(task["id"])) == [SERVICE]
    assert writers(owner.toggle(task["id"])) == [None]


def test_a_request_that_changes_nothing_keeps_the_actor(members: tuple[Api, Api]) -> None:
    ann, ben = members
    task = ann.made(title="same")
    assert ben.update(task["id"], {"title": "same"}).json == task


def test_only_an_import_sets_the_actor(owner: Api, service: Api) -> None:
    task_id = new_id()
    body = {"title": "x", "description": None, "completed": False, "updated_by": "carol"}
    assert is_problem(owner.send("POST", owner.tasks, body), 422, "invalid-body", ["/updated_by"])
    assert writers(owner.replace(new_id(), body, if_none_match="*")) == [None]
    path = f"{service.tasks}/{task_id}?import=true"
    for _ in range(2):
        imported = service.send("PUT", path, body, {"If-None-Match": "*"})
        assert (imported.status, imported.json["updated_by"]) == (201, "carol")
    assert is_problem(
        service.send("PUT", path, {**body, "updated_by": None}, {"If-None-Match": "*"}), 412, "precondition-failed"
    )
    for bad in ("", "caf\u00e9", "x" * 256, 5, ["carol"]):
        path = f"{service.tasks}/{new_id()}?import=true"
        response = service.send("PUT", path, {**body, "updated_by": bad}, {"If-None-Match": "*"})
        assert is_problem(response, 422, "invalid-body", ["/updated_by"])


def test_two_members_use_the_same_key(members: tuple[Api, Api]) -> None:
    ann, ben = members
    key = str(uuid.uuid4())
    first, second = ann.create_once(key, title="of ann"), ben.create_once(key, title="of ben")
    assert (first.status, second.status) == (201, 201)
    assert [one.create_once(key, title=title).content for one, title in ((ann, "of ann"), (ben, "of ben"))] == [
        first.content,
        second.content,
    ]
    assert len(ann.walk()) == 2


def test_the_log_has_the_pseudonyms_of_actor_and_user(tenants: Backend, members: tuple[Api, Api]) -> None:
    ann, _ = members
    line = tenants.logged(ann.create().headers["apigw-requestid"])
    stack = PSEUDO_PARAMETERS["AWS::StackId"]
    assert line["actor"] == pseudonym_in(stack, ann.caller, "acme")
    assert line["user"] == pseudonym_in(stack, ann.path_user, "acme")


def test_an_unnamed_service_is_a_metric_and_a_reason_in_the_log(tenants: Backend, user: str) -> None:
    response = Api(tenants.url, user, claims={"scope": "tasks/service", TENANT: "acme"}).page()
    assert is_problem(response, 403, "unnamed-service")
    assert tenants.logged(response.headers["apigw-requestid"])["problem"] == "unnamed-service"
    assert '"UnnamedService":[1.0]' in tenants.log.read_text()
