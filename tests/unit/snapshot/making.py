"""Makes snapshots, frames and pages for tests."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from collectors.engine import Engine
from collectors.model import (
    Cost,
    Failure,
    Frame,
    Kind,
    LabelValues,
    MetricDef,
    Number,
    Observation,
    ProbeInfo,
    Target,
    Up,
)
from daemon.http.again import LastPages
from daemon.http.exposition import families_of, render
from daemon.snapshot import Snapshot


class Options(BaseModel):
    """No options."""


UP = MetricDef(name="pg_up", kind=Kind.GAUGE, help="1 while the server answers.")


def _no_observer(*_: object) -> object:
    raise AssertionError("nobody observes here")


ENGINE = Engine(
    name="postgresql",
    title="PostgreSQL",
    options=Options,
    up_metric=UP,
    definitions=tuple,
    observe=_no_observer,  # type: ignore[arg-type]
    address=lambda target: f"{target.name}.example:5432",
)


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def metric(
    name: str,
    *labels: str,
    kind: Kind = Kind.GAUGE,
    text: str = "A metric.",
    aliases: tuple[str, ...] = (),
) -> MetricDef:
    return MetricDef(name=name, kind=kind, help=text, labels=labels, aliases=aliases)


def frame(metrics: Sequence[MetricDef], rows: dict[LabelValues, Sequence[Number | None]]) -> Frame:
    columns = [[values[index] for values in rows.values()] for index in range(len(metrics))]
    return Frame(tuple(metrics), list(rows), columns)


def snapshot_of(*targets: Target, clock: Clock | None = None) -> Snapshot:
    made = Snapshot({"postgresql": ENGINE}, clock or Clock())
    for target in targets or (Target(name="db1", engine="postgresql"),):
        made.add_target(target)
    return made


def probe(name: str, *, every: float = 0.0, within: float = 2.0, cost: Cost = Cost.LIGHT) -> ProbeInfo:
    return ProbeInfo(name=name, every_seconds=every, within_seconds=within, cost=cost)


def give(
    snapshot: Snapshot,
    *frames: Frame,
    target: str = "db1",
    info: ProbeInfo | None = None,
    database: str = "",
    failure: Failure | None = None,
    dropped: int = 0,
    at: float = 5.0,
) -> None:
    info = info or probe("p")
    snapshot.record(
        target,
        Observation(
            probe=info.name,
            database=database,
            at=at,
            took_seconds=0.1,
            frames=frames,
            failure=failure,
            dropped=dropped,
        ),
        info,
    )


def answers(snapshot: Snapshot, target: str = "db1", *, up: bool = True, at: float = 5.0) -> None:
    failure = None if up else Failure("unreachable", "connection refused")
    snapshot.record_up(target, Up(up=up, at=at, failure=failure, role="primary", version="15.1"))


async def page(
    snapshot: Snapshot,
    *,
    openmetrics: bool = False,
    aliases: bool = False,
    probes: frozenset[str] = frozenset(),
) -> str:
    states = snapshot.states()
    snapshot.scraped(list(states))
    families = families_of(states.values(), probes)
    text = b"".join([piece async for piece in render(families, openmetrics=openmetrics, aliases=aliases)])
    if not probes:
        last = _last.setdefault(snapshot, LastPages())
        pieces = last.render(states.values(), (), openmetrics=openmetrics, aliases=aliases)
        assert b"".join([piece async for piece in pieces]) == text, (
            "what is kept of the last page is still true"
        )
    return text.decode()


_last: WeakKeyDictionary[Snapshot, LastPages] = WeakKeyDictionary()


async def lines(snapshot: Snapshot) -> list[str]:
    """Return the sample lines of the page."""
    return [line for line in (await page(snapshot)).split("\n") if line and not line.startswith("#")]
