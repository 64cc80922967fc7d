"""Frames of many small servers, shaped like those of PostgreSQL: for benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from collectors.model import Frame, Kind, MetricDef

SHAPES = ((1, 30), (1, 30), (1, 20), (3, 20), (4, 15), (10, 8), (20, 12), (50, 10))
"""(rows, metrics) of each probe; repeated until the series are there."""


@cache
def _metrics(probe: int, count: int) -> tuple[MetricDef, ...]:
    return tuple(
        MetricDef(
            name=f"pg_probe{probe}_metric{i}_total",
            kind=Kind.COUNTER,
            help="A metric.",
            labels=("datname", "relname"),
        )
        for i in range(count)
    )


def frames_of(series: int, target: int, step: int) -> Iterator[tuple[str, Frame]]:
    """Give (probe, frame) until there are `series` of them; half of the values change with each step."""
    given = probe = 0
    while given < series:
        rows, count = SHAPES[probe % len(SHAPES)]
        rows = min(rows, max(1, (series - given) // count))
        keys = [(f"db{row % 3}", f"relation_{target}_{row}") for row in range(rows)]
        columns: list[list[int | float | None]] = [
            [target * 1000 + row + (step * 1.5 if column % 2 else 0) for row in range(rows)]
            for column in range(count)
        ]
        yield f"probe{probe}", Frame(_metrics(probe, count), keys, columns)
        given += rows * count
        probe += 1
