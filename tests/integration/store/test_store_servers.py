"""A store on PostgreSQL whose server dies, whose answers are lost, whose replica takes over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from actions.errors import StoreDamaged, StoreUnavailable
from actions.model import State
from actions.scratch.postgres import ScratchPostgres
from daemon.store.options import Part
from daemon.store.store import SqlStore
from tests.fixtures.databases import NewLogin
from tests.fixtures.proxy import NewProxy, Proxy
from tests.fixtures.replicating import streams
from tests.fixtures.servers import NewPostgres
from tests.fixtures.stores import NewPlace, Somewhere, claim, propose, record, server_options
from tests.fixtures.waiting import until

# COMMIT takes its time: deferred triggers are a part of it.
SLOW_COMMIT = """
SET search_path = dbarchitect;
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON head DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION slow();
"""
COMMITTING = (
    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COMMIT%' AND wait_event = 'PgSleep' "
    "AND datname = '{}'"
)


async def behind(wire: Proxy, home: Somewhere, **more: Any) -> SqlStore:
    """Open a store through a wire that can be cut."""
    assert home.options.server
    server = home.options.server.model_copy(update={"port": wire.port})
    home.options = replace(home.options, server=server)
    return await home.open(**more)


async def committing(home: Somewhere) -> str:
    """Wait until a transaction is in the middle of its COMMIT; return its server process."""
    assert home.server
    assert home.options.server
    query = COMMITTING.format(home.options.server.dbname)
    return str(await until(lambda: home.server and home.server.psql(query)))


async def slow_store(somewhere: NewPlace, proxy: NewProxy, **more: Any) -> tuple[Somewhere, Proxy, SqlStore]:
    """Return a store behind a wire whose every COMMIT lasts a second."""
    home = await somewhere("postgresql")
    assert home.server
    wire = await proxy(home.server)
    store = await behind(wire, home, **more)
    await propose(store, "e1")
    assert home.options.server
    await home.server.psql(SLOW_COMMIT, home.options.server.dbname)
    return home, wire, store


async def kinds(store: SqlStore) -> list[str]:
    return [str(each.kind) for each in await store.records("e1")]


async def test_a_commit_whose_answer_was_lost_is_known_to_have_happened(
    somewhere: NewPlace, proxy: NewProxy
) -> None:
    home, wire, store = await slow_store(somewhere, proxy)
    async with asyncio.TaskGroup() as group:
        moved = group.create_task(store.move(claim()))
        await committing(home)
        await wire.cut()
    assert moved.result() is True
    assert await kinds(store) == ["proposed", "claimed"], "once"
    report = await store.verify()
    assert (report.records, report.first_bad) == (2, None)


async def test_a_commit_that_was_broken_off_is_done_again(somewhere: NewPlace, proxy: NewProxy) -> None:
    home, _, store = await slow_store(somewhere, proxy)
    assert home.server
    async with asyncio.TaskGroup() as group:
        moved = group.create_task(store.move(claim()))
        await home.server.psql(f"SELECT pg_terminate_backend({await committing(home)})")
    assert moved.result() is True
    assert await kinds(store) == ["proposed", "claimed"], "once"


async def test_a_commit_of_which_nobody_can_tell_is_said_to_be_unknown(
    somewhere: NewPlace, proxy: NewProxy
) -> None:
    home, wire, store = await slow_store(somewhere, proxy, answer_seconds=2.0, wait_seconds=0.5)
    async with asyncio.TaskGroup() as group:
        moved = group.create_task(refused(store))
        await committing(home)
        await wire.refuse()
        await wire.cut()
    assert "whether record 2 was written is not known" in moved.result()
    await wire.listen()
    # It was, and no second one is written by who asks again.
    assert await store.move(claim()) is False
    assert await kinds(store) == ["proposed", "claimed"]


async def refused(store: SqlStore) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await store.move(claim())
    return str(caught.value)


@pytest.mark.parametrize("end", ["kill", "immediate"])
async def test_a_server_that_dies_in_mid_transaction_loses_nothing_that_was_answered(
    new_postgres: NewPostgres, somewhere: NewPlace, end: Literal["kill", "immediate"]
) -> None:
    server, home = await of_its_own(new_postgres, somewhere)
    store = await home.open(answer_seconds=20.0)
    outcomes: dict[int, bool | str] = {}
    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(write(store, number, outcomes))
        await until(lambda: len(outcomes) >= 15, every=0.001)
        await (server.kill() if end == "kill" else server.stop("immediate"))
        await server.start()
    done = [each.body["n"] for each in await store.records("")]
    assert len(done) == len(set(done)), "nothing twice"
    assert {number for number, result in outcomes.items() if result is True} <= set(done)
    for number, result in outcomes.items():
        assert result is True or number not in done or "not known" in str(result), (number, result)
    assert await store.write(record(body={"n": -1}))
    report = await store.verify()
    assert (report.records, report.first_bad, report.problem) == (len(done) + 1, None, "")


async def write(store: SqlStore, number: int, outcomes: dict[int, bool | str]) -> None:
    try:
        outcomes[number] = await store.write(record(body={"n": number}))
    except StoreUnavailable as error:
        outcomes[number] = str(error)


async def of_its_own(new_postgres: NewPostgres, somewhere: NewPlace) -> tuple[ScratchPostgres, Somewhere]:
    """Make a server that may be killed, and a place for a store on it."""
    home = await somewhere("inline")
    server = await new_postgres(15)
    home.kind, home.server = "postgresql", server
    home.options = replace(home.options, path=None, server=server_options(server, "postgres"))
    return server, home


async def test_a_replica_that_takes_over_in_mid_action_is_gone_on_with(
    new_postgres: NewPostgres, somewhere: NewPlace, proxy: NewProxy
) -> None:
    primary, home = await of_its_own(new_postgres, somewhere)
    replica = await new_postgres(replica_of=primary)
    await streams(primary, replica)
    # Every COMMIT waits for the replica: what was answered is there.
    await primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    await primary.psql("SELECT pg_reload_conf()")
    wire = await proxy(primary)
    store = await behind(wire, home)
    grant = await store.grant("a", 300.0)
    assert grant
    await propose(store, "e1", "e2")
    assert await store.move(claim(epoch=grant.epoch, lease_epoch=grant.epoch))
    await primary.kill()
    wire.server = replica
    with pytest.raises(StoreUnavailable, match=r"takes no writes|read-only|standby|read-write"):
        await store.write(record())
    await replica.promote()
    running = replace(claim(epoch=grant.epoch), expected={State.CLAIMED}, expected_epoch=1, to=State.RUNNING)
    assert await store.move(replace(running, lease_epoch=grant.epoch))
    again = await store.grant("a", 300.0)
    assert again
    assert (again.epoch, again.fresh) == (grant.epoch, False)
    report = await store.verify()
    assert (report.records, report.first_bad, report.problem) == (4, None, "")
    await a_replica_that_had_not_received_all(replica, new_postgres, wire, store)


async def a_replica_that_had_not_received_all(
    primary: ScratchPostgres, new_postgres: NewPostgres, wire: Proxy, store: SqlStore
) -> None:
    """F07, as a failover makes it: the next replica misses what was answered last."""
    await primary.psql("ALTER SYSTEM RESET synchronous_standby_names")
    await primary.psql("SELECT pg_reload_conf()")
    late = await new_postgres(replica_of=primary)
    await streams(primary, late)
    await late.psql("ALTER SYSTEM SET primary_conninfo = ''")
    await late.psql("SELECT pg_reload_conf()")
    await until(lambda: late.psql("SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"))
    assert await store.write(record(body={"n": "not received"}))
    await primary.kill()
    await late.promote()
    wire.server = late
    with pytest.raises(StoreDamaged, match="a replica took over that had not received it"):
        await store.move(replace(claim("e2"), lease_epoch=1))
    assert len(await store.journal()) == 4


async def test_a_password_that_changes_is_read_anew(
    somewhere: NewPlace, bare_role: NewLogin, tmp_path: Path
) -> None:
    home = await somewhere("postgresql")
    assert home.server
    assert home.options.server
    database = home.options.server.dbname
    login = await bare_role(home.server)
    file = tmp_path / "password"
    file.write_text(login.password)
    file.chmod(0o600)
    named = server_options(home.server, database).model_dump() | {"user": login.user}
    home.options = replace(
        home.options, server=type(home.options.server)(**(named | {"password": {"file": str(file)}}))
    )
    with pytest.raises(StoreUnavailable, match="CREATE SCHEMA dbarchitect AUTHORIZATION"):
        await home.open()
    await home.server.psql(f"CREATE SCHEMA dbarchitect AUTHORIZATION {login.user}", database)
    store = await home.open()
    await propose(store, "e1")
    kick = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login.user}'"
    await home.server.psql(f"ALTER ROLE {login.user} PASSWORD 'the-second-one'; {kick}")
    with pytest.raises(StoreUnavailable, match="password authentication failed") as caught:
        await store.move(claim())
    assert login.password not in str(caught.value)
    file.write_text("the-second-one")
    assert await store.move(claim())
    assert (await store.verify()).records == 2


async def test_a_server_that_does_not_answer_is_given_up(somewhere: NewPlace, proxy: NewProxy) -> None:
    home = await somewhere("postgresql")
    assert home.server
    wire = await proxy(home.server)
    store = await behind(wire, home, answer_seconds=1.0, wait_seconds=0.5)
    await propose(store, "e1")
    wire.stall()
    with pytest.raises(StoreUnavailable, match=r"it did not answer in time|not known"):
        await store.move(claim())
    wire.heal()
    assert await until(lambda: moved_or_refused(store))
    assert await store.write(record())
    assert await kinds(store) == ["proposed", "claimed"]


async def moved_or_refused(store: SqlStore) -> bool:
    """Claim, and tell whether it is claimed by now: also by what was given up before."""
    try:
        await store.move(claim())
    except StoreUnavailable:
        return False
    return len(await store.records("e1")) > 1


async def test_a_server_that_is_not_there_is_named(somewhere: NewPlace, proxy: NewProxy) -> None:
    home = await somewhere("postgresql")
    assert home.server
    wire = await proxy(home.server)
    await wire.refuse()
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{wire.port}"):
        await behind(wire, home)


async def test_who_holds_the_journal_for_too_long_is_not_waited_for(somewhere: NewPlace) -> None:
    home = await somewhere("postgresql")
    store = await home.open(wait_seconds=0.3)
    await propose(store, "e1")
    assert home.server
    assert home.options.server
    async with asyncio.TaskGroup() as group:
        holder = group.create_task(
            home.server.psql(
                "BEGIN; SELECT * FROM dbarchitect.head FOR UPDATE; SELECT pg_sleep(2); COMMIT",
                home.options.server.dbname,
            )
        )
        await until(
            lambda: (
                home.server
                and home.server.psql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            )
        )
        with pytest.raises(StoreUnavailable, match="another transaction holds the journal for too long"):
            await store.move(claim())
        assert await store.execution("e1"), "readers do not wait for it"
        await holder
    assert await store.move(claim())


async def test_a_reader_writes_nothing_on_a_server(somewhere: NewPlace) -> None:
    home = await somewhere("postgresql")
    await (await home.open()).write(record())
    reader = await home.open(Part.READER)
    with pytest.raises(StoreUnavailable, match="takes no writes"):
        await reader.write(record())
    assert (await reader.verify()).records == 1
