"""Any endpoint with Prometheus metrics: node_exporter, Patroni, another exporter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from collectors.declared import in_code
from collectors.definition import ProbeDef
from collectors.engine import Engine
from collectors.exporter.catalogue import OWN, UP
from collectors.exporter.observer import ExporterObserver
from collectors.exporter.options import ExporterOptions
from collectors.model import Cost, Target


@cache
def definitions() -> tuple[ProbeDef, ...]:
    """Return the one probe; the metrics that come through it are the exporter's."""
    return (
        in_code(
            "scrape",
            engine="exporter",
            source="the exporter",
            help="What another exporter gives, under its own names.",
            metrics=OWN,
            within_seconds=10.0,
            cost=Cost.LIGHT,
            rows_max=1_000_000,
        ),
    )


def _observe(target: Target, _custom: Sequence[ProbeDef]) -> ExporterObserver:
    return ExporterObserver(target, definitions()[0].info)


def _address(target: Target) -> str:
    return target.options.address if isinstance(target.options, ExporterOptions) else target.name


ENGINE = Engine(
    name="exporter",
    title="Prometheus exporter",
    options=ExporterOptions,
    up_metric=UP,
    definitions=definitions,
    observe=_observe,
    address=_address,
)
