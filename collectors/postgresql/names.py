"""Names of users and databases for rows that carry their numbers only."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from collectors.postgresql.probe import Session

_RUNS = 40
"""Names are asked again after this many runs: roles and databases can be renamed."""
_SQL = """
select true, o::int8, pg_catalog.pg_get_userbyid(o)::text from pg_catalog.unnest($1::pg_catalog.oid[]) o
union all
select false, d.oid::int8, d.datname::text from pg_catalog.pg_database d
where d.oid = any($2::pg_catalog.oid[])
"""


class Names:
    """Remembers names; asks for those it does not know."""

    def __init__(self) -> None:
        self._users: dict[int, str] = {}
        self._databases: dict[int, str] = {}
        self._runs = 0

    @property
    def due(self) -> bool:
        """Tell whether the names are so old that they should be asked again; counts the runs."""
        self._runs += 1
        return self._runs % _RUNS == 0

    async def learn(self, session: Session, users: AbstractSet[int], databases: AbstractSet[int]) -> None:
        """Learn the names of these; raise CollectError."""
        if self._runs % _RUNS == 0:
            self._users.clear()
            self._databases.clear()
        new_users = users - self._users.keys()
        new_databases = databases - self._databases.keys()
        if not new_users and not new_databases:
            return
        for is_user, number, name in await session.fetch(_SQL, list(new_users), list(new_databases)):
            (self._users if is_user else self._databases)[number] = name

    def user(self, oid: int) -> str:
        """Return a user's name, or one that says that there is none."""
        return self._users.get(oid) or _unknown(oid)

    def database(self, oid: int) -> str:
        """Return a database's name, or one that says that there is none."""
        return self._databases.get(oid) or _unknown(oid)


def _unknown(oid: int) -> str:
    return f"unknown (OID={oid})"
