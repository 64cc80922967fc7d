"""The daemon's own metrics: process-wide ones through prometheus_client, those of targets as frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from collectors.model import Frame, Kind, LabelValues, MetricDef, Number, frame_of
from daemon.http.text import lines, rows_of
from daemon.known import ProbeState, TargetState
from daemon.snapshot import Snapshot

_SLICE_TARGETS = 20


def _gauge(name: str, text: str, *labels: str, unit: str = "") -> MetricDef:
    return MetricDef(name=f"dbarchitect_{name}", kind=Kind.GAUGE, help=text, labels=labels, unit=unit)


def _counter(name: str, text: str, *labels: str, unit: str = "") -> MetricDef:
    return MetricDef(name=f"dbarchitect_{name}_total", kind=Kind.COUNTER, help=text, labels=labels, unit=unit)


TARGET_UP = _gauge("target_up", "1 while the target answers, 0 while it does not.", "engine")
TARGET_DOWN = _gauge("target_down", "1 while the target does not answer, with the cause.", "cause")
TARGET_DISTRESS = _gauge("target_distress", "1 while slow probes wait because the server suffers.", "reason")
COLLECTOR_STUCK = _gauge("collector_stuck", "1 while a collector of the target ignores its deadline.")
SESSIONS = _gauge("sessions", "Sessions that the daemon holds at the target.")
DATABASE_SECONDS = _counter(
    "database_seconds", "Time that the daemon's probes spent in the target's server.", unit="seconds"
)
BUDGET_LEFT = _gauge(
    "budget_left_seconds", "Server time that slow probes may still take this minute.", unit="seconds"
)
FRESHNESS = _gauge("freshness_seconds", "Time since the target last gave data.", unit="seconds")
SERIES = _gauge("series", "Series that the target's probes give.")
SERIES_MAX = _gauge("series_max", "Series that the target's probes may give.")
SERIES_DROPPED = _gauge("series_dropped", "Series left out by a cap, or given twice.", "probe")
PROBE_RUNS = _counter(
    "probe_runs", "Runs of a probe by outcome: ok, or the cause of its failure.", "probe", "outcome"
)
PROBE_SKIPPED = _counter(
    "probe_skipped",
    "Runs that did not take place: busy, budget, distress, backoff, stuck.",
    "probe",
    "reason",
)
PROBE_DURATION = _gauge("probe_duration_seconds", "Duration of the last run.", "probe", unit="seconds")
PROBE_LAST_SUCCESS = _gauge(
    "probe_last_success_timestamp_seconds",
    "Unix time of the last run that gave data.",
    "probe",
    unit="seconds",
)
PROBE_INTERVAL = _gauge("probe_interval_seconds", "Pace of the probe here.", "probe", unit="seconds")
PROBE_FAILING = _gauge(
    "probe_failing", "1 while the probe's last run failed, with the cause.", "probe", "cause"
)
FEATURE_AVAILABLE = _gauge(
    "feature_available",
    "0 for what cannot be collected from the target, with the reason.",
    "feature",
    "reason",
)

TARGET_METRICS: tuple[MetricDef, ...] = (
    TARGET_UP,
    TARGET_DOWN,
    TARGET_DISTRESS,
    COLLECTOR_STUCK,
    SESSIONS,
    DATABASE_SECONDS,
    BUDGET_LEFT,
    FRESHNESS,
    SERIES,
    SERIES_MAX,
    SERIES_DROPPED,
    PROBE_RUNS,
    PROBE_SKIPPED,
    PROBE_DURATION,
    PROBE_LAST_SUCCESS,
    PROBE_INTERVAL,
    PROBE_FAILING,
    FEATURE_AVAILABLE,
)
"""One series or more for each target; `target` and its other labels come on top."""
PROCESS_METRICS: tuple[MetricDef, ...] = (
    _gauge("build_info", "1, with the daemon's version.", "version"),
    _gauge("start_time_seconds", "Unix time at which the daemon started.", unit="seconds"),
    _gauge("loop_lag_seconds", "How late the event loop ran its last measurement.", unit="seconds"),
    _counter("reloads", "Reloads of the configuration by outcome: ok, refused.", "outcome"),
    _gauge(
        "config_last_reload_success_timestamp_seconds",
        "Unix time at which the configuration in force was loaded.",
        unit="seconds",
    ),
    _gauge("config_last_reload_successful", "0 while the last reload is one that was refused, else 1."),
)
"""One of each per daemon, without the label `target`; `process_*` come with them."""
_PER_TARGET = (COLLECTOR_STUCK, SESSIONS, DATABASE_SECONDS, BUDGET_LEFT, FRESHNESS, SERIES, SERIES_MAX)
_PER_PROBE = (PROBE_DURATION, PROBE_LAST_SUCCESS, PROBE_INTERVAL)


@dataclass(slots=True)
class TargetNumbers:
    """What only the pipeline knows of a target; None is not exported."""

    sessions: int | None = None
    database_seconds_total: float | None = None
    budget_left_seconds: float | None = None
    stuck: bool = False


class SelfMetrics:
    """Counts what the daemon does, in a registry of its own."""

    def __init__(self, version: str, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.targets: dict[str, TargetNumbers] = {}
        self._clock = clock
        build, start, lag, reloads, loaded, successful = PROCESS_METRICS
        Gauge(build.name, build.help, build.labels, registry=self.registry).labels(version).set(1)
        Gauge(start.name, start.help, registry=self.registry).set(clock())
        self._lag = Gauge(lag.name, lag.help, registry=self.registry)
        self._reloads = Counter(reloads.name, reloads.help, reloads.labels, registry=self.registry)
        for outcome in ("ok", "refused"):
            self._reloads.labels(outcome)
        self._loaded = Gauge(loaded.name, loaded.help, registry=self.registry)
        self._loaded.set(clock())
        self._successful = Gauge(successful.name, successful.help, registry=self.registry)
        self._successful.set(1)
        ProcessCollector(registry=self.registry)

    def loop_lag(self, seconds: float) -> None:
        """Note how late the loop was."""
        self._lag.set(seconds)

    def reloaded(self, *, ok: bool) -> None:
        """Count a reload of the configuration."""
        self._reloads.labels("ok" if ok else "refused").inc()
        self._successful.set(int(ok))
        if ok:
            self._loaded.set(self._clock())

    def target(self, name: str) -> TargetNumbers:
        """Return the numbers of a target, for the pipeline to set."""
        return self.targets.setdefault(name, TargetNumbers())

    def forget(self, name: str) -> None:
        """Drop a target's numbers; an unknown name is fine."""
        self.targets.pop(name, None)

    async def refresh(self, snapshot: Snapshot, names: Collection[str] = ()) -> None:
        """Bring the daemon's own frames of these targets (all, if none is named) up to date."""
        at, now = self._clock(), snapshot.clock()
        for count, (name, state) in enumerate(list(snapshot.states().items()), start=1):
            if not names or name in names:
                snapshot.set_own(name, self.frames(state, now), at)
            if count % _SLICE_TARGETS == 0:
                await asyncio.sleep(0)
        for name in [name for name in self.targets if name not in snapshot.states()]:
            self.forget(name)

    def frames(self, state: TargetState, now: float) -> list[Frame]:
        """Return what the daemon says of one target; `now` is the snapshot's clock."""
        up = state.up
        frames = [frame_of(_PER_TARGET, [((), self._numbers(state, now))])]
        if up is not None:
            frames.append(frame_of((TARGET_UP,), [((state.target.engine,), [int(up.up)])]))
        if up is not None and not up.up:
            frames.append(_ones(TARGET_DOWN, [(up.failure.cause if up.failure else "unknown",)]))
        if up is not None and up.distress:
            frames.append(_ones(TARGET_DISTRESS, [(up.distress,)]))
        probes = state.probes.values()
        frames.append(
            frame_of(
                _PER_PROBE,
                [
                    (
                        (probe.name,),
                        (
                            probe.took_seconds,
                            probe.last_success_at,
                            _pace(probe, state.target.interval_seconds),
                        ),
                    )
                    for probe in probes
                ],
            )
        )
        frames.append(_counts(PROBE_RUNS, ((probe.name, probe.runs) for probe in probes)))
        frames.append(_counts(PROBE_SKIPPED, ((probe.name, probe.skipped) for probe in probes)))
        frames.append(_ones(PROBE_FAILING, sorted({key for probe in probes for key in _failing(probe)})))
        frames.append(
            frame_of(
                (SERIES_DROPPED,), [((name,), (count,)) for name, count in sorted(state.left_out().items())]
            )
        )
        rejected = dict.fromkeys((each.what or each.probe, each.reason) for each in state.rejections)
        frames.append(frame_of((FEATURE_AVAILABLE,), [(key, (0,)) for key in rejected]))
        return [frame for frame in frames if frame.keys]

    def process_samples(self) -> Iterator[tuple[MetricDef, LabelValues, float]]:
        """Give the process-wide metrics as samples."""
        for family in self.registry.collect():
            kind = Kind.COUNTER if family.type == "counter" else Kind.GAUGE
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    names = tuple(sample.labels)
                    metric = MetricDef(name=sample.name, kind=kind, help=family.documentation, labels=names)
                    yield metric, tuple(sample.labels.values()), sample.value

    def process_lines(self) -> Iterable[tuple[MetricDef, bytes]]:
        """Give the process-wide metrics, each with its rendered lines."""
        for metric, values, value in self.process_samples():
            row = ",".join(f'{name}="%s"' for name in metric.labels)
            rows = rows_of(f"{{{row}}} " if row else " ", [values])
            yield metric, lines(metric.name, rows, [value])

    def _numbers(self, state: TargetState, now: float) -> list[Number | None]:
        numbers = self.targets.get(state.name) or TargetNumbers()
        age = None if state.answered_at is None else now - state.answered_at
        return [
            int(numbers.stuck),
            numbers.sessions,
            numbers.database_seconds_total,
            numbers.budget_left_seconds,
            age,
            state.series,
            state.target.series_max,
        ]


def _ones(metric: MetricDef, keys: Iterable[LabelValues]) -> Frame:
    return frame_of((metric,), [(key, (1,)) for key in keys])


def _counts(metric: MetricDef, counts: Iterable[tuple[str, dict[str, int]]]) -> Frame:
    return frame_of(
        (metric,), [((name, what), (count,)) for name, each in counts for what, count in each.items()]
    )


def _pace(probe: ProbeState, interval_seconds: float) -> float | None:
    """Nothing runs more often than the target is looked at."""
    return None if probe.info is None else max(probe.info.every_seconds, interval_seconds)


def _failing(probe: ProbeState) -> Iterable[LabelValues]:
    return ((probe.name, failure.cause) for failure in probe.failures.values())
