"""Fills the window with what was collected before a restart, so that ranges go on where they were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import re2
import structlog

from daemon.history.errors import HistoryError
from daemon.history.sheets import Samples, Sheet
from rules.labels import NAME
from rules.model import FOR_STATE
from rules.promql.matchers import Matcher, MatchOp
from rules.state import OUTAGE_TOLERANCE_MS

log = structlog.get_logger()
WITHIN_SECONDS = 120.0
"""Judging begins without the rest of the past when reading it takes longer."""


class PastReader(Protocol):
    """A history that can be asked."""

    async def read(self, query: Sequence[Matcher], start_ms: int, end_ms: int, /) -> list[Samples]:
        """Return the samples of each series that fulfils all conditions, both ends included."""


async def past(reader: PastReader, keep: Mapping[str, int], now_ms: int, at_once: int = 1) -> list[Sheet]:
    """Return the samples of these metrics, each for as many milliseconds back as it says.

    The reader is asked for up to `at_once` metrics in one question.
    """
    found: list[Sheet] = []
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            for names, past_ms in _questions(keep, at_once):
                found.extend(sheets(await reader.read((_named(names),), now_ms - past_ms, now_ms)))
    except TimeoutError:
        log.warning(
            "history.slow", reason=f"the past was not read within {WITHIN_SECONDS:g} s", metrics=len(keep)
        )
    except HistoryError as error:
        log.warning("history.not_read", reason=str(error))
    return found


def _questions(keep: Mapping[str, int], at_once: int) -> Iterator[tuple[Sequence[str], int]]:
    """Put metrics together that reach equally far back, the shortest first: most rules need no more."""
    by_reach: dict[int, list[str]] = {}
    for name, past_ms in keep.items():
        by_reach.setdefault(past_ms, []).append(name)
    for past_ms, names in sorted(by_reach.items()):
        for start in range(0, len(names), at_once):
            yield names[start : start + at_once], past_ms


def _named(names: Sequence[str]) -> Matcher:
    if len(names) == 1:
        return Matcher(NAME, MatchOp.EQUAL, names[0])
    return Matcher(NAME, MatchOp.REGEX, "|".join(map(re2.escape, names)))


async def remembered(reader: PastReader, now_ms: int) -> list[Samples]:
    """Return the last hour of ALERTS_FOR_STATE."""
    query = (Matcher(NAME, MatchOp.EQUAL, FOR_STATE),)
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            return await reader.read(query, now_ms - OUTAGE_TOLERANCE_MS, now_ms)
    except (TimeoutError, HistoryError) as error:
        log.warning("history.not_read", reason=str(error) or "it took too long")
        return []


def sheets(samples: Iterable[Samples]) -> Iterator[Sheet]:
    """Put series of a metric with samples at the same times side by side."""
    groups: dict[tuple[str, bytes], list[Samples]] = {}
    for one in samples:
        if len(one.times):
            groups.setdefault((one.labels.name, one.times.tobytes()), []).append(one)
    for group in groups.values():
        values = np.stack([one.values for one in group], axis=1)
        yield Sheet(tuple([one.labels for one in group]), group[0].times, values)
