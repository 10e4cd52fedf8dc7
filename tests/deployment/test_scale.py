"""The arithmetic that docs/scale.md shows is the one that `python -m ops.scale` does, on what the code has."""

import pytest

from ops import scale
from tests.conftest import ROOT


def test_the_tables_of_the_docs_are_those_of_the_command() -> None:
    assert "\n".join(scale.tables()) in (ROOT / "docs" / "scale.md").read_text()


def test_the_throttle_is_the_templates(translated: dict[str, dict[str, dict[str, int]]]) -> None:
    (ours,) = [limit for name, (limit, _) in scale.LIMITS.items() if name.startswith("ThrottleRate")]
    assert translated["Parameters"]["ThrottleRate"]["Default"] == ours


def test_a_limit_is_reached_where_the_load_says() -> None:
    for limit, what in scale.LIMITS.values():
        users = limit / getattr(scale.Load(1), what)
        assert getattr(scale.Load(round(users)), what) == pytest.approx(limit, rel=0.01)
    peak = scale.Load(1_000_000)
    assert peak.requests == pytest.approx(1_000_000 * 0.3 * 40 * 0.12 * 1.5 / 3600)
    # 1,000 executions at once are 10,000 requests a second, and no more, though each takes 30 ms only.
    assert peak.executions == pytest.approx(peak.requests / 10)
