"""Positions: there is one between any two, and lists keep the order of creation with the ids of any generator."""

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import positions
from shared.positions import CHANCE_BITS, LONGEST, NoRoom, Place
from shared.store.uuid7 import uuid7

NOW = 1_795_415_874_917  # ms
DAY = 86_400_000
chances: dict[str, Callable[[], int]] = {
    "the least": lambda: 0,
    "the most": lambda: 2**CHANCE_BITS - 1,
    "any": lambda: random.getrandbits(CHANCE_BITS),
}


def id_at(milliseconds: int) -> str:
    return str(uuid7(milliseconds * 1_000_000))


def first(milliseconds: int) -> str:
    """The position of a task that is created so many milliseconds after NOW."""
    return positions.first(id_at(NOW + milliseconds), NOW + milliseconds)


# Up to the year 5188.
@given(st.lists(st.integers(0, 36**9 * 10**6 - 1), min_size=2, max_size=20))
def test_first_positions_sort_as_ids_do(times: list[int]) -> None:
    ids = sorted(str(uuid7(time)) for time in times)
    found = [positions.first(one, max(times)) for one in ids]
    assert found == sorted(found)


def test_ids_that_differ_in_one_bit_have_different_first_positions() -> None:
    made = id_at(NOW)
    others = {f"{made[:place]}{digit}{made[place + 1 :]}" for place in (0, 12, 20, 35) for digit in "012345"}
    assert len({positions.first(one, NOW) for one in others}) == len(others)
    assert not any(positions.first(f"{made[:-2]}{end}", NOW).endswith("0") for end in ("00", "10"))


@pytest.mark.parametrize("ahead", [1, 1000, DAY])
def test_an_id_of_a_clock_that_is_ahead_does_not_come_after_later_tasks(ahead: int) -> None:
    """Such tasks keep the order of their ids."""
    made = sorted(id_at(NOW + ahead + count // 3) for count in range(9))
    found = [positions.first(one, NOW) for one in made]
    assert found == sorted(set(found))
    assert first(-1) < found[0] < found[-1] < first(1)
    assert positions.between(found[-1], None, 0) > found[-1]


@given(places=st.lists(st.integers(0, 10**6), max_size=60), chance=st.sampled_from(list(chances)))
def test_a_new_position_is_between_its_neighbours(places: list[int], chance: str) -> None:
    order: list[str] = []
    for place in places:
        index = place % (len(order) + 1)
        low = order[index - 1] if index else None
        high = order[index] if index < len(order) else None
        new = positions.between(low, high, chances[chance]())
        assert low is None or low < new
        assert high is None or new < high
        assert not new.endswith("0")
        order.insert(index, new)


written = st.from_regex(positions.PATTERN, fullmatch=True)


@given(pair=st.lists(written, min_size=2, max_size=2, unique=True), chance=st.sampled_from(list(chances)))
def test_there_is_a_position_next_to_any_that_clients_write(pair: list[str], chance: str) -> None:
    low, high = sorted(pair)
    for below, above in ((low, high), (None, low), (high, None)):
        try:
            new = positions.between(below, above, chances[chance]())
        except NoRoom:
            assert max(len(low), len(high)) > LONGEST - 10
            continue
        assert (below or "") < new < (above or "~")
        assert len(new) <= LONGEST
        assert not new.endswith("0")


@pytest.mark.parametrize("chance", chances)
@pytest.mark.parametrize("sides", ["after", "before", "after and before"])
def test_a_thousand_moves_to_one_place_need_about_200_bytes(sides: str, chance: str) -> None:
    low, high = first(0), first(5)
    for count in range(1000):
        new = positions.between(low, high, chances[chance]())
        assert low < new < high
        assert len(new) <= LONGEST
        if sides == "after" or (sides == "after and before" and count % 2):
            high = new
        else:
            low = new


def test_there_is_no_position_between_two_that_are_too_close() -> None:
    low, high = first(0), first(1)
    with pytest.raises(NoRoom):  # noqa: PT012 - after how many moves is not promised
        for _ in range(2000):
            high = positions.between(low, high, chances["any"]())
            assert len(high) <= LONGEST
    with pytest.raises(NoRoom):
        positions.between(low, low, 0)


@pytest.mark.parametrize("chance", chances)
def test_end_positions_stay_short_and_a_step_is_at_most_two_milliseconds(chance: str) -> None:
    """New tasks come last as long as there are not more moves than milliseconds."""
    low = high = first(0)
    for count in range(1, 2000):
        low, high = positions.between(None, low, chances[chance]()), positions.between(high, None, chances[chance]())
        assert len(low) <= 17 >= len(high)
        assert high < first(2 * count + 1)
        assert first(-2 * count - 1) < low


def test_a_task_keeps_its_position_where_it_is_and_gets_another_elsewhere() -> None:
    a, b, c, d = (Place("i", f"{number}") for number in range(4))
    last = Place("j", "0")
    for low, high in ((a, c), (None, c), (a, None), (None, None), (a, last)):
        assert positions.choose(b, low, high, "x", 0) == "i"
    assert positions.choose(None, None, None, "x", 0) == "x"
    assert "i" < positions.choose(b, d, last, "x", 0) < "j"
    assert positions.choose(b, None, a, "x", 0) < "i" < positions.choose(b, c, None, "x", 0)
    for low, high in itertools.combinations((a, c, d), 2):
        with pytest.raises(NoRoom):
            positions.choose(None, low, high, "x", 0)
