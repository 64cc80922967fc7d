"""What earlier executions teach: rest after them, bans, remedies that do not help or do not work."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from operator import itemgetter

from actions.guards.answers import allow, refuse, seconds
from actions.guards.knowledge import ALERTS
from actions.guards.limits import BREAKER_BAD, BREAKER_LAST, DAY, MAXIMA, REST_MAX_SECONDS
from actions.guards.sight import Sight
from actions.model import BAD_ENDS, LIVE, GuardResult, State
from actions.policy import CoolDown
from actions.ports import Past

TOLD = BAD_ENDS | {State.SUCCEEDED}
"""States that say whether an execution was of any use."""
BEGUN = TOLD | LIVE
"""States of executions that had, or may have, an effect."""


def others(sight: Sight) -> list[Past]:
    """Return the earlier executions, without the one that is judged."""
    return [past for past in sight.past if past.id != sight.execution.id]


def cool_down(sight: Sight) -> GuardResult:
    """Refuse the same action on the same thing too soon after the last time, or while that needs a person."""
    family = [past for past in others(sight) if past.family == sight.execution.plan.family]
    open_ones = [past.id for past in family if past.state is State.NEEDS_HUMAN]
    if open_ones:
        return refuse(
            "cool_down",
            f"{', '.join(open_ones)} did the same on the same thing and needs a person; settle that first",
            needs_human=open_ones,
        )
    if sight.policy is None:
        return allow("cool_down", f"{sight.execution.proposer} asked for it: no rest is kept", needs_human=[])
    last, until = _rests(sorted(family, key=_when), sight.policy.cool_down)
    inputs = {"last": last.id if last else "", "state": str(last.state) if last else "", "until": until}
    if last is None or until is None or until <= sight.now:
        return allow("cool_down", "rested enough", **inputs)
    return refuse(
        "cool_down",
        f"{last.id} did the same on the same thing {seconds(sight.now - last.ended)} ago ({last.state});"
        f" it rests for another {seconds(until - sight.now)} (`cool_down` of the policy)",
        **inputs,
    )


def ban(sight: Sight) -> GuardResult:
    """Refuse what made things worse, for as long as it is banned; a person's wish does not lift it."""
    until = sight.banned_until.get(sight.execution.plan.family)
    if until is None or until <= sight.now:
        return allow("ban", "not banned", until=until)
    return refuse(
        "ban",
        f"it made things worse and is banned for another {seconds(until - sight.now)}:"
        f" {sight.execution.plan.family}",
        until=until,
    )


def not_helping(sight: Sight) -> GuardResult:
    """Refuse a remedy for an alert that came back after several of them within a day."""
    incident = sight.execution.incident
    hard = MAXIMA.per_incident_day
    most = min(sight.policy.budget.per_incident_day, hard) if sight.policy else hard
    done = [
        past.id
        for past in others(sight)
        if past.incident_key == incident.key and past.state in BEGUN and not past.started <= sight.now - DAY
    ]
    if incident.source in ALERTS and not len(done) < most:
        return refuse(
            "not_helping",
            f"{len(done)} executions within a day did not help against {incident.name or 'this alert'},"
            f" {most} are allowed; look for the cause",
            executions=done,
            limit=most,
        )
    return allow("not_helping", f"{len(done)} executions for this within a day", executions=done, limit=most)


def circuit_breaker(sight: Sight) -> GuardResult:
    """Refuse an action that failed too often lately, on any target, until a person acknowledges it."""
    action = sight.execution.plan.action
    since = sight.breaker_acknowledged_at.get(action)
    told = [
        past
        for past in others(sight)
        if past.action == action and past.state in TOLD and (since is None or not past.ended <= since)
    ]
    bad = [past.id for past in sorted(told, key=_when)[-BREAKER_LAST:] if past.state in BAD_ENDS]
    if len(bad) >= BREAKER_BAD:
        return refuse(
            "circuit_breaker",
            f"{len(bad)} of the last {min(len(told), BREAKER_LAST)} executions of {action} had no success;"
            f" look at {', '.join(bad)}, then acknowledge the action",
            without_success=bad,
            acknowledged_at=since,
        )
    return allow("circuit_breaker", f"{action} works", without_success=bad, acknowledged_at=since)


def _when(past: Past) -> tuple[float, str]:
    return past.ended, past.id


def _rests(family: Sequence[Past], rest: CoolDown) -> tuple[Past | None, float | None]:
    """Return the one after which it rests, oldest first in `family`, and until when."""
    told = [past for past in family if past.state in TOLD]
    if not told:
        return None, None
    after_last = rest.after_success
    in_a_row = list(takewhile(lambda past: past.state in BAD_ENDS, reversed(told)))
    if in_a_row:
        after_last = _after_failures(len(in_a_row), rest.after_failure)
    rests = [(past.ended + rest.after_rollback, past) for past in told if past.state is State.ROLLED_BACK]
    until, last = max([*rests, (told[-1].ended + after_last, told[-1])], key=itemgetter(0))
    return last, until


def _after_failures(in_a_row: int, first: float) -> float:
    # 30 doublings are more than any limit; more of them would be too large a number.
    doubled: float = first * 2.0 ** min(in_a_row - 1, 30)
    return max(first, min(doubled, REST_MAX_SECONDS))
