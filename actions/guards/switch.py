"""Whether anything may be done at all: the kill switch, the lease, the clock."""

from __future__ import annotations

from actions.guards.answers import allow, refuse, seconds
from actions.guards.limits import LEADER_SECONDS, TILT_SECONDS
from actions.guards.sight import Sight
from actions.model import GuardResult


def kill_switch(sight: Sight) -> GuardResult:
    """Refuse while acting is stopped: everywhere, on this target, or for this action."""
    if sight.stopped:
        return refuse(
            "kill_switch",
            f"acting is stopped: {sight.stopped}; somebody with the scope `admin` can take that back",
            stopped=sight.stopped,
        )
    return allow("kill_switch", "acting is not stopped", stopped="")


def tilt(sight: Sight) -> GuardResult:
    """Refuse shortly after the clock jumped or the process stood still: what is known may be of old."""
    since = sight.tilt_seconds
    if since is None or since >= TILT_SECONDS:
        return allow("tilt", "the clock runs evenly", tilt_seconds=since)
    return refuse(
        "tilt",
        f"the clock jumped, or this process stood still, {seconds(since)} ago; nothing is done"
        f" for {TILT_SECONDS:.0f} s after that",
        tilt_seconds=since,
    )


def leader(sight: Sight) -> GuardResult:
    """Refuse without the lease, and while it is so new that a predecessor's work may not be over."""
    since = sight.leader_seconds
    if since is None:
        return refuse(
            "leader", "this daemon does not hold the lease; the one that does will act", leader_seconds=None
        )
    if not since >= LEADER_SECONDS:
        return refuse(
            "leader",
            f"this daemon holds the lease for {seconds(since)} only; it observes for"
            f" {LEADER_SECONDS:.0f} s before it acts",
            leader_seconds=since,
        )
    return allow("leader", f"holds the lease for {seconds(since)}", leader_seconds=since)
