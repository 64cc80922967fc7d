"""The screen of a target of any engine: its metrics that move, and the figures that do not count."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import MetricDef
from daemon.terminal.figures import count, per_second, seconds, size
from daemon.terminal.look import Look
from daemon.terminal.reading import Labels
from daemon.terminal.section import Cell, Row, Screen, Section, ranked

_OWN = "dbarchitect_"
_MOMENT = 1e9
"""Seconds beyond are no length of time but a moment, since 1970."""
_CELLS_MOVING = (
    Cell("METRIC", "metric", str, "left", least=20),
    Cell("LABELS", "labels", str, "left", 1, 12),
    Cell("PER SECOND", "text"),
)
_CELLS_VALUES = (
    Cell("METRIC", "metric", str, "left", least=20),
    Cell("LABELS", "labels", str, "left", 1, 12),
    Cell("VALUE", "text"),
)


def screen(look: Look, title: str, metrics: Mapping[str, MetricDef]) -> Screen:
    """Return what to show of a target whose engine has no screen of its own; `title` is the engine's."""
    target = look.target
    return Screen(
        title=tuple(filter(None, (target.name, f"{title} {target.version}".strip(), target.role))),
        sections=(_moving(look, metrics), _values(look, metrics)),
    )


def _moving(look: Look, metrics: Mapping[str, MetricDef]) -> Section:
    rows = [
        {**_row(name, labels, rate), "text": per_second(_figure(rate, metrics.get(name)))}
        for name in look.reading.families
        if not name.startswith(_OWN)
        for labels, rate in look.rates.of(name).items()
        if rate
    ]
    return Section(
        name="moving",
        title="What moves",
        cells=_CELLS_MOVING,
        rows=ranked(rows, "value"),
        weight=3,
        empty="no counter has moved since the first look",
    )


def _values(look: Look, metrics: Mapping[str, MetricDef]) -> Section:
    rows = [
        {**_row(name, labels, value), "text": _value(value, metrics.get(name), look)}
        for name, series in look.reading.families.items()
        if not name.startswith(_OWN) and name not in look.reading.counters
        for labels, value in series.items()
        if value
    ]
    rows.sort(key=lambda row: (row["metric"], row["labels"]))
    return Section(name="values", title="Values that are not 0", cells=_CELLS_VALUES, rows=rows, weight=3)


def _row(name: str, labels: Labels, value: float) -> Row:
    text = " ".join(f"{label}={content}" for label, content in labels if content)
    return {"metric": name, "labels": text, "value": value}


def _value(value: float, metric: MetricDef | None, look: Look) -> str:
    if metric is None or metric.unit != "seconds":
        return _figure(value, metric)
    return f"{seconds(look.age(value))} ago" if value > _MOMENT else seconds(value)


def _figure(value: float, metric: MetricDef | None) -> str:
    return size(value) if metric is not None and metric.unit == "bytes" else count(value)
