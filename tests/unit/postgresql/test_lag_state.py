"""The truth table of replication lag, without servers."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from collectors.postgresql.lag_state import STATES, LagMemory, Sight

LEVEL = Sight(
    at=1000.0, streams=True, end_lsn=500, message_at=999.5, receive_lsn=500, replay_lsn=500, replayed_at=990.0
)


def later(sight: Sight, seconds: float, **changes: object) -> Sight:
    moved = {"at": sight.at + seconds, "message_at": (sight.message_at or 0) + seconds}
    return replace(sight, **{**moved, **changes})  # type: ignore[arg-type]


def test_an_idle_primary_is_no_lag_however_long_it_is_idle() -> None:
    memory = LagMemory()
    memory.judge(LEVEL)
    lag = memory.judge(later(LEVEL, 86400))
    assert (lag.state, lag.seconds, lag.bytes, lag.receiver_up) == ("idle", 0.0, 0, True)


def test_the_first_transaction_after_a_long_idle_time_is_no_lag_of_that_time() -> None:
    memory = LagMemory()
    memory.judge(LEVEL)
    memory.judge(later(LEVEL, 3600))
    lag = memory.judge(later(LEVEL, 3605, end_lsn=900, receive_lsn=900))
    assert lag.state == "ok"
    assert lag.seconds is not None
    assert 0 < lag.seconds < 6
    assert lag.bytes == 400


def test_a_writing_primary_whose_wal_is_replayed_is_ok() -> None:
    memory = LagMemory()
    memory.judge(LEVEL)
    lag = memory.judge(later(LEVEL, 10, end_lsn=900, receive_lsn=900, replay_lsn=900, replayed_at=1009.9))
    assert (lag.state, lag.seconds) == ("ok", 0.0)


def test_a_receiver_that_is_gone_is_disconnected_and_its_lag_grows() -> None:
    memory = LagMemory()
    memory.judge(LEVEL)
    gone = replace(LEVEL, streams=False, end_lsn=None, message_at=None)
    first, second = memory.judge(replace(gone, at=1010.0)), memory.judge(replace(gone, at=1070.0))
    assert (first.state, first.receiver_up, first.bytes) == ("disconnected", False, None)
    assert (first.seconds, second.seconds) == (10.5, 70.5)


def test_a_receiver_that_was_never_seen_has_an_unknown_lag_and_not_zero() -> None:
    lag = LagMemory().judge(replace(LEVEL, streams=False, end_lsn=None, message_at=None))
    assert (lag.state, lag.seconds, lag.receiver_up) == ("disconnected", None, False)


def test_a_link_that_went_silent_is_disconnected_though_the_receiver_runs() -> None:
    memory = LagMemory()
    memory.judge(LEVEL)
    assert memory.judge(replace(LEVEL, at=1030.0)).state == "idle"
    lag = memory.judge(replace(LEVEL, at=1040.0))
    assert (lag.state, lag.receiver_up, lag.seconds, lag.message_age_seconds) == (
        "disconnected",
        False,
        40.5,
        40.5,
    )


def test_paused_replay_is_named_and_its_lag_grows_with_what_the_primary_writes() -> None:
    memory = LagMemory()
    memory.judge(LEVEL)
    paused = later(LEVEL, 60, paused=True)
    assert (memory.judge(paused).state, memory.judge(paused).seconds) == ("paused", 0.0)
    lag = memory.judge(later(LEVEL, 90, paused=True, end_lsn=2000, receive_lsn=2000))
    assert lag.state == "paused"
    assert lag.seconds == 30.5
    assert lag.bytes == 1500


def test_slow_replay_is_lagging_by_the_age_of_what_it_replays() -> None:
    memory = LagMemory()
    memory.judge(LEVEL)
    for step in range(1, 10):
        lag = memory.judge(
            later(
                LEVEL,
                10 * step,
                end_lsn=500 + 100 * step,
                receive_lsn=500 + 100 * step,
                replay_lsn=500 + 10 * step,
                replayed_at=1000.0 + step,
            )
        )
    assert lag.state == "lagging"
    assert lag.seconds == 81.0
    assert lag.bytes == 810


def test_a_delayed_standby_is_delayed_until_it_is_behind_its_delay() -> None:
    memory = LagMemory()
    memory.judge(replace(LEVEL, delay_seconds=60.0))
    within = later(LEVEL, 60, delay_seconds=60.0, end_lsn=900, receive_lsn=900, replayed_at=1001.0)
    assert memory.judge(within).state == "delayed"
    assert memory.judge(later(within, 60, replayed_at=1010.0)).state == "lagging"


def test_what_we_may_not_see_is_unknown() -> None:
    lag = LagMemory().judge(replace(LEVEL, told=False))
    assert (lag.state, lag.seconds, lag.bytes, lag.receiver_up) == ("unknown", None, None, None)


def test_a_clock_set_back_and_a_new_timeline_give_no_negative_lag() -> None:
    memory = LagMemory()
    memory.judge(LEVEL)
    back = memory.judge(later(LEVEL, -500, end_lsn=900, receive_lsn=900))
    assert back.seconds is None or back.seconds >= 0
    assert memory.judge(later(LEVEL, 5, end_lsn=100, receive_lsn=100, replay_lsn=100)).seconds == 0.0


looks = st.lists(
    st.tuples(
        st.floats(-100, 1000),
        st.integers(0, 1000),
        st.integers(0, 1000),
        st.booleans(),
        st.booleans(),
        st.floats(0, 100),
    ),
    min_size=1,
    max_size=700,
)


@given(looks)
def test_no_history_gives_a_negative_lag_or_a_zero_while_disconnected_from_what_was_ahead(
    history: list[tuple[float, int, int, bool, bool, float]],
) -> None:
    memory, at, end, replay = LagMemory(), 1e9, 0, 0
    for passed, written, replayed, streams, paused, silent in history:
        at += passed
        end += written
        replay = min(end, replay + replayed)
        lag = memory.judge(
            Sight(
                at=at,
                streams=streams,
                end_lsn=end,
                message_at=at - silent,
                receive_lsn=end,
                replay_lsn=replay,
                replayed_at=at - 1,
                paused=paused,
            )
        )
        assert lag.state in STATES
        assert lag.seconds is None or lag.seconds >= 0
        assert lag.bytes is None or lag.bytes >= 0
        assert (lag.state == "disconnected") == (lag.receiver_up is False)
        assert len(memory._times) <= 512
        assert memory._ends == sorted(memory._ends)
