"""Reads a history, while it is written or not, in this process or in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from daemon.history.rollup import Column
from daemon.history.sealed import sealed_files
from daemon.history.session import OnDamage, Session, warn
from daemon.history.sheets import Samples, Sheet
from daemon.history.wanted import Query, Wanted
from rules.labels import Labels


class Reader:
    """Reads the files in a folder; one question after another, or several at once in threads.

    What is damaged is left out, and told to `on_damage`.
    """

    def __init__(
        self,
        folder: Path,
        unsaved: Callable[[], Sequence[Sheet]] = tuple,
        on_damage: OnDamage = warn,
    ) -> None:
        self._folder = folder
        self._unsaved = unsaved
        self._on_damage = on_damage

    def read(
        self, query: Query, start_ms: int, end_ms: int, *, column: Column = Column.LAST
    ) -> Iterator[Samples]:
        """Give the samples of each series from `start_ms` to `end_ms`, both ends included.

        As they came where those are kept, else `column` of each minute. Series without a sample are left
        out; staleness markers are samples. Metric after metric is read: that much is held in memory.
        """
        with self._session(query, start_ms, end_ms) as session:
            for name in session.names():
                yield from session.raw(name, column)

    def read_rollup(
        self, query: Query, start_ms: int, end_ms: int, *, column: Column = Column.MEAN
    ) -> Iterator[Samples]:
        """Give one value a minute, at its end; of the minute that is not over, what has come of it."""
        with self._session(query, start_ms, end_ms) as session:
            for name in session.names():
                yield from session.minutes(name, column)

    def series(self, query: Query, start_ms: int, end_ms: int) -> list[Labels]:
        """Return the series that have samples in a range, sorted; some that only have some near it, too."""
        with self._session(query, start_ms, end_ms) as session:
            return sorted({labels for name in session.names() for labels in session.series(name)})

    def oldest_raw_ms(self) -> int | None:
        """Return from when on samples are kept as they came; None while none are packed."""
        return next((file.start_ms for file in sealed_files(self._folder) if file.kind == "raw"), None)

    def _session(self, query: Query, start_ms: int, end_ms: int) -> Session:
        return Session(self._folder, Wanted(query), (start_ms, end_ms), self._unsaved(), self._on_damage)
