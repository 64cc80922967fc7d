"""What stands against work on a server or a table, whatever the remedy: its role, our rights, other work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actions.errors import NotDone
from actions.guards.answers import allow, refuse
from actions.model import GuardResult, Identity, Json, Plan, Refusal
from actions.ports import Asked
from actions.postgresql.client import PostgresActing
from actions.postgresql.tables import Table, again

_MAINTAIN_SINCE = 170000


def unfit(asked: Asked, identity: Identity, *, primary: bool = True) -> Refusal | None:
    """Say why nothing can be planned at this server and in this database."""
    database = asked.parameters.get("database")
    if database is not None and database != identity.database:
        reason = f"{asked.target}: this session is in {identity.database}, not in {database}"
        return Refusal("identity", reason)
    if primary and identity.role != "primary":
        reason = f"{asked.target} is a replica: name the primary of its cluster"
        return Refusal("precondition", reason)
    return None


def busy(session: PostgresActing, table: Table) -> str:
    """Say who already works on a table; an empty string when nobody does."""
    if table.worker is None:
        return ""
    whose = "a VACUUM against wraparound" if table.wraparound else "VACUUM or ANALYZE"
    return f"{table.label} in {session.address}: {whose} already works on it (pid {table.worker}); let it end"


def may_not_maintain(session: PostgresActing, table: Table, role: str) -> str:
    """Say which right is missing to VACUUM or ANALYZE, with the SQL that grants it."""
    if session.read_only or table.maintainable:
        return ""
    what = f"the role {role} may not VACUUM or ANALYZE {table.label} in {session.address}"
    if session.version_num >= _MAINTAIN_SINCE:
        return f"{what}: GRANT MAINTAIN ON TABLE {table.quoted} TO {role}; or GRANT pg_maintain TO {role}"
    return f"{what}: GRANT {_quoted(table.owner)} TO {role} (before PostgreSQL 17 only its owner may)"


def may_not_alter(session: PostgresActing, table: Table, role: str) -> str:
    """Say which right is missing to ALTER a table."""
    if session.read_only or table.owned:
        return ""
    what = f"the role {role} may not ALTER {table.label} in {session.address}"
    return f"{what}: GRANT {_quoted(table.owner)} TO {role} (only its owner may)"


async def role_of(session: PostgresActing) -> str:
    """Return our role's name, quoted as SQL needs it."""
    row = (await session.fetch("select pg_catalog.quote_ident(current_user) as role"))[0]
    return str(row["role"])


async def same_table(plan: Plan, session: PostgresActing) -> tuple[Table | None, GuardResult]:
    """Read the table of a plan's first step, and say whether it still is the one that was meant."""
    known: Mapping[str, Json] = plan.steps[0].arguments
    try:
        table = await again(session, known)
    except NotDone as error:
        return None, refuse("identity", str(error), oid=known["oid"])
    return table, allow("identity", f"{table.label} is the table of the plan", oid=table.oid)


def verdict(guard: str, against: str, otherwise: str, **inputs: Json) -> GuardResult:
    """Return a no with its reason, or a yes."""
    return refuse(guard, against, **inputs) if against else allow(guard, otherwise, **inputs)


def first(reasons: Sequence[str]) -> str:
    """Return the first reason that stands against it; an empty string when none does."""
    return next((reason for reason in reasons if reason), "")


def warnings(session: PostgresActing) -> tuple[str, ...]:
    """Say what a person must know of every plan that was made in this session."""
    if session.read_only:
        return ("made with the watching role: the target has no `act` credentials to carry it out with",)
    return ()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
