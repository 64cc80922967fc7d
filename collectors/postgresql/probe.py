"""The shape of a PostgreSQL probe that needs more than rows turned into samples.

A module below `collectors/postgresql/` that declares one or more `CodeProbe`s lists them in
`PROBES`, and `collectors.postgresql.catalogue` names the module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from collectors.model import Frame, ProbeInfo, Target
from collectors.postgresql.facts import Facts


class Row(Protocol):
    """A row: by position or by column name, as asyncpg's Record."""

    def __getitem__(self, key: Any, /) -> Any: ...  # noqa: ANN401 - a column can be anything
    def __len__(self) -> int: ...
    def keys(self) -> Any:  # noqa: ANN401
        """Return the column names."""
        ...


class Session(Protocol):
    """A read-only session in one database. Raises only `CollectError`s."""

    @property
    def facts(self) -> Facts:
        """What the server offers in this database."""
        ...

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:  # noqa: ANN401
        """Return the rows of one statement; it is prepared once and kept."""
        ...


@dataclass(slots=True)
class Result:
    """What one run of a probe gave."""

    frames: Sequence[Frame]
    dropped: int = 0
    """Rows left out by a cap."""
    distress: str = ""
    """Set by a probe that sees the server suffer: `connections`, `lock_waits`, `load`."""


class Runner(Protocol):
    """One target's probe, with what it remembers from run to run.

    Memory belongs to `session.facts.identity`: when that changes, forget.
    """

    async def run(self, session: Session) -> Result:
        """Run once; the caller sets the deadline. `asyncio.timeout` inside is not needed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeProbe:
    """A probe in code, declared like those in YAML so that the catalogue is complete."""

    info: ProbeInfo
    help: str
    make: Callable[[Target], Runner]
    """Makes the runner of one target (and, for `Scope.DATABASE`, of one database)."""
    default: bool = True
    role: str = "any"
    needs: tuple[str, ...] = ()
    notes: Mapping[str, str] | None = None
    """metric -> what must be there for that one metric; shown in the catalogue."""
