"""Bloat of tables and B-trees: estimated from statistics, and for the worst measured where allowed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from collectors.keep import Keeper
from collectors.model import (
    Cost,
    Kind,
    LabelValues,
    MetricDef,
    Number,
    ProbeInfo,
    Scope,
    Target,
    frame_of,
)
from collectors.postgresql.bloat_measure import Measure
from collectors.postgresql.bloat_relation import Relation, columns_of, indexes_of, tables_of
from collectors.postgresql.bloat_sql import COLUMNS, INDEXES, TABLES
from collectors.postgresql.probe import CodeProbe, Result, Session

PAGES_MIN = 16
"""Smaller relations are left out: a page more or less would be a large share of them."""
RELATIONS_MAX = 1000
SHOWN_MAX = 50

_TABLE_LABELS = ("datname", "schemaname", "relname", "method")
_INDEX_LABELS = ("datname", "schemaname", "relname", "indexrelname", "method")


def _gauge(name: str, text: str, unit: str, labels: tuple[str, ...]) -> MetricDef:
    return MetricDef(name=f"pg_{name}", kind=Kind.GAUGE, help=text, unit=unit, labels=labels)


def _family(of: str, what: str, labels: tuple[str, ...]) -> tuple[MetricDef, ...]:
    return (
        _gauge(f"{of}_bloat_bytes", f"What {what}.", "bytes", labels),
        _gauge(f"{of}_bloat_ratio", f"What {what}, as a share of its size.", "ratio", labels),
        _gauge(
            f"{of}_bloat_measured_timestamp_seconds",
            "When the figure was measured; absent for estimates.",
            "seconds",
            labels,
        ),
    )


TABLE = _family("table", "VACUUM FULL would give back of a table's heap, its TOAST left out", _TABLE_LABELS)
INDEX = _family("index", "REINDEX would give back of a B-tree", _INDEX_LABELS)
UNKNOWN = _gauge(
    "bloat_unknown_tables",
    "Tables whose bloat cannot be estimated: no SELECT right, so that their statistics are hidden; not "
    "analyzed; or changed so much since that the statistics say little.",
    "",
    ("datname", "reason"),
)
REASONS = ("no_select", "not_analyzed", "stale")


class Bloat:
    """The probe `bloat` of one database."""

    def __init__(self, target: Target, now: Callable[[], float] = time.time) -> None:
        del target
        self._tables: Keeper[LabelValues] = Keeper(SHOWN_MAX)
        self._indexes: Keeper[LabelValues] = Keeper(SHOWN_MAX)
        self._measure = Measure(now)

    async def run(self, session: Session) -> Result:
        """Estimate everything of some size, then measure a few."""
        database = session.facts.database
        block_size = int(session.facts.settings.get("block_size") or 8192)
        rows = await session.fetch(TABLES, PAGES_MIN, RELATIONS_MAX)
        oids = [row["oid"] for row in rows]
        index_rows = await session.fetch(INDEXES, oids, PAGES_MIN, RELATIONS_MAX)
        with_expressions = [row["oid"] for row in index_rows if 0 in row["columns"]]
        columns = columns_of(await session.fetch(COLUMNS, oids + with_expressions))
        tables, reasons = tables_of(database, rows, columns, block_size)
        indexes = indexes_of(tables, index_rows, columns, block_size)
        await self._measure.run(session, tables, indexes, block_size)
        table_lines, tables_left = self._lines(tables, self._tables, "pgstattuple_approx")
        index_lines, indexes_left = self._lines(indexes, self._indexes, "pgstatindex")
        unknown = [((database, reason), (reasons[reason],)) for reason in REASONS]
        return Result(
            [frame_of(TABLE, table_lines), frame_of(INDEX, index_lines), frame_of((UNKNOWN,), unknown)],
            dropped=tables_left + indexes_left,
        )

    def _lines(
        self, relations: Sequence[Relation], keeper: Keeper[LabelValues], method: str
    ) -> tuple[list[tuple[LabelValues, Sequence[Number | None]]], int]:
        """Return a line for each figure of the worst relations, and how many relations were left out."""
        known = [one for one in relations if one.estimate is not None or self._measure.get(one.oid)]
        shown = keeper.choose([one.key for one in known], [self._worst_of(one) for one in known])
        lines: list[tuple[LabelValues, Sequence[Number | None]]] = []
        for one in known:
            if one.key not in shown:
                continue
            if one.estimate is not None and one.bytes:
                lines.append(((*one.key, "estimate"), (one.estimate, one.estimate / one.bytes, None)))
            measured = self._measure.get(one.oid)
            if measured is not None and measured.bytes:
                figures = (measured.wasted, measured.wasted / measured.bytes, measured.at)
                lines.append(((*one.key, method), figures))
        return lines, len(known) - len(shown)

    def _worst_of(self, one: Relation) -> float:
        measured = self._measure.get(one.oid)
        return max(one.estimate or 0.0, measured.wasted if measured else 0.0)


PROBES: tuple[CodeProbe, ...] = (
    CodeProbe(
        info=ProbeInfo(
            name="bloat",
            every_seconds=900,
            within_seconds=30,
            cost=Cost.HEAVY,
            scope=Scope.DATABASE,
            metrics=(*TABLE, *INDEX, UNKNOWN),
            rows_max=2 * SHOWN_MAX,
        ),
        help="Bloat of the worst tables and B-trees: estimated from statistics, and measured for a few.",
        make=Bloat,
        notes={"pg_table_bloat_bytes": "estimates need the right to SELECT; measuring needs pgstattuple"},
    ),
)
