"""`make mutants` fails if too few of the mutants are noticed."""

import pytest

from tests.mutants import LEAST, noticed


@pytest.mark.parametrize(
    ("missed", "enough"),
    [({"survived": 30}, True), ({"survived": 31}, False), ({"survived": 30, "no_tests": 1}, False)],
)
def test_survivors_and_code_without_tests_count_as_missed(missed: dict[str, int], enough: bool) -> None:
    stats = {"survived": 0, "no_tests": 0, "timeout": 10, "segfault": 1, "total": 1000, **missed}
    stats["killed"] = 1000 - 11 - sum(missed.values())
    assert (noticed(stats) >= LEAST) is enough
