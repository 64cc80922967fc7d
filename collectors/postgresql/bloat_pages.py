"""How many pages a table or a B-tree would need if it were written anew. Pure arithmetic on statistics.

Sizes of rows follow what the server does: columns are aligned one after the other, short variable-length
values have a header of one byte and no alignment, nulls take no room, and so on. What the statistics do
not tell (where a nullable column leaves the next one) is taken at its mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

_PAGE_HEADER = 24
_ROW_HEADER = 23
_LINE_POINTER = 4
_ALIGN = 8
_SHORT_MAX = 127
_BTREE_SPECIAL = 16
_INDEX_HEADER = 8
_INDEX_BITMAP = 4
_TID = 6
_POSTING_SHARE = 0.1
"""A tuple with a list of rows takes at most this share of a page when an index is built."""
_ROUNDS = 8
"""Enough for the size of a row to settle."""
_ALIGNMENTS = {"c": 1, "s": 2, "i": 4, "d": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as pg_attribute and pg_stats show it."""

    length: int
    """Bytes; -1 for variable length."""
    align: str
    null_share: float
    width: float
    """Mean stored width of what is not null."""
    distinct: float = -1
    """As pg_stats.n_distinct: negative is a share of the rows."""
    same_image: bool = True
    """Whether equal values are the same bytes, so that a B-tree may keep them once."""


@dataclass(slots=True)
class _Width:
    """Bytes so far, and what is known of where the next column begins: `rest` modulo `grain`."""

    bytes: float = 0.0
    grain: int = _ALIGN
    rest: int = 0

    def add(self, column: Column) -> None:
        present = 1.0 - column.null_share
        if present <= 0:
            return
        width = column.length if column.length > 0 else column.width
        is_short = column.length < 0 and width <= _SHORT_MAX
        align = 1 if is_short else _ALIGNMENTS[column.align]
        padding = self._padding(align)
        self.bytes += present * (padding + width)
        if present < 1:
            self.grain, self.rest = 1, 0
        else:
            self.grain = max(self.grain, align)
            self.rest = (self.rest + round(padding + width)) % self.grain if align <= self.grain else 0

    def _padding(self, align: int) -> float:
        known = min(align, self.grain)
        return (-self.rest) % known + (align - known) / 2

    def aligned(self, header: float) -> float:
        """Return header and data, rounded up as the server does."""
        if self.grain == _ALIGN:
            return header + math.ceil(self.bytes / _ALIGN) * _ALIGN
        return header + self.bytes + self._padding(_ALIGN)

    @property
    def is_exact(self) -> bool:
        return self.grain == _ALIGN


def _width(columns: Sequence[Column]) -> _Width:
    width = _Width()
    for column in columns:
        width.add(column)
    return width


def _any_null(columns: Sequence[Column]) -> float:
    return 1.0 - math.prod(1.0 - column.null_share for column in columns)


def heap_pages(columns: Sequence[Column], rows: float, fillfactor: int, block_size: int) -> float:
    """Return how many pages `rows` would fill."""
    bitmap = _up(_ROW_HEADER + math.ceil(len(columns) / 8)) - _up(_ROW_HEADER)
    width = _width(columns)
    size = width.aligned(_up(_ROW_HEADER) + _any_null(columns) * bitmap) + _LINE_POINTER
    room = block_size - _PAGE_HEADER - block_size * (100 - fillfactor) / 100
    per_page = math.floor(room / size) if width.is_exact else room / size - 0.5
    return math.ceil(rows / max(1.0, per_page))


def btree_pages(
    columns: Sequence[Column], rows: float, fillfactor: int, block_size: int, *, keeps_equal_once: bool
) -> float:
    """Return how many pages a B-tree over `rows` would have: leaves, inner pages and the first one."""
    if len(columns) == 1 and keeps_equal_once and 0 < columns[0].null_share < 1:
        column = columns[0]
        nulls = rows * column.null_share
        distinct = column.distinct if column.distinct >= 0 else column.distinct / (1 - column.null_share)
        parts: list[tuple[Column | None, float]] = [
            (replace(column, null_share=0.0, distinct=distinct), rows - nulls),
            (replace(column, null_share=1.0, distinct=1, same_image=True), nulls),
        ]
    else:
        parts = [(None, rows)]
    leaves, key = 0.0, 0.0
    for part, number in parts:
        shape = [part] if part else columns
        some, width = _leaves(shape, number, fillfactor, block_size, keeps_equal_once=keeps_equal_once)
        leaves += some
        key = max(key, width)
    fanout = max(2.0, (block_size - _PAGE_HEADER - _BTREE_SPECIAL) * 0.7 / (key + _LINE_POINTER))
    return math.ceil(leaves) + math.ceil(leaves / (fanout - 1)) + 1


def _leaves(
    columns: Sequence[Column], rows: float, fillfactor: int, block_size: int, *, keeps_equal_once: bool
) -> tuple[float, float]:
    """Return the number of leaf pages and the bytes of a key."""
    nulls = _any_null(columns)
    header = _INDEX_HEADER + nulls * (_up(_INDEX_HEADER + _INDEX_BITMAP) - _INDEX_HEADER)
    key = _width(columns).aligned(header)
    room = block_size - _PAGE_HEADER - _BTREE_SPECIAL - block_size * (100 - fillfactor) / 100
    room -= key + _LINE_POINTER  # the high key
    leaves = rows / max(1.0, math.floor(room / (key + _LINE_POINTER)))
    if keeps_equal_once and all(column.same_image for column in columns):
        equal = rows / _distinct(columns, rows)
        if equal > 1:
            leaves = min(leaves, rows * _posting_bytes(key, equal, block_size) / room)
    return leaves, key


def _posting_bytes(key: float, equal: float, block_size: int) -> float:
    """Return the bytes per row when `equal` rows share a key."""
    most = max(2.0, (block_size * _POSTING_SHARE - key) // _TID)
    lists = math.ceil(equal / most)
    return (lists * (key + _LINE_POINTER + _ALIGN / 2) + equal * _TID) / equal


def _distinct(columns: Sequence[Column], rows: float) -> float:
    known = math.prod(
        max(1.0, one.distinct if one.distinct >= 0 else -one.distinct * rows) for one in columns
    )
    return max(1.0, min(known, rows))


def pages_after(used_bytes: float, rows: float, pages: float, fillfactor: int, block_size: int) -> float:
    """Return how many pages would do for the rows of a measured heap; `used_bytes` is all but free room.

    Where rows were removed their line pointers stay, and count as used: as many are taken to be there as
    fit into a page of rows of this size.
    """
    if not rows or not pages:
        return 0.0
    room = block_size - _PAGE_HEADER
    used, number = max(0.0, used_bytes / pages - _PAGE_HEADER), rows / pages
    size = used / number
    for _ in range(_ROUNDS):
        pointers = max(number, room * fillfactor / 100 / (size + _LINE_POINTER))
        size = max(1.0, (used - pointers * _LINE_POINTER) / number)
    fits = (room - block_size * (100 - fillfactor) / 100) / (size + _LINE_POINTER) - 0.5
    return math.ceil(rows / max(1.0, fits))


def _up(size: int) -> int:
    return (size + _ALIGN - 1) // _ALIGN * _ALIGN
