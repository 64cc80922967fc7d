"""A plan as text for people: what, why, the exact statements, locks, risk, undo, and what guards say."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from actions.model import (
    ActionClass,
    Execution,
    GuardResult,
    Inconclusive,
    Json,
    Plan,
    Step,
    StepKind,
    Verification,
)

WIDTH = 80
KIBI = 1024
_CLASSES = {
    ActionClass.A: "touches only ourselves",
    ActionClass.B: "reversible and cheap",
    ActionClass.C: "disruptive",
    ActionClass.D: "destructive or irreversible",
}
_KINDS = {
    StepKind.READ: "only looks",
    StepKind.IDEMPOTENT: "may be repeated without harm",
    StepKind.CHECKABLE: "the target is asked whether it was done, before it is repeated",
    StepKind.ONCE: "never repeated by itself",
}
_INCONCLUSIVE = {
    Inconclusive.KEEP: "it stays as it is",
    Inconclusive.REVERT: "it is taken back",
    Inconclusive.HUMAN: "a person is asked",
}


def preview(plan: Plan, guards: Sequence[GuardResult] = (), execution: Execution | None = None) -> str:
    """Return all that would be done, as lines; nothing in it can move the reader's terminal."""
    return "\n".join(_lines(plan, guards, execution)) + "\n"


def _lines(plan: Plan, guards: Sequence[GuardResult], execution: Execution | None) -> Iterator[str]:
    yield from _wrapped("", plan.summary)
    yield ""
    if execution is not None:
        yield from _standing(execution)
    yield from _field("action", f"{plan.action} (version {plan.version})")
    yield from _field("class", f"{plan.action_class}: {_CLASSES[plan.action_class]}")
    yield from _field("target", f"{plan.target}, {plan.subject}")
    if plan.targets != (plan.target,):
        yield from _field("touches", ", ".join(plan.targets) or "nothing: it would be refused")
    yield from _field("server", _server(plan))
    yield from _field("scope", str(plan.scope))
    yield from _field("why", plan.reason)
    yield from _pairs("evidence", plan.evidence)
    yield from _pairs("parameters", plan.parameters)
    yield from _field("takes", _takes(plan))
    yield from _field("risk", plan.prediction.risk)
    for warning in plan.warnings:
        yield from _field("warning", warning)
    if plan.irreversible:
        yield from _field("undo", "NONE: what this does cannot be taken back")
    for number, step in enumerate(plan.steps, start=1):
        yield ""
        yield from _step(number, len(plan.steps), step)
    yield ""
    yield from _verification(plan.verification)
    yield from _guards(guards)
    yield from _field("plan hash", plan.plan_hash)


def _standing(execution: Execution) -> Iterator[str]:
    yield from _field("plan", execution.id)
    yield from _field("state", execution.state)
    yield from _field("because", execution.reason)
    by = f"policy {execution.policy}" if execution.policy else execution.proposer
    yield from _field("proposed", f"{_time(execution.created)} by {by}, mode {execution.mode}")
    answers = f"{execution.incident.name} ({execution.incident.source})"
    yield from _field("answers", answers if execution.incident.name else execution.incident.source)


def _server(plan: Plan) -> str:
    identity = plan.identity
    named = {
        "system": identity.system,
        "timeline": identity.timeline,
        "role": identity.role,
        "database": identity.database,
    }
    return ", ".join(f"{name} {value}" for name, value in named.items() if value)


def _takes(plan: Plan) -> str:
    parts = [f"about {duration(plan.prediction.duration_seconds)}"]
    if plan.prediction.disk_bytes:
        parts.append(f"{size(plan.prediction.disk_bytes)} of disk")
    longest = sum(step.deadline_seconds * step.attempts_max for step in plan.steps)
    return ", ".join([*parts, f"{duration(longest)} at the most"])


def _step(number: int, of: int, step: Step) -> Iterator[str]:
    yield from _wrapped("", f"Step {number} of {of}: {step.name}")
    for line in _clean(step.text).split("\n"):
        yield f"    {line}"
    yield from _field("  repeated", _KINDS[step.kind])
    tries = f", {step.attempts_max} attempts" if step.attempts_max > 1 else ""
    yield from _field("  deadline", f"{duration(step.deadline_seconds)}{tries}")
    yield from _field("  on stop", f"it is {'cancelled' if step.on_stop == 'cancel' else 'finished'}")
    yield from _field("  locks", step.locks or "none that others feel")
    if step.kind is not StepKind.READ:
        yield from _field("  undo", (step.undo_text or "yes") if step.undoable else "none")


def _verification(spec: Verification) -> Iterator[str]:
    yield from _field("verified", spec.text or "by what is measured before and after")
    looks = f"every {duration(spec.every_seconds)}, for {duration(spec.within_seconds)} at the most"
    if spec.settle_seconds:
        looks = f"after {duration(spec.settle_seconds)}, then {looks}"
    yield from _field("looked at", looks)
    yield from _field("if unclear", _INCONCLUSIVE[spec.on_inconclusive])


def _guards(guards: Sequence[GuardResult]) -> Iterator[str]:
    if guards:
        yield ""
        yield "Guards"
    for result in guards:
        says = "allows" if result.allowed else "REFUSES"
        yield from _field(f"  {result.guard}", f"{says}: {result.reason}" if result.reason else says)


def _pairs(name: str, values: Mapping[str, Json]) -> Iterator[str]:
    yield from _field(name, ", ".join(f"{key} {_value(key, value)}" for key, value in values.items()))


def _value(key: str, value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if key.endswith("_bytes"):
        return size(value)
    return duration(value) if key.endswith("_seconds") else _figure(value)


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= KIBI or value == int(value) else f"{value:.3g}"


def _field(name: str, text: str) -> Iterator[str]:
    if text:
        yield from _wrapped(f"{_clean(name):<14}", text)


def _wrapped(first: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(
        _clean(text).replace("\n", " "),
        WIDTH - 14,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for index, line in enumerate(lines):
        yield f"{first if index == 0 else ' ' * len(first)}{line}".rstrip()


def _clean(text: str) -> str:
    """Replace what a terminal would obey: names of objects may hold anything."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def _time(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """Return seconds as people say them: `90 s` is `1.5 min`."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{_figure(seconds / length)} {unit}"
    return f"{_figure(seconds)} s"


def size(octets: float) -> str:
    """Return bytes in the unit that suits them, powers of 1024."""
    amount, units = float(octets), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= KIBI and len(units) > 1:
        amount /= KIBI
        units.pop(0)
    return f"{_figure(amount)} {units[0]}"
