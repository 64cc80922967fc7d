"""Has a server read its configuration files again, if they have no mistakes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from actions.action import ActionInfo, Evidence, Operation, Work
from actions.errors import NotDone
from actions.model import (
    ActionClass,
    GuardResult,
    Inconclusive,
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
from actions.postgresql.configuration import may_not_reload, mistakes, reload, waiting_for_restart

INFO = ActionInfo(
    name="postgresql.reload",
    version=1,
    engine="postgresql",
    action_class=ActionClass.B,
    title="Reload the configuration",
    help=(
        "Calls pg_reload_conf(), after looking whether the server's files have mistakes as far as our role "
        "may see them. Never restarts; says which parameters wait for a restart."
    ),
    steps=("SELECT pg_reload_conf()",),
    verification="The time at which the configuration was loaded is newer than before.",
    grants=(
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO the acting role",
        "GRANT pg_monitor TO the acting role",
        "GRANT SELECT ON pg_catalog.pg_file_settings TO the acting role, to see mistakes in the files",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings() TO the acting role, for the same",
    ),
)


class Reload:
    """The action `postgresql.reload`."""

    info: ActionInfo = INFO

    @property
    def operations(self) -> Mapping[str, Operation]:
        """Return how it is done."""
        return {"reload": Operation(perform=_perform)}

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan | Refusal:
        """Look at the files and ask for the right to do it."""
        identity = await session.identity()
        against = await _against(session)
        if against:
            return Refusal("precondition", against)
        return planning.on_server(
            INFO,
            asked,
            session,
            identity,
            part=f"configuration:{asked.target}",
            subject="configuration",
            summary=f"reload the configuration of {asked.target}",
            evidence={"loaded_at": (await _loaded(session))["loaded_at"]},
            steps=(
                Step(
                    name="reload",
                    operation="reload",
                    kind=StepKind.IDEMPOTENT,
                    text="SELECT pg_catalog.pg_reload_conf()",
                    deadline_seconds=30.0,
                ),
            ),
            prediction=Prediction(
                duration_seconds=1.0,
                risk="Whatever has changed in the files since the last reload takes effect.",
            ),
            verification=Verification(
                within_seconds=60.0,
                every_seconds=5.0,
                on_inconclusive=Inconclusive.KEEP,
                text=INFO.verification,
            ),
            warnings=await waiting_for_restart(session),
        )

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:
        """Look at the files once more."""
        del plan
        return (fitness.verdict("precondition", await _against(session), "the files have no mistakes"),)

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:
        """Return when the configuration was loaded, Unix seconds, and what waits for a restart."""
        del plan
        return await _loaded(session)

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Compare the two times."""
        del plan
        newer = after.get("loaded_at", 0.0) > before.get("loaded_at", math.inf)
        return Verdict.IMPROVED if newer else Verdict.INCONCLUSIVE


async def _against(session: PostgresActing) -> str:
    wrong = await mistakes(session)
    return fitness.first([f"{session.address}: {wrong}" if wrong else "", await may_not_reload(session)])


async def _loaded(session: PostgresActing) -> Mapping[str, float]:
    (row,) = await session.fetch(_LOADED)
    return {"loaded_at": row["at"], "pending_restart": float(row["pending"])}


async def _perform(work: Work) -> Evidence:
    session: PostgresActing = work.session
    if not await reload(session):
        raise NotDone(f"{session.address}: the server could not be told to read its configuration")
    return {}


_LOADED = """
select extract(epoch from pg_catalog.pg_conf_load_time())::float8 as at,
  (select count(*) from pg_catalog.pg_settings s where s.pending_restart)::float8 as pending
"""
