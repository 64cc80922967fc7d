"""pg_repack: the program and the extension of Debian's PostgreSQL 15, on tables that are bloated or not."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import psutil
import pytest

from actions.errors import OutcomeUnknown
from actions.model import Verdict
from actions.postgresql import repacking
from actions.postgresql.repack import Repack
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, carried_out, planned, refusal, work
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.missing import missing
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until

REPACK = Repack()
SMALL = {"bloat_bytes_min": 0}


@pytest.fixture
async def server(servers: Servers) -> ScratchPostgres:
    server = await servers.get(15)
    if "pg_repack" not in server.binaries.extensions:
        missing("postgresql-15-repack")
    return server


@pytest.fixture
async def shop(server: ScratchPostgres, fresh_database: NewDatabase) -> str:
    database = await fresh_database(server)
    await bloated(server, database, "t")
    await server.psql("create extension pg_repack; create extension pgstattuple", database)
    return database


async def bloated(server: ScratchPostgres, database: str, table: str, rows: int = 20000) -> None:
    await server.psql(
        f"create table public.{table} (id int primary key, filler text) with (autovacuum_enabled = off);"
        f"insert into public.{table} select i, repeat('x', 200) from generate_series(1, {rows}) i;"
        f"delete from public.{table} where id % 10 <> 0",
        database,
    )
    await server.psql(f"vacuum analyze public.{table}", database)
    await server.psql(f"analyze public.{table}", database)


async def size(server: ScratchPostgres, database: str) -> int:
    return int(await server.psql("select pg_total_relation_size('public.t')", database))


async def test_a_bloated_table_is_rewritten_and_no_password_is_seen(
    server: ScratchPostgres, shop: str
) -> None:
    large = await size(server, shop)
    async with acting(server, shop) as session:
        plan = await planned(REPACK, session, table="t", **SMALL)
        (step,) = plan.steps
        assert step.text.startswith("/usr/lib/postgresql/15/bin/pg_repack --table=public.t --no-kill-backend")
        assert server.password not in str(plan)
        assert plan.prediction.disk_bytes == large
        assert (await planned(REPACK, session, **plan.parameters)).plan_hash == plan.plan_hash
        assert all(result.allowed for result in await REPACK.check(plan, session))
        before = await REPACK.measure(plan, session)
        done = await carried_out(REPACK, plan, session)
        assert done["results"]["repack"]["exit_code"] == 0
        assert server.password not in str(done)
        after = await REPACK.measure(plan, session)
        assert after["total_bytes"] < large / 2
        assert REPACK.judge(plan, before, after) is Verdict.IMPROVED
        read_back = REPACK.operations["repack"].read_back
        assert read_back
        asked = work(plan, "repack", session, done["before"]["repack"])
        assert (await read_back(asked)).answer == "done"
    assert await server.psql("select count(*) from public.t", shop) == "2000"
    assert not list(Path("/tmp").glob("dbarchitect-*/pass"))


async def test_what_stands_against_it_is_named(
    server: ScratchPostgres, shop: str, bare_role: NewLogin
) -> None:
    actor = await bare_role(server)
    await server.psql(
        "create table public.keyless (id int); create table public.nullable (id int unique);"
        "create table public.whole (id int primary key) partition by range (id);"
        "create view public.v as select 1",
        shop,
    )
    async with acting(server, shop) as session:
        for given, said in (
            ({}, "name the table"),
            ({"table": "keyless"}, "neither a primary key"),
            ({"table": "nullable"}, "neither a primary key"),
            ({"table": "whole"}, "is a partitioned table"),
            ({"table": "v"}, "is a view"),
            ({"table": "absent"}, "has no table"),
            ({"table": "pg_class", "schema": "pg_catalog"}, "a system catalog"),
            ({"table": "t", "bloat_ratio_min": 0.99}, "99% and 0 bytes are asked for"),
        ):
            refused = await refusal(REPACK, session, **{**SMALL, **given})
            assert said in refused.reason
        await server.psql("drop extension pgstattuple", shop)
        refused = await refusal(REPACK, session, table="t", **SMALL)
        assert "only one estimator" in refused.reason
        await server.psql("drop extension pg_repack", shop)
        refused = await refusal(REPACK, session, table="t", **SMALL)
        assert "CREATE EXTENSION pg_repack VERSION '1.4.8';" in refused.reason
    async with acting(server, shop, login=actor) as session:
        await server.psql("create extension pg_repack", shop)
        refused = await refusal(REPACK, session, table="t", **SMALL)
        assert f"ALTER ROLE {actor.user} SUPERUSER;" in refused.reason


async def test_another_version_of_the_extension_is_refused(server: ScratchPostgres, shop: str) -> None:
    await server.psql("update pg_extension set extversion = '1.4.7' where extname = 'pg_repack'", shop)
    async with acting(server, shop) as session:
        refused = await refusal(REPACK, session, table="t", **SMALL)
    assert "is 1.4.8 and the extension 1.4.7: they have to be the same" in refused.reason


async def test_where_it_is_not_installed_that_is_said(
    server: ScratchPostgres, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repacking, "PLACES", ("/nowhere/{major}",))
    async with acting(server, shop) as session:
        refused = await refusal(REPACK, session, table="t", **SMALL)
    assert "pg_repack is not installed here" in refused.reason


async def test_it_gives_up_where_others_hold_the_table_and_cancels_nobody(
    server: ScratchPostgres, shop: str
) -> None:
    operation = REPACK.operations["repack"]
    assert operation.capture
    assert operation.read_back
    async with acting(server, shop) as session, connected(server, shop) as user:
        plan = await planned(REPACK, session, table="t", wait_seconds=2.0, **SMALL)
        before = await operation.capture(work(plan, "repack", session))
        asked = work(plan, "repack", session, before)
        await user.execute("begin; select count(*) from public.t")
        with pytest.raises(OutcomeUnknown, match="pg_repack"):
            await operation.perform(asked)
        assert await user.fetchval("select count(*) from public.t") == 2000
        assert (await operation.read_back(asked)).answer == "not_done"
        await user.execute("commit")
        assert operation.clean
        await operation.clean(asked)
        await operation.perform(asked)
        assert (await operation.read_back(asked)).answer == "done"


async def test_a_program_that_is_killed_leaves_debris_that_is_removed(
    server: ScratchPostgres, shop: str
) -> None:
    operation = REPACK.operations["repack"]
    assert operation.capture
    assert operation.read_back
    assert operation.clean
    async with acting(server, shop) as session, connected(server, shop) as user:
        plan = await planned(REPACK, session, table="t", wait_seconds=300.0, **SMALL)
        before = await operation.capture(work(plan, "repack", session))
        asked = work(plan, "repack", session, before)
        # It makes its trigger, copies, and then waits for every transaction that was open before.
        await user.execute("begin; select pg_current_xact_id()")
        task = asyncio.ensure_future(operation.perform(asked))
        await until(lambda: has_trigger(server, shop), 60)
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "pg_repack" and "--wait-timeout=300" in process.cmdline():
                process.kill()
        with contextlib.suppress(OutcomeUnknown):
            await task
        await user.execute("rollback")
        await until(lambda: read_to_the_end(operation.read_back, asked), 60)
        assert (await operation.read_back(asked)).answer == "not_done"
        refused = await refusal(REPACK, session, table="t", **SMALL)
        assert "an interrupted pg_repack has left its trigger" in refused.reason
        assert await operation.clean(asked) == {"removed": True}
        assert await operation.clean(asked) == {"removed": False}
        await planned(REPACK, session, table="t", **SMALL)
        await operation.perform(asked)
    assert await server.psql("select count(*) from public.t", shop) == "2000"


async def has_trigger(server: ScratchPostgres, database: str) -> bool:
    return await server.psql("select 1 from pg_trigger where tgname = 'repack_trigger'", database) == "1"


async def read_to_the_end(read_back: object, asked: object) -> bool:
    assert callable(read_back)
    return bool((await read_back(asked)).answer != "under_way")


async def test_a_table_s_name_is_one_argument(server: ScratchPostgres, shop: str) -> None:
    await bloated(server, shop, '"--all; it\'s ""x"" $(reboot)"', 5000)
    async with acting(server, shop) as session:
        plan = await planned(REPACK, session, table='--all; it\'s "x" $(reboot)', **SMALL)
        done = await carried_out(REPACK, plan, session)
    assert done["results"]["repack"]["exit_code"] == 0


@pytest.mark.parametrize("name", ["it's evil", "x port", "-x"])
async def test_a_database_name_that_pg_repack_would_take_for_options_is_refused(
    server: ScratchPostgres, fresh_database: NewDatabase, name: str
) -> None:
    database = await fresh_database(server, name)
    await server.psql("create table public.t (id int primary key)", database)
    async with acting(server, database) as session:
        refused = await refusal(REPACK, session, table="t", **SMALL)
    assert "mistakes the database name" in refused.reason


async def test_a_pass_file_is_for_us_alone(tmp_path: Path) -> None:
    name = repacking._pass_file(tmp_path, "a:b\\c", None)
    assert Path(name).stat().st_mode & 0o777 == 0o600
    assert Path(name).read_text() == "*:*:*:a\\:b\\\\c:\n"
