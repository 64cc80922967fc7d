"""What holds during one evaluation, and what is kept from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from rules.promql.source import Source

LOOKBACK_MS = 5 * 60 * 1000
STEP_MS = 60 * 1000
SAMPLES_MAX = 50_000_000
"""As in Prometheus: what one query may hold in memory at most."""
T = TypeVar("T")


class Memo:
    """What was worked out from labels alone: good as long as the rows are the same objects."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[object, tuple[tuple[object, ...], object]] = {}

    def of(self, place: object, inputs: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return what `make` gave the last time for this place if the inputs are the same objects."""
        held = self._held.get(place)
        if held is not None and all(a is b for a, b in zip(held[0], inputs, strict=True)):
            return cast("T", held[1])
        made = make()
        self._held[place] = (inputs, made)
        return made


@dataclass(slots=True)
class Context:
    """One moment of an evaluation."""

    source: Source
    at_ms: int
    start_ms: int
    """Of the query: what `@ start()` means."""
    end_ms: int
    memo: Memo = field(default_factory=Memo)
    lookback_ms: int = LOOKBACK_MS
    step_ms: int = STEP_MS
    """Of subqueries that name none."""

    def moved(self, at_ms: int) -> Context:
        """Return the same evaluation at another time."""
        return Context(
            self.source, at_ms, self.start_ms, self.end_ms, self.memo, self.lookback_ms, self.step_ms
        )
