"""GET /v1/openapi.json: the contract, without a token; and that the code matches it."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any, NoReturn

import jsonschema_rs
import pytest
from openapi_spec_validator import validate
from pydantic import ValidationError

from contract import events, representation, requests
from contract.__main__ import operations as operations_of
from contract.checker import DOCUMENT, OutsideContract, contract
from contract.recordings import recorder
from shared.http.operation import Declaration
from shared.models import REPRESENTATION, DeletedTask, NewTask, TaskPage, TaskQuery
from shared.tasks import TaskNotFound
from tests.api import OPERATIONS, PUBLIC, TEMPLATE, Api, Operation, Response
from tests.conftest import ROOT
from tests.contract.shapes import is_gateways

OPENAPI = PUBLIC["get_openapi"]
KIND = re.compile(r"`([a-z-]+)`")
CACHED = "public, max-age=300"


def fetch(api: Api, **headers: str) -> Response:
    """Fetch the contract without a token."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.send(OPENAPI.method, OPENAPI.path, headers={"Authorization": None, **named})


def test_the_contract_is_served_without_a_token(api: Api) -> None:
    response = fetch(api)
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    assert response.content == DOCUMENT.read_bytes()
    assert response.headers["Cache-Control"] == CACHED
    assert response.headers["ETag"].startswith('"')


def test_a_client_that_has_the_contract_gets_304(api: Api) -> None:
    etag = fetch(api).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        response = fetch(api, if_none_match=known)
        assert (response.status, response.content) == (304, b""), known
        assert (response.headers["ETag"], response.headers["Cache-Control"]) == (etag, CACHED)
    for other in ('"x"', etag.strip('"'), ""):
        assert fetch(api, if_none_match=other).status == 200, other


def test_good_and_bad_tokens_make_no_difference(api: Api) -> None:
    for authorization in ("Bearer x.y.z", "Basic x"):
        assert fetch(api, authorization=authorization).content == fetch(api).content


def test_a_page_of_another_origin_may_read_it(api: Api) -> None:
    response = fetch(api, origin="https://app.example")
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_contract_cannot_be_changed(api: Api, method: str) -> None:
    assert is_gateways(api.send(method, OPENAPI.path), 404, "Not Found")


def test_the_contract_is_up_to_date(tmp_path: Path) -> None:
    """After a change of requests or responses, run `make openapi`."""
    made = tmp_path / "openapi.json"
    subprocess.run([sys.executable, "-m", "contract", str(made)], cwd=ROOT, check=True)
    assert made.read_text() == DOCUMENT.read_text()


def test_an_operation_that_fails_for_its_sample_event_has_no_contract() -> None:
    def fails(_: object) -> NoReturn:
        raise TaskNotFound

    declared = Declaration(fails, "list_tasks", None, TaskQuery, TaskPage, [])
    with (
        recorder(TEMPLATE, {"list_tasks": declared}) as recordings,
        pytest.raises(ValueError, match=r"list_tasks must be successful for events/list_tasks.json, .*task-not-found"),
    ):
        recordings.responses("list_tasks", [])


def test_a_change_of_the_json_of_a_task_needs_a_new_representation() -> None:
    class TaskWithColour(DeletedTask):
        colour: str

    representation.check()
    for task, value in ((TaskWithColour, REPRESENTATION), (DeletedTask, REPRESENTATION + 1)):
        with pytest.raises(ValueError, match="Increase REPRESENTATION"):
            representation.check(task, value)


def test_the_requests_for_editors_are_up_to_date() -> None:
    assert requests.DOCUMENT.read_text() == requests.text(contract().document)


def test_the_requests_for_editors_work(api: Api) -> None:
    """Parsed as an editor does; each is sent for a new task."""
    refused = {"restore_task": 409, "erase_user": 403}
    for request in requests.requests():
        sent = request.filled(user_id="me", task_id=api.made()["id"], timestamp=str(uuid.uuid4()))
        response = api.send(sent.method, sent.path, sent.body.encode() or None, sent.headers)
        assert response.status in {200, 201, 204, refused.get(sent.name)}, (sent.name, response)


def test_the_contract_is_valid_openapi() -> None:
    validate(json.loads(DOCUMENT.read_text()))


def test_the_types_of_problems_are_those_of_the_documentation() -> None:
    section = (ROOT / "docs" / "http-api.md").read_text().partition("## Errors")[2].partition("\n## ")[0]
    documented = {
        kind for row in re.findall(r"^\| \d{3} \|([^|]+)\|", section, re.MULTILINE) for kind in KIND.findall(row)
    }
    assert documented == set(contract().document["components"]["examples"])


def test_the_examples_match_their_schemas() -> None:
    """Every recorded response of every operation."""
    seen = 0
    for path, operations in contract().document["paths"].items():
        for method, operation in operations.items():
            for status, problem in operation["responses"].items():
                declared = contract().resolved(problem)
                needed = [
                    name for name, header in declared["headers"].items() if contract().resolved(header).get("required")
                ]
                for media_type, content in declared.get("content", {}).items():
                    for example in content.get("examples", {}).values():
                        headers = {**dict.fromkeys(needed, "x"), "Content-Type": media_type}
                        contract().check(
                            method,
                            path,
                            int(status),
                            message(headers),
                            json.dumps(contract().resolved(example)["value"]).encode(),
                        )
                        seen += 1
    assert seen > 200


def test_every_parameter_has_a_description() -> None:
    """And the description fits the operation."""
    for operation in contract().operations:
        words = {one["name"]: one.get("description", "") for one in map(contract().resolved, operation["parameters"])}
        assert all(words.values()), words
        if operation["operationId"] == "get_openapi":
            assert "task" not in words["If-None-Match"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_route_and_its_head_route_need_each_other(method: str) -> None:
    functions = tuple(
        replace(one, routes=tuple(route for route in one.routes if route.method != method))
        for one in TEMPLATE.functions
        if one.name == "GetTask"
    )
    functions = tuple(replace(one, handler="functions.get_task.app.handler") for one in functions)
    with pytest.raises(TypeError, match="HEAD"):
        list(operations_of(replace(TEMPLATE, functions=functions)))


def test_a_response_to_head_is_checked_like_get_without_a_body() -> None:
    path, content = "/v1/users/me/tasks/x", json.dumps(BODY).encode()
    contract().check("HEAD", path, 400, message(HEADERS), b"")
    for status, headers, body in (
        (400, HEADERS, content),
        (418, HEADERS, b""),
        (400, {**HEADERS, "Cache-Control": None}, b""),
    ):
        with pytest.raises(OutsideContract):
            contract().check("HEAD", path, status, message(headers), body)


def test_members_that_every_response_has_are_required() -> None:
    """Otherwise a typed client must check each member, and cannot recognize a tombstone."""
    optional = {
        (name, member)
        for name, schema in json.loads(DOCUMENT.read_text())["components"]["schemas"].items()
        if schema.get("additionalProperties", True)  # requests allow no other members
        for member in schema.get("properties", {}).keys() - set(schema.get("required", ()))
    }
    assert optional == {("Problem", "errors"), ("Task", "deleted_at"), ("Task", "purge_at")}


def test_no_schema_has_a_default() -> None:
    """Generated clients require a field that has one, or send it. The description says what an absent field means."""
    document = contract().document
    schemas = [*document["components"]["schemas"].values()]
    schemas += [
        contract().resolved(one)["schema"] for operation in contract().operations for one in operation["parameters"]
    ]
    assert [schema for schema in schemas if '"default"' in json.dumps(schema)] == []
    assert "Default: `false`." in document["components"]["schemas"]["NewTask"]["properties"]["completed"]["description"]


@pytest.mark.parametrize("document", [DOCUMENT, events.DOCUMENT], ids=["contract", "events"])
def test_no_schema_has_a_constant_or_a_union_of_models_that_is_no_one_of(document: Path) -> None:
    """Generators of clients misread constants, and make one type with the members of all from an `anyOf`."""
    found = list(schemas_in(json.loads(document.read_text())))
    assert [one for one in found if "const" in one] == []
    unions = [one["anyOf"] for one in found if "anyOf" in one]
    assert unions
    assert [one for one in unions if len(one) != 2 or one[1] != {"type": "null"}] == []


def schemas_in(part: object) -> Iterator[dict[str, Any]]:
    """Every object of a document, except the examples."""
    if isinstance(part, dict):
        yield part
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, one in inner:
        if name not in {"example", "examples"}:
            yield from schemas_in(one)


def test_a_deleted_task_is_a_task_and_a_tombstone_is_none() -> None:
    schemas = contract().document["components"]["schemas"]
    pages = {
        name: jsonschema_rs.Draft202012Validator(
            {**schemas[name]["properties"]["items"], "components": {"schemas": schemas}}
        ).is_valid
        for name in ("TaskPage", "Changes")
    }
    texts = dict.fromkeys(("id", "user_id", "title", "created_at", "updated_at", "etag"), "x")
    values = {"completed": False, "priority": 0, "tags": [], "metadata": {}, "version": 1}
    task = {**dict.fromkeys(schemas["Task"]["required"]), **texts, **values}
    deleted = {**task, "deleted_at": "x", "purge_at": "x"}
    tombstone = {"id": "x", "deleted": True, "version": 1, "deleted_at": "x"}
    assert pages["TaskPage"]([task, deleted])
    assert not pages["TaskPage"]([tombstone])
    assert pages["Changes"]([task, tombstone])
    assert not pages["Changes"]([{"id": "x", "version": 1}])


def pattern_of(name: str) -> Callable[[str], bool]:
    """Whether a text matches the pattern of a field, or of its items."""
    field = contract().document["components"]["schemas"]["NewTask"]["properties"][name]
    text = field["items"] if "items" in field else field["anyOf"][0]
    return jsonschema_rs.Draft202012Validator({"pattern": text["pattern"]}).is_valid


def is_valid(**fields: object) -> bool:
    """Whether the validator takes a task with these fields."""
    try:
        NewTask.model_validate({"title": "x", **fields})
    except ValidationError:
        return False
    return True


def test_the_pattern_of_due_dates_differs_from_the_validator_only_by_the_calendar() -> None:
    matches, two = pattern_of("due"), [f"{number:02}" for number in range(100)]
    days = [f"2026-{month}-{day}" for month in two for day in two]
    times = [f"2026-12-24T{hour}:{minute}" for hour in two for minute in two]
    seconds = [f"2026-12-24T17:00:{second}" for second in two]
    others = ["", "2026-12-24T", "2026-12-24T17", "2026-12-24 17:00", "2026-12-24T17:00Z", "26-12-24", "2026-12-24\n"]
    for due in (*days, *times, *seconds, *others):
        missing = re.fullmatch(r"2026-(02-(29|30|31)|(04|06|09|11)-31)", due) is not None
        assert matches(due) == (is_valid(due=due) or missing), due


def test_the_pattern_of_tags_refuses_control_characters_and_takes_every_tag() -> None:
    matches = pattern_of("tags")
    for number in range(0x3100):
        character = chr(number)
        assert matches(f"x{character}") == is_valid(tags=[f"x{character}"]), number
        assert matches(character) or not is_valid(tags=[character]), number
    assert not matches(" \u3000")


def examples_of(method: str, path: str, status: int) -> dict[str, Any]:
    """The examples of problems that an operation shows for a status."""
    declared = contract().resolved((contract().operation_at(method, path) or {})["responses"][str(status)])
    examples: dict[str, Any] = declared["content"][PROBLEM]["examples"]
    return {kind: contract().resolved(example)["value"] for kind, example in examples.items()}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_the_examples_of_problems_come_from_their_operation(api: Api, operation: Operation) -> None:
    """The errors about a body or a media type differ between operations."""
    path = operation.path_of("me", "x")
    for status, kind, body, headers in (
        (422, "invalid-body", {"title": "", "colour": "red"}, {}),
        (415, "unsupported-media-type", None, {"Content-Type": "text/plain"}),
    ):
        if operation.body is not None:
            problem = operation.ask(api, str(uuid.uuid4()), body=body, headers=headers).json
            assert {**examples_of(operation.method, path, status)[kind], "instance": problem["instance"]} == problem
    # Only a batch names the operation that failed.
    missing = examples_of(operation.method, path, 404).get("task-not-found", {}) if operation.on_a_task else {}
    assert "errors" not in missing


PROBLEM = "application/problem+json"
BODY = {"type": "urn:problem:tasks:bad-query", "title": "x", "status": 400, "detail": "x", "instance": "x"}
HEADERS = {"Content-Type": PROBLEM, "Cache-Control": "no-store", "X-Correlation-Id": "x"}
OUTSIDE: dict[str, tuple[int, dict[str, Any] | None, dict[str, str | None]]] = {
    "a status": (418, BODY, {}),
    "a content type": (400, BODY, {"Content-Type": "application/json"}),
    "no content type": (400, BODY, {"Content-Type": None}),
    "no body": (400, None, {}),
    "a type of problem": (400, {**BODY, "type": "urn:problem:tasks:not-deleted"}, {}),
    "a member": (400, {**BODY, "colour": "red"}, {}),
    "a member of another type": (400, {**BODY, "status": "400"}, {}),
    "half a fault": (400, {**BODY, "errors": [{"pointer": ""}]}, {}),
    "a header that is missing": (400, BODY, {"Cache-Control": None}),
    "a header": (400, BODY, {"X-Powered-By": "x"}),
    "no challenge": (401, {"message": "x"}, {"Content-Type": "application/json"}),
    "a body where there is none": (204, BODY, {}),
}


def message(headers: Mapping[str, str | None]) -> Message:
    """Headers of a response."""
    made = Message()
    for name, value in headers.items():
        if value is not None:
            made[name] = value
    return made


@pytest.mark.parametrize(("status", "body", "headers"), OUTSIDE.values(), ids=OUTSIDE)
def test_responses_outside_the_contract_are_reported(
    status: int, body: dict[str, Any] | None, headers: dict[str, str | None]
) -> None:
    """The check of every response in all suites works: each damaged response fails, and the undamaged ones pass."""
    path = "/v1/users/me/tasks/x?y=z"
    contract().check("DELETE", path, 400, message(HEADERS), json.dumps(BODY).encode())
    content = b"" if body is None else json.dumps(body).encode()
    with pytest.raises(OutsideContract):
        contract().check("DELETE", path, status, message({**HEADERS, **headers}), content)


def test_a_request_to_no_route_has_no_contract() -> None:
    for method, path in (("GET", "/v1/users//tasks"), ("PUT", "/v1/users/me/tasks"), ("GET", "/")):
        assert contract().operation_at(method, path) is None
    named = {
        path: (contract().operation_at(method, path) or {}).get("operationId")
        for method, path in (("GET", "/v1/users/me/tasks/x?y"), ("POST", "/v1/users/a%2Fb/tasks/batch"))
    }
    assert list(named.values()) == ["get_task", "batch_tasks"]
