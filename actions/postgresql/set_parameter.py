"""Changes one parameter of a server that takes effect by a reload, and keeps what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from actions.action import ActionInfo, Evidence, Operation, Parameter, Work
from actions.errors import NotDone
from actions.model import (
    ActionClass,
    GuardResult,
    Inconclusive,
    Json,
    Plan,
    Prediction,
    Refusal,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.ports import Asked
from actions.postgresql import fitness, planning
from actions.postgresql.client import PostgresActing
from actions.postgresql.configuration import (
    NotSeen,
    in_force,
    may_not_reload,
    mistakes,
    reload,
    waiting_for_restart,
    written,
)
from actions.postgresql.reloadable import ALLOWED, has, unsuitable

SEEN_SECONDS = 10.0
"""How long a reload may take to reach our own session."""

INFO = ActionInfo(
    name="postgresql.set_parameter",
    version=1,
    engine="postgresql",
    action_class=ActionClass.C,
    title="Change a parameter",
    help=(
        "Sets one parameter in postgresql.auto.conf by ALTER SYSTEM, reloads, and reads it back. Only "
        "parameters from a list, that take effect without a restart, and within bounds. Never restarts; what "
        "waits for one is reported. Undo writes back what postgresql.auto.conf said before, to the letter, "
        "or takes the line out."
    ),
    parameters=(
        Parameter(
            name="name",
            type="choice",
            required=True,
            choices=tuple(ALLOWED),
            help="The parameter.",
        ),
        Parameter(
            name="value",
            type="text",
            required=True,
            help="Its value, as postgresql.conf would have it: a number with or without its unit, or a word.",
        ),
    ),
    steps=("ALTER SYSTEM SET name = value", "SELECT pg_reload_conf()", "read it back"),
    undo="ALTER SYSTEM SET name = the old value, or ALTER SYSTEM RESET name; then a reload",
    verification="A minute later the server still has the value.",
    grants=(
        "GRANT ALTER SYSTEM ON PARAMETER name TO the acting role (15 and later)",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO the acting role",
        "GRANT SELECT ON pg_catalog.pg_file_settings TO the acting role",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO the acting role",
        "GRANT pg_monitor TO the acting role",
    ),
)


class SetParameter:
    """The action `postgresql.set_parameter`."""

    info: ActionInfo = INFO

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return how it is done."""
        return {
            "alter": Operation(perform=_alter, capture=_capture, undo=_undo),
            "reload": Operation(perform=_reload, undo=_reload),
            "look": Operation(perform=_look),
        }

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Look at the parameter, where its value comes from, and whether the new one is within bounds."""
        identity = await session.identity()
        name, value = str(asked.parameters["name"]), str(asked.parameters["value"])
        if name not in ALLOWED:
            return Refusal("precondition", f"{name} is not on the list of parameters that may be changed")
        row = (await session.fetch(_PARAMETER, name) or (None,))[0]
        against = unsuitable(row, name, value) if row else f"this server has no parameter {name}"
        against = against or await _against(session, name)
        if against or row is None:
            return Refusal("precondition", f"{session.address}: {against}")
        quoted = await _literal(session, value)
        old = await _old(session, name)
        back = f"SET {name} = {await _literal(session, old)}" if old is not None else f"RESET {name}"
        return planning.on_server(
            INFO,
            asked,
            session,
            identity,
            part=f"configuration:{asked.target}",
            subject=name,
            summary=f"set {name} to {value} on {asked.target}",
            evidence={
                "setting": row["setting"],
                "unit": row["unit"] or "",
                "source": row["source"],
                "was": old,
            },
            steps=(
                Step(
                    name="alter",
                    operation="alter",
                    kind=StepKind.IDEMPOTENT,
                    text=f"ALTER SYSTEM SET {name} = {quoted}",
                    arguments={"name": name, "value": value},
                    deadline_seconds=15.0,
                    attempts_max=3,
                    undo_text=f"ALTER SYSTEM {back}; SELECT pg_catalog.pg_reload_conf()",
                    undoable=True,
                ),
                Step(
                    name="reload",
                    operation="reload",
                    kind=StepKind.IDEMPOTENT,
                    text="SELECT pg_catalog.pg_reload_conf()",
                    deadline_seconds=15.0,
                    attempts_max=3,
                    undo_text="SELECT pg_catalog.pg_reload_conf()",
                    undoable=True,
                ),
                Step(
                    name="read back",
                    operation="look",
                    kind=StepKind.READ,
                    text=f"look up {name} in pg_file_settings and pg_settings",
                    arguments={"name": name, "value": value},
                    deadline_seconds=30.0,
                    attempts_max=3,
                ),
            ),
            prediction=Prediction(
                duration_seconds=5.0,
                risk="All files are read again: what else has changed in them takes effect too. "
                + ALLOWED[name].risk,
            ),
            verification=Verification(
                settle_seconds=60.0,
                within_seconds=300.0,
                on_inconclusive=Inconclusive.REVERT,
                text=INFO.verification,
            ),
            warnings=await waiting_for_restart(session),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look whether it may still be done, and is still to be done."""
        name, value = str(plan.parameters["name"]), str(plan.parameters["value"])
        row = (await session.fetch(_PARAMETER, name) or (None,))[0]
        unfit = unsuitable(row, name, value) if row else f"this server has no parameter {name}"
        against = unfit or await _against(session, name)
        return (fitness.verdict("precondition", against, f"{name} can be set to {value}"),)

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return whether the value is in force, and what waits for a restart."""
        name, value = str(plan.parameters["name"]), str(plan.parameters["value"])
        try:
            found = await in_force(session, name)
        except NotSeen:
            return {}
        row = (await session.fetch(_PARAMETER, name))[0]
        return {
            "in_force": float(found == value and has(row, value)),
            "pending_restart": float(row["pending_restart"]),
        }

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Say whether it is in force; what somebody else wrote meanwhile is not ours to revert."""
        del plan, before
        if "in_force" not in after:
            return Verdict.INCONCLUSIVE
        good = after["in_force"] and not after["pending_restart"]
        return Verdict.IMPROVED if good else Verdict.NEUTRAL


async def _against(session: PostgresActing, name: str) -> str:
    wrong = await mistakes(session)
    (right,) = await session.fetch(_RIGHT)
    grant = ""
    if not session.read_only and not right["superuser"]:
        grant = await _may_not_alter(session, name, right["role"])
    return fitness.first(
        [
            "allow_alter_system is off on this server: it is configured by something else"
            if right["off"]
            else "",
            wrong,
            grant,
            await may_not_reload(session),
            "" if session.read_only else await _may_not_see(session, right["role"]),
        ]
    )


async def _may_not_alter(session: PostgresActing, name: str, role: str) -> str:
    if session.version_num < _GRANTS_SINCE:
        return f"the role {role} may not use ALTER SYSTEM: before PostgreSQL 15 only a superuser may"
    (row,) = await session.fetch("select pg_catalog.has_parameter_privilege($1, 'ALTER SYSTEM') as may", name)
    return "" if row["may"] else f"the role {role} may not: GRANT ALTER SYSTEM ON PARAMETER {name} TO {role}"


async def _may_not_see(session: PostgresActing, role: str) -> str:
    try:
        await written(session, "work_mem")
    except NotSeen:
        return (
            f"the role {role} may not see what the files say, so nothing could be taken back: "
            f"GRANT SELECT ON pg_catalog.pg_file_settings TO {role}; "
            f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO {role}"
        )
    return ""


async def _old(session: PostgresActing, name: str) -> str | None:
    try:
        return await written(session, name)
    except NotSeen:  # only a plan of the watching role comes to this
        return None


async def _literal(session: PostgresActing, value: str) -> str:
    return str(
        (await session.fetch("select pg_catalog.quote_literal($1::text) as quoted", value))[0]["quoted"]
    )


async def _capture(work: Work) -> Evidence:
    """Read what postgresql.auto.conf says: null is "it was not in there"."""
    return {"was": await _seen(work.session, work.step.arguments["name"])}


async def _seen(session: PostgresActing, name: str) -> str | None:
    try:
        return await written(session, name)
    except NotSeen as error:
        raise NotDone(f"{session.address}: {error}") from None


async def _alter(work: Work) -> Evidence:
    await _set(work.session, work.step.arguments["name"], str(work.step.arguments["value"]))
    return {"was": work.before.get("was")}


async def _undo(work: Work) -> Evidence:
    """Write back what was there before; nothing was captured means that nothing was done."""
    if "was" not in work.before:
        return {}
    session: PostgresActing = work.session
    name: str = work.step.arguments["name"]
    now = await _seen(session, name)
    if now not in (work.before["was"], work.step.arguments["value"]):
        raise NotDone(
            f"{session.address}: {name} is {now!r} in postgresql.auto.conf by now, neither the value "
            f"that was set nor the one before; somebody else changed it: decide by hand"
        )
    await _set(session, name, work.before["was"])
    if not await reload(session):
        raise NotDone(f"{session.address}: the server could not be told to read its configuration")
    return {"restored": work.before["was"]}


async def _set(session: PostgresActing, name: str, value: str | None) -> None:
    if name not in ALLOWED:  # the only way for a name into the statement
        raise NotDone(f"{name} is not on the list of parameters that may be changed")
    what = f"RESET {name}" if value is None else f"SET {name} = {await _literal(session, value)}"
    await session.run(f"ALTER SYSTEM {what}", within=10.0)


async def _reload(work: Work) -> Evidence:
    if not await reload(work.session):
        raise NotDone(f"{work.session.address}: the server could not be told to read its configuration")
    return {}


async def _look(work: Work) -> Evidence:
    """Wait until the server says that the value is in force; what waits for a restart is said."""
    session: PostgresActing = work.session
    name: str = work.step.arguments["name"]
    loop = asyncio.get_running_loop()
    until = loop.time() + SEEN_SECONDS
    while True:
        (row,) = await session.fetch(_PARAMETER, name)
        try:
            found = await in_force(session, name)
        except NotSeen as error:
            raise NotDone(f"{session.address}: {error}") from None
        if found is not None and found == work.step.arguments["value"] and has(row, found):
            return _state(row)
        if loop.time() >= until:
            raise NotDone(f"{session.address}: {name} was written and is not in force: {found!r} is")
        await asyncio.sleep(0.2)


def _state(row: Any) -> dict[str, Json]:  # noqa: ANN401 - a row of the driver
    return {"setting": row["setting"], "unit": row["unit"] or "", "pending_restart": row["pending_restart"]}


_GRANTS_SINCE = 150000
_PARAMETER = """
select s.setting, s.unit, s.source, s.context, s.vartype, s.min_val, s.max_val, s.enumvals, s.pending_restart
from pg_catalog.pg_settings s where s.name = $1
"""
_RIGHT = """
select pg_catalog.quote_ident(current_user) as role,
  (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) as superuser,
  exists (
    select from pg_catalog.pg_settings s where s.name = 'allow_alter_system' and s.setting = 'off') as off
"""
