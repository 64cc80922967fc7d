"""Every declared query, composed for each version, is understood there and answers in numbers and texts."""

from __future__ import annotations

import re

import pytest

from actions.scratch.postgres import ScratchPostgres
from collectors.definition import ProbeDef
from collectors.postgresql.catalogue import declared
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.declared import Asked, asking
from tests.fixtures.servers import Pair
from tests.fixtures.waiting import until

OBJECTS = """
create schema "odd ""name"" {columns}";
create table "odd ""name"" {columns}"."%s; drop table x --" (id bigserial primary key, "ä" int, note text);
insert into "odd ""name"" {columns}"."%s; drop table x --" ("ä") select 1 from generate_series(1, 100);
create materialized view public.seen as select 1 as one;
create table public.parts (at date, n int) partition by range (at);
create table public.parts_1 partition of public.parts for values from ('2020-01-01') to ('2021-01-01');
create table public.parts_2 partition of public.parts for values from ('2021-01-01') to ('2022-01-01');
create index on public.parts (n);
create sequence public.never_used;
create function public.twice(n int) returns int language plpgsql as 'begin return n * 2; end';
create function public.twice(n text) returns text language plpgsql as 'begin return n || n; end';
select public.twice(1), public.twice('a');
create unlogged table public.unlogged (id serial);
select pg_catalog.count(*) from public.parts;
"""
ONLY_ELSEWHERE = {
    14: {"checkpointer", "io", "subscription_errors"},
    15: {"checkpointer", "io"},
    16: {"checkpointer"},
    17: {"bgwriter"},
    18: {"bgwriter"},
}
"""Probes for other layouts of the catalogue."""
NOT_FOR_MONITOR = {"origins", "buffercache_summary"}
"""Probes that want a superuser or an extension that is not installed."""
MASKED = {
    "activity", "processes", "transactions", "tls", "replication", "wal_receiver", "progress_vacuum",
    "progress_vacuum_phase", "progress", "autovacuum", "wal_files", "archive_status", "tablespace_sizes",
}  # fmt: skip
"""Probes of which a role without pg_monitor would see a part only, or nothing."""


async def check_all(asked: Asked) -> None:
    """Ask everything; what comes must be a frame as exported: texts, numbers, no row twice."""
    for name, query in asked.queries.items():
        rows = await asked.rows(name)
        labels = len(query.probe.labels)
        for row in rows:
            values = list(row.values())
            assert all(type(value) is str for value in values[:labels]), (name, row)
            assert all(value is None or type(value) in (int, float) for value in values[labels:]), (name, row)
        keys = [tuple(row.values())[:labels] for row in rows]
        assert len(keys) == len(set(keys)), f"{name}: two rows with the same labels"


async def check_types(asked: Asked, server: ScratchPostgres, database: str) -> None:
    """Prepare everything; the types are known before there is a row."""
    async with connected(server, database) as connection:
        for name, query in asked.queries.items():
            types = [column.type.name for column in (await connection.prepare(query.sql)).get_attributes()]
            labels = len(query.probe.labels)
            assert set(types[:labels]) <= {"text"}, (name, types)
            assert set(types[labels:]) <= {"int8", "float8"}, (name, types)


async def test_every_query_answers_a_role_with_pg_monitor_and_nothing_else(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase, monitor_role: NewLogin
) -> None:
    database = await fresh_database(any_postgres)
    await any_postgres.psql(OBJECTS, database)
    login = await monitor_role(any_postgres)
    async with asking(any_postgres, database, login.user) as asked:
        await check_types(asked, any_postgres, database)
        await check_all(asked)
        for_replicas = {probe.name for probe in declared() if probe.role == "replica"}
        major = any_postgres.binaries.major
        rejected = {one.probe for one in asked.rejections if not one.what}
        assert rejected == for_replicas | ONLY_ELSEWHERE[major] | NOT_FOR_MONITOR


async def test_every_query_answers_a_superuser(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(any_postgres)
    await any_postgres.psql(OBJECTS, database)
    if any_postgres.binaries.major >= 16:
        await any_postgres.psql("create schema other; create extension pg_buffercache schema other", database)
    async with asking(any_postgres, database) as asked:
        await check_types(asked, any_postgres, database)
        await check_all(asked)
        assert "origins" in asked.queries
        assert ("buffercache_summary" in asked.queries) == (any_postgres.binaries.major >= 16)
        assert await asked.value("sequences", "pg_sequence_used_ratio", sequencename="never_used") == 0


async def test_every_query_answers_on_a_replica(postgres_pair: Pair, monitor_role: NewLogin) -> None:
    primary, replica = postgres_pair
    login = await monitor_role(primary)
    member = (
        f"SELECT 1 FROM pg_roles WHERE rolname = '{login.user}' AND pg_has_role(oid, 'pg_monitor', 'MEMBER')"
    )
    await until(lambda: replica.psql(member))
    async with asking(replica, user=login.user) as asked:
        await check_all(asked)
        assert {"conflicts", "wal_receiver"} <= asked.queries.keys()
        assert await asked.value("server", "pg_wal_replay_location_bytes") > 0
        assert await asked.value("server", "pg_timeline") == 1
        assert await asked.value("wal_receiver", "pg_stat_wal_receiver_status") == 2


async def test_a_role_without_pg_monitor_is_never_shown_a_part_as_the_whole(
    any_postgres: ScratchPostgres, fresh_database: NewDatabase, bare_role: NewLogin
) -> None:
    database = await fresh_database(any_postgres)
    login = await bare_role(any_postgres)
    async with asking(any_postgres, database, login.user) as asked:
        assert MASKED & asked.queries.keys() == set()
        await check_all(asked)
        reasons = {one.probe: one.reason for one in asked.rejections if not one.what}
        assert "role:pg_read_all_stats" in reasons["activity"]
        assert "role:pg_monitor" in reasons["wal_files"]


async def test_sizes_of_databases_that_a_role_may_not_enter_are_absent(
    postgres15: ScratchPostgres, fresh_database: NewDatabase, bare_role: NewLogin
) -> None:
    database = await fresh_database(postgres15)
    await postgres15.psql(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    login = await bare_role(postgres15)
    async with asking(postgres15, user=login.user) as asked:
        assert await asked.value("database_sizes", "pg_database_size_bytes", datname=database) is None
        assert await asked.value("database_sizes", "pg_database_size_bytes", datname="postgres")


@pytest.mark.parametrize("path", ["trap, pg_catalog", "trap"])
async def test_objects_of_the_same_name_in_the_search_path_change_nothing(
    postgres18: ScratchPostgres, fresh_database: NewDatabase, path: str
) -> None:
    database = await fresh_database(postgres18)
    async with connected(postgres18, database) as connection:
        await connection.execute("create schema trap")
        texts = "\n".join(probe.sql + str(probe.values) + str(probe.labels) for probe in declared())
        for relation in sorted(set(re.findall(r"pg_catalog\.(pg_[a-z_]+)(?![a-z_(])", texts))):
            await connection.execute(f"create table trap.{relation} (no_such_column text)")
        for function in ("count", "max", "min", "sum", "lower", "age", "now"):
            await connection.execute(
                f"create function trap.{function}(anyelement) returns int language plpgsql"
                " as 'begin raise exception $$trapped$$; end'"
            )
        async with asking(postgres18, database) as asked:
            for name, query in asked.queries.items():
                async with connection.transaction(readonly=True):
                    await connection.execute(f"set local search_path = {path}")
                    rows = await connection.fetch(query.sql)
                if not rows:
                    assert not await asked.rows(name)


async def test_names_of_any_bytes_in_a_database_without_encoding_hide_nothing(
    postgres15: ScratchPostgres, monitor_role: NewLogin
) -> None:
    login = await monitor_role(postgres15)
    await postgres15.psql(
        "create database raw template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
    )
    try:
        make = "create table %I (id serial primary key, part int)"
        await postgres15.psql(
            f"do $$ begin execute format('{make}', 't' || chr(255) || '\"x'); end $$", "raw"
        )
        async with asking(postgres15, "raw", login.user) as asked:
            await check_all(asked)
            tables = {dict(one.labels)["relname"] for one in (await asked.frame("tables")).samples()}
            assert tables == {'t\N{REPLACEMENT CHARACTER}"x'}
    finally:
        await postgres15.psql("drop database raw with (force)")


async def test_a_metric_of_two_layouts_is_not_called_missing_where_one_of_them_fits(
    postgres16: ScratchPostgres, postgres18: ScratchPostgres
) -> None:
    for server in (postgres16, postgres18):
        async with asking(server) as asked:
            given = {metric.name for query in asked.queries.values() for metric in query.metrics}
            assert "pg_stat_io_read_bytes_total" in given
            assert {one.what for one in asked.rejections if one.what} & given == set()
            for one in asked.rejections:
                assert "!" not in one.reason


GRAMMAR = {
    "and", "any", "as", "by", "case", "coalesce", "else", "exists", "extract", "filter", "from", "greatest", "in",
    "least", "materialized", "not", "nullif", "on", "operator", "or", "over", "select", "then", "union",
    "values", "when", "where", "with", "join", "lateral", "distinct", "bit",
}  # fmt: skip
CALL = re.compile(r"(?P<schema>pg_catalog\.|\{extension:\w+\}\.)?\b(?P<name>[a-z_0-9]+)\s*\(")
RELATION = re.compile(r"\b(?:from|join)\s+(?!lateral\b|select\b)(?P<name>[a-z_.]+)")


@pytest.mark.parametrize("probe", declared(), ids=lambda probe: probe.name)
def test_functions_and_relations_are_named_with_their_schema(probe: ProbeDef) -> None:
    texts = [probe.sql, *(sql for _, sql in probe.labels), *(sql for _, sql, _, _ in probe.values)]
    for text in (re.sub(r"'(?:[^']|'')*'", "''", text) for text in texts):
        # Names that the query itself gives: `with x as (`, `with tree(root, oid) as (`, `(...) m(mode)`.
        own = set(re.findall(r"(?:with|recursive|,)\s+([a-z_]+)(?:\([a-z, ]+\))?\s+as\s", text))
        columns = set(re.findall(r"\)\s+([a-z])\(", text))
        calls = [
            found["name"] for found in CALL.finditer(text)
            if not found["schema"] and found["name"] not in GRAMMAR | own | columns
        ]  # fmt: skip
        relations = [
            found["name"] for found in RELATION.finditer(re.sub(r"extract\(\w+ from", "extract(", text))
            if not found["name"].startswith("pg_catalog.") and found["name"] not in own
        ]  # fmt: skip
        assert calls + relations == []


def test_queries_bound_what_they_return() -> None:
    assert all(0 < probe.info.rows_max <= 500 for probe in declared())
    slow = [probe for probe in declared() if probe.info.cost != "light"]
    assert all(probe.info.every_seconds >= 30 for probe in slow), "what costs has a pace of its own"
