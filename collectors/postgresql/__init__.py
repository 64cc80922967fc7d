"""PostgreSQL 14 to 18."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.definition import ProbeDef
from collectors.engine import Engine
from collectors.model import Kind, MetricDef, Target
from collectors.postgresql.catalogue import declared, entries
from collectors.postgresql.observer import PostgresObserver
from collectors.postgresql.options import PostgresOptions
from collectors.postgresql.statement_memory import texts_of


def _address(target: Target) -> str:
    return str(target.options.address) if isinstance(target.options, PostgresOptions) else target.name


def _texts(target: Target) -> dict[str, str]:
    return {str(queryid): text for queryid, text in texts_of(target).items()}


def _observe(target: Target, custom: Sequence[ProbeDef]) -> PostgresObserver:
    return PostgresObserver(target, custom)


ENGINE = Engine(
    name="postgresql",
    title="PostgreSQL",
    options=PostgresOptions,
    up_metric=MetricDef(
        name="pg_up",
        kind=Kind.GAUGE,
        help="Whether the server answers: 1, or 0 with the cause in dbarchitect_target_down.",
    ),
    definitions=declared,
    catalogue=entries,
    texts=_texts,
    observe=_observe,
    custom_sql=True,
    address=_address,
)
