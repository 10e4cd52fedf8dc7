"""Every block of code in the documents is executed or checked by a test. These tests check JSON and diagrams.

A test claims blocks by asking tests/markdown.py for them: those of one document with `code(document, language)`, or
those of all documents with `blocks(language=...)`. So a block in a new language, or of code in another document, fails
here until a test asks for it.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest
from boto3.dynamodb.types import TypeSerializer

from contract import events
from contract.checker import contract
from shared.models import NewTask
from shared.store import erasure, items
from shared.store.dynamodb import Table
from shared.store.items import IdempotencyKey
from shared.store.task_store import TaskStore
from tests.conftest import ROOT, deadline_in, forget, table_at
from tests.markdown import Block, blocks

FENCE = "`" * 3
ID = "01a20720-1d65-7ec7-a429-721882d38931"


def claimed() -> set[tuple[str, str]]:
    """The documents and languages that tests ask for. The document is empty for all documents."""
    found: set[tuple[str, str]] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text()
        found.update(re.findall(r'\bcode\("([^"]+)", "(\w+)"\)', text))
        found.update(("", language) for language in re.findall(r'\bblocks\(language="(\w+)"\)', text))
    return found


def test_a_test_asks_for_every_block() -> None:
    claims = claimed()
    unclaimed = [block for block in blocks() if not {("", block.language), (block.document, block.language)} & claims]
    assert not unclaimed, "\n".join(
        f"{block}: no test runs this {block.language or 'unnamed block'}" for block in unclaimed
    )


def test_only_one_module_reads_blocks() -> None:
    assert [path for path in (ROOT / "tests").rglob("*.py") if FENCE in path.read_text()] == []


def shown(text: str) -> Any:
    """The JSON of a block. `"...": "..."` stands for the other fields of the task, and `01a2...` for a whole id."""

    def whole(given: dict[str, Any]) -> dict[str, Any]:
        if given.pop("...", None) is None:
            return given
        return {**(content(block_with("write_tokens")) if "pk" in given else block_with("etag")), **given}

    text = re.sub(r"(01a[0-9a-f-]*)\.\.\.", lambda match: match[1] + ID[len(match[1]) :], text)
    return json.loads(text, object_hook=whole)


def block_with(member: str) -> dict[str, Any]:
    """The block of JSON with this member."""
    (found,) = (one for one in (json.loads(block.text) for block in blocks(language="json")) if member in one)
    return dict(found)


def content(item: dict[str, Any]) -> dict[str, Any]:
    """An item without index keys and tokens."""
    return {name: value for name, value in item.items() if not name.startswith("by_") and name != "write_tokens"}


def attributes(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


def is_valid(name: str) -> Callable[[Any, Table], None]:
    """Whether a value matches a schema of the contract."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": contract().document["components"]}
    return lambda value, _: jsonschema_rs.validate(schema, value)


def is_an_event(event: Any, _: Table) -> None:
    jsonschema_rs.validate(json.loads(events.DOCUMENT.read_text()), event["detail"])


def is_an_item(item: Any, _: Table) -> None:
    """The codec reads the item, and writes the same attributes for what it has read."""
    given = attributes(item)
    assert items.to_item(items.from_item(given), before={"write_tokens": given["write_tokens"]}) == given


def is_a_tombstone(deleted: Any, table: Table) -> None:
    live = block_with("write_tokens")
    del live["by_creation"]
    is_an_item({**live, **deleted}, table)


def is_a_record(record: Any, _: Table) -> None:
    given = attributes(record)
    read = items.from_record(given)
    key = IdempotencyKey(record["sk"].removeprefix("KEY#"), read.fingerprint, 60)
    assert items.to_record(given["pk"], key, read.results, read.write_token, read.expires_at - 60_000) == given


def is_a_mark(mark: Any, table: Table) -> None:
    """An erasure without pauses leaves an item with the same attributes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure, "UNTIL_NO_CREATES", 0)
        patch.setattr(erasure, "SETTLED", 0)
        user = items.user_of(attributes(mark))
        store = TaskStore(table, user, deadline_in(60))
        store.create(NewTask(title="x"))
        while store.erase(40).more:
            pass
    given = attributes(mark)
    left = table.client.get_item(TableName=table.name, Key={"pk": given["pk"], "sk": given["sk"]})["Item"]
    forget(user)
    assert {name: set(value) for name, value in left.items()} == {name: set(value) for name, value in given.items()}
    assert left["version"] == given["version"]


# The check of a block of JSON, by a member that only this kind has.
KINDS = {
    "etag": is_valid("Task"),
    "operations": is_valid("Batch"),
    "receipt": is_valid("Erased"),
    "instance": is_valid("Problem"),
    "detail-type": is_an_event,
    "write_tokens": is_an_item,
    "deleted_at": is_a_tombstone,
    "fingerprint": is_a_record,
    "marked_at": is_a_mark,
}


@pytest.mark.parametrize("block", blocks(language="json"), ids=str)
def test_json_has_the_form_of_what_it_shows(block: Block, moto_url: str) -> None:
    value = shown(block.text)
    (check,) = (check for member, check in KINDS.items() if member in value)
    check(value, table_at(moto_url))


# The parts of diagrams that the documents use.
NODE = r'(\w+)(\[\[".+?"\]\]|\[\(".+?"\)\]|\[".+?"\])?'
ARROW = r'(?:-->|-- ".+?" -->|-\. ".+?" \.->)'
STEP = r"(?:(\w+)(?:->>|-->>|-x)(\w+)|Note over (\w+)): .+"


@pytest.mark.parametrize("block", blocks(language="mermaid"), ids=str)
def test_a_diagram_has_the_syntax_of_mermaid_and_names_what_it_declares(block: Block) -> None:
    kind, *lines = map(str.strip, block.text.splitlines())
    used, declared = set[str](), set[str]()
    for line in lines:
        if kind == "sequenceDiagram" and (participant := re.fullmatch(r"participant (\w+) as .+", line)):
            declared.add(participant[1])
        elif kind == "sequenceDiagram":
            step = re.fullmatch(STEP, line)
            assert step, line
            used.update(filter(None, step.groups()))
        elif line != "end":
            edge = re.fullmatch(rf"(?:subgraph )?{NODE}(?: {ARROW} {NODE})?", line)
            assert edge, line
            nodes = [edge.groups()[:2], edge.groups()[2:]]
            used.update(name for name, _ in nodes if name)
            declared.update(name for name, shape in nodes if shape)
    assert kind in {"sequenceDiagram", "flowchart LR"}
    assert used <= declared
    assert sum(line.startswith("subgraph") for line in lines) == lines.count("end")
