"""Notes what the snapshot shows, as a Prometheus that scrapes would see it.

`Reader` looks at the snapshot on the event loop and notes what changed; `daemon.judge.writer.Writer` turns
the notes into samples in the judge's thread. Blocks never change what they show, so handing one over is safe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from collectors.engine import Engine
from collectors.model import LabelValues, MetricDef, Number
from daemon.block import Block
from daemon.judge.sight import Sight, sight_of
from daemon.known import TargetState
from daemon.snapshot import Snapshot

REPEAT_MS = 60_000
"""A slow probe's answer is written again so often while it holds: ranges of minutes see it then."""
SELF = "self"
Place: TypeAlias = tuple[str, str, str, str, int]
"""Target, probe, database, the first metric, and which one of several such frames."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The labels that all series of one target carry."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Notes:
    """What changed since the last look."""

    shown: list[tuple[Place, Origin, Block, int]] = field(default_factory=list)
    """With the time of the sample, Unix milliseconds."""
    up: list[tuple[str, Origin, float, int]] = field(default_factory=list)
    ended: list[Place] = field(default_factory=list)
    targets_gone: list[str] = field(default_factory=list)
    own: list[tuple[MetricDef, LabelValues, Number]] = field(default_factory=list)
    """Process-wide metrics of the daemon itself."""
    at_ms: int = 0
    sight: Sight = field(default_factory=Sight)
    """What could not be seen."""


@dataclass(slots=True)
class _Answer:
    """What one probe showed in one database when it was last looked at."""

    blocks: tuple[Block, ...]
    places: dict[Place, tuple[Block, int]] = field(default_factory=dict)
    """What was noted of each, and the time of the sample."""
    repeat_ms: int = 0
    """When the first of them is to be written again."""


_Answers: TypeAlias = dict[tuple[str, str], _Answer]


class Reader:
    """Looks at the snapshot; belongs to the event loop."""

    def __init__(self, snapshot: Snapshot, engines: Mapping[str, Engine]) -> None:
        self._snapshot = snapshot
        self._engines = engines
        self._seen: dict[str, _Answers] = {}
        """By target; by probe and database."""
        self._origins: dict[str, tuple[TargetState, Origin]] = {}

    def look(self, now_ms: int) -> Notes:
        """Return what is new, what is to be repeated, and what is no longer there."""
        states = self._snapshot.states()
        notes = Notes(at_ms=now_ms, sight=sight_of(states.values(), now_ms / 1000))
        seen, self._seen = self._seen, {}
        for state in states.values():
            origin = self._origin(state)
            if state.up is not None:
                notes.up.append((state.name, origin, float(state.up.up), now_ms))
            before = seen.pop(state.name, {})
            self._seen[state.name] = {
                key: self._answer(state.name, key, blocks, before.pop(key, None), origin, notes)
                for key, blocks in _answers(state)
            }
            notes.ended += _places(before)
        notes.ended += [place for answers in seen.values() for place in _places(answers)]
        for name in [name for name in self._origins if name not in states]:
            del self._origins[name]
            notes.targets_gone.append(name)
        return notes

    def _answer(
        self,
        target: str,
        key: tuple[str, str],
        blocks: Sequence[Block],
        before: _Answer | None,
        origin: Origin,
        notes: Notes,
    ) -> _Answer:
        shown = tuple(blocks)
        if before is not None and before.blocks == shown and notes.at_ms < before.repeat_ms:
            return before  # as it is most of the time, for most probes
        answer, known = _Answer(shown), before.places if before else {}
        count: dict[str, int] = {}
        for block in shown:
            first = block.layout.metrics[0].name
            nth = count[first] = count.get(first, -1) + 1
            place = (target, *key, first, nth)
            answer.places[place] = self._note(place, block, known.get(place), origin, notes)
        notes.ended += [place for place in known if place not in answer.places]
        answer.repeat_ms = min([at for _, at in answer.places.values()], default=notes.at_ms) + REPEAT_MS
        return answer

    @staticmethod
    def _note(
        place: Place, block: Block, before: tuple[Block, int] | None, origin: Origin, notes: Notes
    ) -> tuple[Block, int]:
        block_ms = math.floor(block.at * 1000)
        if before is None:
            at_ms = min(block_ms, notes.at_ms)
        elif before[0] is not block:
            at_ms = block_ms if before[1] < block_ms <= notes.at_ms else notes.at_ms
        elif notes.at_ms - before[1] >= REPEAT_MS:
            at_ms = notes.at_ms
        else:
            return before
        notes.shown.append((place, origin, block, at_ms))
        return block, at_ms

    def _origin(self, state: TargetState) -> Origin:
        held = self._origins.get(state.name)
        if held is not None and held[0] is state:
            return held[1]
        target = state.target
        engine = self._engines.get(target.engine)
        pairs = dict(state.origin.pairs)
        pairs.setdefault("job", target.engine)
        pairs.setdefault("instance", engine.address(target) if engine else target.name)
        origin = Origin(tuple((name, value) for name, value in pairs.items() if value))
        self._origins[state.name] = (state, origin)
        return origin


def _answers(state: TargetState) -> Iterator[tuple[tuple[str, str], Sequence[Block]]]:
    yield ("up", ""), state.up_blocks
    yield (SELF, ""), state.own_blocks
    for key, held in state.held.items():
        yield key, held.blocks


def _places(answers: _Answers) -> Iterator[Place]:
    return (place for answer in answers.values() for place in answer.places)
