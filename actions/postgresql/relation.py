"""A table or index as the catalogue has it now: known by its oid, named only as the server quotes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actions.errors import NotDone


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What a relation is called and whose it is."""

    oid: int
    schema: str
    name: str
    quoted: str
    """`schema.name` as the server quotes it: the only form that becomes SQL."""
    kind: str
    """pg_class.relkind."""
    owner: str
    persistence: str
    shared: bool
    """In all databases; also true of nothing that people make."""
    pages: int
    tuples: float
    """As last counted; negative when never."""

    @property
    def label(self) -> str:
        """Return schema.name for people, in one line."""
        return " ".join(f"{self.schema}.{self.name}".split())


class Session(Protocol):
    """What of a session this needs."""

    @property
    def address(self) -> str: ...  # noqa: D102

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]: ...  # noqa: ANN401, D102


async def relation(session: Session, oid: int, *, schema: str = "", name: str = "") -> Relation:
    """Read a relation by its oid; raise NotDone when it is gone, or is no longer called schema.name."""
    rows = await session.fetch(_SQL + "where c.oid = $1::int8::oid", oid)
    if not rows:
        raise NotDone(f"{session.address}: there is no relation with oid {oid} any more")
    found = Relation(**dict(rows[0]))
    if name and (found.schema, found.name) != (schema, name):
        raise NotDone(f"{session.address}: oid {oid} was {schema}.{name} and is {found.label} now")
    return found


async def find(session: Session, schema: str, name: str) -> Relation | None:
    """Return the relation of this name, exactly as the catalogue writes both parts; None: there is none."""
    rows = await session.fetch(_SQL + "where n.nspname = $1 and c.relname = $2", schema, name)
    return Relation(**dict(rows[0])) if rows else None


_SQL = """
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
  pg_catalog.format('%I.%I', n.nspname, c.relname) as quoted, c.relkind::text as kind,
  pg_catalog.pg_get_userbyid(c.relowner)::text as owner, c.relpersistence::text as persistence,
  c.relisshared as shared, c.relpages::int8 as pages, c.reltuples::float8 as tuples
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""
