"""Bloat: against what VACUUM FULL and REINDEX really give back."""

from __future__ import annotations

from typing import Any

import pytest

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.clients import connected
from tests.fixtures.databases import NewDatabase, NewLogin
from tests.fixtures.runners import given, monitoring_session, runner_of
from tests.fixtures.servers import Servers

N = 100_000
CASES = {
    # name: (columns, rows, expression, what happens then, fillfactor)
    "none": ("id int, a int, t text", N, "g, g % 7, md5(g::text)", ["vacuum {n}"], 100),
    "deleted_30": ("id int, a int, t text", N, "g, g % 7, md5(g::text)", ["delete from {n} where id % 10 < 3", "vacuum {n}"], 100),
    "deleted_80": ("id int, a int, t text", N, "g, g % 7, md5(g::text)", ["delete from {n} where id % 10 < 8", "vacuum {n}"], 100),
    "updated_all": ("id int, a int, t text", N, "g, g % 7, md5(g::text)", ["update {n} set a = a + 1", "vacuum {n}"], 100),
    "fillfactor_70": ("id int, a int, t text", N, "g, g % 7, md5(g::text)", ["delete from {n} where id % 10 < 3", "vacuum {n}"], 70),
    "fillfactor_70_full": ("id int, a int, t text", N, "g, g % 7, md5(g::text)", ["vacuum {n}"], 70),
    "wide": ("id int, j jsonb, t text, n numeric", N // 4, "g, jsonb_build_object('a', g, 'b', repeat('x', g % 200)), repeat('y', g % 311), g * 1.5", ["delete from {n} where id % 2 = 0", "vacuum {n}"], 100),
    "alignment": ("b bool, i bigint, b2 bool, i2 bigint, s smallint", N, "g % 2 = 0, g, g % 3 = 0, g, (g % 100)::smallint", ["delete from {n} where i % 4 = 0", "vacuum {n}"], 100),
    "nulls": ("id int, a text, b text, c text, d int", N, "g, case when g % 10 = 0 then md5(g::text) end, case when g % 20 = 0 then md5(g::text) end, null, case when g % 3 = 0 then g end", ["delete from {n} where id % 5 = 0", "vacuum {n}"], 100),
    "dead_rows": ("id int, a int, t text", N, "g, g % 7, md5(g::text)", ["vacuum {n}", "delete from {n} where id % 10 < 3"], 100),
}  # fmt: skip
POINTS = 3.0


@pytest.fixture(scope="module", params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, servers: Servers) -> ScratchPostgres:
    return await servers.get(request.param)


async def sizes(connection: Any, names: Any) -> dict[str, int]:
    rows = await connection.fetch(
        "select relname, pg_relation_size(oid) as bytes from pg_class where relname = any($1)", list(names)
    )
    return {row["relname"]: row["bytes"] for row in rows}


async def ratios(server: ScratchPostgres, database: str, kind: str = "table") -> Any:
    async with monitoring_session(server, database) as session:
        result = await runner_of("bloat", "bloat").run(session)
    found = given(result, f"pg_{kind}_bloat_ratio")
    return {(key[-2], key[-1]): value for key, value in found.items() if key[1] == "public"}, result


async def test_both_figures_are_within_three_points_of_what_vacuum_full_gives_back(
    server: ScratchPostgres, fresh_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.postgresql.bloat_measure.TABLES", 100)
    database = await fresh_database(server)
    async with connected(server, database) as connection:
        await connection.execute("create extension pgstattuple")
        for name, (columns, rows, expression, then, fillfactor) in CASES.items():
            await connection.execute(
                f"create table {name} ({columns}) with (autovacuum_enabled = off, fillfactor = {fillfactor})"
            )
            await connection.execute(
                f"insert into {name} select {expression} from generate_series(1, {rows}) g"
            )
            await connection.execute("select pg_stat_force_next_flush()")
            await connection.execute(f"analyze {name}")
            for sql in then:
                await connection.execute(sql.format(n=name))
                await connection.execute("select pg_stat_force_next_flush()")
            if name != "dead_rows":
                await connection.execute(f"analyze {name}")
        await connection.execute("select pg_stat_force_next_flush()")
        before = await sizes(connection, CASES)
        found, _ = await ratios(server, database)
        for name in CASES:
            await connection.execute(f"vacuum full {name}")
        after = await sizes(connection, CASES)
    wrong = {}
    for name in CASES:
        truth = 100 * (1 - after[name] / before[name])
        figures = {method: 100 * found[name, method] for method in ("estimate", "pgstattuple_approx")}
        print(name, round(truth, 1), {key: round(value, 1) for key, value in figures.items()})
        if any(abs(value - truth) > POINTS for value in figures.values()):
            wrong[name] = (truth, figures)
    assert not wrong


INDEXES = {
    "i_fresh": ("id", "a"),
    "i_equal": ("a", "a"),
    "i_text": ("t", "a"),
    "i_two": ("a, id", "a"),
    "i_expression": ("(lower(t))", "a"),
    "i_partial": ("id) where (a = 3", "a"),
    "i_nullable": ("z", "a"),
}


async def test_index_estimates_are_near_what_reindex_gives_back(
    server: ScratchPostgres, fresh_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.postgresql.bloat_measure.INDEXES", 100)
    database = await fresh_database(server)
    async with connected(server, database) as connection:
        await connection.execute("create extension pgstattuple")
        await connection.execute(
            "create table many (id int, a int, t text, z int) with (autovacuum_enabled = off)"
        )
        await connection.execute(
            f"insert into many select g, g % 7, md5(g::text), case when g % 3 = 0 then g end from generate_series(1, {N}) g"
        )
        for name, (columns, _) in INDEXES.items():
            await connection.execute(f"create index {name} on many ({columns})")
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("analyze many")
        fresh, _ = await ratios(server, database, "index")
        await connection.execute("delete from many where id % 10 < 4")
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("vacuum analyze many")
        await connection.execute("select pg_stat_force_next_flush()")
        before = await sizes(connection, INDEXES)
        found, _ = await ratios(server, database, "index")
        await connection.execute("reindex table many")
        after = await sizes(connection, INDEXES)
    wrong = {}
    for name in INDEXES:
        truth = 100 * (1 - after[name] / before[name])
        figures = {method: round(100 * found[name, method], 1) for method in ("estimate", "pgstatindex")}
        print(name, round(truth, 1), figures, round(100 * fresh[name, "estimate"], 1))
        if abs(figures["estimate"] - truth) > 8 or fresh[name, "estimate"] > 0.08:
            wrong[name] = (truth, figures, fresh[name, "estimate"])
        if abs(figures["pgstatindex"] - truth) > POINTS:
            wrong[name] = (truth, figures)
    assert not wrong


async def test_a_role_without_select_gets_no_estimate_but_the_reason_and_the_measured_figure(
    server: ScratchPostgres, fresh_database: NewDatabase, monitor_role: NewLogin
) -> None:
    database = await fresh_database(server)
    login = await monitor_role(server)
    async with connected(server, database) as connection:
        await connection.execute("create extension pgstattuple")
        await connection.execute(
            "create table hidden with (autovacuum_enabled = off) as select g id, md5(g::text) t from generate_series(1, 20000) g"
        )
        await connection.execute("delete from hidden where id % 2 = 0")
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("vacuum analyze hidden")
    async with monitoring_session(server, database, login) as session:
        result = await runner_of("bloat", "bloat").run(session)
    found = given(result, "pg_table_bloat_ratio")
    assert (database, "public", "hidden", "estimate") not in found
    assert found[database, "public", "hidden", "pgstattuple_approx"] == pytest.approx(0.5, abs=0.03)
    assert given(result, "pg_bloat_unknown_tables")[database, "no_select"] >= 1


async def test_without_the_extension_there_is_the_estimate_and_nothing_fails(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server)
    async with connected(server, database) as connection:
        await connection.execute(
            "create table t with (autovacuum_enabled = off) as select g id from generate_series(1, 20000) g"
        )
        await connection.execute("delete from t where id % 2 = 0")
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("vacuum analyze t")
    found, _ = await ratios(server, database)
    assert found["t", "estimate"] == pytest.approx(0.5, abs=0.03)
    assert ("t", "pgstattuple_approx") not in found


async def test_a_table_that_nobody_analyzed_is_unknown_and_not_zero(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server)
    _, result = await ratios(server, database)
    before = given(result, "pg_bloat_unknown_tables")[database, "not_analyzed"]
    async with connected(server, database) as connection:
        await connection.execute(
            "create table t with (autovacuum_enabled = off) as select g id from generate_series(1, 20000) g"
        )
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("vacuum t")
    found, result = await ratios(server, database)
    assert ("t", "estimate") not in found
    assert given(result, "pg_bloat_unknown_tables")[database, "not_analyzed"] == before + 1


async def test_a_table_locked_by_somebody_holds_nothing_up(
    server: ScratchPostgres, fresh_database: NewDatabase
) -> None:
    database = await fresh_database(server)
    async with connected(server, database) as connection:
        await connection.execute(
            "create table locked with (autovacuum_enabled = off) as select g id from generate_series(1, 20000) g"
        )
        await connection.execute(
            "create table free with (autovacuum_enabled = off) as select g id from generate_series(1, 20000) g"
        )
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("vacuum analyze")
        async with connection.transaction():
            await connection.execute("lock table locked in access exclusive mode")
            found, _ = await ratios(server, database)
    assert ("free", "estimate") in found
    assert ("locked", "estimate") not in found
