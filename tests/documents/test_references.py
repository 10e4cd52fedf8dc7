"""Links, paths and names in the documents lead to something that exists."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from contract.checker import contract
from tests.conftest import ROOT
from tests.markdown import anchors, documents, links, spans

pytestmark = pytest.mark.parametrize("document", documents())

# `make` and programs write these: a fresh clone does not have them.
GENERATED = {".aws-sam", ".build", ".local", ".venv"}
# The operation that CONTRIBUTING.md adds as an example, and files of botocore.
ELSEWHERE = re.compile(r"archive_task|/archive$|^(cacert\.pem|endpoints\.json)$")
FILE = re.compile(r"[\w.-]+\.(py|md|mts|json|yaml|toml|txt|http)")


@cache
def files() -> dict[str, list[Path]]:
    """All files of the project by name."""
    found: dict[str, list[Path]] = {}
    for top in ROOT.iterdir():
        if top.name not in GENERATED | {".git", "mutants"}:
            for path in [top, *top.rglob("*")]:
                found.setdefault(path.name, []).append(path)
    return found


def test_links_lead_to_a_file_and_to_a_heading(document: str) -> None:
    for link in links(document):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme in {"http", "https"}, link
            assert re.fullmatch(r"[\w.:-]+", parts.netloc), link
            continue
        target = ((ROOT / document).parent / unquote(parts.path)).resolve() if parts.path else ROOT / document
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if parts.fragment:
            assert parts.fragment in anchors(str(target.relative_to(ROOT))), link


def test_paths_and_files_exist(document: str) -> None:
    here = (ROOT / document).parent
    for span in spans(document):
        if ELSEWHERE.search(span) or not re.fullmatch(r"[\w.*<>/-]+", span):
            continue
        first, slash, _ = span.partition("/")
        if slash and first and first not in GENERATED:
            pattern = re.sub(r"<\w+>", "*", span.rstrip("/"))
            if (ROOT / first).exists() or (here / first).exists() or FILE.fullmatch(Path(span).name):
                assert any(ROOT.glob(pattern)) or any(here.glob(pattern)), span
        elif FILE.fullmatch(span):
            assert span in files(), span


def test_modules_and_their_names_exist(document: str) -> None:
    """`ops.migrate` is a module, and `positions.choose` is a name in a module."""
    for span in spans(document):
        if not (match := re.fullmatch(r"([a-z_]+)\.([A-Za-z_]\w+)", span)) or FILE.fullmatch(span):
            continue
        owner, name = match.groups()
        modules = [path for path in files().get(f"{owner}.py", []) if path.parts[-2] != "functions"]
        if (ROOT / owner / "__init__.py").exists():
            assert (ROOT / owner / f"{name}.py").exists(), span
        elif modules:
            assert any(has(path, name) for path in modules), span


def test_names_that_are_said_to_be_in_a_file_are_there(document: str) -> None:
    """`SCHEMA` in `shared/store/items.py`."""
    text = (ROOT / document).read_text()
    for name, place in re.findall(r"`(\w+)`\s+(?:in|of)\s+\[?`?([\w/]+\.(?:py|yaml))\b", text):
        if not ELSEWHERE.search(place):
            found = [path for path in files().get(Path(place).name, []) if str(path).endswith(f"/{place}")]
            assert any(has(path, name) for path in found), (name, place)


def test_requests_exist_with_their_parameters(document: str) -> None:
    """`GET /tasks?list=K`: texts leave out the beginning of the path."""
    for span in spans(document):
        match = re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) (/(?:v1|tasks|changes)[^?\s]*)(?:\?(.*))?", span)
        if match and not ELSEWHERE.search(span):
            method, path, query = match.groups()
            path = re.sub(r"\{\w+\}", "x", path if path.startswith("/v1") else f"/v1/users/me{path}")
            operation = contract().operation_at(method, path)
            assert operation, span
            parameters = {contract().resolved(one)["name"] for one in operation.get("parameters", [])}
            assert {pair.partition("=")[0] for pair in (query or "").split("&") if pair} <= parameters, span


def has(path: Path, name: str) -> bool:
    return re.search(rf"\b{name}\b", path.read_text()) is not None
