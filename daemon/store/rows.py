"""Executions and records as rows, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row

from actions.errors import StoreDamaged, StoreUnavailable
from actions.model import WORKING, Execution, Incident, Mode, Plan, Record, RecordKind, State, canonical
from actions.ports import Past
from daemon.store.masking import masked, masked_text

_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)
_INCIDENT: TypeAdapter[Incident] = TypeAdapter(Incident)
_SAME = ("id", "dedup_key", "plan_hash", "policy", "step", "attempt", "epoch", "created", "deadline")


def row_of(execution: Execution, at: float) -> dict[str, Any]:
    """Return the row of a new execution; raise StoreUnavailable when its plan would show a secret."""
    plan = execution.plan
    return {
        **{name: getattr(execution, name) for name in _SAME},
        "action": plan.action,
        "family": plan.family,
        "target": plan.target,
        "cluster": plan.scope.cluster,
        "part": plan.scope.part,
        "incident_key": execution.incident.key,
        "mode": str(execution.mode),
        "proposer": masked_text(execution.proposer),
        "state": str(execution.state),
        "reason": masked_text(execution.reason),
        "updated": at,
        "since": at,
        "claimed": None,
        "incident": canonical(masked(_INCIDENT.dump_python(execution.incident, mode="json"))),
        "plan": _plan_text(plan),
    }


def execution_of(row: Row[Any]) -> Execution:
    """Return an execution; raise StoreDamaged when its row is not one."""
    try:
        return Execution(
            **{name: getattr(row, name) for name in _SAME},
            plan=_PLAN.validate_json(row.plan),
            incident=_INCIDENT.validate_json(row.incident),
            mode=Mode(row.mode),
            proposer=row.proposer,
            state=State(row.state),
            reason=row.reason,
            updated=row.updated,
        )
    except ValueError as error:
        raise StoreDamaged(f"the execution {row.id} cannot be read: {_first_line(error)}") from error


def record_of(row: Row[Any]) -> Record:
    """Return a record; raise StoreDamaged when its row is not one."""
    try:
        return Record(
            kind=RecordKind(row.kind),
            body=json.loads(row.body),
            execution=row.execution,
            step=row.step,
            attempt=row.attempt,
            epoch=row.epoch,
            who=row.who,
            seq=row.seq,
            at=row.at,
            prev_hash=row.prev_hash,
            hash=row.hash,
        )
    except (ValueError, TypeError) as error:
        raise StoreDamaged(f"record {row.seq} of the journal cannot be read: {_first_line(error)}") from error


def past_of(row: Row[Any]) -> Past:
    """Return what guards must know of an execution that was claimed."""
    state = State(row.state)
    return Past(
        id=row.id,
        action=row.action,
        family=row.family,
        target=row.target,
        cluster=row.cluster,
        incident_key=row.incident_key,
        state=state,
        started=row.claimed,
        ended=row.claimed if state in WORKING else row.since,
    )


def body_text(body: Mapping[str, Any]) -> str:
    """Return a record's body as it is written and hashed; raise ValueError for what JSON cannot hold."""
    return canonical(masked(body))


def _plan_text(plan: Plan) -> str:
    whole = _PLAN.dump_python(plan, mode="json")
    text = canonical(masked(whole))
    # What moves by itself may be masked; what is carried out must be what was approved.
    if text != canonical(whole) and _PLAN.validate_json(text).plan_hash != plan.plan_hash:
        raise StoreUnavailable(
            f"the plan of {plan.action} on {plan.target} holds what looks like a secret, so it is not "
            "written: its steps and parameters must name secrets by reference"
        )
    return text


def _first_line(error: Exception) -> str:
    return masked_text(str(error)).partition("\n")[0]
