"""Functions of time: when a sample was taken, and the parts of a date in UTC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rules.promql.context import Context
from rules.promql.functions.arguments import Evaluator, Function, vector_at
from rules.promql.functions.elementwise import mapped
from rules.promql.tree import Call, Selector
from rules.promql.values import SINGLE, Floats, Value, Vector

Counts: TypeAlias = NDArray[np.uint64]

# Dates are counted from 1 January of a year that begins a cycle of 400 and that no time is before.
_CYCLE_YEARS = 400
_CYCLE_DAYS = 146_097
_CYCLES = 730_692_556
"""Before the year 1."""
_FIRST_YEAR = 1 - _CYCLES * _CYCLE_YEARS
_DAYS_BEFORE_1970 = _CYCLES * _CYCLE_DAYS + 719_162
_DAY = 86_400
_NO_TIME = -(2**63)
"""What Go makes of a float that is no 64-bit integer."""
_LIMIT = 2.0**63
_MONTH_STARTS = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365])
_FEBRUARY = 2


def _time(_call: Call, context: Context, _evaluate: Evaluator) -> Value:
    return context.at_ms / 1000


def _timestamp(call: Call, context: Context, evaluate: Evaluator) -> Value:
    """Give the samples' own times for a selector; for all else, the time of evaluation."""
    vector = vector_at(0, call, context, evaluate)
    if isinstance(call.args[0], Selector) and vector.times is not None:
        times = vector.times / 1000
    else:
        times = np.full(len(vector.rows), context.at_ms / 1000)
    return Vector(vector.rows, times, vector.present).unnamed()


def _part(of: Callable[[Floats], Floats]) -> Function:
    def function(call: Call, context: Context, evaluate: Evaluator) -> Value:
        if call.args:
            return mapped(vector_at(0, call, context, evaluate), of)
        return Vector(SINGLE, of(np.array([context.at_ms / 1000])), np.array([True]))

    return function


def _since_start(values: Floats) -> Counts:
    """Return whole seconds since the start of the count."""
    fits = (values >= -_LIMIT) & (values < _LIMIT)
    seconds = np.where(fits, values, 0.0).astype(np.int64)
    seconds = np.where(fits, seconds, np.int64(_NO_TIME))
    return seconds.view(np.uint64) + np.uint64(_DAYS_BEFORE_1970 * _DAY)


def _calendar(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the year, the day in it from 0, and whether it is a leap year."""
    days = (_since_start(values) // np.uint64(_DAY)).astype(np.int64)
    cycles, rest = np.divmod(days, _CYCLE_DAYS)
    centuries = np.minimum(rest // 36_524, 3)
    rest = rest - centuries * 36_524
    fours, rest = np.divmod(rest, 1_461)
    ones = np.minimum(rest // 365, 3)
    year = _FIRST_YEAR + cycles * _CYCLE_YEARS + centuries * 100 + fours * 4 + ones
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % _CYCLE_YEARS == 0))
    return year, rest - ones * 365, leap


def _months(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the month from 1, the day in it from 1, and whether it is in a leap year."""
    _year, day, leap = _calendar(values)
    leap_day = leap & (day == 59)  # noqa: PLR2004 - 29 February
    plain = day - (leap & (day >= 59))  # noqa: PLR2004
    month = np.searchsorted(_MONTH_STARTS, plain, side="right")
    return month, plain - _MONTH_STARTS[month - 1] + 1 + leap_day, leap


def _year(values: Floats) -> Floats:
    return _calendar(values)[0].astype(np.float64)


def _day_of_year(values: Floats) -> Floats:
    return (_calendar(values)[1] + 1).astype(np.float64)


def _month(values: Floats) -> Floats:
    return _months(values)[0].astype(np.float64)


def _day_of_month(values: Floats) -> Floats:
    return _months(values)[1].astype(np.float64)


def _days_in_month(values: Floats) -> Floats:
    month, _day, leap = _months(values)
    length = _MONTH_STARTS[month] - _MONTH_STARTS[month - 1]
    found: Floats = length + 1.0 * (leap & (month == _FEBRUARY))
    return found


def _day_of_week(values: Floats) -> Floats:
    """Sunday is 0; the count starts on a Monday."""
    return ((_since_start(values) // np.uint64(_DAY) + np.uint64(1)) % np.uint64(7)).astype(np.float64)


def _hour(values: Floats) -> Floats:
    return (_since_start(values) % np.uint64(_DAY) // np.uint64(3600)).astype(np.float64)


def _minute(values: Floats) -> Floats:
    return (_since_start(values) % np.uint64(3600) // np.uint64(60)).astype(np.float64)


DATES: Mapping[str, Function] = {
    "time": _time,
    "timestamp": _timestamp,
    "minute": _part(_minute),
    "hour": _part(_hour),
    "day_of_week": _part(_day_of_week),
    "day_of_month": _part(_day_of_month),
    "day_of_year": _part(_day_of_year),
    "days_in_month": _part(_days_in_month),
    "month": _part(_month),
    "year": _part(_year),
}
