"""The arithmetic in docs/scale.md matches the output of `python -m ops.scale`, with the limits of the code."""

import pytest

from ops import scale
from tests.markdown import code


def test_the_tables_in_the_docs_match_the_command() -> None:
    assert "\n".join(scale.tables()) + "\n" == code("docs/scale.md", "text")


def test_the_throttle_is_the_templates(translated: dict[str, dict[str, dict[str, int]]]) -> None:
    (ours,) = [limit for name, (limit, _) in scale.LIMITS.items() if name.startswith("ThrottleRate")]
    assert translated["Parameters"]["ThrottleRate"]["Default"] == ours


def test_the_load_at_a_limit_matches_the_limit() -> None:
    for limit, what in scale.LIMITS.values():
        users = limit / getattr(scale.Load(1), what)
        assert getattr(scale.Load(round(users)), what) == pytest.approx(limit, rel=0.01)
    peak = scale.Load(1_000_000)
    assert peak.requests == pytest.approx(1_000_000 * 0.3 * 40 * 0.12 * 1.5 / 3600)
    # 1,000 concurrent executions are at most 10,000 requests per second, even if each takes only 30 ms.
    assert peak.executions == pytest.approx(peak.requests / 10)
