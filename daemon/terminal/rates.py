"""Rates of counters between looks, in units per second: never negative, never from data that stood still.

The daemon asks a server at its own pace, slower than a terminal is drawn. Two looks in between show the
same numbers, which does not mean that nothing happens: a rate lives until its probe brings newer data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from daemon.terminal.reading import Labels, Reading

STILL_SECONDS = 90.0
"""Where the daemon does not tell when data came in: after so long without a change, nothing happens."""
_PART = 0.75
"""Where it tells the time of a probe only: a series that did not change for this part of the pace may not
have been asked again yet, because a probe goes through the databases one by one."""
_DATABASE = "datname"


class Pace(NamedTuple):
    """Where a counter comes from."""

    probe: str
    every_seconds: float


class _Track(NamedTuple):
    value: float
    at: float
    """Seconds, on the clock of the data where there is one, else of the reading."""
    rate: float | None = None


class Rates:
    """Remembers counters from look to look; one per target."""

    def __init__(self) -> None:
        self._tracks: dict[str, dict[Labels, _Track]] = {}

    def learn(self, reading: Reading, counters: Mapping[str, Pace]) -> None:
        """Take the counters of a reading; those that it does not show are forgotten."""
        in_databases = {probe for probe, _ in reading.data_at_in}
        for name, pace in counters.items():
            series = reading.series(name)
            known = self._tracks.get(name, {})
            data_at = reading.data_at.get(pace.probe)
            default = (
                (reading.at, STILL_SECONDS) if data_at is None else (data_at, _PART * pace.every_seconds)
            )
            times = _times(reading, pace.probe) if pace.probe in in_databases else {}
            self._tracks[name] = {
                labels: _moved(
                    known.get(labels), value, *(times.get(_database(labels), default) if times else default)
                )
                for labels, value in series.items()
                if math.isfinite(value)
            }

    def of(self, name: str) -> dict[Labels, float]:
        """Return the rates of a counter's series that are known, per second."""
        tracks = self._tracks.get(name, {})
        return {labels: track.rate for labels, track in tracks.items() if track.rate is not None}

    def waits(self, name: str) -> bool:
        """Tell whether a counter was seen, but only once: a rate needs two readings."""
        tracks = self._tracks.get(name, {}).values()
        return bool(tracks) and all(track.rate is None for track in tracks)


def increase(before: float, after: float) -> float:
    """Return how much a counter grew; one that went back began again at 0."""
    return after - before if after >= before else max(after, 0.0)


def _times(reading: Reading, probe: str) -> dict[str, tuple[float, float]]:
    """Return when the data of each database came in; a series that did not change since then stood still."""
    return {database: (at, 0.0) for (name, database), at in reading.data_at_in.items() if name == probe}


def _database(labels: Labels) -> str:
    return next((value for name, value in labels if name == _DATABASE), "")


def _moved(track: _Track | None, value: float, at: float, patience: float) -> _Track:
    if track is None or at < track.at:
        return _Track(value, at)
    seconds = at - track.at
    if seconds <= 0 or (value == track.value and seconds < patience):
        return track
    return _Track(value, at, increase(track.value, value) / seconds)
