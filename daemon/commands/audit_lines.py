"""Records of the journal in words: who, what, why, with which effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actions.model import Record, RecordKind
from daemon.moment import moment
from daemon.terminal.screen import Column

_STEPS = {
    RecordKind.INTENT: "begins",
    RecordKind.OUTCOME: "ended",
    RecordKind.READ_BACK: "read back",
    RecordKind.UNDO_INTENT: "undo begins",
    RecordKind.UNDO_OUTCOME: "undo ended",
}


def what(line: Record) -> str:
    """Return what was done."""
    if line.kind in _STEPS:
        text = f": {line.body['text']}" if line.body.get("text") else ""
        return f"step {line.step + 1}, attempt {line.attempt} {_STEPS[line.kind]}{text}"
    return _WHAT[line.kind](line.body)


def effect(line: Record) -> str:
    """Return what came of it; empty when it had no effect of its own."""
    body = line.body
    said = str(body.get("outcome") or body.get("verdict") or "")
    if refused := [one for one in _guards(body) if not one.get("allowed", True)]:
        said = f"refused by {refused[0].get('guard', '?')}"
    if body.get("to") and body.get("to") != body.get("from"):
        said += (", " if said else "") + f"{body.get('from', '?')} -> {body['to']}"
    return said or str(body.get("state", ""))


def why(line: Record) -> str:
    """Return the reason that was given."""
    body = line.body
    incident = body.get("incident") or {}
    refused = [str(one.get("reason", "")) for one in _guards(body) if not one.get("allowed", True)]
    said = body.get("reason") or body.get("note") or body.get("why") or (refused[0] if refused else "")
    named = [f"alert {incident['name']}"] if incident.get("name") else []
    if body.get("policy"):
        named.append(f"policy {body['policy']}")
    return "; ".join([*named, *([str(said)] if said else [])])


_WHAT: Mapping[RecordKind, Callable[[Mapping[str, Any]], str]] = {
    RecordKind.PROPOSED: lambda body: f"proposed {body.get('action', '?')} on {body.get('target', '?')}",
    RecordKind.GUARDS: lambda body: f"guards asked ({body.get('stage', '?')})",
    RecordKind.APPROVAL: lambda _: "approved",
    RecordKind.CLAIMED: lambda _: "claimed",
    RecordKind.TAKEN_OVER: lambda body: f"taken over from epoch {body.get('from_epoch', '?')}",
    RecordKind.MEASURED: lambda body: f"measured {body.get('when', 'after')}",
    RecordKind.VERDICT: lambda _: "verified",
    RecordKind.LEASE: lambda body: f"lease {_event(body, 'changed')} by {body.get('owner', '?')}",
    RecordKind.STOP: lambda body: f"{_event(body, 'stop')} of {_stopped(body)}",
    RecordKind.RELEASE: lambda body: f"{_event(body, 'resume')} of {_stopped(body)}",
    RecordKind.NOTE: lambda body: _event(body, "note"),
    RecordKind.MOVED: lambda _: "moved",
}
COLUMNS: Sequence[Column[Record]] = (
    Column("SEQ", lambda line: str(line.seq), "right"),
    Column("AT (UTC)", lambda line: moment(line.at)[:19].replace("T", " "), keep=1),
    Column("WHO", lambda line: line.who, least=8, keep=2),
    Column("PLAN", lambda line: line.execution or "-", least=8),
    Column("WHAT", what, least=16),
    Column("EFFECT", effect, least=12),
    Column("WHY", why, least=12, keep=3),
)


def _event(body: Mapping[str, Any], otherwise: str) -> str:
    return str(body.get("event") or otherwise).replace("_", " ")


def _stopped(body: Mapping[str, Any]) -> str:
    of = [f"{name} {body[name]}" for name in ("target", "action") if body.get(name)]
    return ", ".join(of) or "everything"


def _guards(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = body.get("guards") or body.get("results") or ()
    return found
