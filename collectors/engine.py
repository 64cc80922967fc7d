"""What an engine offers. A new one is a folder below `collectors/` whose `__init__` has `ENGINE`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from collectors.catalogue import CatalogueEntry
from collectors.definition import ProbeDef
from collectors.model import MetricDef, Observation, ProbeInfo, Rejection, Target, Up


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `dbarchitect check --connect`: a feature, its state, what to do."""

    feature: str
    state: str
    """ok, missing, unknown, or info."""
    detail: str
    remedy: str = ""
    """The exact SQL or configuration line that gives the feature; empty when there is none."""


class Observer(Protocol):
    """Watches one target: owns its sessions, keeps what one run must know of the last.

    Only one call per database runs at a time; the caller keeps to that. No method raises for
    what the server does: failures are values.
    """

    @property
    def sessions(self) -> int:
        """Return how many sessions (connections) are open at the target."""
        ...

    async def up(self) -> Up:
        """Ask whether the server answers, connecting if there is no session.

        Never takes a relation lock. Learns anew (version, role, extensions) after a reconnect.
        """
        ...

    def plan(self) -> Sequence[ProbeInfo]:
        """Return the probes that fit this server as it was last seen; empty before the first `up`."""
        ...

    def rejections(self) -> Sequence[Rejection]:
        """Return what is not collected here, and why."""
        ...

    def databases(self) -> Sequence[str]:
        """Return the databases in which `Scope.DATABASE` probes are to be asked."""
        ...

    async def run(self, probe: str, database: str = "") -> Observation:
        """Run one probe of the plan within its deadline."""
        ...

    async def inspect(self) -> Sequence[Finding]:
        """Tell a person what works here, what does not, and what would make it work."""
        ...

    def ask_anew(self) -> None:
        """Forget what was refused or missing: somebody may have granted or installed it."""
        ...

    async def close(self) -> None:
        """End all sessions."""
        ...


@runtime_checkable
class AsksAhead(Protocol):
    """What an observer has besides when it can ask for several probes at once."""

    async def ask_ahead(self, probes: Sequence[str]) -> None:
        """Be told which server-wide probes are run next, one after the other; never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine: its name, the shape of its options, and how to watch one of its servers."""

    name: str
    title: str
    options: type[BaseModel]
    """pydantic model of the keys that a target of this engine has besides the common ones."""
    up_metric: MetricDef
    """`pg_up` and its like: 1 while the server answers, 0 otherwise."""
    definitions: Callable[[], Sequence[ProbeDef]]
    """All declared probes, for the catalogue."""
    observe: Callable[[Target, Sequence[ProbeDef]], Observer]
    """Makes the observer of one target; the second argument is what the user declared himself."""
    catalogue: Callable[[], Sequence[CatalogueEntry]] | None = None
    """All metrics, where `definitions` does not tell of all of them."""
    texts: Callable[[Target], Mapping[str, str]] | None = None
    """Texts of the statements that have series, by the value of their label `queryid`."""
    custom_sql: bool = False
    """Whether users may add probes of their own to it."""
    address: Callable[[Target], str] = field(default=lambda target: target.name)
    """Where the target is, for people and logs: never with a credential."""


METRICS_FOLDER = "metrics"


def metrics_files(folder: Path) -> list[Path]:
    """Return an engine's definition files, in order."""
    return sorted((folder / METRICS_FOLDER).glob("*.yaml"))
