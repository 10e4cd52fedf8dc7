"""Bodies of POST, PUT and PATCH. They are read with the same code, so each input goes to one of the operations."""

from collections.abc import Callable

import pytest

from tests.api import Api, Response
from tests.conftest import mixed
from tests.contract.conftest import Kept
from tests.contract.shapes import is_problem, shows_task
from tests.inputs import FAULTY, MALFORMED, NO_OBJECT, READ_ONLY, TEXTS

type Send = Callable[[Api, str, object], Response]

SENDERS: dict[str, Send] = {
    "POST": lambda api, _, body: api.send("POST", api.tasks, body),
    "PUT": lambda api, task_id, body: api.replace(task_id, body),
    "PATCH": lambda api, task_id, body: api.update(task_id, body),
}
FAULTS: dict[str, tuple[dict[str, object], list[str]]] = {
    **FAULTY,
    # The models cannot check it: a patch may name only one of the two fields.
    "a time zone without a time": ({"due": "2026-12-24", "time_zone": "UTC"}, ["/time_zone"]),
}
VALID = {"title": "new", "description": None, "completed": False}


@pytest.mark.parametrize(("method", "name"), mixed(SENDERS, MALFORMED))
def test_a_malformed_body_is_400(kept: Kept, method: str, name: str) -> None:
    body, kind = MALFORMED[name]
    assert is_problem(SENDERS[method](kept.api, kept.task["id"], body), 400, kind)


@pytest.mark.parametrize(("method", "name"), mixed(SENDERS, FAULTS))
def test_every_error_of_a_body_is_listed_in_a_422(kept: Kept, method: str, name: str) -> None:
    fields, pointers = FAULTS[name]
    response = SENDERS[method](kept.api, kept.task["id"], {**VALID, **fields})
    assert is_problem(response, 422, "invalid-body", pointers)


@pytest.mark.parametrize(("method", "name"), mixed(SENDERS, NO_OBJECT))
def test_a_body_that_is_not_an_object_is_422(kept: Kept, method: str, name: str) -> None:
    assert is_problem(SENDERS[method](kept.api, kept.task["id"], NO_OBJECT[name]), 422, "invalid-body", [""])


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("name", READ_ONLY)
def test_fields_that_only_the_server_sets_are_rejected(kept: Kept, method: str, name: str) -> None:
    response = SENDERS[method](kept.api, kept.task["id"], {"title": "new", name: READ_ONLY[name]})
    assert is_problem(response, 422, "invalid-body", [f"/{name}"])


@pytest.mark.parametrize(("method", "name"), mixed(SENDERS, TEXTS))
def test_a_text_is_returned_in_nfc_and_otherwise_unchanged(api: Api, method: str, name: str) -> None:
    sent, kept = TEXTS[name]
    task_id = api.made()["id"]
    response = SENDERS[method](api, task_id, {**VALID, "title": sent, "description": sent})
    assert shows_task(response, api.caller, response.status, title=kept, description=kept)
    assert api.get(response.json["id"]).json == response.json
    assert response.json in api.walk()
