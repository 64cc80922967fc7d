"""One frame as the snapshot holds it, with the text that was rendered from it.

Text is made at the first scrape, in chunks of some rows per metric. When the probe brings its next
frame, chunks whose labels did not change are taken over, and single lines in them replaced: a small
change costs little however many series there are. A block never changes what it shows: who holds one
while the snapshot moves on still sees one consistent frame.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

from collectors.model import LabelValues, MetricDef, Number
from daemon.http.text import lines, patched, rows_of

ROWS = 128
KEPT_ROWS = 1024
"""In a large fleet text of frames with fewer rows is not kept: it would be most of the memory."""
PATCHED_ROWS = 8
"""Text of fewer rows is rendered anew when a value has changed: that is cheaper than looking for the line."""


class Origin:
    """What the series of one target have in common: its own labels, escaped once."""

    __slots__ = ("names", "pairs", "target", "text")

    def __init__(self, target: str, pairs: Sequence[tuple[str, str]]) -> None:
        self.target = target
        self.pairs = tuple(dict(pairs).items())
        self.names = frozenset(name for name, _ in self.pairs)
        template = ",".join(f'{name}="%s"' for name, _ in self.pairs)
        self.text = rows_of(template, [tuple(value for _, value in self.pairs)])[0]

    def label(self, name: str) -> str:
        """Return the label's name as exported: one that the target itself carries is moved aside."""
        return f"exported_{name}" if name in self.names else name


class Layout:
    """The metrics of a frame; shared by every block that has the same ones."""

    __slots__ = ("__weakref__", "metrics", "names", "schemes", "which")

    def __init__(self, metrics: tuple[MetricDef, ...]) -> None:
        self.metrics = metrics
        self.names = frozenset(metric.name for metric in metrics)
        self.schemes = tuple(dict.fromkeys(metric.labels for metric in metrics))
        self.which = tuple(self.schemes.index(metric.labels) for metric in metrics)


class Block:
    """The series of one frame: `columns[i][j]` is the value of metric i for `keys[j]`."""

    __slots__ = ("_count", "_kept", "_rows", "_text", "at", "columns", "keys", "layout", "origin", "probe")

    def __init__(
        self,
        origin: Origin,
        probe: str,
        layout: Layout,
        keys: Sequence[LabelValues],
        columns: Iterable[Iterable[Number | None]],
        at: float,
        *,
        kept: bool = True,
    ) -> None:
        """`kept` is whether rendered text may stay in memory."""
        self.origin = origin
        self.probe = probe
        self.layout = layout
        # Tuples of plain values are of no concern to the garbage collector, lists are: it would
        # walk through all of them once a cycle.
        self.keys = tuple(keys)
        self.columns = tuple(map(tuple, columns))
        self.at = at
        self._count = -1
        self._kept = kept or len(self.keys) >= KEPT_ROWS
        self._rows: list[tuple[str, ...] | None] = []
        self._text: list[bytes | None] = []

    @property
    def size(self) -> int:
        """Return the most series that it can hold."""
        return len(self.keys) * len(self.columns)

    @property
    def count(self) -> int:
        """Return the series that it has: cells with a value."""
        if self._count < 0:
            self._count = sum(len(column) - column.count(None) for column in self.columns)
        return self._count

    def text(self, column: int, into: list[bytes]) -> int:
        """Append the lines of one metric; return the rows that had to be rendered for it."""
        chunks = -(-len(self.keys) // ROWS)
        if not self._rows:
            self._rows = [None] * (chunks * len(self.layout.schemes))
        if not self._kept:
            into.extend([self._render(column, chunk, chunks) for chunk in range(chunks)])
            return len(self.keys)
        if not self._text:
            self._text = [None] * (chunks * len(self.columns))
        fresh = 0
        first = column * chunks
        for chunk in range(chunks):
            piece = self._text[first + chunk]
            if piece is None:
                piece = self._text[first + chunk] = self._render(column, chunk, chunks)
                fresh += min(ROWS, len(self.keys))
            if piece:
                into.append(piece)
        return fresh

    def forget_text(self) -> None:
        """Free what was rendered; the next scrape makes it again."""
        self._text = []
        self._rows = []

    def adopt_keys(self, old: Block) -> bool:
        """Share the keys of an older block when they are the same; tell whether they are."""
        if self.keys is not old.keys and self.keys == old.keys:
            self.keys = old.keys
        return self.keys is old.keys

    def take_over(self, old: Block) -> None:
        """Take from an older block of the same layout what is still true of this one."""
        same = self.adopt_keys(old)
        if not (self._kept and old._text):
            if same:
                self._rows = old._rows
            return
        chunks, before = -(-len(self.keys) // ROWS), -(-len(old.keys) // ROWS)
        self._text = [None] * (chunks * len(self.columns))
        self._rows = [None] * (chunks * len(self.layout.schemes))
        for chunk in range(min(chunks, before)):
            rows = slice(chunk * ROWS, (chunk + 1) * ROWS)
            if same or self.keys[rows] == old.keys[rows]:
                self._take_chunk(old, chunk, rows, chunks, before)

    def showing(self, keys: Sequence[LabelValues], columns: Iterable[Iterable[Number | None]]) -> Block:
        """Return another block in its place, with other rows; text that fits is taken over."""
        block = Block(self.origin, self.probe, self.layout, keys, columns, self.at, kept=self._kept)
        block.take_over(self)
        return block

    def samples(self) -> Iterator[tuple[str, dict[str, str], Number]]:
        """Give (name, labels, value) of each series: what the JSON API shows."""
        for metric, column in zip(self.layout.metrics, self.columns, strict=True):
            names = [self.origin.label(name) for name in metric.labels]
            for key, value in zip(self.keys, column, strict=True):
                if value is not None:
                    yield (
                        metric.name,
                        {**dict(self.origin.pairs), **dict(zip(names, key, strict=True))},
                        value,
                    )

    def _render(self, column: int, chunk: int, chunks: int) -> bytes:
        values = self.columns[column][chunk * ROWS : (chunk + 1) * ROWS]
        scheme = self.layout.which[column]
        place = scheme * chunks + chunk
        rows = self._rows[place]
        names = self.layout.schemes[scheme]
        if rows is None:
            template = ",".join(f'{self.origin.label(name)}="%s"' for name in names) + "} "
            keys = self.keys[chunk * ROWS : (chunk + 1) * ROWS]
            # Hundreds of servers have the same settings and lock modes.
            rows = self._rows[place] = tuple(map(sys.intern, rows_of(template, keys)))
        return lines(self._prefix(column), rows, values)

    def _take_chunk(self, old: Block, chunk: int, rows: slice, chunks: int, before: int) -> None:
        for scheme in range(len(self.layout.schemes)):
            self._rows[scheme * chunks + chunk] = old._rows[scheme * before + chunk]
        for column, values in enumerate(self.columns):
            piece = old._text[column * before + chunk]
            if piece is None:
                continue
            then, now = old.columns[column][rows], values[rows]
            labels = self._rows[self.layout.which[column] * chunks + chunk]
            if then != now:
                if labels is None or len(now) <= PATCHED_ROWS:
                    continue
                piece = patched(piece, self._prefix(column), labels, then, now)
            self._text[column * chunks + chunk] = piece

    def _prefix(self, column: int) -> str:
        metric = self.layout.metrics[column]
        comma = "," if metric.labels and self.origin.text else ""
        return f"{metric.name}{{{self.origin.text}{comma}"


def continued(blocks: list[Block], old: Sequence[Block]) -> list[Block]:
    """Let each block take over the text of the old one that has the same metrics."""
    free = list(old)
    for block in blocks:
        like = next((each for each in free if each.layout is block.layout), None)
        if like is not None:
            free.remove(like)
            block.take_over(like)
    return blocks
