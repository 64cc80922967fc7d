"""What is refused when an expression is loaded, with the reason, rather than answered differently."""

from __future__ import annotations

NATIVE_HISTOGRAMS = frozenset(
    {
        "histogram_avg",
        "histogram_count",
        "histogram_stddev",
        "histogram_stdvar",
        "histogram_sum",
    }
)
"""Functions that only native histograms have an answer for."""

EXPERIMENTAL = frozenset(
    {
        "double_exponential_smoothing",
        "first_over_time",
        "histogram_quantiles",
        "info",
        "limitk",
        "limit_ratio",
        "mad_over_time",
        "max_of",
        "min_of",
        "range",
        "sort_by_label",
        "sort_by_label_desc",
        "start",
        "end",
        "step",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
        "ts_of_max_over_time",
        "ts_of_min_over_time",
    }
)
"""Behind a flag in Prometheus 3: their meaning may still change."""
