"""The past is asked for in few questions, and is the same however many metrics a question names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from daemon.history.sheets import Samples
from daemon.judge.past import past
from rules.labels import Labels, labels_of
from rules.promql import Expression, Vector
from rules.promql.matchers import Matcher, matching
from rules.window import Window

NOW = 600_000
SERIES = [
    labels_of({"__name__": name, "target": target}) for name in ("a", "a:b", "a.b", "ab") for target in "xy"
]
KEEP = {"a": 300_000, "a:b": 300_000, "a.b": 300_000, "missing": 300_000, "ab": 500_000}


class Kept:
    """A history that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def read(self, query: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Samples]:
        self.asked.append((str(query[0]), end_ms - start_ms))
        times = np.arange(start_ms, end_ms + 1, 10_000)
        return [
            Samples(each, times, times + float(place))
            for place, each in enumerate(SERIES)
            if matching(each, tuple(query))
        ]


async def values(at_once: int) -> tuple[dict[Labels, float], Kept]:
    kept, window = Kept(), Window(lambda _: 1_000_000)
    for sheet in await past(kept, KEEP, NOW, at_once):
        assert len({each.name for each in sheet.series}) == 1
        window.load(*sheet)
    found: dict[Labels, float] = {}
    for name in KEEP:
        counted = Expression(f'last_over_time({{"{name}"}}[10m])').at(window, NOW)
        assert isinstance(counted, Vector)
        found |= dict(counted.items())
    return found, kept


async def test_metrics_that_reach_equally_far_are_asked_for_together_the_nearest_first() -> None:
    _, kept = await values(500)
    assert [reach for _, reach in kept.asked] == [300_000, 500_000]
    assert kept.asked[1][0] == '__name__="ab"'


@pytest.mark.parametrize("at_once", [2, 3, 500])
async def test_the_past_is_the_same_as_asked_one_by_one(at_once: int) -> None:
    one_by_one, _ = await values(1)
    together, kept = await values(at_once)
    assert together == one_by_one
    assert len(one_by_one) == len(SERIES)
    assert len(kept.asked) < len(KEEP)
