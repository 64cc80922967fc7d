"""How far a replica is behind, and whether that can be known. Pure; all times are the server's clock.

Two upper bounds of the lag are known, and the smaller one is told: the age of the last transaction replayed
(which means nothing while the primary is idle), and the time since the last message of the primary after
which everything that it had told us of was replayed (which needs a memory).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

STATES = ("ok", "idle", "lagging", "disconnected", "paused", "delayed", "unknown")
LAGGING_SECONDS = 10.0
STALE_DEFAULT_SECONDS = 60.0
STALE_GRACE_SHARE = 0.1
_MEMORY = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look at a replica shows. Positions are bytes of WAL."""

    at: float
    streams: bool
    """The receiver runs and has the state `streaming`."""
    told: bool = True
    """We may see the receiver's columns, and the replica is one that should have a receiver."""
    end_lsn: int | None = None
    """Where the upstream's WAL ended when it last said so."""
    message_at: float | None = None
    """When its last message came."""
    receive_lsn: int | None = None
    replay_lsn: int | None = None
    replayed_at: float | None = None
    """When the last replayed transaction was committed on the primary."""
    paused: bool = False
    delay_seconds: float = 0.0
    receiver_timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What follows from it; None is: not known."""

    state: str
    receiver_up: bool | None
    seconds: float | None
    bytes: int | None
    message_age_seconds: float | None


class LagMemory:
    """Remembers how far the upstream's WAL was at which time."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._ends: list[int] = []

    def judge(self, sight: Sight) -> Lag:
        """Return the lag at this sight, and remember it."""
        if not sight.told:
            return Lag(state="unknown", receiver_up=None, seconds=None, bytes=None, message_age_seconds=None)
        age = None if sight.message_at is None else max(0.0, sight.at - sight.message_at)
        up = sight.streams and age is not None and age <= _stale_after(sight)
        moved = self._remember(sight) if up else False
        behind = self._behind(sight)
        if not up:
            # Whatever the positions say: nothing is known of the primary since its last message.
            seconds = self._seconds_since_level(sight)
            return Lag(
                state="disconnected", receiver_up=False, seconds=seconds, bytes=None, message_age_seconds=age
            )
        lag = self._lag_seconds(sight) if behind else 0.0
        state = _state(sight, behind=behind, lag=lag, moved=moved)
        return Lag(state=state, receiver_up=True, seconds=lag, bytes=behind, message_age_seconds=age)

    def _remember(self, sight: Sight) -> bool:
        """Take in where the upstream's WAL ends; tell whether that has moved."""
        # A receiver that was told nothing since it connected has all there was when it did.
        end = sight.receive_lsn if sight.end_lsn is None else sight.end_lsn
        if end is None or sight.message_at is None:
            return False
        while self._times and self._times[-1] > sight.at:  # the clock was set back
            self._times.pop()
            self._ends.pop()
        if self._ends and end < self._ends[-1]:  # another timeline
            self._times.clear()
            self._ends.clear()
        moved = not self._ends or end > self._ends[-1]
        if moved:
            self._times.append(sight.message_at)
            self._ends.append(end)
        else:
            self._times[-1] = max(self._times[-1], sight.message_at)
        if len(self._times) > _MEMORY:  # older times are kept more coarsely
            self._times[: _MEMORY // 2] = self._times[1 : _MEMORY // 2 : 2]
            self._ends[: _MEMORY // 2] = self._ends[1 : _MEMORY // 2 : 2]
        return moved

    def _behind(self, sight: Sight) -> int:
        ends = [one for one in (sight.end_lsn, sight.receive_lsn) if one is not None]
        return max(0, max(ends, default=0) - (sight.replay_lsn or 0)) if ends else 0

    def _seconds_since_level(self, sight: Sight) -> float | None:
        """Return how long ago everything that the upstream had told us of was replayed."""
        at = bisect_right(self._ends, sight.replay_lsn or 0)
        return max(0.0, sight.at - self._times[at - 1]) if at else None

    def _lag_seconds(self, sight: Sight) -> float | None:
        bounds = [self._seconds_since_level(sight)]
        if sight.replayed_at is not None:
            bounds.append(max(0.0, sight.at - sight.replayed_at))
        return min((one for one in bounds if one is not None), default=None)


def _stale_after(sight: Sight) -> float:
    # A receiver that hears nothing for half its timeout asks its upstream for an answer.
    timeout = sight.receiver_timeout_seconds
    return timeout * (0.5 + STALE_GRACE_SHARE) if timeout > 0 else STALE_DEFAULT_SECONDS


def _state(sight: Sight, *, behind: int, lag: float | None, moved: bool) -> str:
    if sight.paused:
        return "paused"
    if not behind:
        return "ok" if moved else "idle"
    if lag is None:
        return "unknown"
    if lag > LAGGING_SECONDS + sight.delay_seconds:
        return "lagging"
    return "delayed" if sight.delay_seconds else "ok"
