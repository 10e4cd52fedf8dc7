"""docs/cost.md is the output of its script for the committed inputs."""

import pytest

from ops import cost
from tests.conftest import ROOT


def test_the_document_is_up_to_date() -> None:
    assert (ROOT / "docs" / "cost.md").read_text() == cost.document()


def test_a_call_is_billed_in_whole_milliseconds_of_waiting_and_of_a_share_of_a_processor() -> None:
    operation = cost.Operation("x", cpu=2.0, requests=1, write=4, read=2)
    assert cost.milliseconds(operation, cost.WHOLE_PROCESSOR_MB) == 7
    assert cost.milliseconds(operation, 512) == 12  # 6.9 + 5
    assert cost.million(operation, 512)["DynamoDB"] == pytest.approx(4 * 0.625 + 2 * 0.125)


def test_a_new_function_starts_with_a_whole_processor_and_handles_its_first_call_with_its_share() -> None:
    assert cost.cold(cost.WHOLE_PROCESSOR_MB) == cost.START_MS + cost.FIRST_MS + cost.DYNAMODB_MS
    assert cost.cold(512) - cost.cold(cost.WHOLE_PROCESSOR_MB) == pytest.approx(cost.FIRST_MS * (1769 / 512 - 1))


def test_the_memory_of_the_document_is_the_templates() -> None:
    assert f"    MemorySize: {cost.DEFAULT_MEMORY}\n" in (ROOT / "template.yaml").read_text()


def test_a_month_is_the_calls_and_the_storage_of_its_users() -> None:
    one, two = cost.month(1_000_000), cost.month(2_000_000)
    assert two == pytest.approx({name: 2 * amount for name, amount in one.items()})
    assert one["API"] == pytest.approx(1_000_000 * 0.3 * 30 * 40 * 1e-6)
    assert one["storage"] == pytest.approx(800 * 0.25)


def test_an_erasure_costs_four_write_units_for_each_task() -> None:
    assert cost.erasure(201) - cost.erasure(200) == pytest.approx(4 * 0.625e-6 + 700 / 4096 * 0.125e-6)
