"""The tables: what judging costs, and Prometheus beside it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.rules_judging import SLOWEST, STEP_SECONDS, Judging
from tests.bench.rules_prometheus import Compared

SHOWN = 25
"""So many expressions are in the table, those that are dearest to us; --json has all."""
EVALUATION_SECONDS, WINDOW_MB, LAG_MS = 1.0, 400.0, 50.0


def show_judging(found: Judging) -> None:
    warm, churn = statistics.median(found.warm_cpu), _median(found.churn_cpu)
    table = _table("What judging costs: CPU of one core, resident memory", "", "measured", "goal")
    for what, figure, goal in (
        ("targets, rules, series in the window", f"{found.targets}, {found.rules}, {found.series:,}", ""),
        ("samples written", f"{found.samples:,}", ""),
        ("one evaluation of everything", _ms(warm), f"under {EVALUATION_SECONDS * 1000:g} ms"),
        ("  the first one after the start", _ms(found.first_cpu), ""),
        ("  when 1 % of the tables were replaced since the last", _ms(churn), ""),
        (f"feed for each step of {STEP_SECONDS} s, event loop", _ms(found.look_cpu), ""),
        (f"feed for each step of {STEP_SECONDS} s, judge's thread", _ms(found.write_cpu), ""),
        ("  the first one after the start", _ms(found.first_write_cpu), ""),
        ("  forgetting what is too old, once a minute", _ms(found.trim_cpu), ""),
        ("  when 1 % of the tables are replaced each minute", _ms(_median(found.churn_write_cpu)), ""),
        ("alerts as plain values, for the state file", _ms(found.export_cpu), ""),
        (
            "longest that the event loop waited while all that was done",
            f"{found.lag_ms:.1f} ms",
            f"under {LAG_MS:g} ms",
        ),
        ("  while tables are replaced, too", f"{found.churn_lag_ms:.1f} ms", ""),
        ("  while a thread sleeps", f"{found.quiet_lag_ms:.1f} ms", ""),
        ("memory: names and first samples", f"{found.named_mb:.0f} MB", ""),
        ("memory: window filled", f"{found.filled_mb:.0f} MB", f"under {WINDOW_MB:g} MB"),
        ("memory: with what evaluations remember", f"{found.judged_mb:.0f} MB", ""),
        ("  of it times and values", f"{found.numbers_mb:.0f} MB", ""),
        ("alerts pending and firing", f"{sum(found.alerts.values())}", ""),
        ("rules that failed", "; ".join(found.failures) or "none", ""),
    ):
        table.add_row(what, figure, goal)
    _console().print(table)
    table = _table(f"The {SLOWEST} slowest rules", "rule", "ms")
    for name, seconds in found.slowest:
        table.add_row(name, f"{seconds * 1000:.1f}")
    _console().print(table)


def show_compared(found: Sequence[Compared]) -> None:
    table = _table(
        "The same expressions, ms (Prometheus: through HTTP with its JSON; within: what it says itself)",
        "expression", "series", "ours", "Prometheus", "within", "Prometheus / ours",
    )  # fmt: skip
    for one in sorted(found, key=lambda one: -one.ours_ms)[:SHOWN]:
        series = f"{one.ours_series:,}" + ("" if same(one) else f" [red]({one.theirs_series:,})[/]")
        table.add_row(
            " ".join(one.expression.split())[:70].replace("[", "\\["), series, f"{one.ours_ms:.2f}",
            f"{one.theirs_ms:.1f}", one.error[:40] or f"{one.inside_ms:.1f}", f"{one.theirs_ms / one.ours_ms:.1f} x",
        )  # fmt: skip
    ours, theirs, inside = (
        sum(getattr(one, name) for one in found if not one.error) for name in ("ours_ms", "theirs_ms", "inside_ms")
    )  # fmt: skip
    table.add_section()
    table.add_row(
        f"all {len(found)}", "", f"{ours:.1f}", f"{theirs:.1f}", f"{inside:.1f}", f"{theirs / ours:.1f} x"
    )
    _console().print(table)
    different = [one for one in found if not same(one)]
    slower = [one for one in found if one.inside_ms < one.ours_ms]
    print(f"{len(found) - len(different)} of {len(found)} expressions gave as many series on both sides.")
    print(f"In {len(slower)} Prometheus' own evaluation took less time than ours.")
    for one in different:
        print(
            f"  ours {one.ours_series}, theirs {one.theirs_series} {one.error}: {' '.join(one.expression.split())}"
        )


def same(one: Compared) -> bool:
    return one.ours_series == one.theirs_series and not one.error


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left")
    return table


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=150)
