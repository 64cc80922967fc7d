"""What a user's own query gives becomes numbers, or is refused by name."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from collectors.errors import CollectError
from collectors.postgresql.rows import _numbers


def test_a_column_of_numbers_is_taken_as_it_is() -> None:
    column = (1, 2.5, None)
    assert _numbers(column, "m") is column


def test_one_odd_value_has_the_whole_column_looked_at() -> None:
    found = _numbers((1, True, Decimal("1.5"), "2", dt.timedelta(minutes=1), None), "m")
    assert found == [1, 1, 1.5, 2.0, 60.0, None]
    assert type(found[1]) is int


def test_what_is_no_number_is_refused_with_the_metrics_name() -> None:
    with pytest.raises(CollectError, match="m: str is not a number"):
        _numbers((1, "text"), "m")
