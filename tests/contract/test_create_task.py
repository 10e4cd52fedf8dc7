"""POST /v1/users/{user_id}/tasks: 201, and every rejection."""

import pytest

from tests.api import Api, Backend
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
    assert created.location == f"{api.tasks}/{created.json['id']}"
    response = api.send("GET", created.location)
    assert shows_task(response, api.caller, 200, REVALIDATE, **created.json)


def test_only_the_title_is_required(api: Api) -> None:
    assert shows_task(api.create(), api.caller, 201, description=None, completed=False)


def test_a_description_may_be_null(api: Api) -> None:
    assert shows_task(api.create(description=None), api.caller, 201, description=None)


def test_a_task_may_be_created_completed(api: Api) -> None:
    response = api.create(completed=True)
    assert shows_task(response, api.caller, 201, completed=True, completed_at=response.json["created_at"])


def test_two_tasks_with_the_same_title_have_different_ids(api: Api) -> None:
    assert len({api.made()["id"] for _ in range(3)}) == 3


def test_an_empty_description_is_not_null(api: Api) -> None:
    task = api.made(description="")
    assert task["description"] == ""
    assert api.get(task["id"]).json == task


def test_a_text_escaped_in_json_is_returned_as_its_characters(api: Api) -> None:
    response = api.send("POST", api.tasks, rb'{"title": "\ud83d\ude00 \u00e9 \u2028"}')
    assert shows_task(response, api.caller, 201, title="\N{GRINNING FACE} é \u2028")


@pytest.mark.parametrize(
    "fields", [{"title": "x" * 255}, {"description": "\N{GRINNING FACE}" * 1000}], ids=["title", "description"]
)
def test_the_longest_text_is_accepted(api: Api, fields: dict[str, str]) -> None:
    assert shows_task(api.create(**fields), api.caller, 201, **fields)


def test_an_empty_object_lacks_a_title(backend: Backend, api: Api) -> None:
    assert is_problem(api.send("POST", api.tasks, {}), 422, "invalid-body", ["/title"])
    assert is_unwritten(backend, api)
