"""The stable choice of rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collectors.keep import Keeper

RANKS = st.dictionaries(st.integers(0, 40), st.floats(0, 1e6, allow_nan=False), max_size=40)


def choose(keeper: Keeper[int], ranks: dict[int, float]) -> set[int]:
    return keeper.choose(list(ranks), list(ranks.values()))


def test_everything_stays_while_there_is_room() -> None:
    assert choose(Keeper(3), {1: 0.0, 2: 5.0, 3: 1.0}) == {1, 2, 3}


def test_a_member_leaves_only_after_three_runs_below_the_cut() -> None:
    keeper: Keeper[int] = Keeper(2)
    assert choose(keeper, {1: 9, 2: 8, 3: 1}) == {1, 2}

    seen = [choose(keeper, {1: 9, 2: 1, 3: 8}) for _ in range(3)]

    assert seen == [{1, 2}, {1, 2}, {1, 3}]


def test_a_member_that_comes_back_above_the_cut_starts_anew() -> None:
    keeper: Keeper[int] = Keeper(1)
    choose(keeper, {1: 9, 2: 1})
    for _ in range(5):
        assert choose(keeper, {1: 1, 2: 9}) == {1}
        assert choose(keeper, {1: 1, 2: 9}) == {1}
        assert choose(keeper, {1: 9, 2: 1}) == {1}


def test_a_member_that_is_gone_makes_room_at_once() -> None:
    keeper: Keeper[int] = Keeper(1)
    choose(keeper, {1: 9, 2: 1})

    assert choose(keeper, {2: 1, 3: 0}) == {2}


@given(st.integers(1, 10), st.lists(RANKS, max_size=12))
def test_never_more_than_allowed_never_strangers_and_full_when_there_are_enough(
    most: int, runs: list[dict[int, float]]
) -> None:
    keeper: Keeper[int] = Keeper(most)
    for ranks in runs:
        chosen = choose(keeper, ranks)

        assert chosen <= set(ranks)
        assert len(chosen) == min(most, len(ranks))


def test_a_hundred_thousand_changing_keys_bring_few_members() -> None:
    keeper: Keeper[int] = Keeper(500)
    ever: set[int] = set()
    for run in range(200):
        keys = list(range(500)) + list(range(1000 + run * 500, 1500 + run * 500))
        ever |= keeper.choose(keys, [10.0] * 500 + [9.0] * 500)

    assert len(ever) <= 600
