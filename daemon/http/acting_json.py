"""How plans, stops and the rest of acting look in the API; times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actions.action import ActionInfo
from actions.model import Execution, Record, as_json
from actions.ports import Approval, ChainReport, Stop
from daemon.acting.office import Case, Shadow

Shown = Mapping[str, Any]


def action(info: ActionInfo) -> Shown:
    """Return an action of the catalogue."""
    return _renamed(as_json(info))


def brief(execution: Execution) -> dict[str, Any]:
    """Return an execution as a list shows it."""
    plan = execution.plan
    return {
        "id": execution.id,
        "state": execution.state.value,
        "reason": execution.reason,
        "action": plan.action,
        "class": plan.action_class.value,
        "target": plan.target,
        "subject": plan.subject,
        "summary": plan.summary,
        "mode": execution.mode.value,
        "policy": execution.policy,
        "proposer": execution.proposer,
        "incident": execution.incident.name,
        "plan_hash": execution.plan_hash,
        "created": execution.created,
        "updated": execution.updated,
        "deadline": execution.deadline,
    }


def whole(case: Case) -> dict[str, Any]:
    """Return an execution with its plan, its journal and its approvals."""
    execution = case.execution
    return {
        **brief(execution),
        "epoch": execution.epoch,
        "step": execution.step,
        "attempt": execution.attempt,
        "plan": _renamed(as_json(execution.plan)),
        "alert": as_json(execution.incident),
        "approvals": [approval(each) for each in case.approvals],
        "approvals_needed": case.approvals_needed,
        "journal": [record(each) for each in case.records],
    }


def approval(given: Approval) -> dict[str, Any]:
    """Return an approval."""
    return {
        "who": given.who,
        "at": given.at,
        "expires_at": given.expires_at,
        "note": given.note,
        "plan_hash": given.plan_hash,
    }


def record(line: Record) -> dict[str, Any]:
    """Return a line of the journal."""
    return {
        "seq": line.seq,
        "at": line.at,
        "kind": line.kind.value,
        "who": line.who,
        "step": line.step,
        "attempt": line.attempt,
        "epoch": line.epoch,
        "body": dict(line.body),
        "hash": line.hash,
    }


def stop(flag: Stop) -> dict[str, Any]:
    """Return a stop flag."""
    return {"target": flag.target, "action": flag.action, "by": flag.by, "why": flag.why, "at": flag.at}


def shadow(seen: Shadow) -> dict[str, Any]:
    """Return what would have been done, and whether the symptom went away without it."""
    return {**brief(seen.execution), "cleared_at": seen.cleared_at}


def chain(report: ChainReport) -> dict[str, Any]:
    """Return what a look at the hash chain found."""
    return {
        "ok": report.first_bad is None and not report.problem,
        "records": report.records,
        "head": report.head,
        "first_bad": report.first_bad,
        "problem": report.problem,
    }


def _renamed(value: dict[str, Any]) -> dict[str, Any]:
    """Call the class what people call it."""
    return {("class" if key == "action_class" else key): each for key, each in value.items()}
