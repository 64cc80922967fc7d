"""What every engine brings along: the names of its probes, metrics and labels, to check a file against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from collectors.catalogue import CatalogueEntry, entries_of
from collectors.definition import ProbeDef
from collectors.engine import Engine


@dataclass(slots=True)
class Known:
    """Names in use, each with where it comes from."""

    probes: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    """label -> a metric that has it."""

    def add(self, entries: Iterable[CatalogueEntry]) -> None:
        """Remember what is not known yet."""
        for one in entries:
            if one.probe:
                self.probes.setdefault(one.probe, one.source)
            for name in (one.metric.name, *one.metric.aliases):
                self.metrics.setdefault(name, one.source)
            for label in one.metric.labels:
                self.labels.setdefault(label, one.metric.name)


def known_of(engine: Engine) -> Known:
    """Return what an engine brings along."""
    known = Known(metrics={engine.up_metric.name: f"the engine {engine.name}"})
    definitions = engine.definitions()
    known.probes = {probe.name: probe.source for probe in definitions}
    known.add(entries_of(definitions))
    if engine.catalogue:
        known.add(engine.catalogue())
    return known


def with_custom(builtin: Mapping[str, Known], probes: Iterable[ProbeDef]) -> dict[str, Known]:
    """Return what is known by engine, with the user's own probes among it."""
    result = {
        name: Known(dict(one.probes), dict(one.metrics), dict(one.labels)) for name, one in builtin.items()
    }
    for probe in probes:
        result[probe.engine].probes.setdefault(probe.name, probe.source)
        result[probe.engine].add(entries_of([probe]))
    return result
