"""Puts together what plans on one table, or on a whole server, have in common."""

from __future__ import annotations

from collections.abc import Mapping

from actions.action import ActionInfo
from actions.model import Identity, Json, Plan, Prediction, Scope, Step, Verification
from actions.ports import Asked
from actions.postgresql import fitness, tables
from actions.postgresql.client import PostgresActing
from actions.postgresql.tables import Table


def on_table(
    info: ActionInfo,
    asked: Asked,
    session: PostgresActing,
    identity: Identity,
    table: Table,
    *,
    summary: str,
    reason: str,
    evidence: Mapping[str, Json],
    step: Step,
    prediction: Prediction,
    verification: Verification,
) -> Plan:
    """Return a plan of one step on one table."""
    return Plan(
        action=info.name,
        version=info.version,
        action_class=info.action_class,
        target=asked.target,
        targets=(asked.target,),
        identity=identity,
        parameters=tables.parameters(asked, session, table),
        scope=Scope(cluster=asked.cluster or asked.target, part=f"table:{identity.database_id}.{table.oid}"),
        subject=f"{session.database}.{table.label}",
        summary=summary,
        reason=reason,
        evidence=evidence,
        steps=(step,),
        prediction=prediction,
        verification=verification,
        warnings=fitness.warnings(session),
    )


def on_server(
    info: ActionInfo,
    asked: Asked,
    session: PostgresActing,
    identity: Identity,
    *,
    part: str,
    subject: str,
    summary: str,
    evidence: Mapping[str, Json],
    steps: tuple[Step, ...],
    prediction: Prediction,
    verification: Verification,
    warnings: tuple[str, ...] = (),
) -> Plan:
    """Return a plan that concerns one server as a whole."""
    return Plan(
        action=info.name,
        version=info.version,
        action_class=info.action_class,
        target=asked.target,
        targets=(asked.target,),
        identity=identity,
        parameters=dict(asked.parameters),
        scope=Scope(cluster=asked.cluster or asked.target, part=part),
        subject=subject,
        summary=summary,
        reason=asked.reason or "somebody asked for it",
        evidence=evidence,
        steps=steps,
        prediction=prediction,
        verification=verification,
        warnings=(*fitness.warnings(session), *warnings),
    )
