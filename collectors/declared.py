"""Declares a probe that is written in code, so that the catalogue knows it like those in YAML."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.definition import ProbeDef
from collectors.model import Cost, MetricDef, ProbeInfo


def in_code(
    name: str,
    *,
    engine: str,
    source: str,
    help: str,  # noqa: A002 - the catalogue's word
    metrics: Sequence[MetricDef],
    every_seconds: float = 0.0,
    within_seconds: float = 2.0,
    cost: Cost = Cost.LIGHT,
    default: bool = True,
    rows_max: int = 500,
) -> ProbeDef:
    """Return the definition of a server-wide probe; each metric has the labels that it says itself."""
    info = ProbeInfo(
        name=name,
        every_seconds=every_seconds,
        within_seconds=within_seconds,
        cost=cost,
        metrics=tuple(metrics),
        rows_max=rows_max,
    )
    return ProbeDef(
        name=name,
        source=source,
        info=info,
        help=help,
        default=default,
        role="any",
        needs=(),
        sql="",
        labels=(),
        values=tuple((metric.name, "", (), metric) for metric in metrics),
        engine=engine,
    )
