"""Servers where we may do little, or where somebody has set things in a way of his own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres
from collectors.model import Observation, Scope
from collectors.postgresql.observer import PostgresObserver
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.observing import observing, probes, values
from tests.fixtures.servers import SETTINGS, NewPostgres, Servers
from tests.fixtures.waiting import until

WAL = probes(
    """
wal_files:
  sql: select count(*) as n from pg_catalog.pg_ls_waldir()
  values: {n: {metric: own_wal_files, kind: gauge, help: h}}
archive_files:
  sql: select count(*) as n from pg_catalog.pg_ls_archive_statusdir()
  values: {n: {metric: own_archive_files, kind: gauge, help: h}}
"""
)
TEXT = probes(
    """
text:
  sql: select {columns}
  labels: {day: "'2026-02-01'::date::text", slash: "'a\\\\b'::text"}
  values: {n: {metric: own_text, kind: gauge, help: h, sql: "1.5::float8"}}
"""
)


@pytest.fixture(scope="module")
async def server(servers: Servers, place: Place) -> AsyncIterator[ScratchPostgres]:
    settings = {**SETTINGS, "shared_preload_libraries": "pg_stat_statements"}
    async with ScratchPostgres(servers.binaries(15), place=place, name="managed", settings=settings) as made:
        yield made


async def everything(observer: PostgresObserver, rounds: int = 1) -> list[Observation]:
    """Return what all probes in all databases give."""
    found = []
    for _ in range(rounds):
        assert (await observer.up()).up
        for info in observer.plan():
            names = observer.databases() if info.scope is Scope.DATABASE else ("",)
            found += [await observer.run(info.name, name) for name in names]
    return found


async def test_a_bare_role_is_refused_at_most_once_for_each_probe(
    server: ScratchPostgres, bare_role: NewLogin
) -> None:
    login = await bare_role(server)
    options = {"user": login.user, "password": {"text": login.password}}
    async with observing(server, WAL, **options) as observer:
        before = _denials(server, login.user)
        observations = await everything(observer, rounds=5)
        denials = _denials(server, login.user) - before
        rejected = {one.probe: one.reason for one in observer.rejections() if not one.what}
    denied = {one.probe for one in observations if one.failure and one.failure.cause == "denied"}
    others = [one.failure for one in observations if one.failure and one.failure.cause != "denied"]

    assert {"wal_files", "archive_files"} <= denied
    assert denials == len(denied)
    assert others == []
    assert "permission denied for function pg_ls_waldir" in rejected["wal_files"]
    assert "GRANT pg_monitor TO" in rejected["activity"]


async def test_a_denied_probe_is_asked_anew_in_the_next_life_of_the_server(
    new_postgres: NewPostgres,
) -> None:
    server = await new_postgres(15)
    await server.psql("create role bare login password 'bare'")
    async with observing(server, WAL, user="bare", password={"text": "bare"}) as observer:
        await observer.up()
        first = await observer.run("wal_files")
        await server.psql("grant pg_monitor to bare")
        await observer.up()
        await server.restart()
        await observer.up()
        after = await observer.run("wal_files")

    assert first.failure is not None
    assert first.failure.cause == "denied"
    assert values(after, "own_wal_files")[()] >= 1


async def test_a_database_we_may_not_enter_is_one_reason_and_no_error(
    server: ScratchPostgres, monitor_role: NewLogin, fresh_database: NewDatabase
) -> None:
    login = await monitor_role(server)
    closed, open_ = [await fresh_database(server, template="template0") for _ in range(2)]
    await server.psql(f"revoke connect on database {closed} from public")
    options = {"user": login.user, "password": {"text": login.password}}
    before = server.log.read_text().count("FATAL")
    async with observing(server, **options) as observer:
        await everything(observer, rounds=2)
        reasons = [one.reason for one in observer.rejections() if one.probe == "databases"]
        databases = observer.databases()
        async with connected(server) as other:
            await other.execute(f"grant connect on database {closed} to {login.user}")
        observer._learned_at = -1e9
        await observer.up()
        later = observer.databases()

    assert open_ in databases
    assert closed not in databases
    assert len(reasons) == 1
    assert f'GRANT CONNECT ON DATABASE "{closed}" TO "{login.user}"' in reasons[0]
    assert closed in later
    assert server.log.read_text().count("FATAL") == before


async def test_a_database_that_pg_hba_keeps_from_us_is_tried_less_and_less(
    new_postgres: NewPostgres,
) -> None:
    server = await new_postgres(15)
    await server.psql("create database shut; create database well")
    hba = "local all all trust\nhost shut all 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n"
    await server.put("pg_hba.conf", hba)
    await server.reload()
    async with observing(server) as observer:
        await until(lambda: _refused(server))
        before = server.log.read_text().count("rejects connection")
        observations = await everything(observer, rounds=4)
        up = await observer.up()
        after = server.log.read_text().count("rejects connection")
    shut = {one.failure.cause for one in observations if one.database == "shut" and one.failure}
    well = [one.failure for one in observations if one.database == "well" and one.failure]

    assert up.up
    assert shut == {"credentials"}
    assert well == []
    assert after - before <= 3


async def test_settings_of_our_role_change_nothing(server: ScratchPostgres, monitor_role: NewLogin) -> None:
    login = await monitor_role(server)
    for setting in (
        "DateStyle = 'German, DMY'", "IntervalStyle = 'sql_standard'", "standard_conforming_strings = off",
        "bytea_output = 'escape'", "extra_float_digits = -15", "TimeZone = 'Asia/Kathmandu'",
        "default_transaction_isolation = 'serializable'", "enable_seqscan = off", "work_mem = '64kB'",
        "client_encoding = 'LATIN1'", "default_transaction_deferrable = on", "xmloption = document",
        "statement_timeout = '1ms'", "transform_null_equals = on", "escape_string_warning = on",
    ):  # fmt: skip
        await server.psql(f"alter role {login.user} set {setting}")
    options = {"user": login.user, "password": {"text": login.password}}
    async with observing(server, TEXT, **options) as observer:
        observations = await everything(observer)
        text = values(next(one for one in observations if one.probe == "text"), "own_text")

    assert [one.failure for one in observations if one.failure] == []
    assert text == {("2026-02-01", "a\\b"): 1.5}


@pytest.mark.parametrize("schema", ["monitoring", 'Mixed "Case" é'])
async def test_pg_stat_statements_in_a_schema_of_its_own(
    server: ScratchPostgres, fresh_database: NewDatabase, monitor_role: NewLogin, schema: str
) -> None:
    login = await monitor_role(server)
    database = await fresh_database(server, template="template0")
    quoted = '"' + schema.replace('"', '""') + '"'
    await server.psql(
        f"create schema {quoted}; create extension pg_stat_statements schema {quoted};"
        f" grant usage on schema {quoted} to {login.user}",
        database,
    )
    options = {"user": login.user, "password": {"text": login.password}, "dbname": database}
    async with observing(server, **options) as observer:
        await observer.up()
        seen = await observer.run("statements")

    assert sum(values(seen, "pg_stat_statements_calls_total").values()) > 0


async def test_an_old_extension_gives_more_after_its_update_without_a_restart(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server, template="template0")
    await server.psql("create extension pg_stat_statements version '1.6'", database)
    async with observing(server, dbname=database) as observer:
        await observer.up()
        old = _names(await observer.run("statements"))
        await server.psql("alter extension pg_stat_statements update", database)
        observer._learned_at = -1e9
        await observer.up()
        new = _names(await observer.run("statements"))

    assert "pg_stat_statements_calls_total" in old & new
    assert any("wal" in name for name in new - old)


async def test_statements_that_are_no_text_in_any_encoding_lose_nothing(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    name = f"{await fresh_database(server, template='template0')}_a"
    await server.psql(f"create database {name} encoding 'SQL_ASCII' template template0 locale 'C'")
    try:
        await server.psql("create extension if not exists pg_stat_statements")
        async with connected(server, name, server_settings={"client_encoding": "SQL_ASCII"}) as other:
            await other.execute("create extension pg_stat_statements")
            await other.execute("set application_name = E'\\351\\377'")
            await other.execute(
                "do $$ begin execute 'select 1 as \"' || chr(233) || chr(255) || '\"'; end $$"
            )
        async with observing(server) as observer, observing(server, dbname=name) as inside:
            observations = await everything(observer) + await everything(inside)
    finally:
        await server.psql(f"drop database {name} with (force)")

    assert [one.failure for one in observations if one.failure] == []


def _names(observation: Observation) -> set[str]:
    assert observation.failure is None, observation.failure
    return {sample.name for frame in observation.frames for sample in frame.samples()}


def _denials(server: ScratchPostgres, user: str) -> int:
    lines = server.log.read_text().splitlines()
    return sum(f"{user}@" in line and "ERROR:  permission denied" in line for line in lines)


async def _refused(server: ScratchPostgres) -> bool:
    try:
        async with connected(server, "shut"):
            return False
    except Exception as error:
        return "rejects connection" in str(error)
