"""What is known right now of every target. Belongs to the event loop: nothing here is thread-safe.

Unknown is absent, never 0: frames go when their probe gave nothing for too long, when the target is
down, and when the probe or the database is no longer there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from weakref import WeakValueDictionary

from collectors.engine import Engine
from collectors.model import (
    Cost,
    Failure,
    Frame,
    MetricDef,
    Observation,
    ProbeInfo,
    Rejection,
    Target,
    Up,
)
from daemon.block import Block, Layout, continued
from daemon.fit import fit, fits_as_before
from daemon.known import Held, TargetState

UP = "up"
SERIES_MAX_TOTAL = 1_000_000
FEW_SERIES = 200_000
"""Up to so many all rendered text is kept; beyond, where most of it is of small frames, it is not."""
FORGET_TEXT_SECONDS = 300.0
"""Rendered text of a target that nobody scraped for so long is freed."""


class Snapshot:
    """The newest frames of all targets, and how each probe fared.

    `clock` gives monotonic seconds: a wall clock that jumps must make nothing stale or fresh.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        clock: Callable[[], float] = time.monotonic,
        *,
        series_max_total: int = SERIES_MAX_TOTAL,
    ) -> None:
        self.engines = engines
        self.clock = clock
        self.series_max_total = series_max_total
        """Cap over all targets, besides each target's own."""
        self._targets: dict[str, TargetState] = {}
        self._layouts: WeakValueDictionary[tuple[MetricDef, ...], Layout] = WeakValueDictionary()
        self._next_expiry = float("inf")
        self._asked = 0
        """What the targets' own caps add up to; while the common cap is larger, it does not matter."""
        self._shown = 0

    @property
    def few(self) -> bool:
        """Tell whether so few series are shown that their rendered text may stay in memory."""
        return self._shown <= FEW_SERIES

    def add_target(self, target: Target) -> None:
        """Begin with a target; one of that name is replaced, and what was known of it forgotten."""
        self.remove_target(target.name)
        self._targets[target.name] = TargetState(target)
        self._asked += target.series_max

    def remove_target(self, name: str) -> None:
        """Forget a target and everything it showed; an unknown name is fine."""
        state = self._targets.pop(name, None)
        if state is not None:
            self._show(state, 0)
            self._asked -= state.target.series_max

    def record_up(self, name: str, up: Up) -> None:
        """Take the answer to "does it answer?"; a no drops every frame of the target at once."""
        state = self._targets.get(name)
        if state is None:
            return
        if state.up is None or state.up.up != up.up:
            state.since = up.at
        state.up = up
        if up.up:
            state.last_seen = up.at
            state.answered_at = self.clock()
        else:
            state.held.clear()
            self._show_anew(state)
        engine = self.engines.get(state.target.engine)
        if engine is not None:
            metric = engine.up_metric
            frame = Frame((metric,), [("",) * len(metric.labels)], [[int(up.up)]])
            blocks = self._blocks(state, "", [frame], up.at, state.up_blocks)
            state.up_blocks = continued(blocks, state.up_blocks)
        self._forget_text(state)

    def record(self, name: str, observation: Observation, info: ProbeInfo) -> None:
        """Take what one run of a probe gave; its frames must not be changed afterwards.

        A failed run keeps the earlier frames until they are too old. An answer that comes in after
        the target went down is not shown.
        """
        state = self._targets.get(name)
        if state is None:
            return
        flaw = _flaw(observation.frames)
        probe = state.probe(observation.probe)
        probe.info = info
        probe.ran(observation, observation.failure or flaw)
        answered = observation.failure is None or bool(observation.frames)
        if answered and flaw is None and (state.up is None or state.up.up):
            self._hold(state, observation, info)
        self._forget_text(state)

    def skip(self, name: str, probe: str, reason: str) -> None:
        """Count a run that did not take place: busy, budget, distress, backoff, stuck.

        `probe` is `up` (or empty) for the question whether the target answers.
        """
        state = self._targets.get(name)
        if state is not None:
            skipped = state.probe(probe or UP).skipped
            skipped[reason] = skipped.get(reason, 0) + 1

    def due(self, name: str, probe: str, at: float) -> None:
        """Note when a probe will run next, Unix time; shown by the API."""
        state = self._targets.get(name)
        if state is not None:
            state.probe(probe).next_at = at

    def reject(self, name: str, rejections: Sequence[Rejection]) -> None:
        """Note what is not collected at this target, and why; replaces what was noted before."""
        state = self._targets.get(name)
        if state is not None and tuple(rejections) != state.rejections:
            state.rejections = tuple(rejections)

    def keep_probes(self, name: str, probes: Collection[str]) -> None:
        """Forget the probes that left the plan."""
        state = self._targets.get(name)
        if state is None:
            return
        self._forget(state, [key for key in state.held if key[0] not in probes])
        for probe in [probe for probe in state.probes if probe not in probes and probe != UP]:
            del state.probes[probe]

    def keep_databases(self, name: str, databases: Collection[str]) -> None:
        """Forget what was seen in databases that are gone."""
        state = self._targets.get(name)
        if state is None:
            return
        self._forget(state, [key for key in state.held if key[1] and key[1] not in databases])
        for probe in state.probes.values():
            probe.keep_databases(databases)

    def set_own(self, name: str, frames: Sequence[Frame], at: float) -> None:
        """Show the daemon's own metrics of a target; these do not count towards its cap."""
        state = self._targets.get(name)
        if state is not None:
            blocks = self._blocks(state, "", frames, at, state.own_blocks)
            state.own_blocks = continued(blocks, state.own_blocks)

    def states(self) -> Mapping[str, TargetState]:
        """Return what is known of each target, in the order of the configuration; only to read."""
        self._drop_stale()
        return self._targets

    def scraped(self, names: Collection[str]) -> None:
        """Note that these targets are being rendered, so that their text is kept."""
        now = self.clock()
        for name in names:
            if (state := self._targets.get(name)) is not None:
                state.scraped_at = now
                state.has_text = True

    def _hold(self, state: TargetState, observation: Observation, info: ProbeInfo) -> None:
        key = (observation.probe, observation.database)
        old = state.held.get(key)
        before = old.blocks if old else []
        blocks = self._blocks(state, observation.probe, observation.frames, observation.at, before)
        every = info.every_seconds or state.target.interval_seconds
        until = self.clock() + max(3 * every, every + 2 * info.within_seconds)
        held = Held(*key, info.cost, blocks, until, left_out=observation.dropped)
        room = self._room(state)
        calm = fits_as_before(held, old, room - state.size + (old.size if old else 0))
        if not calm:
            fixed = Held("", "", Cost.LIGHT, state.up_blocks, until)
            others = [each for each in state.held.values() if each is not old]
            calm = fit(held, old, others, fixed, room)
        held.blocks = continued(held.blocks, before)
        # In the old one's place: the order of a page stays the same.
        state.held[key] = held
        for each in (held,) if calm else state.held.values():
            each.shown = sum(block.count for block in each.blocks)
        if calm:
            state.size += held.size - (old.size if old else 0)
            self._show(state, state.shown + held.shown - (old.shown if old else 0))
        else:
            self._show_anew(state)
        self._next_expiry = min(self._next_expiry, until)

    def _forget(self, state: TargetState, keys: Collection[tuple[str, str]]) -> None:
        for key in keys:
            del state.held[key]
        if keys:
            self._show_anew(state)

    def _show_anew(self, state: TargetState) -> None:
        state.size = sum(held.size for held in state.held.values())
        self._show(state, state.series)

    def _show(self, state: TargetState, series: int) -> None:
        self._shown += series - state.shown
        state.shown = series

    def _room(self, state: TargetState) -> int:
        """Return how many series the target may show."""
        most = state.target.series_max
        if self._asked <= self.series_max_total:
            return most
        return min(most, max(0, self.series_max_total - (self._shown - state.shown)))

    def _blocks(
        self, state: TargetState, probe: str, frames: Sequence[Frame], at: float, old: Sequence[Block]
    ) -> list[Block]:
        layouts = [block.layout for block in old]
        kept = self.few
        blocks = []
        for frame in frames:
            # Equal tuples of the same objects compare in no time; hashing them does not.
            layout = next((each for each in layouts if each.metrics == frame.metrics), None)
            layout = layout or self._layout(frame.metrics)
            blocks.append(Block(state.origin, probe, layout, frame.keys, frame.columns, at, kept=kept))
        return blocks

    def _layout(self, metrics: tuple[MetricDef, ...]) -> Layout:
        layout = self._layouts.get(metrics)
        if layout is None:
            layout = self._layouts[metrics] = Layout(metrics)
        return layout

    def _forget_text(self, state: TargetState) -> None:
        if state.has_text and self.clock() - state.scraped_at > FORGET_TEXT_SECONDS:
            state.has_text = False
            for block in state.blocks():
                block.forget_text()

    def _drop_stale(self) -> None:
        now = self.clock()
        if now < self._next_expiry:
            return
        soonest = float("inf")
        for state in self._targets.values():
            self._forget(state, [key for key, held in state.held.items() if held.until <= now])
            soonest = min(soonest, min((held.until for held in state.held.values()), default=soonest))
        self._next_expiry = soonest


def _flaw(frames: Sequence[Frame]) -> Failure | None:
    """Return what is wrong with a frame's shape: one bad probe must not spoil every scrape."""
    for frame in frames:
        wide = len(frame.columns) == len(frame.metrics)
        high = all(len(column) == len(frame.keys) for column in frame.columns)
        widths = set(map(len, frame.keys))
        if not (wide and high and all({len(metric.labels)} >= widths for metric in frame.metrics)):
            names = ", ".join(metric.name for metric in frame.metrics)
            return Failure("malformed", f"rows, columns and labels do not match in the frame of {names}")
    return None
