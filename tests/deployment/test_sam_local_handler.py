"""The handler in builds for `sam local` passes the claims of a token like API Gateway."""

import base64
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.claims import as_text
from tests.conftest import ROOT

type Claims = dict[str, str]


@pytest.fixture
def claims_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Claims | None]:
    """The claims that a function gets for an Authorization header."""
    package = tmp_path / "wrapped"
    package.mkdir()
    shutil.copy(ROOT / "artifacts" / "sam_local_handler.py", package / "app.py")
    shutil.copy(ROOT / "local" / "claims.py", package)
    (package / "deployed.py").write_text("def handler(event, context):\n    return event\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    handler = importlib.import_module("wrapped.app").handler

    def claims(authorization: str) -> Claims | None:
        event = handler({"headers": {"Authorization": authorization}, "requestContext": {}}, None)
        seen: Claims | None = event["requestContext"].get("authorizer", {}).get("jwt", {}).get("claims")
        return seen

    return claims


def token(payload: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"Bearer e30.{part}.c2ln"


CLAIMS: list[tuple[dict[str, Any], Claims]] = [
    ({"sub": "alice"}, {"sub": "alice"}),
    ({"sub": 12345}, {"sub": "12345"}),
    ({"scp": ["a", "tasks/service"]}, {"scp": "[a tasks/service]"}),
    ({"email_verified": True, "nested": [["a"], False]}, {"email_verified": "true", "nested": "[[a] false]"}),
    (
        {"org": {"slg": "acme", "id": "org_1", "of": [None]}, "tenant": None},
        {"org": "map[id:org_1 of:[<nil>] slg:acme]", "tenant": "<nil>"},
    ),
]


def test_claims_are_strings(claims_of: Callable[[str], Claims | None]) -> None:
    for given, seen in CLAIMS:
        assert claims_of(token(given)) == seen
        assert {name: as_text(value) for name, value in given.items()} == seen


def test_an_invalid_token_has_no_claims(claims_of: Callable[[str], Claims | None]) -> None:
    """The function then returns 401."""
    for given in ("Bearer not.a.jwt", "Bearer e30.W10.x", "Bearer e30.MQ.x", "Bearer e30.-_8.x", "Bearer ...", "x", ""):
        assert not claims_of(given)
