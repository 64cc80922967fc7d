"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.terminal.figures import count, per_second, seconds, share, size


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (12.34, "12.3"), (987.6, "988"), (9876, "9,876"), (123456, "123k"),
     (2_500_000, "2.5M"), (None, "-"), (math.nan, "-"), (math.inf, "inf"), (-3, "-3")],
)  # fmt: skip
def test_counts(value: float | None, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (512, "512 B"), (1024, "1.0 kB"), (16 * 2**20, "16.0 MB"), (250 * 2**30, "250 GB"), (None, "-")],
)  # fmt: skip
def test_sizes(value: float | None, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 s"), (5e-7, "500 ns"), (0.00085, "850 us"), (0.0032, "3.2 ms"), (0.25, "250 ms"), (1.26, "1.2 s"),
     (59.96, "59 s"), (60, "1m"), (250, "4m 10s"), (11100, "3h 5m"), (12 * 86400 + 4 * 3600, "12d 4h"),
     (800 * 86400, "2y 70d"), (-5, "0 s"), (None, "-"), (math.inf, "-")],
)  # fmt: skip
def test_lengths_of_time(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_a_share_is_100_percent_only_when_it_is() -> None:
    assert share(1) == "100 %"
    assert share(0.99999) == "99.9 %"
    assert share(0) == "0.0 %"
    assert share(None) == "-"


def test_an_unknown_rate_stays_unknown() -> None:
    assert per_second("-") == "-"
    assert per_second("5 kB") == "5 kB/s"


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(10**20), 10**20))
def test_every_number_has_a_short_text(value: float) -> None:
    assert 1 <= len(count(value)) <= 400
    for text in (
        size(min(max(value, 0), 1e17)),
        seconds(min(value, 1e11)),
        count(max(min(value, 1e14), -1e14)),
    ):
        assert 1 <= len(text) <= 12, text
