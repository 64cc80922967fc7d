"""The metrics that a scrape of another exporter has besides those that come from it."""

from __future__ import annotations

from collectors.model import Kind, MetricDef


def _gauge(name: str, text: str, unit: str = "") -> MetricDef:
    return MetricDef(name=f"exporter_{name}", kind=Kind.GAUGE, help=text, unit=unit)


UP = _gauge("up", "1 while the exporter answers with metrics, else 0.")
OWN = (
    _gauge("scrape_duration_seconds", "Time of the last scrape, reading included.", "seconds"),
    _gauge("scrape_body_bytes", "Size of the last answer, unpacked.", "bytes"),
    _gauge("scrape_series", "Series in the last answer that `keep` and `drop` let through."),
    _gauge("scrape_dropped_series", "Series of the last answer that the cap left out."),
)
SCRAPE = frozenset(metric.name for metric in (UP, *OWN))
"""Names that another exporter cannot give through us."""
