"""The state of one target and its probes, as the snapshot keeps it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from collectors.model import Cost, Failure, Observation, ProbeInfo, Rejection, Target, Up
from daemon.block import Block, Origin

OK = "ok"
"""The outcome of a run that gave an answer; others are the failure's cause."""
_COSTS = list(Cost)


@dataclass(slots=True)
class Held:
    """What the newest good run of one probe in one database gave."""

    probe: str
    database: str
    cost: Cost
    blocks: list[Block]
    until: float
    """Monotonic seconds after which it is too old to be shown."""
    left_out: int = 0
    """Series that are not shown because of the target's cap, the probe's own, or as repeats."""
    size: int = 0
    """The most series that the blocks can hold; set when they are fitted in."""
    shown: int = 0
    """The series that it has."""
    alone: bool = False
    """No other block has a series in common with these: looked at again only when labels change."""

    @property
    def rank(self) -> tuple[bool, int, str, str]:
        """Return the place in the order in which blocks share the cap: the server's own first."""
        return (bool(self.database), _COSTS.index(self.cost), self.probe, self.database)


@dataclass(slots=True)
class ProbeState:
    """How one probe of one target fared."""

    name: str
    info: ProbeInfo | None = None
    last_at: float | None = None
    """Unix time of the last run, successful or not."""
    last_success_at: float | None = None
    took_seconds: float | None = None
    next_at: float | None = None
    failures: dict[str, Failure] = field(default_factory=dict)
    """The present failure by database (empty for server-wide probes)."""
    runs: dict[str, int] = field(default_factory=dict)
    """Runs by outcome."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Runs that did not take place, by reason."""

    def ran(self, observation: Observation, failure: Failure | None) -> None:
        """Take the outcome of a run."""
        self.last_at = observation.at
        self.took_seconds = observation.took_seconds
        outcome = failure.cause if failure else OK
        self.runs[outcome] = self.runs.get(outcome, 0) + 1
        if failure is None:
            self.last_success_at = observation.at
            self.failures.pop(observation.database, None)
        else:
            self.failures[observation.database] = failure

    def keep_databases(self, databases: Collection[str]) -> bool:
        """Forget failures in databases that are gone; tell whether there were any."""
        gone = [database for database in self.failures if database and database not in databases]
        for database in gone:
            del self.failures[database]
        return bool(gone)


class TargetState:
    """What is known of one target right now."""

    def __init__(self, target: Target) -> None:
        fixed = [("target", target.name)]
        if target.cluster:
            fixed.append(("cluster", target.cluster))
        own = [(name, value) for name, value in target.labels if name not in ("target", "cluster")]
        self.target = target
        self.origin = Origin(target.name, [*fixed, *own])
        self.up: Up | None = None
        """The last answer; None before the first."""
        self.since: float | None = None
        """Unix time at which `up` became what it is."""
        self.last_seen: float | None = None
        """Unix time of the last good answer."""
        self.answered_at: float | None = None
        """The same on the snapshot's clock: no jump of the wall clock changes the data's age."""
        self.held: dict[tuple[str, str], Held] = {}
        """By probe and database."""
        self.probes: dict[str, ProbeState] = {}
        self.rejections: tuple[Rejection, ...] = ()
        self.up_blocks: list[Block] = []
        self.own_blocks: list[Block] = []
        self.scraped_at = float("-inf")
        """Monotonic seconds."""
        self.has_text = False
        self.size = 0
        """The most series that everything held can have; as it was when it was fitted in."""
        self.shown = 0
        """Series after the last answer; some may have become stale since."""

    @property
    def name(self) -> str:
        """Return the target's name."""
        return self.target.name

    @property
    def series(self) -> int:
        """Return the number of series that the target's probes give."""
        return sum(block.count for held in self.held.values() for block in held.blocks)

    def probe(self, name: str) -> ProbeState:
        """Return the state of a probe, a new one if it was never heard of."""
        state = self.probes.get(name)
        if state is None:
            state = self.probes[name] = ProbeState(name)
        return state

    def left_out(self) -> dict[str, int]:
        """Return the series that are not shown, by probe; those without any are not listed."""
        found: dict[str, int] = {}
        for held in self.held.values():
            if held.left_out:
                found[held.probe] = found.get(held.probe, 0) + held.left_out
        return found

    def blocks(self, probes: Collection[str] = ()) -> Iterator[Block]:
        """Give everything that is shown of the target; when probes are named, `up` and those only."""
        yield from self.up_blocks
        for held in self.held.values():
            if not probes or held.probe in probes:
                yield from held.blocks
        if not probes:
            yield from self.own_blocks
