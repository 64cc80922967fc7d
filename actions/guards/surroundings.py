"""What else goes on: incidents that lie under this one, other people's work, windows."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from actions.guards.answers import allow, refuse, seconds
from actions.guards.limits import WINDOW_FACTOR
from actions.guards.sight import Sight
from actions.model import ActionClass, GuardResult
from actions.window import Window, closes_in, never_opens, next_opening


def dependency(sight: Sight) -> GuardResult:
    """Refuse while an incident is open that may be the cause of this one."""
    if sight.upstream:
        return refuse(
            "dependency",
            f"something underneath is broken: {', '.join(sight.upstream)}; repair that first",
            upstream=list(sight.upstream),
        )
    return allow("dependency", "nothing underneath is broken", upstream=[])


def maintenance(sight: Sight) -> GuardResult:
    """Refuse while a backup, a restore, an upgrade or the like runs on the cluster."""
    cluster = sight.execution.plan.scope.cluster
    if sight.maintenance:
        return refuse(
            "maintenance",
            f"on {cluster} there is work in progress: {', '.join(sight.maintenance)}; it is waited for",
            maintenance=list(sight.maintenance),
        )
    return allow("maintenance", f"no other work on {cluster}", maintenance=[])


def window(sight: Sight) -> GuardResult:
    """Refuse outside the policy's windows, and where they close before the work would surely be over."""
    windows = sight.policy.windows if sight.policy else ()
    if not windows:
        return allow("window", "may be done at any time", windows=0)
    if sight.run_now_by:
        return allow("window", f"{sight.run_now_by} asked to begin now", run_now_by=sight.run_now_by)
    if _urgent(sight):
        return allow("window", "urgent: may be begun outside its windows", urgent=True)
    needed = WINDOW_FACTOR * sight.execution.plan.prediction.duration_seconds
    left = closes_in(windows, sight.now)
    inputs = {"windows": len(windows), "closes_in_seconds": left, "needed_seconds": needed}
    if not 0 <= needed < math.inf:
        return refuse("window", "the plan does not say how long it takes; make a new one", **inputs)
    if left > 0 and needed <= left:
        still = f"for another {seconds(left)}" if left < math.inf else "at any time"
        return allow("window", f"open {still}", **inputs)
    # A second later none of those that are open now is counted as the next one.
    begin = next_opening(windows, sight.now + left + 1)
    return refuse("window", _closed(windows, left, needed, begin), **inputs, opens_at=begin)


def can_open(sight: Sight) -> bool:
    """Tell whether the policy has windows that open at all, or none."""
    windows = sight.policy.windows if sight.policy else ()
    return not windows or not all(never_opens(each) for each in windows)


def _urgent(sight: Sight) -> bool:
    gentle = sight.execution.plan.action_class in (ActionClass.A, ActionClass.B)
    return sight.policy is not None and sight.policy.urgent and gentle


def _closed(windows: Sequence[Window], left: float, needed: float, begin: float | None) -> str:
    if begin is None:
        return "its windows never open; correct `windows` of the policy"
    zone = windows[0].zone
    at = dt.datetime.fromtimestamp(begin, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    then = f"the next one opens at {at} (windows are in {zone}); `run now` begins it outside"
    if left > 0:
        return f"the window closes in {seconds(left)}, and {seconds(needed)} are needed; {then}"
    return f"outside its windows; {then}"
