"""One look at a target: its values now, and the rates since earlier looks."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from daemon.terminal.rates import Rates
from daemon.terminal.reading import Labels, Reading
from daemon.terminal.view import TargetView


@dataclass(frozen=True, slots=True)
class Look:
    """What a screen is made from."""

    target: TargetView
    reading: Reading
    rates: Rates
    now: float
    """Unix time."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Texts of statements by queryid."""

    def value(self, name: str) -> float | None:
        """Return the value of a metric without labels; None when it is not known."""
        return self.reading.series(name).get(())

    def total(self, name: str) -> float | None:
        """Return the sum over all series of a metric."""
        return sum_of(self.reading.series(name).values())

    def rate(self, name: str) -> float | None:
        """Return the rate over all series of a counter, per second."""
        return sum_of(self.rates.of(name).values())

    def age(self, unix_time: float | None) -> float | None:
        """Return the seconds since a moment; None for one that never was."""
        return None if not unix_time else max(0.0, self.now - unix_time)

    def grouped(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """Return the sums of a metric's series for each combination of these labels."""
        return grouped(self.reading.series(name), by, operator.add)

    def grouped_rates(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """Return the rates of a counter for each combination of these labels."""
        return grouped(self.rates.of(name), by, operator.add)

    def grouped_most(self, name: str, *by: str) -> dict[tuple[str, ...], float]:
        """Return the largest of a metric's series for each combination of these labels."""
        return grouped(self.reading.series(name), by, max)


def grouped(
    series: Mapping[Labels, float], by: tuple[str, ...], join: Callable[[float, float], float]
) -> dict[tuple[str, ...], float]:
    """Return one value for each combination of the labels `by`; a label that is missing is empty."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in series.items():
        known = dict(labels)
        key = tuple(known.get(name, "") for name in by)
        found[key] = join(found[key], value) if key in found else value
    return found


def sum_of(values: Collection[float]) -> float | None:
    """Return the sum of what is known; None when nothing is."""
    return sum(values) if values else None


def part(share: float | None, rest: float | None) -> float | None:
    """Return share / (share + rest); None when both are nothing or one is unknown."""
    if share is None or rest is None or share + rest <= 0:
        return None
    return share / (share + rest)
