"""POST /v1/users/{user_id}/tasks: 201, and every way to be refused."""

import pytest

from tests.api import Api, Backend
from tests.contract.inputs import FAULTY, MALFORMED, NO_OBJECT, READ_ONLY, TEXTS
from tests.contract.shapes import REVALIDATE, is_problem, shows_task


def is_unwritten(backend: Backend, api: Api) -> bool:
    """Whether the user has no task, by the API and by the table."""
    return api.walk() == backend.stored(api.caller) == []


def test_a_task_is_created(api: Api) -> None:
    response = api.create(title="Buy milk", description="2 l", completed=False)
    expected = {"title": "Buy milk", "description": "2 l", "completed": False, "completed_at": None, "version": 1}
    assert shows_task(response, api.caller, 201, **expected)
    assert response.json["created_at"] == response.json["updated_at"]


def test_the_location_leads_to_the_task(api: Api) -> None:
    created = api.create()
    assert created.headers["Location"] == f"{api.tasks}/{created.json['id']}"
    response = api.send("GET", created.headers["Location"])
    assert shows_task(response, api.caller, 200, REVALIDATE, **created.json)


def test_a_title_is_enough(api: Api) -> None:
    assert shows_task(api.create(), api.caller, 201, description=None, completed=False)


def test_a_description_may_be_null(api: Api) -> None:
    assert shows_task(api.create(description=None), api.caller, 201, description=None)


def test_a_task_may_be_created_completed(api: Api) -> None:
    response = api.create(completed=True)
    assert shows_task(response, api.caller, 201, completed=True, completed_at=response.json["created_at"])


def test_each_task_has_an_id_of_its_own_even_with_the_same_title(api: Api) -> None:
    assert len({api.made()["id"] for _ in range(3)}) == 3


def test_an_empty_description_is_not_null(api: Api) -> None:
    task = api.made(description="")
    assert task["description"] == ""
    assert api.get(task["id"]).json == task


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"'])
def test_json_in_utf8_is_read(api: Api, content_type: str) -> None:
    response = api.send("POST", api.tasks, {"title": "x"}, {"Content-Type": content_type})
    assert shows_task(response, api.caller, 201)


@pytest.mark.parametrize(("sent", "kept"), TEXTS.values(), ids=TEXTS)
def test_a_text_comes_back_in_nfc_and_otherwise_as_it_was(api: Api, sent: str, kept: str) -> None:
    task = api.made(title=sent, description=sent)
    assert (task["title"], task["description"]) == (kept, kept)
    assert api.get(task["id"]).json == task
    assert api.walk() == [task]


def test_a_text_that_is_escaped_in_json_comes_back_as_its_characters(api: Api) -> None:
    response = api.send("POST", api.tasks, rb'{"title": "\ud83d\ude00 \u00e9 \u2028"}')
    assert shows_task(response, api.caller, 201, title="\N{GRINNING FACE} é \u2028")


@pytest.mark.parametrize(
    "fields", [{"title": "x" * 255}, {"description": "\N{GRINNING FACE}" * 1000}], ids=["title", "description"]
)
def test_the_longest_text_is_taken(api: Api, fields: dict[str, str]) -> None:
    assert shows_task(api.create(**fields), api.caller, 201, **fields)


@pytest.mark.parametrize(("body", "kind"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_400(backend: Backend, api: Api, body: bytes, kind: str) -> None:
    assert is_problem(api.send("POST", api.tasks, body), 400, kind)
    assert is_unwritten(backend, api)


@pytest.mark.parametrize(("fields", "pointers"), FAULTY.values(), ids=FAULTY)
def test_every_fault_of_a_body_is_listed_in_a_422(
    backend: Backend, api: Api, fields: dict[str, object], pointers: list[str]
) -> None:
    assert is_problem(api.create(**fields), 422, "invalid-body", pointers)
    assert is_unwritten(backend, api)


@pytest.mark.parametrize("body", NO_OBJECT.values(), ids=NO_OBJECT)
def test_a_body_that_is_no_object_is_422(backend: Backend, api: Api, body: bytes) -> None:
    assert is_problem(api.send("POST", api.tasks, body), 422, "invalid-body", [""])
    assert is_unwritten(backend, api)


def test_an_empty_object_lacks_a_title(backend: Backend, api: Api) -> None:
    assert is_problem(api.send("POST", api.tasks, {}), 422, "invalid-body", ["/title"])
    assert is_unwritten(backend, api)


@pytest.mark.parametrize("name", READ_ONLY)
def test_what_the_server_alone_sets_is_refused(backend: Backend, api: Api, name: str) -> None:
    assert is_problem(api.create(**{name: READ_ONLY[name]}), 422, "invalid-body", [f"/{name}"])
    assert is_unwritten(backend, api)
