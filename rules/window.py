"""Recent samples in memory: what rules are evaluated over.

Series that are always written together (of one probe of one target) share a *sheet*: one
column of times, one column of values each. Selectors are resolved through an index by metric name and
label, and the answer is kept until series come or go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from rules.labels import NAME, Labels
from rules.newest import Newest
from rules.promql.context import LOOKBACK_MS
from rules.promql.matchers import Matcher
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
        self.measure = 0
        """Counts how often `keep` was replaced."""
        self._sheets: dict[Hashable, Sheet] = {}
        self._by_name: dict[str, dict[Sheet, None]] = {}
        self._resolved: dict[str, dict[tuple[Matcher, ...], Resolution]] = {}
        """By metric name (empty: not fixed) and by matchers: rules that ask for the same share the rows."""
        self._newest = Newest()
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
        self.measure += 1

    def kept(self, name: str) -> int | None:
        """Return how many milliseconds of a metric are kept; None: it is not wanted."""
        return self._keep(name)

    def wants(self, name: str) -> bool:
        """Tell whether anything can ask for this metric."""
        return self._keep(name) is not None

    def write(
        self, key: Hashable, series: Sequence[Labels], at_ms: int, values: Sequence[float] | np.ndarray
    ) -> None:
        """Take one sample of each series; the sheet's other series have ended.

        Metrics of which some are wanted and others not, or not as far back, belong into different sheets.
        The same `series` object as last time says that nothing came or went. A time that is not after
        the last one replaces nothing: it is left out.
        """
        sheet = self._sheet(key, series)
        if sheet is None:
            return
        if self._past and series is not sheet.given:
            self._hand_over(sheet, series)
        before, cells, names = sheet.given, np.asarray(values, dtype=np.float64), len(sheet.names)
        if sheet.write(series, at_ms, cells):
            if len(sheet.names) != names:
                self._index(sheet)
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
            self._index(sheet)
            self._past.update(dict.fromkeys(series, sheet))

    def leave(self, key: Hashable) -> None:
        """Write to this sheet no more: its series go on in the sheets that write them next."""
        sheet = self._sheets.pop(key, None)
        if sheet is not None:
            past = ("past", len(self._past_keys))
            self._past_keys.append(past)
            self._sheets[past] = sheet
            self._past.update(dict.fromkeys(sheet.which, sheet))

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
            keep = max(
                [-1 if (keep := self._keep(name)) is None else keep for name in sheet.names], default=-1
            )
            sheet.trim(now_ms - max(keep, LOOKBACK_MS))
            if keep < 0 or sheet.empty:
                self._drop(key, sheet)

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

    def samples(self) -> Iterator[tuple[Sequence[Labels], Ints, Floats]]:
        """Give all that is held: series, times, and `values[t, s]`, ABSENT where there is none."""
        for sheet in self._sheets.values():
            columns = [column for column, labels in enumerate(sheet.series) if labels is not None]
            series = [labels for labels in sheet.series if labels is not None]
            yield series, sheet.times, sheet.values[:, columns]

    @property
    def bytes(self) -> int:
        """Return the memory that times and values take."""
        return self._newest.bytes + sum(sheet.bytes for sheet in self._sheets.values())

    def _sheet(self, key: Hashable, series: Sequence[Labels]) -> Sheet | None:
        sheet = self._sheets.get(key)
        if sheet is None:
            if not series or not self.wants(series[0].name):
                return None
            sheet = self._sheets[key] = Sheet(self._newest)
        return sheet

    def _index(self, sheet: Sheet) -> None:
        """Find the sheet by all its metrics from now on."""
        for name in sheet.names:
            sheets = self._by_name.setdefault(name, {})
            if sheet not in sheets:
                sheets[sheet] = None
                self._forget(name)

    def _drop(self, key: Hashable, sheet: Sheet) -> None:
        del self._sheets[key]
        sheet.leave()
        if self._past:
            self._past = {labels: past for labels, past in self._past.items() if past is not sheet}
        for name in sheet.names:
            self._by_name[name].pop(sheet, None)
            if not self._by_name[name]:
                del self._by_name[name]
            self._forget(name)

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
            self._index(sheet)

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
        self._resolved.pop(name, None)
        unfixed = self._resolved.get("", {})
        for matchers in [each for each in unfixed if _fits(each, name)]:
            del unfixed[matchers]

    def _resolve(self, selector: Selector) -> Resolution:
        known = self._resolved.setdefault(selector.name, {})
        found = known.get(selector.matchers)
        if found is not None and found.good:
            return found
        if len(known) >= KEPT_SELECTORS:
            known.clear()
        found = known[selector.matchers] = Resolution(
            self._candidates(selector), selector.matchers, self._newest
        )
        return found

    def _candidates(self, selector: Selector) -> dict[Sheet, list[str]]:
        """Return the sheets that have metrics whose name matches, and these."""
        names = [selector.name] if selector.name else list(self._by_name)
        found: dict[Sheet, list[str]] = {}
        for name in names:
            if _fits(selector.matchers, name):
                for sheet in self._by_name.get(name, ()):
                    found.setdefault(sheet, []).append(name)
        return found


def _fits(matchers: Sequence[Matcher], name: str) -> bool:
    """Tell whether a metric of this name can be meant."""
    return all(each.matches(name) for each in matchers if each.name == NAME)
