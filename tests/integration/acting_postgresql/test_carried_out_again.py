"""The executor carries out what cannot simply be repeated: each of them once, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from actions.model import RecordKind, State
from actions.postgresql import victims
from actions.postgresql.drop_inactive_slot import DropInactiveSlot
from actions.postgresql.drop_invalid_index import DropInvalidIndex
from actions.postgresql.reindex_concurrently import ReindexConcurrently
from actions.postgresql.terminate_session import TerminateSession
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.debris import failed_build, snapshot_holder
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until
from tests.integration.acting_postgresql.test_carried_out import ready, told


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, new_postgres: NewPostgres) -> ScratchPostgres:
    made = await new_postgres(request.param)
    await made.psql(
        "create extension pgstattuple;"
        "create table public.t (id int) with (autovacuum_enabled = off);"
        "insert into public.t select generate_series(1, 60000);"
        "create index bloated on public.t (id); delete from public.t where id % 10 <> 0"
    )
    await made.psql("vacuum analyze public.t")
    return made


async def indexes(server: ScratchPostgres) -> str:
    return await server.psql(
        "select indexrelid::regclass, indisvalid from pg_index where indrelid = 't'::regclass order by 1"
    )


async def test_f29_a_rebuild_that_loses_its_session_is_cleaned_up_and_done_once_more(
    server: ScratchPostgres,
) -> None:
    await server.psql("analyze public.t")
    executor, store = await ready(server, ReindexConcurrently(), index="bloated", bloat_bytes_min=0)
    async with asyncio.TaskGroup() as group:
        async with snapshot_holder(server, "postgres"):
            working = group.create_task(executor.carry_out("e1"))
            await until(lambda: builder(server), 60)
            await server.psql("select pg_terminate_backend(pid) from pg_stat_progress_create_index")
            await until(lambda: no_builder(server), 60)
            assert await indexes(server) == "bloated|t\nbloated_ccnew|f"
        state = await working
    assert state is State.SUCCEEDED, await told(store)
    assert await indexes(server) == "bloated|t"
    notes = [record.body for record in await store.records("e1") if record.kind is RecordKind.NOTE]
    assert ["public.bloated_ccnew"] in [note.get("evidence", {}).get("dropped") for note in notes]


async def builder(server: ScratchPostgres) -> bool:
    said = await server.psql("select count(*) from pg_stat_progress_create_index where phase like 'waiting%'")
    return said != "0"


async def no_builder(server: ScratchPostgres) -> bool:
    return await server.psql("select count(*) from pg_stat_progress_create_index") == "0"


async def test_an_invalid_index_is_dropped(server: ScratchPostgres) -> None:
    await failed_build(server, "postgres")
    executor, store = await ready(server, DropInvalidIndex(), index="broken")
    assert await executor.carry_out("e1") is State.SUCCEEDED, await told(store)
    assert await indexes(server) == "bloated|t"


async def test_a_slot_is_dropped(server: ScratchPostgres) -> None:
    await server.psql("select pg_create_logical_replication_slot('old', 'test_decoding')")
    asked = {"retained_bytes_min": 0, "inactive_seconds_min": 0.0, "since_unknown": True}
    executor, store = await ready(server, DropInactiveSlot(), slot="old", **asked)
    assert await executor.carry_out("e1") is State.SUCCEEDED, await told(store)
    assert await server.psql("select count(*) from pg_replication_slots") == "0"


async def test_a_session_that_idles_is_ended(
    server: ScratchPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(victims, "_rates", victims._Rates())
    await server.psql("create role app login password 'p'")
    async with connected(server, user="app", password="p") as one:
        await one.execute("begin")
        await one.execute("select 1")
        await asyncio.sleep(0.05)
        executor, store = await ready(server, TerminateSession(), least_seconds=0.01)
        assert await executor.carry_out("e1") is State.SUCCEEDED, await told(store)
        assert await server.psql("select count(*) from pg_stat_activity where usename = 'app'") == "0"
