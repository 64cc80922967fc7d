"""What declared probes say is what is the case on the server."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.postgresql.settings import SettingsRunner
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.declared import asking
from tests.fixtures.observing import observing
from tests.fixtures.servers import NewPostgres, Pair
from tests.fixtures.waiting import until

ACTIVITY = "pg_stat_activity_count"


async def test_connections_are_counted_by_state_and_states_without_any_are_zero(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(any_postgres)
    async with (
        connected(any_postgres, database, server_settings={"application_name": "shop"}) as idler,
        asking(any_postgres) as asked,
    ):
        await idler.execute("begin; create table held ()")
        here = {"datname": database, "state": "idle in transaction"}
        assert await asked.values("activity", ACTIVITY, application_name="shop", **here) == [1]
        assert await asked.values("activity", ACTIVITY, datname=database, state="active") == [0]
        await asyncio.sleep(0.3)
        longest = await asked.values("activity", "pg_stat_activity_max_tx_duration", **here)
        assert 0.3 <= max(longest) < 60
        idle = await asked.value("transactions", "pg_longest_idle_in_transaction_seconds")
        oldest = await asked.value("transactions", "pg_long_running_transactions_oldest_timestamp_seconds")
        assert oldest >= idle >= 0.3
        assert await asked.value("transactions", "pg_idle_in_transaction_connections") >= 1
        locks = {"datname": database, "mode": "accessexclusivelock"}
        assert await asked.value("locks", "pg_locks_count", **locks) >= 1
        locks["mode"] = "sireadlock"
        assert await asked.value("locks", "pg_locks_count", **locks) == 0


async def test_a_lock_that_is_waited_for_is_told_from_one_that_is_held(
    postgres18: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(postgres18)
    await postgres18.psql("create table wanted ()", database)
    async with (
        connected(postgres18, database) as holder,
        connected(postgres18, database) as waiter,
        asking(postgres18, database) as asked,
    ):
        await holder.execute("begin; lock table wanted in access exclusive mode")
        waiting = asyncio.ensure_future(waiter.execute("select 1 from wanted"))
        await until(lambda: postgres18.psql("select 1 from pg_locks where not granted"))
        mode = {"datname": database, "mode": "accesssharelock"}
        assert await asked.value("locks", "pg_locks_waiting", **mode) == 1
        assert await asked.value("transactions", "pg_lock_waiting_connections") == 1
        began = time.monotonic()
        sizes = await asked.values("table_sizes", "pg_stat_user_tables_table_size_bytes", relname="wanted")
        assert sizes == []
        assert time.monotonic() - began < 0.2, "it must not have waited for the lock"
        await holder.execute("rollback")
        await waiting
        sizes = await asked.values("table_sizes", "pg_stat_user_tables_table_size_bytes", relname="wanted")
        assert sizes == [0]


async def test_a_prepared_transaction_is_seen_with_its_age(
    postgres15: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(postgres15)
    await postgres15.psql("begin; create table p (); prepare transaction 'left behind'", database)
    try:
        async with asking(postgres15) as asked:
            assert await asked.value("transactions", "pg_prepared_transactions") == 1
            assert await asked.value("transactions", "pg_prepared_transactions_oldest_seconds") > 0
    finally:
        await postgres15.psql("rollback prepared 'left behind'", database)


async def test_activity_of_a_table_equals_what_the_servers_own_view_says(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(any_postgres)
    await any_postgres.psql(
        "create table t (id int primary key, note text); insert into t select g, repeat('x', g) "
        "from generate_series(1, 500) g; update t set note = 'y' where id < 50; delete from t where id > 490;"
        "select count(*) from t; set enable_seqscan = off; select * from t where id = 7; vacuum analyze t;",
        database,
    )
    view = """
        select s.*, o.heap_blks_read, o.heap_blks_hit, o.idx_blks_read, o.idx_blks_hit, o.toast_blks_read,
          o.toast_blks_hit, o.tidx_blks_read, o.tidx_blks_hit
        from pg_stat_user_tables s join pg_statio_user_tables o using (relid) where s.relname = 't'"""
    names = [
        "seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "n_tup_ins", "n_tup_upd", "n_tup_del", "n_tup_hot_upd",
        "n_live_tup", "n_dead_tup", "n_mod_since_analyze", "vacuum_count", "analyze_count", "autovacuum_count",
    ]  # fmt: skip
    async with asking(any_postgres, database) as asked, connected(any_postgres, database) as connection:
        await until(
            lambda: any_postgres.psql("select 1 from pg_stat_user_tables where n_tup_ins = 500", database)
        )
        expected = await connection.fetchrow(view)
        samples = {one.name: one.value for one in (await asked.frame("tables")).samples()}
        assert {name: samples[f"pg_stat_user_tables_{name}"] for name in names} == {
            name: expected[name] for name in names
        }
        assert samples["pg_stat_user_tables_n_tup_ins"] == 500
        assert samples["pg_stat_user_tables_last_autovacuum"] == 0
        assert abs(samples["pg_stat_user_tables_last_vacuum"] - expected["last_vacuum"].timestamp()) < 0.001
        for ours, theirs in {"heap": "heap", "idx": "idx", "toast": "toast", "tidx": "tidx"}.items():
            for what in ("read", "hit"):
                assert (
                    samples[f"pg_statio_user_tables_{ours}_blocks_{what}"]
                    == expected[f"{theirs}_blks_{what}"]
                )
        ratio = await asked.value("cache", "pg_cache_hit_ratio", kind="heap")
        assert 0 < ratio <= 1


async def test_a_tables_own_thresholds_for_autovacuum_count(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(any_postgres)
    await any_postgres.psql(
        "create table plain as select g from generate_series(1, 1000) g;"
        "create table tuned with (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0.02)"
        " as select g from generate_series(1, 1000) g;"
        "create table off with (autovacuum_enabled = false) as select 1 as g;"
        "vacuum analyze; delete from plain where g <= 60; delete from tuned where g <= 60;",
        database,
    )
    async with asking(any_postgres, database) as asked:

        async def dead(relname: str) -> float | None:
            return await asked.value("table_vacuum", "pg_table_dead_tuples_ratio", relname=relname)

        async def settled() -> bool:
            return await dead("tuned") == 2.0

        await until(settled)
        assert await dead("plain") == pytest.approx(60 / (50 + 0.2 * 1000))
        limit = "pg_table_autovacuum_threshold_tuples"
        assert await asked.value("table_vacuum", limit, relname="tuned") == 30
        enabled = "pg_table_autovacuum_enabled"
        assert await asked.value("table_vacuum", enabled, relname="off") == 0
        assert await asked.value("table_vacuum", enabled, relname="plain") == 1


async def test_indexes_that_serve_nothing_are_named_and_those_that_constraints_need_are_not(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(any_postgres)
    await any_postgres.psql(
        "create table t (id int primary key, a int, b int unique, c int);"
        "create index twin_of_the_key on t (id); create index idle on t (a); create index same on t (a);"
        "create index partial on t (a) where c > 0; create unique index one_c on t (c);"
        "insert into t select g, 1, g, g from generate_series(1, 100) g; analyze t;",
        database,
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        async with connected(any_postgres, database) as connection:
            await connection.execute("create unique index concurrently broken on t (a)")
    async with asking(any_postgres, database) as asked:

        async def named(probe: str, metric: str, value: float | None = None) -> set[str]:
            return {
                dict(one.labels)["indexrelname"]
                for one in (await asked.frame(probe)).samples()
                if one.name == metric and (value is None or one.value == value)
            }

        assert await named("index_problems", "pg_index_invalid", 1) == {"broken"}
        doubled = await named("index_problems", "pg_index_duplicate_bytes")
        assert {"twin_of_the_key"} < doubled
        assert len(doubled & {"idle", "same"}) == 1, "one of the two has to stay"
        assert doubled.isdisjoint({"t_pkey", "t_b_key", "partial", "one_c"})
        unused = await named("indexes_unused", "pg_index_unused_bytes")
        assert unused == {"twin_of_the_key", "idle", "same", "partial"}


async def test_a_sequence_is_measured_by_the_column_it_fills(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase, monitor_role: NewLogin
) -> None:
    database = await fresh_database(any_postgres)
    await any_postgres.psql(
        "create table t (id int, big bigint); create sequence wide owned by t.id; create sequence free;"
        "select setval('wide', 1610612735); create sequence down increment -1 minvalue -100 maxvalue -1;"
        "select setval('down', -100); create sequence round maxvalue 3 cycle;",
        database,
    )
    async with asking(any_postgres, database) as asked:
        left = "pg_sequence_remaining_ratio"
        assert await asked.value("sequences", left, sequencename="wide") == pytest.approx(0.25)
        assert await asked.value("sequences", left, sequencename="free") == 1
        assert await asked.value("sequences", left, sequencename="down") == 0
        assert await asked.value("sequences", left, sequencename="round") is None
    login = await monitor_role(any_postgres)
    async with asking(any_postgres, database, login.user) as asked:
        assert await asked.rows("sequences") == []
        assert await asked.value("sequences_hidden", "pg_sequences_hidden") == 3


async def test_partitions_are_added_up(any_postgres: ScratchPostgres, fresh_database: NewDatabase) -> None:
    database = await fresh_database(any_postgres)
    await any_postgres.psql(
        "create table p (n int) partition by range (n); create table p1 partition of p for values from (0) to (9);"
        "create table p2 partition of p for values from (9) to (99) partition by range (n);"
        "create table p2a partition of p2 for values from (9) to (50); insert into p values (1), (10);",
        database,
    )
    async with asking(any_postgres, database) as asked:
        assert await asked.value("partitioned", "pg_partitioned_table_partitions", relname="p") == 2
        size = await asked.value("partitioned", "pg_partitioned_table_size_bytes", relname="p")
        assert size >= 2 * 8192


async def test_checkpoints_have_one_name_on_every_version(any_postgres: ScratchPostgres) -> None:
    probe = "checkpointer" if any_postgres.binaries.major >= 17 else "bgwriter"
    async with asking(any_postgres) as asked:
        names = ("pg_stat_checkpointer_num_requested_total", "pg_stat_bgwriter_checkpoints_req_total")
        before = [await asked.value(probe, name) for name in names]
        await any_postgres.psql("checkpoint")

        async def counted() -> bool:
            after = [await asked.value(probe, name) for name in names]
            return after[0] == after[1] > before[0]

        await until(counted)


async def test_io_tells_bytes_before_and_since_the_server_counts_them(postgres16: ScratchPostgres) -> None:
    async with asking(postgres16) as asked:
        reads = await asked.values(
            "io", "pg_stat_io_reads_total", backend_type="client backend", context="normal"
        )
        size = await asked.values(
            "io", "pg_stat_io_read_bytes_total", backend_type="client backend", context="normal"
        )
        assert sum(size) == sum(reads) * 8192 > 0


async def test_the_position_in_the_log_grows_and_the_files_are_counted(postgres18: ScratchPostgres) -> None:
    async with asking(postgres18) as asked:
        before = await asked.value("server", "pg_xlog_location_bytes")
        await postgres18.psql("select pg_logical_emit_message(true, 'x', repeat('x', 5000))")
        assert await asked.value("server", "pg_xlog_location_bytes") - before >= 5000
        assert await asked.value("server", "pg_timeline") == 1
        files = await asked.value("wal_files", "pg_wal_segments")
        assert await asked.value("wal_files", "pg_wal_size_bytes") == files * 16 * 1024**2
        assert await asked.value("static", "pg_static") == 1
        version = dict(next((await asked.frame("static")).samples()).labels)["short_version"]
        assert version == postgres18.binaries.version + ".0"


async def test_a_replica_that_is_level_has_a_lag_of_zero_and_one_that_is_stopped_has_not(
    postgres_pair: Pair,
) -> None:
    primary, replica = postgres_pair
    async with asking(primary) as asked:

        async def level() -> bool:
            return await asked.value("replication", "pg_stat_replication_replay_lag_seconds") == 0

        await until(level)
        assert (
            await asked.value("replication", "pg_stat_replication_pg_wal_lsn_diff", slot_name="replica") == 0
        )
        assert await asked.value("slots", "pg_replication_slots_active", slot_name="replica") == 1
        assert await asked.value("slot_status", "pg_replication_slots_wal_status", wal_status="reserved") == 1
        await replica.psql("select pg_wal_replay_pause()")
        try:
            await primary.psql("select pg_logical_emit_message(true, 'x', repeat('x', 5000))")

            async def behind() -> bool:
                lag = await asked.value("replication", "pg_stat_replication_replay_lag_bytes")
                return lag is not None and lag >= 5000

            await until(behind)
            assert not await level()
        finally:
            await replica.psql("select pg_wal_replay_resume()")


async def test_settings_are_those_of_the_server_and_not_of_our_session(new_postgres: NewPostgres) -> None:
    server = await new_postgres(15, settings={"shared_buffers": "48MB"})
    await server.reload({"max_connections": "77"})
    await server.psql("alter role postgres set work_mem = '1GB'")
    async with asking(server) as asked:

        async def settings() -> dict[str, float]:
            result = await SettingsRunner().run(asked.session)
            return {
                one.name + "".join(value for _, value in one.labels): one.value
                for frame in result.frames
                for one in frame.samples()
            }

        async def waits() -> bool:
            return (await settings()).get("pg_setting_pending_restartmax_connections") == 1

        await until(waits)
        found = await settings()
        assert found["pg_settings_shared_buffers_bytes"] == 48 * 1024**2
        assert found["pg_settings_autovacuum_naptime_seconds"] == 86400
        assert found["pg_settings_fsync"] == 0
        assert found["pg_settings_waiting_for_restart"] == 1
        ours = {
            "lock_timeout_seconds",
            "default_transaction_read_only",
            "transaction_read_only",
            "work_mem_bytes",
        }
        assert found.keys().isdisjoint(f"pg_settings_{name}" for name in ours), "not the server's but ours"
        assert len(found) > 200


async def test_of_many_tables_those_come_that_lead_and_the_others_are_counted(
    postgres18: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    """The server chooses: by the largest share in any of the values that rank."""
    database = await fresh_database(postgres18, template="template0")
    make = "execute format('create table many%s as select 1 as a', i)"
    await postgres18.psql(f"do $$ begin for i in 1..12 loop {make}; end loop; end $$", database)
    await postgres18.psql("insert into many7 select generate_series(1, 5000)", database)
    await postgres18.psql("analyze many7; insert into many9 select generate_series(1, 300)", database)
    async with observing(postgres18, dbname=database, rows_max={"tables": 2}) as observer:
        assert (await observer.up()).up

        async def leaders() -> bool:
            run = await observer.run("tables", database)
            assert run.failure is None, run.failure
            assert run.dropped == 10
            return [key[2] for key in run.frames[0].keys] == ["many7", "many9"]

        await until(leaders)
