"""The values that flow from collectors: targets, metrics, frames of samples, observations.

Samples are kept in columns (a *frame*: rows of label values, a column of numbers per metric)
because a server with thousands of tables gives 100,000 of them at once: one object per sample
would cost more than fetching them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Number = int | float
LabelValues = tuple[str, ...]


class Kind(enum.StrEnum):
    """How a metric's value moves."""

    COUNTER = "counter"
    GAUGE = "gauge"


class Cost(enum.StrEnum):
    """What a probe asks of the server: the dearest are dropped first when it suffers."""

    LIGHT = "light"
    """In-memory views, microseconds to a few milliseconds: never dropped."""
    MEDIUM = "medium"
    """Grows with the number of objects or statements."""
    HEAVY = "heavy"
    """Reads files or relations: sizes, bloat."""


class Scope(enum.StrEnum):
    """Where a probe has to be asked."""

    SERVER = "server"
    """Once per server: any database gives the same answer."""
    DATABASE = "database"
    """In every database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDef:
    """One metric family: what the catalogue, the exposition's HELP and TYPE, and rules know of it."""

    name: str
    """Full name as exported; ends in a base unit, or `_total` where the field's name allows it."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    """Variable labels in the order of a frame's keys; `target` (and `cluster`) come on top."""
    unit: str = ""
    """Base unit: bytes, seconds, ratio, transactions, ... or empty for a plain count."""
    aliases: tuple[str, ...] = ()
    """Older names of the same fact, exported when `exposition.aliases` asks for them."""


@dataclass(slots=True)
class Frame:
    """All series that one probe gave for one set of labels.

    `columns[i][j]` is the value of `metrics[i]` for `keys[j]`; None means: no such sample
    (unknown is absent, never 0).
    """

    metrics: tuple[MetricDef, ...]
    keys: Sequence[LabelValues]
    columns: Sequence[Sequence[Number | None]]

    def __len__(self) -> int:
        """Return the number of samples, absent ones not counted."""
        return sum(len(column) - column.count(None) for column in self.columns)

    def samples(self) -> Iterator[Sample]:
        """Give every sample in turn; for tests, the API and small frames."""
        for metric, column in zip(self.metrics, self.columns, strict=True):
            for key, value in zip(self.keys, column, strict=True):
                if value is not None:
                    labels = tuple(zip(metric.labels, key, strict=True))
                    yield Sample(metric.name, labels, value)


class Sample(NamedTuple):
    """One value of one series."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: Number


def frame_of(
    metrics: Sequence[MetricDef], rows: Sequence[tuple[LabelValues, Sequence[Number | None]]]
) -> Frame:
    """Build a frame from (key, values) rows; what probes written in code use."""
    keys = [key for key, _ in rows]
    columns: list[Sequence[Number | None]] = [
        [values[index] for _, values in rows] for index in range(len(metrics))
    ]
    return Frame(tuple(metrics), keys, columns)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a probe or a target gave nothing."""

    cause: str
    """A word from a closed list (`CollectError.cause`): safe as a label."""
    message: str
    """A sentence for a person, secrets masked."""


@dataclass(slots=True, kw_only=True)
class Observation:
    """What one run of one probe gave."""

    probe: str
    database: str = ""
    """Set when the probe was asked in one of several databases."""
    at: float
    """Unix time, seconds, when the answer was complete."""
    took_seconds: float
    frames: tuple[Frame, ...] = ()
    failure: Failure | None = None
    dropped: int = 0
    """Series left out by a cap, so that a reader knows the frame is not everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One server that is watched."""

    name: str
    engine: str
    cluster: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """Static labels that every series of this target carries."""
    interval_seconds: float = 10.0
    """How often light probes run; slower ones keep their own pace."""
    series_max: int = 20_000
    """Hard cap on this target's series."""
    probes: tuple[tuple[str, bool], ...] = ()
    """Probes switched on or off by name, `*` for all; later entries win."""
    options: Any = None
    """The engine's own options, an instance of `Engine.options`."""
    deadline_seconds: float = 5.0
    """How long a connection or the `up` query may take."""
    database_seconds_per_minute: float = 3.0
    """What medium and heavy probes may take of the server's time."""

    def wants(self, probe: str, by_default: bool) -> bool:
        """Tell whether the configuration asks for a probe."""
        wanted = by_default
        for name, on in self.probes:
            if name in (probe, "*"):
                wanted = on
        return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeInfo:
    """What a scheduler needs to know of a probe, whatever the engine."""

    name: str
    every_seconds: float
    """0 means: at the target's own interval."""
    within_seconds: float
    """Deadline of one run."""
    cost: Cost = Cost.LIGHT
    scope: Scope = Scope.SERVER
    metrics: tuple[MetricDef, ...] = ()
    rows_max: int = 500
    """Cap on rows per metric (series per family)."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that is not collected here, and why."""

    probe: str
    what: str
    """`""` for the whole probe, else the metric that is missing."""
    reason: str
    expected: bool = False
    """Nobody's fault and nothing to mend: another version, another role, an extension that is not there."""


@dataclass(slots=True, kw_only=True)
class Up:
    """Answer to the one question that everybody asks first."""

    up: bool
    at: float
    failure: Failure | None = None
    role: str = ""
    """primary, replica, or the engine's own word; empty when unknown."""
    version: str = ""
    identity: str = ""
    """What makes counters comparable: changes when the server restarts or is another one."""
    distress: str = ""
    """Why slow probes should wait (`load`, `connections`, `lock_waits`); empty when well."""
    details: dict[str, str] = field(default_factory=dict)
