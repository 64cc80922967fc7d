"""What a watched fleet gives: probes of targets, with values that behave as those of databases do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from daemon.history.sheets import Sheet
from rules.labels import Labels, labels_of

START_MS = 1_790_000_000_000 // 7_200_000 * 7_200_000
PROBES = {"activity": 20, "bgwriter": 15, "database": 45, "tables": 110, "indexes": 60, "statements": 50}
"""Series a probe; together 300."""


@dataclass(frozen=True)
class Shape:
    """How much there is of it."""

    targets: int = 100
    seconds: int = 3600
    every: int = 10
    batch_rows: int = 3

    @property
    def rows(self) -> int:
        return self.seconds // self.every

    @property
    def samples(self) -> int:
        return self.targets * sum(PROBES.values()) * self.rows


def batches(shape: Shape) -> Iterator[list[Sheet]]:
    """Give what comes between two writes: a sheet for each probe of each target."""
    rng = np.random.default_rng(7)
    made = [
        (series, START_MS + int(rng.integers(0, 10_000)), _values(rng, len(series), shape.rows))
        for target in range(shape.targets)
        for series in _probes(target)
    ]
    for row in range(0, shape.rows, shape.batch_rows):
        rows = np.arange(row, min(row + shape.batch_rows, shape.rows))
        yield [
            Sheet(series, phase + rows * shape.every * 1000 + rng.integers(0, 6, len(rows)), values[rows])
            for series, phase, values in made
        ]


def _probes(target: int) -> list[tuple[Labels, ...]]:
    found = []
    for probe, count in PROBES.items():
        found.append(
            tuple(
                labels_of(
                    {
                        "__name__": f"postgresql_{probe}_{('rows', 'bytes', 'seconds', 'total', 'ratio')[i % 5]}",
                        "target": f"db{target:03d}",
                        "instance": f"10.0.{target // 256}.{target % 256}:5432",
                        "job": "postgresql",
                        "datname": f"app{i % 7}",
                        "object": f"{probe}_{i // 5:04d}",
                    }
                )
                for i in range(count)
            )
        )
    return found


def _values(rng: np.random.Generator, series: int, rows: int) -> np.ndarray:
    """Return values[rows, series]: of 100 series, 30 stand still, 20 seldom move, 25 are counters that
    grow, 10 are counters of seconds, 12 are gauges that wander, 3 are ratios with every digit.
    """
    values = np.empty((rows, series))
    for column in range(series):
        values[:, column] = _one(rng, rng.integers(0, 100), rows)
    return values


def _one(rng: np.random.Generator, kind: int, rows: int) -> np.ndarray:
    if kind < 30:
        return np.full(rows, float(rng.choice([0, 1, 100, 8192, 1234567])))
    if kind < 50:
        return 1e6 + np.cumsum((rng.random(rows) < 0.02) * rng.integers(1, 1000, rows)).astype(float)
    if kind < 75:
        pace = 10 ** rng.uniform(0, 4)
        return np.floor(rng.integers(0, 10**10) + np.cumsum(rng.poisson(pace, rows))).astype(float)
    if kind < 85:
        return np.round(rng.uniform(0, 1e5) + np.cumsum(rng.exponential(0.05, rows)), 3)
    if kind < 97:
        return np.round(np.abs(50 + np.cumsum(rng.normal(0, 1.5, rows)))).astype(float)
    hits = np.cumsum(rng.integers(900, 1000, rows))
    return hits / (hits + np.cumsum(rng.integers(0, 60, rows)) + 1)
