"""What the catalogue says of one metric, whichever probe of whichever engine gives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from collectors.definition import ProbeDef
from collectors.model import Cost, MetricDef, ProbeInfo, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One metric as one probe gives it; a metric that two probes give has two entries."""

    metric: MetricDef
    engine: str
    probe: str
    """Empty when it comes from no probe: the daemon's own, and `up`."""
    probe_help: str = ""
    source: str
    """File and line, module or command that declares it."""
    cost: Cost = Cost.LIGHT
    every_seconds: float = 0.0
    """0 means: at the target's own interval."""
    scope: Scope = Scope.SERVER
    role: str = "any"
    default: bool = True
    needs: tuple[str, ...] = ()
    """What the server must have, as `ProbeDef.needs` writes it; the probe's needs first."""
    custom: bool = False
    """Declared by the user."""


def entries_of(definitions: Iterable[ProbeDef]) -> Iterator[CatalogueEntry]:
    """Give the entries of declared probes."""
    for probe in definitions:
        for _, _, has, metric in probe.values:
            yield entry_of(
                metric,
                probe.info,
                engine=probe.engine,
                source=probe.source,
                probe_help=probe.help,
                role=probe.role,
                default=probe.default,
                needs=(*probe.needs, *has),
                custom=probe.custom,
            )


def entry_of(
    metric: MetricDef,
    info: ProbeInfo,
    *,
    engine: str,
    source: str,
    probe_help: str = "",
    role: str = "any",
    default: bool = True,
    needs: Sequence[str] = (),
    custom: bool = False,
) -> CatalogueEntry:
    """Return the entry of one metric of a probe."""
    return CatalogueEntry(
        metric=metric,
        engine=engine,
        probe=info.name,
        probe_help=probe_help,
        source=source,
        cost=info.cost,
        every_seconds=info.every_seconds,
        scope=info.scope,
        role=role,
        default=default,
        needs=tuple(dict.fromkeys(needs)),
        custom=custom,
    )
