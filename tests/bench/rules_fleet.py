"""Many targets that look like a few real ones: names of their own, counters that move, a few with trouble."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from collectors.model import Frame, Kind, LabelValues, MetricDef, Number, Observation, ProbeInfo, Target, Up
from collectors.registry import engines
from daemon.snapshot import Snapshot
from tests.bench.rules_capture import OWN, Answer, Seen

STEP_SECONDS = 10
VARIANTS = 4
"""So many targets of one kind move differently; the others do as one of these."""
LONG = 20
"""A frame with more rows names objects (tables, statements): it is made longer or shorter."""
BESIDE = 10
"""To so many databases there is one pgBouncer and one host."""
TROUBLED = 12
"""Every so many targets have trouble."""
TROUBLES: Mapping[str, float] = {
    "pg_connections_used_ratio": 0.93,
    "pg_longest_query_seconds": 900.0,
    "pg_blocked_sessions": 12.0,
    "pg_database_xid_used_ratio": 0.5,
    "pg_sequence_used_ratio": 0.8,
    "pgbouncer_pools_client_maxwait_seconds": 40.0,
}
OLD_SECONDS = 4 * 3600.0
"""The servers were made a minute before they were looked at; they pretend to be older."""
_ALONG = 0.5
Wants = Callable[[str], bool]


@dataclass(slots=True)
class _Column:
    """One metric's cells: where they begin and how they move."""

    metric: MetricDef
    values: np.ndarray
    gains: np.ndarray
    absent: tuple[int, ...]

    def cells(self, seconds: float, speed: float) -> list[Number | None]:
        """Return the cells so many seconds after the beginning."""
        if self.metric.kind is Kind.COUNTER:
            moved = self.values + np.floor(np.maximum(self.gains, 0.0) * speed * (seconds + OLD_SECONDS))
        elif _is_time(self.metric):
            moved = self.values + np.where(self.gains > _ALONG, seconds, 0.0)
        else:
            still = self.metric.name.startswith("pg_settings_")
            wave = 1.0 if still else 1 + 0.002 * math.sin(seconds / 60 * speed)
            moved = np.where(np.abs(self.values) > LONG, np.round(self.values * wave, 3), self.values)
        found: list[Number | None] = moved.tolist()
        for row in self.absent:
            found[row] = None
        return found


@dataclass(slots=True)
class _Table:
    """One frame of one kind of target."""

    metrics: tuple[MetricDef, ...]
    keys: list[LabelValues]
    columns: list[_Column]

    @property
    def long(self) -> bool:
        return len(self.keys) > LONG

    def wanted(self, wants: Wants) -> int:
        """Return how many series of it the rules look at."""
        return sum(
            (len(self.keys) - len(column.absent)) * sum(map(wants, (each.name, *each.aliases)))
            for each, column in zip(self.metrics, self.columns, strict=True)
        )


@dataclass(slots=True)
class _Kind:
    """What all targets that are copies of one have in common."""

    seen: Seen
    answers: list[tuple[ProbeInfo, str, list[_Table]]]

    def tables(self) -> Iterator[_Table]:
        return (table for _, _, tables in self.answers for table in tables)


@dataclass(slots=True)
class _Copy:
    target: Target
    kind: str
    variant: int
    phase: float
    """How many seconds before a step it is looked at."""
    keys: list[list[list[LabelValues]]]
    troubled: bool


class Copies:
    """A snapshot with many targets, moved on step by step."""

    def __init__(self, seen: Mapping[str, Seen], targets: int, series: int, wants: Wants, now: float) -> None:
        """`series` are those of each database target that the rules look at; `now` is the Unix time."""
        self.now = now
        self._began = now
        self.snapshot = Snapshot(engines(), lambda: self.now, series_max_total=100_000_000)
        self._kinds = {name: _kind(each, now) for name, each in seen.items()}
        for name in ("primary", "replica"):
            _sized(self._kinds[name], series, wants)
        self._copies = [self._copy("replica" if n % 2 else "primary", n) for n in range(targets)]
        self._copies += [self._copy(kind, n) for kind in ("pool", "host") for n in range(targets // BESIDE)]
        self.churn = 0.0
        """Which part of a target's objects is replaced by others every minute."""
        for copy in self._copies:
            self.snapshot.add_target(copy.target)

    @property
    def targets(self) -> int:
        return len(self._copies)

    def step(self) -> None:
        """Let ten seconds pass: what is due by then is in the snapshot."""
        first = self.now == self._began
        self.now += STEP_SECONDS
        columns: dict[tuple[str, int, int], list[list[list[Number | None]]]] = {}
        for place, copy in enumerate(self._copies):
            at = self.now - copy.phase
            self.snapshot.record_up(copy.target.name, Up(up=True, at=at, role="", version="15"))
            for number, (info, database, tables) in enumerate(self._kinds[copy.kind].answers):
                every = max(info.every_seconds, STEP_SECONDS)
                if not first and (self.now - self._began + place * STEP_SECONDS) % every >= STEP_SECONDS:
                    continue
                made = columns.get((copy.kind, copy.variant, number))
                if made is None:
                    made = columns[copy.kind, copy.variant, number] = self._columns(tables, copy.variant)
                self._show(copy, number, info, database, tables, made, at)

    def _show(
        self,
        copy: _Copy,
        number: int,
        info: ProbeInfo,
        database: str,
        tables: Sequence[_Table],
        columns: list[list[list[Number | None]]],
        at: float,
    ) -> None:
        frames = tuple(
            Frame(table.metrics, self._keys(table, keys), _with_trouble(table, cells, copy.troubled))
            for table, keys, cells in zip(tables, copy.keys[number], columns, strict=True)
        )
        name = copy.target.name
        if info.name == OWN.name:
            self.snapshot.set_own(name, frames, at)
        else:
            seen = Observation(probe=info.name, database=database, at=at, took_seconds=0.01, frames=frames)
            self.snapshot.record(name, seen, info)

    def _columns(self, tables: Sequence[_Table], variant: int) -> list[list[list[Number | None]]]:
        seconds, speed = self.now - self._began, 1 + 0.1 * variant
        return [[column.cells(seconds, speed) for column in table.columns] for table in tables]

    def _keys(self, table: _Table, keys: list[LabelValues]) -> list[LabelValues]:
        if not self.churn or not table.long:
            return keys
        minute, number = int(self.now // 60), max(1, round(len(keys) * self.churn))
        first = minute * number % len(keys)
        place = _naming(keys)
        fresh = [_named(key, place, f"_{minute}") for key in keys[first : first + number]]
        return [*keys[:first], *fresh, *keys[first + number :]]

    def _copy(self, kind: str, number: int) -> _Copy:
        made = self._kinds[kind]
        base, name = made.seen.target, f"{kind}{number:04d}"
        changes = {"host": f"{name}.example"} if hasattr(base.options, "host") else {}
        target = replace(
            base,
            name=name,
            cluster=f"cluster{number // 2:04d}" if base.cluster else "",
            labels=(("env", "prod" if number % 3 else "test"),),
            options=base.options.model_copy(update=changes),
            series_max=10_000_000,
        )
        keys = [[_own(table.keys) for table in tables] for _, _, tables in made.answers]
        troubled = number % TROUBLED == TROUBLED - 1 - (number // TROUBLED) % 2
        return _Copy(target, kind, number % VARIANTS, (number * 7919 % 9973) / 1000, keys, troubled)


def _kind(seen: Seen, now: float) -> _Kind:
    shift = now - seen.at
    return _Kind(
        seen,
        [
            (answer.info, answer.database, [_table(answer, number, shift) for number in range(len(answer.frames))])
            for answer in seen.answers
        ],
    )  # fmt: skip


def _table(answer: Answer, number: int, shift: float) -> _Table:
    frame, gains = answer.frames[number], answer.gains[number]
    columns = []
    for metric, cells, gain in zip(frame.metrics, frame.columns, gains, strict=True):
        values = np.array([0.0 if cell is None else float(cell) for cell in cells])
        rates = np.array(gain)
        if _is_time(metric):
            if answer.info.name == OWN.name:
                rates[:] = 1.0  # the daemon looked a moment ago
            values = np.where(values > 0, values + shift - np.where(rates > _ALONG, 0.0, OLD_SECONDS), values)
        absent = tuple(row for row, cell in enumerate(cells) if cell is None)
        columns.append(_Column(metric, values, rates, absent))
    return _Table(frame.metrics, list(frame.keys), columns)


def _is_time(metric: MetricDef) -> bool:
    return metric.kind is Kind.GAUGE and metric.name.endswith(
        ("_timestamp_seconds", "start_time_seconds", "boot_time_seconds")
    )


def _sized(kind: _Kind, series: int, wants: Wants) -> None:
    """Make the frames that name objects longer or shorter until the rules look at so many series."""
    fixed = sum(table.wanted(wants) for table in kind.tables() if not table.long)
    given = sum(table.wanted(wants) for table in kind.tables() if table.long)
    factor = max(0.0, (series - fixed) / given)
    for table in kind.tables():
        if table.long:
            _stretch(table, max(LONG + 1, round(len(table.keys) * factor)))


def _stretch(table: _Table, rows: int) -> None:
    place, had = _naming(table.keys), len(table.keys)
    table.keys = [
        _named(table.keys[row % had], place, f"_{row // had}" if row >= had else "") for row in range(rows)
    ]
    for column in table.columns:
        which = np.arange(rows) % had
        column.values, column.gains = column.values[which], column.gains[which]
        gone = set(column.absent)
        column.absent = tuple(row for row in range(rows) if row % had in gone)


def _naming(keys: Sequence[LabelValues]) -> int:
    """Return which label tells the rows apart best."""
    return max(range(len(keys[0])), key=lambda place: len({key[place] for key in keys}))


def _named(key: LabelValues, place: int, more: str) -> LabelValues:
    return (*key[:place], key[place] + more, *key[place + 1 :])


def _own(keys: Sequence[LabelValues]) -> list[LabelValues]:
    """Return the same as strings of their own, as every connection makes them."""
    return [tuple((text + " ")[:-1] for text in key) for key in keys]


def _with_trouble(
    table: _Table, cells: list[list[Number | None]], troubled: bool
) -> Sequence[Sequence[Number | None]]:
    if not troubled:
        return cells
    return [
        [TROUBLES[metric.name], *column[1:]] if metric.name in TROUBLES else column
        for metric, column in zip(table.metrics, cells, strict=True)
    ]
