"""Whether what we know is new enough, and whether the symptom is still there."""

from __future__ import annotations

from actions.guards.answers import allow, refuse, seconds
from actions.guards.limits import (
    ALERT_AGE_SECONDS,
    ANSWERS_LEAST,
    ASKED_AGE_SECONDS,
    INTERVALS,
    SCHEDULE_LATE_SECONDS,
    SKEW_SECONDS,
)
from actions.guards.sight import Sight, TargetSight
from actions.model import GuardResult

ALERTS = ("rules", "alertmanager")
"""Sources of incidents that have a symptom."""
_LOOKED = ("second_source", "precondition")
"""Checks by which an action says what it sees at the target: for some a symptom is what they presuppose."""


def freshness(sight: Sight) -> GuardResult:
    """Refuse a target that is not watched, not up, or of which too little is known."""
    target, name = sight.target, sight.execution.plan.target
    if target is None:
        return refuse("freshness", f"{name} is not watched; add it to `targets`", target=name, watched=False)
    inputs = {
        "target": name,
        "watched": True,
        "up": target.up,
        "data_age_seconds": target.data_age_seconds,
        "interval_seconds": target.interval_seconds,
        "answers": target.answers,
    }
    against = _unknown(target)
    if against:
        return refuse("freshness", against, **inputs)
    return allow("freshness", f"{name} answered {seconds(target.data_age_seconds or 0.0)} ago", **inputs)


def is_fresh(target: TargetSight) -> bool:
    """Tell whether a target answered within the last intervals."""
    age = target.data_age_seconds
    return age is not None and age < INTERVALS * target.interval_seconds


def age(sight: Sight) -> GuardResult:
    """Refuse what was asked for so long ago that nobody means it any more."""
    execution, incident = sight.execution, sight.execution.incident
    waited = sight.now - execution.created
    late = execution.created - incident.starts_at
    most = sight.policy.expires_seconds if sight.policy else ASKED_AGE_SECONDS
    inputs = {
        "source": incident.source,
        "starts_at": incident.starts_at,
        "created": execution.created,
        "waited_seconds": waited,
        "waits_at_most_seconds": most,
    }
    if not waited >= -SKEW_SECONDS:
        against = "the plan was made in the future: the clock was set back; deny it and wait for a new one"
    elif not waited < most:
        against = (
            f"the plan was made {seconds(waited)} ago and held for {seconds(most)}; wait for a new one,"
            " or propose the action by hand"
        )
    else:
        against = _late(incident.source, incident.starts_at, late)
    if against:
        return refuse("age", against, **inputs)
    return allow("age", f"the plan was made {seconds(max(0.0, waited))} ago", **inputs)


def second_source(sight: Sight) -> GuardResult:
    """Refuse when the symptom is gone, or nobody can tell; in the session the target must confirm it."""
    source, firing = sight.execution.incident.source, sight.symptom_firing
    checked = any(check.guard in _LOOKED for check in sight.checks)
    inputs = {"source": source, "symptom_firing": firing, "checked_at_target": checked}
    if firing is False:
        return refuse("second_source", "the alert does not fire any more; nothing needs to be done", **inputs)
    if source in ALERTS and firing is None:
        return refuse(
            "second_source",
            "nobody can tell whether the alert still fires; wait for it, or deny it",
            **inputs,
        )
    if source in ALERTS and sight.stage == "session" and not checked:
        return refuse(
            "second_source",
            f"{sight.execution.plan.action} did not look at the target itself before it began; report this",
            **inputs,
        )
    return allow("second_source", "the symptom holds" if firing else "asked for without an alert", **inputs)


def _unknown(target: TargetSight) -> str:
    """Say what is not known of a target."""
    if target.up is None:
        return f"nobody knows whether {target.name} is up; see `dbarchitect status`"
    if not target.up:
        return f"{target.name} is down, or cannot be reached from here; that is not for this action to repair"
    if target.data_age_seconds is None:
        return f"{target.name} has not answered yet"
    if not is_fresh(target):
        return (
            f"{target.name} answered {seconds(target.data_age_seconds)} ago, its interval is"
            f" {target.interval_seconds:g} s; what is more than {INTERVALS:.0f} intervals old is not acted on"
        )
    if not target.answers >= ANSWERS_LEAST:
        return (
            f"{target.name} answered {target.answers} times since it is watched; {ANSWERS_LEAST} are needed"
        )
    return ""


def _late(source: str, starts_at: float, late: float) -> str:
    """Say whether the incident was old, or not yet, when its plan was made."""
    if source not in (*ALERTS, "schedule"):
        return ""
    if not starts_at > 0:
        return "it is not known since when the condition holds; alerts must carry startsAt"
    if not late >= -SKEW_SECONDS:
        return f"its begin lies {seconds(-late)} in the future; check the clock of whoever sent it"
    if source == "alertmanager" and not late < ALERT_AGE_SECONDS:
        return f"the alert began {seconds(late)} before it came here; it is recorded, and not acted on"
    if source == "schedule" and not late < SCHEDULE_LATE_SECONDS:
        return f"its time was missed by {seconds(late)}; the next one is waited for"
    return ""
