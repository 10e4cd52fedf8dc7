"""The sizes of responses: the encoder of Lambda's runtime as the judge, Lambda's limit, and the largest tasks."""

import os
from string import ascii_lowercase
from typing import Any
from unittest import mock

import pytest

from shared.time_zones import TIME_ZONES

# The limit of Lambda for the JSON of a response, in bytes. Its message about a larger response names this number.
MOST_BYTES = 6_291_556


def encoded(result: object) -> bytes:
    """Return what Lambda sends for the result of a function."""
    runtime = pytest.importorskip("awslambdaric.lambda_runtime_marshaller", reason="awslambdaric is only for Linux")
    with mock.patch.dict(os.environ, AWS_EXECUTION_ENV="AWS_Lambda_python3.13"):
        return str(runtime.to_json(result)).encode()


def largest_task(characters: str) -> dict[str, Any]:
    """Return the fields of a new task that is as large as possible, with texts of some characters.

    The limits are those of docs/http-api.md, as numbers, so that a wrong constant in shared/ does not change them.
    """

    def filled(length: int) -> str:
        return (characters * length)[:length]

    # Tags have no control characters. The last five characters number them: a quote or a backslash takes four bytes.
    tag = filled(45) if characters.isprintable() else '"' * 45
    numbers = [f"{number:05b}".translate({ord("0"): '"', ord("1"): "\\"}) for number in range(20)]
    # As many members of metadata as possible, because the quotes of each take space, too. They have 2,048 bytes, of
    # which each key takes one.
    value = filled(101 // len(characters[0].encode()))
    return {
        "title": f"x{filled(254)}",
        "description": filled(8192),
        "completed": True,
        "due": "2026-12-24T17:00:00",
        "time_zone": max(TIME_ZONES, key=len),
        "priority": 1,
        "tags": [tag + number for number in numbers],
        "metadata": dict.fromkeys(ascii_lowercase[:20], value),
        "list": "x" * 64,
        "position": "x" * 250,
    }
