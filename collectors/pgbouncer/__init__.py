"""pgBouncer, through its admin console: pools, clients, servers, waiting, averages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from collectors.declared import in_code
from collectors.definition import ProbeDef
from collectors.engine import Engine
from collectors.model import Target
from collectors.pgbouncer.observer import WITHIN_SECONDS, PgbouncerObserver
from collectors.pgbouncer.options import PgbouncerOptions
from collectors.pgbouncer.tables import SHOWS, UP


@cache
def definitions() -> tuple[ProbeDef, ...]:
    """Return the commands of the console as probes."""
    return tuple(
        in_code(
            show.name,
            engine="pgbouncer",
            source=f"SHOW {show.command}",
            help=show.help,
            metrics=show.metrics,
            every_seconds=show.every_seconds,
            within_seconds=WITHIN_SECONDS,
            cost=show.cost,
            default=show.default,
        )
        for show in SHOWS
    )


def _observe(target: Target, _custom: Sequence[ProbeDef]) -> PgbouncerObserver:
    return PgbouncerObserver(target, [probe.info for probe in definitions()])


def _address(target: Target) -> str:
    return target.options.address if isinstance(target.options, PgbouncerOptions) else target.name


ENGINE = Engine(
    name="pgbouncer",
    title="pgBouncer",
    options=PgbouncerOptions,
    up_metric=UP,
    definitions=definitions,
    observe=_observe,
    address=_address,
)
