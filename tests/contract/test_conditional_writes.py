"""If-Match and If-None-Match on writes to a live task.

PUT, PATCH, toggle and DELETE read them by the same code, so each condition is sent to one of the four.
"""

import pytest

from tests.api import OPERATIONS, Api, Backend, Headers, Response, Task
from tests.conftest import mixed
from tests.contract.conftest import Kept
from tests.contract.shapes import is_problem

WRITES = {
    name: one for name, one in OPERATIONS.items() if one.on_a_task and one.method != "GET" and name != "restore_task"
}

# Conditions that hold for a task at its second version: {etag} is its ETag, and {old} the ETag before.
HOLDS: dict[str, Headers] = {
    "nothing asked": {},
    "its ETag": {"If-Match": "{etag}"},
    "its ETag among others": {"If-Match": '"x", {old} ,\t{etag}'},
    "its ETag in a second line": {"If-Match": ["{old}", "{etag}"]},
    "a star": {"If-Match": "*"},
    "not the old one": {"If-None-Match": "{old}"},
    "not what is no ETag of ours": {"If-None-Match": 'W/"abc", ""'},
    "its ETag and not the old one": {"If-Match": "{etag}", "If-None-Match": "{old}"},
}
FAILS: dict[str, Headers] = {
    "the old ETag": {"If-Match": "{old}"},
    "its ETag as a weak one, which never matches": {"If-Match": "W/{etag}"},
    "a version to come": {"If-Match": '"3-1"'},
    "another representation": {"If-Match": '"2-9999"'},
    "what is no ETag of ours": {"If-Match": '"abc", "", "2"'},
    "a leading zero": {"If-Match": '"02-1"'},
    "not its ETag": {"If-None-Match": "{etag}"},
    "not its ETag as a weak one": {"If-None-Match": "W/{etag}"},
    "not any": {"If-None-Match": "*"},
    "its ETag and not its ETag": {"If-Match": "{etag}", "If-None-Match": "{etag}"},
    "a star and not any": {"If-Match": "*", "If-None-Match": "*"},
}
# tests/unit/test_preconditions.py has more.
MALFORMED: dict[str, Headers] = {
    "no quotes": {"If-Match": "2-1"},
    "101 ETags": {"If-Match": ", ".join(f'"{number}-1"' for number in range(1, 102))},
    "If-None-Match without quotes": {"If-None-Match": "2-1"},
    "If-None-Match with nothing": {"If-None-Match": ""},
}


def ask(name: str, api: Api, old: Task, task: Task, headers: Headers) -> Response:
    """Send the write to a task at its second version, with the headers filled in."""
    lines = {name: [value] if isinstance(value, str) else value or [] for name, value in headers.items()}
    filled = {
        name: [line.format(etag=task["etag"], old=old["etag"]) for line in value] for name, value in lines.items()
    }
    return WRITES[name].ask(api, task["id"], headers=filled)


@pytest.mark.parametrize(("condition", "name"), mixed(HOLDS, WRITES))
def test_a_write_whose_condition_holds_is_applied(api: Api, condition: str, name: str) -> None:
    old = api.made()
    task = api.toggle(old["id"]).json
    assert ask(name, api, old, task, HOLDS[condition]).status in (200, 204)
    (stored,) = api.walk(status="deleted" if WRITES[name].method == "DELETE" else "all")
    assert stored["version"] == 3


@pytest.mark.parametrize(("condition", "name"), mixed(FAILS, WRITES))
def test_a_write_whose_condition_fails_is_412_and_changes_nothing(kept: Kept, condition: str, name: str) -> None:
    response = ask(name, kept.api, kept.old, kept.task, FAILS[condition])
    assert is_problem(response, 412, "precondition-failed")


@pytest.mark.parametrize(("condition", "name"), mixed(MALFORMED, WRITES))
def test_a_malformed_condition_is_400_and_changes_nothing(kept: Kept, condition: str, name: str) -> None:
    response = ask(name, kept.api, kept.old, kept.task, MALFORMED[condition])
    assert is_problem(response, 400, "bad-etag")


@pytest.mark.parametrize(
    ("headers", "name"), mixed([{}, {"If-Match": "*"}, {"If-Match": '"1-1"'}, {"If-None-Match": "*"}], WRITES)
)
def test_an_unknown_task_is_404_with_any_condition(backend: Backend, api: Api, headers: Headers, name: str) -> None:
    response = WRITES[name].ask(api, "018f3a5c-0000-7000-8000-000000000000", headers=headers)
    if WRITES[name].method == "PUT" and "If-None-Match" in headers:  # would be a create, but the id is too old
        assert is_problem(response, 422, "unusable-id")
    else:
        assert is_problem(response, 404, "task-not-found")
    assert backend.stored(api.caller) == []
