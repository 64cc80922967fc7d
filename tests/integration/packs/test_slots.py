"""Slots that nobody uses, that keep too much, or that lost what they need; archiving that fails or is stuck."""

from __future__ import annotations

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.courts import Court
from tests.fixtures.proofs import caused, replayed
from tests.fixtures.replicating import write_wal
from tests.fixtures.waiting import until

SLOT = {"slot_name": "left", "slot_type": "physical"}


async def wait_for(server: ScratchPostgres, condition: str) -> None:
    """Wait until the server says so."""
    await until(lambda: server.psql(f"select 1 where {condition}"), deadline=30)


@caused("PostgresqlSlotInactive", "PostgresqlSlotNearLimit", "PostgresqlSlotInDanger", "PostgresqlSlotLost")
async def test_a_slot_that_nobody_uses_comes_near_its_limit_in_danger_and_is_lost(
    court: Court, spare: ScratchPostgres
) -> None:
    await spare.restart({"max_slot_wal_keep_size": "64MB", "max_wal_size": "1GB"})
    watched = court.watch(spare)
    await spare.psql("select pg_create_physical_replication_slot('left', true)")
    try:
        await watched.look()
        court.hold(9)
        assert court.names() == set()
        await write_wal(spare, 70)
        await watched.look()
        court.hold(1.5)
        assert court.told("PostgresqlSlotInactive") == [watched.labels(severity="warning", **SLOT)]
        court.hold(4)
        assert court.told("PostgresqlSlotNearLimit") == [watched.labels(severity="warning", **SLOT)]
        assert court.names() == {"PostgresqlSlotInactive", "PostgresqlSlotNearLimit"}
        # Until the next checkpoint nothing is removed.
        await write_wal(spare, 24)
        await watched.look()
        court.hold(0.5)
        danger = watched.labels(severity="critical", wal_status="unreserved", **SLOT)
        assert court.told("PostgresqlSlotInDanger") == [danger]
        await spare.psql("checkpoint")
        await wait_for(spare, "exists (select from pg_replication_slots where wal_status = 'lost')")
        await watched.look()
        court.hold(0.5)
        assert court.told("PostgresqlSlotLost") == [watched.labels(severity="warning", **SLOT)]
        assert court.names() == {"PostgresqlSlotLost"}
    finally:
        await spare.psql("select pg_drop_replication_slot('left')")
    await watched.look()
    court.hold(0.5)
    assert court.names() == set()


@replayed("PostgresqlSlotRetainsWal")
async def test_a_slot_that_retains_much_is_told_with_how_much(court: Court, spare: ScratchPostgres) -> None:
    watched = court.watch(spare)
    async with connected(spare) as session:
        await session.execute("select pg_create_physical_replication_slot('left', true, true)")
        await watched.look()
        watched.move("pg_replication_slots_pg_wal_lsn_diff", by=1.1 * 2**30)
        court.hold(14)
        assert court.names() == set()
        court.hold(2)
    assert court.told("PostgresqlSlotRetainsWal") == [watched.labels(severity="warning", **SLOT)]
    assert "1.1GiB" in court.words("PostgresqlSlotRetainsWal")[0]
    assert court.names() == {"PostgresqlSlotRetainsWal"}


@caused("PostgresqlArchiverFailing")
@replayed("PostgresqlArchiveBacklog")
async def test_archiving_that_fails_is_told_and_then_what_piles_up(
    court: Court, spare: ScratchPostgres
) -> None:
    watched = court.watch(spare)
    await spare.psql("select pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
    await wait_for(spare, "(select archived_count > 0 from pg_stat_archiver)")
    await watched.look()
    court.hold(5)
    assert court.names() == set()
    await spare.reload({"archive_command": "false"})
    await spare.psql("select pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
    await wait_for(spare, "(select failed_count > 1 from pg_stat_archiver)")
    await watched.look()
    court.hold(6)
    assert court.told("PostgresqlArchiverFailing") == [watched.labels(severity="warning")]
    assert court.names() == {"PostgresqlArchiverFailing"}
    watched.move("pg_wal_archive_ready_files", by=70)
    court.hold(11)
    assert court.told("PostgresqlArchiveBacklog") == [watched.labels(severity="critical")]


@caused("PostgresqlArchiverStuck")
async def test_archiving_that_hangs_tells_no_failure_and_is_told(
    court: Court, spare: ScratchPostgres
) -> None:
    await spare.restart({"archive_command": "sleep 60"})
    watched = court.watch(spare)
    await spare.psql("select pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
    await wait_for(spare, "(select count(*) > 0 from pg_ls_archive_statusdir() where name like '%.ready')")
    await watched.look()
    court.hold(19)
    assert court.names() == set()
    court.hold(3)
    assert court.told("PostgresqlArchiverStuck") == [watched.labels(severity="warning")]
    assert court.names() == {"PostgresqlArchiverStuck"}
