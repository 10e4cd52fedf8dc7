"""Positions: there is a position between any two, and they sort in the order of the list."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import positions
from shared.positions import LONGEST, NoRoom
from shared.store.uuid7 import uuid7

NOW = 1_795_415_874_917_000_000  # ns
chances: dict[str, Callable[[int], int]] = {
    "the least": lambda _: 0,
    "the most": lambda below: below - 1,
    "any": random.Random(1).randrange,  # noqa: S311 - no secret
}


def first(milliseconds: int) -> str:
    """The position of a task that is created so many milliseconds after NOW."""
    return positions.of_id(str(uuid7(NOW + milliseconds * 1_000_000)))


# Up to the year 5188. The id of a new task is at most a day ahead.
@given(st.lists(st.integers(0, 36**9 * 10**6 - 1), min_size=2, max_size=20))
def test_first_positions_sort_as_ids_do(times: list[int]) -> None:
    ids = sorted(str(uuid7(time)) for time in times)
    found = [positions.of_id(one) for one in ids]
    assert found == sorted(found)


def test_tasks_of_one_millisecond_have_different_first_positions() -> None:
    assert len({positions.of_id(str(uuid7(NOW + 1000 * count))) for count in range(1000)}) == 1000


@given(places=st.lists(st.integers(0, 10**6), max_size=60), chance=st.sampled_from(list(chances)))
def test_a_new_position_is_between_its_neighbours(places: list[int], chance: str) -> None:
    order: list[str] = []
    for place in places:
        index = place % (len(order) + 1)
        low = order[index - 1] if index else None
        high = order[index] if index < len(order) else None
        new = positions.between(low, high, chances[chance])
        assert low is None or low < new
        assert high is None or new < high
        assert not new.endswith("0")
        order.insert(index, new)


@pytest.mark.parametrize("chance", chances)
@pytest.mark.parametrize("sides", ["after", "before", "after and before"])
def test_a_thousand_moves_to_one_place_need_about_200_bytes(sides: str, chance: str) -> None:
    low, high = first(0), first(5)
    for count in range(1000):
        new = positions.between(low, high, chances[chance])
        assert low < new < high
        assert len(new) <= 250
        if sides == "after" or (sides == "after and before" and count % 2):
            high = new
        else:
            low = new


def test_there_is_no_position_between_two_that_are_too_close() -> None:
    low, high = first(0), first(1)
    with pytest.raises(NoRoom):  # noqa: PT012 - after how many moves is not promised
        for _ in range(2000):
            high = positions.between(low, high, chances["any"])
            assert len(high) <= LONGEST


def test_end_positions_stay_short_and_new_tasks_come_last() -> None:
    low = high = first(0)
    for count in range(100):
        low, high = positions.between(None, low, chances["any"]), positions.between(high, None, chances["any"])
        assert len(low) <= 14 >= len(high)
        assert high < first(2 * count + 4)
