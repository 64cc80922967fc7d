"""Tables and B-trees with what the statistics say of their bloat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collectors.model import LabelValues
from collectors.postgresql.bloat_pages import Column, btree_pages, heap_pages

_GUESS_SHARE = 0.2
"""Bloat taken for granted where nothing is known, for choosing what to measure."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or an index."""

    oid: int
    key: LabelValues
    """Labels without the method."""
    bytes: int
    fillfactor: int
    pages_to_read: int
    """How many pages measuring it would read."""
    rows: float
    estimate: float | None
    """Bytes that could be given back; None when the statistics do not tell."""

    @property
    def suspicion(self) -> float:
        """Return the bytes that measuring it could be about."""
        return self.bytes * _GUESS_SHARE if self.estimate is None else self.estimate


Columns = Mapping[int, Sequence[tuple[int, Column | None]]]
"""Relation -> (number, column) in order; None for a column without statistics."""


def columns_of(rows: Sequence[Any]) -> Columns:
    """Return the columns by relation."""
    columns: dict[int, list[tuple[int, Column | None]]] = {}
    for row in rows:
        column = None
        if row["width"] is not None:
            column = Column(
                length=row["length"],
                align=row["align"],
                null_share=row["null_share"],
                width=row["width"],
                distinct=row["n_distinct"],
                same_image=row["same_image"],
            )
        columns.setdefault(row["oid"], []).append((row["number"], column))
    return columns


def tables_of(
    database: str, rows: Sequence[Any], columns: Columns, block_size: int
) -> tuple[list[Relation], Counter[str]]:
    """Return the tables, and how many have no estimate for which reason."""
    tables, reasons = [], Counter[str]()
    for row in rows:
        known = [column for _, column in columns.get(row["oid"], ()) if column is not None]
        reason = _reason(row, known, len(columns.get(row["oid"], ())))
        estimate = None
        if reason:
            reasons[reason] += 1
        else:
            pages = heap_pages(known, _live(row), row["fillfactor"], block_size)
            estimate = max(0.0, row["bytes"] - pages * block_size)
        tables.append(
            Relation(
                oid=row["oid"],
                key=(database, row["schemaname"], row["relname"]),
                bytes=row["bytes"],
                fillfactor=row["fillfactor"],
                pages_to_read=row["unseen_pages"],
                rows=_live(row),
                estimate=estimate,
            )
        )
    return tables, reasons


def indexes_of(
    tables: Sequence[Relation], rows: Sequence[Any], columns: Columns, block_size: int
) -> list[Relation]:
    """Return the indexes of these tables."""
    by_oid = {table.oid: table for table in tables}
    indexes = []
    for row in rows:
        table = by_oid[row["table_oid"]]
        keys = _index_columns(row, columns)
        entries = row["reltuples"] if row["partial"] else table.rows
        estimate = None
        if keys and table.estimate is not None and entries > 0:
            pages = btree_pages(
                keys, entries, row["fillfactor"], block_size, keeps_equal_once=row["keeps_equal_once"]
            )
            estimate = max(0.0, row["bytes"] - pages * block_size)
        indexes.append(
            Relation(
                oid=row["oid"],
                key=(*table.key, row["relname"]),
                bytes=row["bytes"],
                fillfactor=row["fillfactor"],
                pages_to_read=row["bytes"] // block_size,
                rows=entries,
                estimate=estimate,
            )
        )
    return indexes


def _reason(row: Any, known: Sequence[Column], columns: int) -> str:  # noqa: ANN401 - a row
    """Return why a table cannot be estimated, or an empty string."""
    if not row["may_select"]:
        return "no_select"
    if not known or len(known) != columns:
        return "not_analyzed"
    return "stale" if row["modified"] > _live(row) else ""


def _live(row: Any) -> float:  # noqa: ANN401 - a row
    """Return the live rows: as the statistics count on since the last vacuum or analyze, if there was one."""
    return float(row["live"] if row["counted"] else max(row["reltuples"], row["live"]))


def _index_columns(row: Any, columns: Columns) -> list[Column]:  # noqa: ANN401 - a row
    """Return the index's columns in order; empty when one has no statistics."""
    of_table = dict(columns.get(row["table_oid"], ()))
    of_index = dict(columns.get(row["oid"], ()))
    found = [
        of_table.get(number) if number else of_index.get(place)
        for place, number in enumerate(row["columns"], start=1)
    ]
    known = [column for column in found if column is not None]
    return known if len(known) == len(found) else []
