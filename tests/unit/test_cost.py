"""docs/cost.md is what its script makes of the inputs that are committed."""

import pytest

from ops import cost
from tests.conftest import ROOT


def test_the_document_is_the_scripts_output() -> None:
    assert (ROOT / "docs" / "cost.md").read_text() == cost.document()


def test_a_call_is_billed_in_whole_milliseconds_of_waiting_and_of_a_share_of_a_processor() -> None:
    operation = cost.Operation("x", cpu=2.0, requests=1, write=4, read=2)
    assert cost.milliseconds(operation, cost.WHOLE_PROCESSOR_MB) == 7
    assert cost.milliseconds(operation, 512) == 12  # 6.9 + 5
    assert cost.million(operation, 512)["DynamoDB"] == pytest.approx(4 * 0.625 + 2 * 0.125)
