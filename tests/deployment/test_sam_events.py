"""The events for `sam local invoke` have the format of API Gateway, and the functions accept them."""

import json
from pathlib import Path

import pytest

from tests.api import FOR_SERVICES, OPERATIONS, PUBLIC, Operation
from tests.conftest import ROOT

EVERY = OPERATIONS | FOR_SERVICES | PUBLIC


@pytest.mark.parametrize("operation", EVERY.values(), ids=list(EVERY))
def test_the_route_of_an_event_is_that_of_its_operation(operation: Operation) -> None:
    event = json.loads((ROOT / "events" / f"{operation.name}.json").read_text())
    context = event["requestContext"]
    assert event["version"] == "2.0"
    assert event["routeKey"] == context["routeKey"] == f"{operation.method} {operation.path}"
    assert (context["http"]["method"], context["stage"]) == (operation.method, "$default")
    assert event["rawPath"] == context["http"]["path"] == operation.path.format(**event.get("pathParameters", {}))
    assert all(name == name.lower() for name in event["headers"])
    assert ("authorizer" in context) == ("authorization" in event["headers"]) == (operation.name not in PUBLIC)
    assert operation.name not in OPERATIONS or context["authorizer"]["jwt"]["claims"]["sub"] == "alice"
    assert ("body" in event) == (operation.body is not None)


def test_there_is_an_event_for_each_function_and_no_other() -> None:
    events = {path.stem for path in Path(ROOT / "events").glob("*.json")}
    assert events == {*EVERY, "publish_events"}  # this function is not an operation
