from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families as parse_text

from collectors.model import Failure, Rejection, Target, Up
from daemon.http.exposition import families_of, render
from daemon.selfmetrics import PROCESS_METRICS, TARGET_METRICS, SelfMetrics
from daemon.snapshot import Snapshot
from tests.unit.snapshot.making import Clock, answers, frame, give, metric, probe, snapshot_of


async def shown(snapshot: Snapshot, own: SelfMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    await own.refresh(snapshot)
    families = families_of(snapshot.states().values(), (), own.process_lines())
    text = b"".join([piece async for piece in render(families)]).decode()
    return {
        (s.name, frozenset(s.labels.items()) - {("target", "db1")}): s.value
        for family in parse_text(text)
        for s in family.samples
        if s.name.startswith(("dbarchitect_", "process_"))
    }


def of(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"dbarchitect_{name}", frozenset(labels.items())


async def test_before_the_first_answer_only_what_is_known_is_said() -> None:
    names = {name for name, _ in await shown(snapshot_of(), SelfMetrics("1.2.3", lambda: 50.0))}
    assert "dbarchitect_target_up" not in names
    assert "dbarchitect_freshness_seconds" not in names
    assert {"dbarchitect_series", "dbarchitect_build_info", "process_resident_memory_bytes"} <= names


async def test_how_targets_and_probes_fare_is_told_in_numbers() -> None:
    clock = Clock()
    snapshot = snapshot_of(Target(name="db1", engine="postgresql", series_max=2), clock=clock)
    own = SelfMetrics("1.2.3", lambda: 50.0)
    answers(snapshot)
    clock.now += 7
    give(snapshot, frame([metric("a", "x")], {("1",): [1], ("2",): [1], ("3",): [1]}), dropped=4)
    give(snapshot, info=probe("q"), failure=Failure("timed_out", "too slow"))
    give(snapshot, info=probe("q"), failure=Failure("timed_out", "too slow"))
    snapshot.skip("db1", "q", "budget")
    snapshot.reject(
        "db1", [Rejection("statements", "", "not installed"), Rejection("wal", "pg_wal_x", "no column")]
    )
    numbers = own.target("db1")
    numbers.sessions, numbers.budget_left_seconds, numbers.stuck = 2, 1.5, True
    numbers.database_seconds_total = 12.5
    found = await shown(snapshot, own)
    expected = {
        of("build_info", version="1.2.3"): 1,
        of("start_time_seconds"): 50,
        of("target_up", engine="postgresql"): 1,
        of("freshness_seconds"): 7,
        of("series"): 2,
        of("series_max"): 2,
        of("series_dropped", probe="p"): 5,
        of("sessions"): 2,
        of("budget_left_seconds"): 1.5,
        of("database_seconds_total"): 12.5,
        of("collector_stuck"): 1,
        of("probe_runs_total", probe="p", outcome="ok"): 1,
        of("probe_runs_total", probe="q", outcome="timed_out"): 2,
        of("probe_skipped_total", probe="q", reason="budget"): 1,
        of("probe_failing", probe="q", cause="timed_out"): 1,
        of("probe_duration_seconds", probe="p"): 0.1,
        of("probe_last_success_timestamp_seconds", probe="p"): 5,
        of("feature_available", feature="statements", reason="not installed"): 0,
        of("feature_available", feature="pg_wal_x", reason="no column"): 0,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert of("probe_last_success_timestamp_seconds", probe="q") not in found
    give(snapshot, info=probe("q"))
    assert of("probe_failing", probe="q", cause="timed_out") not in await shown(snapshot, own)


async def test_the_pace_of_a_probe_is_never_below_the_interval_of_its_target() -> None:
    snapshot = snapshot_of(Target(name="db1", engine="postgresql", interval_seconds=30))
    answers(snapshot)
    give(snapshot, info=probe("fast", every=10))
    give(snapshot, info=probe("slow", every=900))
    give(snapshot, info=probe("usual", every=0))
    snapshot.skip("db1", "never_ran", "budget")
    found = await shown(snapshot, SelfMetrics("1"))
    assert found[of("probe_interval_seconds", probe="fast")] == 30
    assert found[of("probe_interval_seconds", probe="slow")] == 900
    assert found[of("probe_interval_seconds", probe="usual")] == 30
    assert of("probe_interval_seconds", probe="never_ran") not in found


async def test_a_target_that_is_down_tells_its_cause_and_one_that_suffers_its_distress() -> None:
    snapshot = snapshot_of()
    own = SelfMetrics("1")
    answers(snapshot, up=False)
    found = await shown(snapshot, own)
    assert found[of("target_up", engine="postgresql")] == 0
    assert found[of("target_down", cause="unreachable")] == 1
    snapshot.record_up("db1", Up(up=True, at=1, distress="lock_waits"))
    found = await shown(snapshot, own)
    assert found[of("target_distress", reason="lock_waits")] == 1
    assert of("target_down", cause="unreachable") not in found


async def test_reloads_are_counted_and_only_a_good_one_counts_as_loaded() -> None:
    now = [100.0]
    own = SelfMetrics("1", lambda: now[0])
    own.loop_lag(0.25)
    assert (await shown(snapshot_of(), own))[of("config_last_reload_successful")] == 1
    now[0] = 200.0
    own.reloaded(ok=False)
    found = await shown(snapshot_of(), own)
    assert found[of("reloads_total", outcome="refused")] == 1
    assert found[of("config_last_reload_successful")] == 0
    assert found[of("config_last_reload_success_timestamp_seconds")] == 100
    own.reloaded(ok=True)
    found = await shown(snapshot_of(), own)
    assert found[of("reloads_total", outcome="ok")] == 1
    assert found[of("config_last_reload_successful")] == 1
    assert found[of("config_last_reload_success_timestamp_seconds")] == 200
    assert found[of("loop_lag_seconds")] == 0.25


async def test_every_metric_of_our_own_that_is_shown_is_in_the_catalogue() -> None:
    snapshot = snapshot_of()
    answers(snapshot)
    listed = {each.name for each in (*TARGET_METRICS, *PROCESS_METRICS)}
    assert {
        name for name, _ in await shown(snapshot, SelfMetrics("1")) if name.startswith("dbarch")
    } <= listed


async def test_a_target_that_left_is_forgotten() -> None:
    snapshot = snapshot_of()
    own = SelfMetrics("1")
    own.target("db1").sessions = 3
    snapshot.remove_target("db1")
    assert of("sessions") not in await shown(snapshot, own)
    assert own.targets == {}
