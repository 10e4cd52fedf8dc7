"""The number of tasks that fit into a response of Lambda, with the encoder of Lambda's runtime as the judge."""

import sys

import pytest
from pydantic_core import to_json

from shared import tasks
from shared.fields import rfc3339
from shared.models import DeletedTask, ImportedTask, NewTask, Task, TaskPage, TaskQuery
from shared.store import pages
from shared.store.pages import LARGEST_TASK, RESERVE, RESPONSE_BYTES, SURE_TO_FIT, fitting, size_of
from tests.sizes import MOST_BYTES, encoded, largest_task
from tests.unit.conftest import NOW, TASK_ID

EVERY_CHARACTER = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


def stored(characters: str) -> DeletedTask:
    """The largest task, in the trash: then it has two more times. An import has the longest version."""
    new = NewTask(**largest_task(characters))
    times = rfc3339(NOW), rfc3339(NOW)
    task = tasks.import_task(None, TASK_ID, '"' * 255, ImportedTask(new, *times), NOW)
    assert isinstance(task, DeletedTask)
    return task


def sent(page: list[Task]) -> int:
    """The number of bytes that Lambda sends for a page, without headers and a cursor."""
    return len(encoded({"body": TaskPage(items=page, next_cursor=None).model_dump_json()}))


def test_the_limit_is_that_of_lambda() -> None:
    assert RESPONSE_BYTES == MOST_BYTES


def test_every_character_is_encoded_as_lambda_encodes_it() -> None:
    assert to_json(EVERY_CHARACTER) == encoded(EVERY_CHARACTER)
    # Characters after the first 128 are not escaped, and have at most four bytes.
    assert max(len(encoded(to_json(chr(code)).decode())) - len(r'"\"\""') for code in range(128)) == 7


@pytest.mark.parametrize(
    "characters", ["\x01", '"\\', "\x7f", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{GRINNING FACE}"]
)
def test_the_size_of_a_task_is_exact(characters: str) -> None:
    task = stored(characters)
    assert sent([task] * 3) - sent([task] * 2) == size_of(task) <= LARGEST_TASK


def test_the_bound_is_close_to_the_largest_task() -> None:
    assert 0.9 * LARGEST_TASK < size_of(stored("\x01")) <= LARGEST_TASK


def test_a_page_that_is_not_measured_fits() -> None:
    assert sent([stored("\x01")] * SURE_TO_FIT) + RESERVE <= MOST_BYTES
    # The common case is not measured.
    assert TaskQuery().limit <= SURE_TO_FIT


def test_a_page_has_as_many_tasks_as_fit() -> None:
    page: list[Task] = [stored("\x01")] * 100
    count = fitting(page)
    assert sent(page[:count]) + RESERVE <= MOST_BYTES < sent(page[: count + 1]) + RESERVE
    assert fitting(page[:count]) == count


def test_a_page_has_at_least_one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SURE_TO_FIT", 0)
    monkeypatch.setattr(pages, "ROOM", 0)
    assert fitting([stored("\x01")] * 2) == 1
    assert fitting([]) == 0
