"""Recent samples in memory: what rules are evaluated over.

Series that are always written together (one metric of one probe of one target) share a *sheet*: one
column of times, one column of values each. Selectors are resolved through an index by metric name and
label, and the answer is kept until series come or go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from rules.labels import NAME, Labels
from rules.promql.context import LOOKBACK_MS
from rules.promql.tree import Selector
from rules.promql.values import STALE, Floats, Ints, Matrix, Vector
from rules.resolution import Resolution
from rules.sheet import Sheet

KEPT_SELECTORS = 4096
Keeper = Callable[[Sequence[Labels], Ints, Floats], None]


def everything(_name: str) -> int | None:
    """Keep every metric, for one lookback."""
    return LOOKBACK_MS


class Window:
    """Series by sheet. `keep(name)` tells how many milliseconds of a metric to keep; None: none of it."""

    def __init__(self, keep: Callable[[str], int | None] = everything) -> None:
        self._keep = keep
        self._sheets: dict[Hashable, Sheet] = {}
        self._by_name: dict[str, list[Sheet]] = {}
        self._resolved: dict[Selector, Resolution] = {}
        self._past: dict[Labels, Sheet] = {}
        """Loaded series that nobody has written since."""
        self._past_keys: list[Hashable] = []
        self.written = 0
        """Samples taken since the start."""
        self.keeper: Keeper | None = None
        """Gets every sample that is taken, staleness markers among them."""

    def keep_by(self, keep: Callable[[str], int | None]) -> None:
        """Keep by another measure from now on; what is no longer wanted goes with the next trim."""
        self._keep = keep

    def wants(self, name: str) -> bool:
        """Tell whether anything can ask for this metric."""
        return self._keep(name) is not None

    def write(
        self, key: Hashable, series: Sequence[Labels], at_ms: int, values: Sequence[float] | np.ndarray
    ) -> None:
        """Take one sample of each series, all of one metric; the sheet's other series have ended.

        The same `series` object as last time says that nothing came or went. A time that is not after
        the last one replaces nothing: it is left out.
        """
        sheet = self._sheet(key, series)
        if sheet is None:
            return
        if self._past and series is not sheet.given:
            self._hand_over(sheet, series)
        before, cells = sheet.given, np.asarray(values, dtype=np.float64)
        if sheet.write(series, at_ms, cells):
            self.written += len(series)
            if self.keeper is not None:
                self._tell(self.keeper, before, series, at_ms, cells)

    def load(self, series: Sequence[Labels], times: Ints, values: Floats) -> None:
        """Take samples of the past, all of one metric: `values[t, s]` at `times[t]`, ascending.

        They stay where they are until the same series are written: then they go on there.
        """
        key = ("past", len(self._past_keys))
        sheet = self._sheet(key, series)
        if sheet is not None:
            self._past_keys.append(key)
            sheet.adopt(series, times, values)
            self._past.update(dict.fromkeys(series, sheet))

    def end(self, key: Hashable, at_ms: int) -> None:
        """Mark all series of a sheet as ended."""
        sheet = self._sheets.get(key)
        if sheet is not None:
            # Also when the last sample is as old: that it has ended must not be lost.
            last_ms = int(sheet.times[-1]) if len(sheet.times) else 0
            before, at_ms = sheet.given, max(at_ms, last_ms + 1)
            if sheet.write((), at_ms, np.empty(0)) and self.keeper is not None:
                self._tell(self.keeper, before, (), at_ms, np.empty(0))

    def keys(self) -> Iterator[Hashable]:
        """Give the sheets' keys."""
        return iter(self._sheets)

    def trim(self, now_ms: int) -> None:
        """Forget what is too old to be asked for, and sheets in which nothing is left."""
        for key, sheet in list(self._sheets.items()):
            keep = self._keep(sheet.name)
            sheet.trim(now_ms - max(keep or 0, LOOKBACK_MS))
            if keep is None or sheet.empty:
                del self._sheets[key]
                self._past = {labels: past for labels, past in self._past.items() if past is not sheet}
                self._by_name[sheet.name].remove(sheet)
                self._forget(sheet.name)

    def cut(self, after_ms: int) -> None:
        """Forget what is later than this time, for a clock that was set back."""
        for sheet in self._sheets.values():
            sheet.cut(after_ms)

    def instants(self, selector: Selector, at_ms: int, lookback_ms: int) -> Vector:
        """Return the newest sample of each series within the lookback; see `Source`."""
        return self._resolve(selector).instants(at_ms, lookback_ms)

    def ranges(self, selector: Selector, start_ms: int, end_ms: int) -> Matrix:
        """Return the samples of each series in a range; see `Source`."""
        return self._resolve(selector).ranges(start_ms, end_ms)

    def series(self) -> Iterator[Labels]:
        """Give every series that is held."""
        for sheet in self._sheets.values():
            yield from (labels for labels in sheet.series if labels is not None)

    @property
    def bytes(self) -> int:
        """Return the memory that times and values take."""
        return sum(sheet.bytes for sheet in self._sheets.values())

    def _sheet(self, key: Hashable, series: Sequence[Labels]) -> Sheet | None:
        sheet = self._sheets.get(key)
        if sheet is None:
            if not series or not self.wants(series[0].name):
                return None
            name = series[0].name
            sheet = self._sheets[key] = Sheet(name)
            self._by_name.setdefault(name, []).append(sheet)
            self._forget(name)
        return sheet

    def _hand_over(self, sheet: Sheet, series: Sequence[Labels]) -> None:
        """Give a sheet the past of the series that it is about to write."""
        found: dict[int, tuple[Sheet, list[Labels]]] = {}
        for labels in series:
            past = self._past.get(labels)
            if past is not None and past is not sheet:
                found.setdefault(id(past), (past, []))[1].append(labels)
                del self._past[labels]
        for past, these in found.values():
            sheet.adopt(these, *past.part_with(these))

    @staticmethod
    def _tell(
        keeper: Keeper, before: Sequence[Labels], series: Sequence[Labels], at_ms: int, values: Floats
    ) -> None:
        times = np.array([at_ms], dtype=np.int64)
        if len(series):
            keeper(series, times, values.reshape(1, -1))
        if before is not series and (ended := tuple(set(before).difference(series))):
            keeper(ended, times, np.full((1, len(ended)), STALE))

    def _forget(self, name: str) -> None:
        """Forget the answers that a new or gone sheet can change."""
        for selector in [each for each in self._resolved if each.name in ("", name)]:
            del self._resolved[selector]

    def _resolve(self, selector: Selector) -> Resolution:
        found = self._resolved.get(selector)
        if found is not None and found.good:
            return found
        if len(self._resolved) >= KEPT_SELECTORS:
            self._resolved.clear()
        found = self._resolved[selector] = Resolution(self._candidates(selector), selector.matchers)
        return found

    def _candidates(self, selector: Selector) -> list[Sheet]:
        named = [each for each in selector.matchers if each.name == NAME]
        names = [selector.name] if selector.name else list(self._by_name)
        return [
            sheet
            for name in names
            if all(each.matches(name) for each in named)
            for sheet in self._by_name.get(name, ())
        ]
