"""What an evaluation reads series from."""

from __future__ import annotations

from typing import Protocol

from rules.promql.tree import Selector
from rules.promql.values import Matrix, Vector


class Source(Protocol):
    """Series by selector. As long as the same series match, the same `Rows` object comes back."""

    def instants(self, selector: Selector, at_ms: int, lookback_ms: int) -> Vector:
        """Return the newest sample of each series after `at_ms - lookback_ms` up to `at_ms`, with its time.

        A series whose newest is a staleness marker is not there.
        """

    def ranges(self, selector: Selector, start_ms: int, end_ms: int) -> Matrix:
        """Return the samples after `start_ms` up to `end_ms`, staleness markers left out."""
