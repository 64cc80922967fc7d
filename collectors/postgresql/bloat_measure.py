"""Measures the bloat of a few relations with pgstattuple: those with the most to gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from collectors.errors import CollectError, NotAllowed
from collectors.postgresql.bloat_pages import pages_after
from collectors.postgresql.bloat_relation import Relation
from collectors.postgresql.bloat_sql import MEASURE_INDEX, MEASURE_TABLE
from collectors.postgresql.probe import Session

TABLES = 5
INDEXES = 3
"""Measured in one run, at the most."""
PAGES_MAX = 32768
"""A relation of which more pages would have to be read is not measured (256 MiB)."""
KEPT_SECONDS = 86400.0
"""A measured figure is shown this long; what could not be measured is not tried again as long."""
AGAIN_SECONDS = 6 * 3600.0
"""Where there is no estimate to point at the worst, everything has its turn: not before this time again."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured figure."""

    wasted: float
    """Bytes that could be given back."""
    bytes: int
    at: float
    """Unix time, seconds."""


class Measure:
    """Measures in one database, and remembers what it found. Times are Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._found: dict[int, Measured] = {}
        self._failed_at: dict[int, float] = {}
        self._identity = ""
        self._denied = False

    def get(self, oid: int) -> Measured | None:
        """Return what was measured of a relation."""
        return self._found.get(oid)

    async def run(
        self, session: Session, tables: Sequence[Relation], indexes: Sequence[Relation], block_size: int
    ) -> None:
        """Measure the worst, if the extension is there and we may use it."""
        self._forget({one.oid for one in (*tables, *indexes)})
        facts = session.facts
        if facts.identity != self._identity:
            self._identity, self._denied = facts.identity, False
        extension = facts.extensions.get("pgstattuple")
        if extension is None:
            return
        jobs: tuple[tuple[str, str, Sequence[Relation], int, Callable[[Any, Relation, int], float]], ...] = (
            ("pgstattuple_approx", MEASURE_TABLE, tables, TABLES, _wasted_in_table),
            ("pgstatindex", MEASURE_INDEX, indexes, INDEXES, _wasted_in_index),
        )
        for function, sql, relations, most, wasted in jobs:
            if not facts.has(f"function:{extension.schema}.{function}"):
                continue
            asked = sql.format(schema=facts.schema_of("pgstattuple"))
            for one in self._worst(relations, most):
                await self._one(session, asked, one, block_size, wasted)

    def _worst(self, relations: Sequence[Relation], most: int) -> list[Relation]:
        now = self._now()
        due = [
            one
            for one in relations
            if one.pages_to_read <= PAGES_MAX
            and one.oid not in self._failed_at
            and (
                one.estimate is not None
                or one.oid not in self._found
                or now - self._found[one.oid].at >= AGAIN_SECONDS
            )
        ]
        return sorted(due, key=lambda one: -one.suspicion)[:most]

    async def _one(
        self,
        session: Session,
        sql: str,
        relation: Relation,
        block_size: int,
        wasted: Callable[[Any, Relation, int], float],
    ) -> None:
        if self._denied:
            return
        try:
            rows = await session.fetch(sql, relation.oid)
        except NotAllowed:
            self._denied = True
        except CollectError:  # locked, dropped, too slow: the estimate stays
            self._failed_at[relation.oid] = self._now()
        else:
            waste = wasted(rows[0], relation, block_size)
            self._found[relation.oid] = Measured(waste, relation.bytes, self._now())

    def _forget(self, known: set[int]) -> None:
        now = self._now()
        self._found = {
            oid: one for oid, one in self._found.items() if oid in known and now - one.at < KEPT_SECONDS
        }
        self._failed_at = {oid: at for oid, at in self._failed_at.items() if now - at < KEPT_SECONDS}


def _wasted_in_table(row: Any, relation: Relation, block_size: int) -> float:  # noqa: ANN401 - a row
    size = int(row["table_len"])
    # Room that the fillfactor keeps free is counted as free there; here it is not bloat.
    used = max(0.0, size - row["approx_free_space"] - row["dead_tuple_len"])
    pages = pages_after(used, row["rows"], size / block_size, relation.fillfactor, block_size)
    return max(0.0, size - pages * block_size)


def _wasted_in_index(row: Any, relation: Relation, block_size: int) -> float:  # noqa: ANN401 - a row
    density = row["avg_leaf_density"] or 0.0
    needed = row["leaf_pages"] * min(1.0, density / relation.fillfactor)
    spare = row["leaf_pages"] - needed + row["empty_pages"] + row["deleted_pages"]
    return max(0.0, float(spare) * block_size)
