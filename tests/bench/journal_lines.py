"""Executions and records as daemons write them, in size and shape: for the journal's benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from actions.model import Execution, Incident, Mode, Record, RecordKind, Scope, State
from tests.fixtures.acting import FakeAction, step

RECORDS = 10
"""Of each execution."""
_GUARDS = (
    "kill_switch",
    "mode",
    "identity",
    "freshness",
    "second_source",
    "dependency",
    "window",
    "budget",
    "blast_radius",
    "cool_down",
    "circuit_breaker",
    "headroom",
    "set_sanity",
)
_VACUUM = "VACUUM (TRUNCATE false, PARALLEL 2, SKIP_LOCKED true) public.orders"
_PLAN = replace(
    FakeAction(steps=(step("do"),)).made({"database": "shop", "table": "public.orders", "truncate": False}),
    evidence={"n_dead_tup": 5_000_000.0, "n_live_tup": 12_000_000.0, "threshold": 2_400_050.0},
)
_BEFORE = {"n_dead_tup": 5e6, "size_bytes": 8.1e9, "read_ms": 1.7, "calls_per_second": 812.5}


def execution_of(key: str, state: State, at: float, scope: Scope) -> Execution:
    """Return an execution of this name, made at a Unix time."""
    labels = {"alertname": "PostgresqlDeadTuples", "target": "pg1", "relname": key, "severity": "warning"}
    plan = replace(_PLAN, scope=scope)
    return Execution(
        id=key,
        dedup_key=f"dedup {key}",
        plan=plan,
        plan_hash=plan.plan_hash,
        incident=Incident(source="rules", name="PostgresqlDeadTuples", labels=labels, starts_at=at),
        policy="vacuum-when-dead",
        mode=Mode.AUTO,
        proposer="policy vacuum-when-dead",
        state=state,
        epoch=0,
        created=at,
        deadline=at + 86400,
    )


def records_of(execution: Execution) -> Iterator[Record]:
    """Give the ten records of an execution that went well."""
    body: dict[RecordKind, dict[str, Any]] = {
        RecordKind.PROPOSED: {
            "state": "approved",
            "plan_hash": execution.plan_hash,
            "mode": "auto",
            "policy": execution.policy,
            "guards": _guards("proposed"),
        },
        RecordKind.CLAIMED: {"from": "approved", "to": "claimed", "guards": _guards("claimed")},
        RecordKind.GUARDS: {"stage": "session", "guards": _guards("session")},
        RecordKind.MEASURED: {"when": "before", "values": _BEFORE},
        RecordKind.INTENT: {"commands": [_VACUUM], "before": {"n_dead_tup": 5e6}, "undo": {}},
        RecordKind.OUTCOME: {"outcome": "ok", "after": {"n_dead_tup": 120}, "seconds": 41.7},
        RecordKind.READ_BACK: {"outcome": "ok"},
        RecordKind.MOVED: {"from": "running", "to": "verifying", "reason": "all steps are done"},
        RecordKind.VERDICT: {"verdict": "improved", "before": _BEFORE, "after": _BEFORE},
        RecordKind.NOTE: {"event": "cleared", "at": execution.created + 300.0},
    }
    for kind, each in body.items():
        yield Record(kind=kind, body=each, execution=execution.id, epoch=1)


def _guards(stage: str) -> list[dict[str, Any]]:
    return [
        {"guard": name, "ok": True, "stage": stage, "inputs": {"limit": 3, "found": 1}, "reason": ""}
        for name in _GUARDS
    ]
