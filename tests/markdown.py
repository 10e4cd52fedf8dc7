"""The documents as a Markdown parser reads them: blocks of code, code in lines, links and headings.

Only this module reads blocks. So a test that executes blocks asks for them here, and
tests/documents/test_snippets.py finds every block that no test asks for.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import ROOT


class Block(NamedTuple):
    """A fenced block of code."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        """Return the place of the block."""
        return f"{self.document}:{self.line}"


@cache
def documents() -> tuple[str, ...]:
    """Return the paths of all documents. `make mutants` copies some into a folder of its own."""
    paths = (path.relative_to(ROOT) for pattern in ("*.md", "[!.]*/**/*.md") for path in ROOT.glob(pattern))
    return tuple(sorted(str(path) for path in paths if path.parts[0] != "mutants"))


def blocks(*, language: str = "") -> list[Block]:
    """Return the blocks of all documents in a language. Without a language, all blocks."""
    return [block for document in documents() for block in _blocks(document) if language in ("", block.language)]


def code(document: str, language: str) -> str:
    """Return all blocks of a document in a language, as one text."""
    texts = [block.text for block in _blocks(document) if block.language == language]
    assert texts, f"{document} has no block of {language}"
    return "\n".join(texts)


def spans(document: str) -> list[str]:
    """Return the code in the lines of a document."""
    return [token.content for token in _inline(document) if token.type == "code_inline"]


def links(document: str) -> list[str]:
    """Return the targets of the links and images of a document."""
    targets = (token.attrGet({"link_open": "href", "image": "src"}.get(token.type, "")) for token in _inline(document))
    return [str(target) for target in targets if target is not None]


@cache
def anchors(document: str) -> frozenset[str]:
    """Return the anchors that GitHub makes of the headings: words in lower case, joined by hyphens, with a number."""
    tokens, seen, made = _tokens(document), Counter[str](), set[str]()
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            shown = "".join(one.content for one in token.children or () if one.type in {"text", "code_inline"})
            name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            made.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
    return frozenset(made)


def _blocks(document: str) -> Iterator[Block]:
    for token in _tokens(document):
        if token.type in {"fence", "code_block"}:
            yield Block(document, (token.map or [0])[0] + 1, token.info.strip(), token.content)


def _inline(document: str) -> Iterator[Token]:
    for token in _tokens(document):
        yield from token.children or ()


@cache
def _tokens(document: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse((ROOT / document).read_text())
