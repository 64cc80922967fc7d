"""The text of /metrics as values: what `dbarchitect top` reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]
"""Names and values in the order of the exposition, without those in `OURS`."""
OURS = frozenset({"target", "cluster"})
"""Labels that say whose series it is, the same on every line of one target."""

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? +([^ ]+)(?: .*)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(slots=True)
class Reading:
    """What one scrape gave."""

    at: float
    """Monotonic seconds at which it was read."""
    families: dict[str, dict[Labels, float]] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)
    """Families that only grow, as the exposition types them."""
    data_at: Mapping[str, float] = field(default_factory=dict)
    """Probe -> Unix time of its newest answer, as the daemon tells."""
    data_at_in: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Probe and database -> the same, for probes that are asked in every database, one after the other."""

    def series(self, name: str) -> Mapping[Labels, float]:
        """Return the series of a metric; empty when there are none."""
        return self.families.get(name, {})


def parse(text: str, at: float, names: Collection[str] | None = None) -> Reading:
    """Return the samples of an exposition (text or OpenMetrics), of all metrics or of those named.

    Lines that are none are left out: a newer daemon may say more than we know.
    """
    reading = Reading(at)
    for line in text.split("\n"):
        if not line or line[0] == "#":
            if line.startswith("# TYPE ") and line.endswith(" counter"):
                reading.counters.add(line.split(" ")[2])
            continue
        if names is not None and line.partition("{")[0].partition(" ")[0] not in names:
            continue
        match = _LINE.fullmatch(line)
        value = _number(match[3]) if match else None
        if match is not None and value is not None:
            reading.families.setdefault(match[1], {})[tuple(_labels(match[2] or ""))] = value
    return reading


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for name, value in _LABEL.findall(text):
        if name not in OURS:
            yield name, _ESCAPE.sub(_unescaped, value) if "\\" in value else value


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
