"""Hard limits: no policy, configuration or person goes beyond them. Thresholds of guards are here too."""

from __future__ import annotations

from actions.policy import Budget

HOUR = 3600.0
DAY = 86400.0

MAXIMA = Budget(
    per_action_hour=30, per_action_day=200, per_target_hour=20, global_hour=60, per_incident_day=10
)
"""The most that a policy's budget may allow; what a person asked for is held to these alone."""

TARGETS_MAX = 5
"""Targets that one execution may touch."""
PER_CLUSTER_AT_A_TIME = 1
GLOBAL_AT_A_TIME = 2
TARGETS_SHARE_HOUR = 0.10
"""Share of all targets that may be acted on within an hour; one is always allowed."""
AFFECTED_SHARE = 0.20
"""A symptom on a larger share of all targets has a common cause, which no remedy on one of them removes."""
AFFECTED_LEAST = 3
"""So many may be affected however few are watched."""

LEADER_SECONDS = 60.0
"""How long a new leader only observes."""
TILT_SECONDS = 30.0
"""How long nothing is done after the clock jumped or the process stood still."""

INTERVALS = 2.0
"""Data must be younger than this many intervals."""
ANSWERS_LEAST = 3
"""So often a target must have answered since we began to watch it, or since it came back."""
ALERT_AGE_SECONDS = DAY
"""An alert from outside that began longer before its proposal is recorded and not acted on."""
SCHEDULE_LATE_SECONDS = HOUR
"""A scheduled moment that was missed by more is skipped."""
SKEW_SECONDS = 60.0
"""How far another machine's clock may be ahead."""
ASKED_AGE_SECONDS = 7 * DAY
"""How long a plan that a person asked for may wait."""

WINDOW_FACTOR = 2.0
"""The window must stay open for this many times the predicted duration."""

REST_MAX_SECONDS = 7 * DAY
"""Doubling of the cool-down after failures ends here, unless the policy asks for more at once."""

BREAKER_LAST = 10
"""Of an action's last executions over all targets ..."""
BREAKER_BAD = 3
"""... so many without success open its circuit breaker."""

DISK_FACTOR = 2.0
DISK_RESERVE = 0.10
"""Free space must be `DISK_FACTOR` x predicted use + this share of the filesystem."""
LITTLE_BYTES = 1_000_000
"""What writes no more needs no free space to be known: a full disk is not made worse by it."""
LIGHT_SECONDS = 60.0
"""A plan that takes no longer and writes no more than `LITTLE_BYTES` is light: it may go to a server in
distress, because what takes distress away (cancel, terminate, drop a slot) is of this sort."""
LAG_SECONDS = 60.0
CONNECTIONS_RATIO = 0.90

GROWTH = 1.2
"""How far the prediction may have grown since it was approved."""
LITTLE_SECONDS = 10.0
"""Shorter durations may grow as they like."""
