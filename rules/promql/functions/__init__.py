"""The functions of PromQL by name; each gets its call, the context and the evaluator of its arguments."""

from __future__ import annotations

from collections.abc import Mapping

from rules.promql.functions.arguments import Evaluator, Function
from rules.promql.functions.counters import COUNTERS
from rules.promql.functions.dates import DATES
from rules.promql.functions.elementwise import ELEMENTWISE
from rules.promql.functions.histograms import HISTOGRAMS
from rules.promql.functions.over_time import OVER_TIME
from rules.promql.functions.regression import REGRESSION
from rules.promql.functions.relabelled import RELABELLED
from rules.promql.functions.vectors import VECTORS

__all__ = ["FUNCTIONS", "Evaluator", "Function"]

FUNCTIONS: Mapping[str, Function] = {
    **COUNTERS,
    **REGRESSION,
    **OVER_TIME,
    **ELEMENTWISE,
    **DATES,
    **VECTORS,
    **RELABELLED,
    **HISTOGRAMS,
}
