"""A stable choice of which rows stay when there are too many.

A plain "top 100" brings other members each time, and every newcomer is a new series for whoever
stores them: the cap would bound each scrape and nothing else. Here a member leaves only after it has
been below the cut for three runs in a row, or is gone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
PATIENCE_RUNS = 3


class Keeper(Generic[K]):
    """Keeps at most `most` members of a changing set, the highest ranked, with hysteresis."""

    def __init__(self, most: int, patience: int = PATIENCE_RUNS) -> None:
        self.most = most
        self.patience = patience
        self._below: dict[K, int] = {}
        """Members, with the number of runs in a row that each was below the cut."""

    def choose(self, keys: Sequence[K], ranks: Sequence[float]) -> set[K]:
        """Return the members among `keys`; `ranks` has the same order, larger is more important."""
        if len(keys) <= self.most:
            self._below = dict.fromkeys(keys, 0)
            return set(keys)
        order = sorted(range(len(keys)), key=lambda index: (-ranks[index], str(keys[index])))
        best = [keys[index] for index in order[: self.most]]
        inside = set(best)
        present = set(keys)
        below = {key: 0 if key in inside else runs + 1 for key, runs in self._below.items() if key in present}
        staying = {key: runs for key, runs in below.items() if runs < self.patience}
        for key in best:
            if len(staying) >= self.most:
                break
            staying.setdefault(key, 0)
        self._below = staying
        return set(staying)
