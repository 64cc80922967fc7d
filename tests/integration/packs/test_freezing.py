"""Transaction ids that run out, and autovacuum that does not keep up with them."""

from __future__ import annotations

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.courts import Court
from tests.fixtures.proofs import caused, replayed
from tests.fixtures.waiting import until

PACK = "postgresql-objects"
BURN = "do $$ begin for n in 1..{} loop perform txid_current(); commit; end loop; end $$"
SLOW = {
    "autovacuum_max_workers": "1",
    "autovacuum_naptime": "1s",
    "autovacuum_vacuum_cost_delay": "100ms",
    "autovacuum_vacuum_cost_limit": "1",
    "autovacuum_freeze_max_age": "100000",
}


@caused(
    "PostgresqlFreezeOverdue",
    "PostgresqlXidRunway",
    "PostgresqlAutovacuumBusy",
    "PostgresqlAutovacuumSlow",
    "PostgresqlWraparoundVacuum",
)
@replayed("PostgresqlXidAge")
async def test_autovacuum_that_is_throttled_does_not_keep_up_with_transaction_ids(
    court: Court, spare: ScratchPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rate is told at the second look instead of after a minute.
    monkeypatch.setattr("collectors.postgresql.xids._RATE_AFTER_SECONDS", 0.01)
    watched = court.watch(spare, databases={"include": ["postgres"]})
    await spare.psql("create table worn (v int); insert into worn select generate_series(1, 20000)")
    await spare.psql(BURN.format(140_000))
    await spare.restart(SLOW)
    wraparound = "select 1 from pg_stat_activity where query ~ '^autovacuum:.*to prevent wraparound'"
    await until(lambda: spare.psql(wraparound), deadline=30)
    await watched.look()
    await spare.psql("update worn set v = v + 1")
    await spare.psql(BURN.format(60_000))
    await watched.look()
    own = watched.labels
    court.hold(9)
    assert court.names() == set()
    court.hold(2)
    assert [each["severity"] for each in court.told("PostgresqlXidRunway") if each["datname"] == "postgres"] == [
        "critical", "warning",
    ]  # fmt: skip
    court.hold(6)
    assert all(each["severity"] == "info" for each in court.told("PostgresqlWraparoundVacuum"))
    court.hold(46)
    assert own(severity="warning", datname="postgres") in court.told("PostgresqlFreezeOverdue")
    assert court.told("PostgresqlAutovacuumBusy") == [own(severity="warning")]
    court.hold(310, step_seconds=240)
    (slow,) = court.told("PostgresqlAutovacuumSlow")
    assert slow.items() >= own(severity="info").items()
    watched.move("pg_database_xid_used_ratio", by=0.5, where={"datname": "postgres"})
    court.hold(11)
    assert court.told("PostgresqlXidAge") == [own(severity="warning", datname="postgres")]
    watched.move("pg_database_xid_used_ratio", by=0.15, where={"datname": "postgres"})
    court.hold(11)
    assert own(severity="critical", datname="postgres") in court.told("PostgresqlXidAge")
    await spare.psql("drop table worn")


@replayed("PostgresqlMultixactAge", "PostgresqlMultixactRunway")
async def test_multixacts_that_run_out_are_told(
    court: Court, spare: ScratchPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.postgresql.xids._RATE_AFTER_SECONDS", 0.01)
    watched = court.watch(spare, databases={"include": ["postgres"]})
    await spare.psql("create table shared as select 1 as id")
    await watched.look("xids", "replication_lag")
    async with connected(spare) as one, connected(spare) as two:
        for _ in range(20):
            for session in (one, two):
                await session.execute("begin; select from shared for share")
            for session in (one, two):
                await session.execute("commit")
    await watched.look("xids", "replication_lag")
    here = {"datname": "postgres"}
    court.hold(2)
    assert court.names() == set()
    watched.move("pg_database_mxid_used_ratio", by=0.65, where=here)
    left = watched.value("pg_database_mxid_runway_seconds", **here)
    watched.move("pg_database_mxid_runway_seconds", by=3600 - left, where=here)
    court.hold(11)
    both = [watched.labels(severity=severity, **here) for severity in ("critical", "warning")]
    assert court.told("PostgresqlMultixactAge") == both
    assert court.told("PostgresqlMultixactRunway") == both
    assert court.names() == {"PostgresqlMultixactAge", "PostgresqlMultixactRunway"}
    await spare.psql("drop table shared")
