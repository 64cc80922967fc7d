"""Parameters are changed within bounds, read back, and taken back to the letter."""

from __future__ import annotations

import re
from typing import Any

import pytest

from actions.errors import NotDone
from actions.model import Refusal, Verdict
from actions.postgresql.reloadable import ALLOWED
from actions.postgresql.set_parameter import SetParameter
from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.acting_postgres import acting, asked, carried_out, planned, refusal, work
from tests.fixtures.databases import NewLogin
from tests.fixtures.servers import NewPostgres
from tests.fixtures.waiting import until

SET = SetParameter()


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
async def server(request: pytest.FixtureRequest, new_postgres: NewPostgres) -> ScratchPostgres:
    return await new_postgres(request.param)


def auto(server: ScratchPostgres) -> str:
    return (server.data / "postgresql.auto.conf").read_text(encoding="utf-8")


async def undone(plan: Any, session: Any, before: Any) -> Any:
    undo = SET.operations["alter"].undo
    assert undo is not None
    return await undo(work(plan, "alter", session, before))


@pytest.mark.parametrize("was", [None, "2MB", "3072"])
async def test_it_is_set_and_taken_back_to_the_letter(server: ScratchPostgres, was: str | None) -> None:
    if was is not None:
        await server.psql(f"alter system set work_mem = '{was}'")
        await server.psql("select pg_reload_conf()")
    file = auto(server)
    async with acting(server) as session:
        plan = await planned(SET, session, name="work_mem", value="8MB")
        assert all(result.allowed for result in await SET.check(plan, session))
        done = await carried_out(SET, plan, session)
        assert done["before"]["alter"] == {"was": was}
        assert done["results"]["read back"] == {"setting": "8192", "unit": "kB", "pending_restart": False}
        assert await server.psql("show work_mem") == "8MB"
        assert SET.judge(plan, {}, await SET.measure(plan, session)) is Verdict.IMPROVED
        for _ in range(2):
            await undone(plan, session, done["before"]["alter"])
        assert auto(server) == file

        async def back() -> bool:
            return await server.psql("show work_mem") == {None: "4MB", "2MB": "2MB", "3072": "3MB"}[was]

        await until(back, 60)


async def test_nothing_captured_means_nothing_to_take_back(server: ScratchPostgres) -> None:
    async with acting(server) as session:
        plan = await planned(SET, session, name="work_mem", value="8MB")
        file = auto(server)
        assert await undone(plan, session, {}) == {}
        assert auto(server) == file


async def test_what_somebody_else_set_meanwhile_is_left_to_people(server: ScratchPostgres) -> None:
    async with acting(server) as session:
        plan = await planned(SET, session, name="work_mem", value="8MB")
        done = await carried_out(SET, plan, session)
        await server.psql("alter system set work_mem = '9MB'")
        with pytest.raises(NotDone, match="decide by hand"):
            await undone(plan, session, done["before"]["alter"])
        assert "work_mem = '9MB'" in auto(server)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("work_mem", "1TB", "may be set between 64 and 4.1943e+06 kB"),
        ("work_mem", "-1", "has to be between"),
        ("work_mem", "8 parsecs", "should be a number in kB"),
        ("work_mem", "8s", "should be a number in kB"),
        ("work_mem", "1e3", "should be a number"),
        ("work_mem", "'; drop table t; --", "should be a number"),
        ("work_mem", "8MB' ; select 1", "should be a number"),
        ("checkpoint_timeout", "1s", "has to be between 30 and 86400 s"),
        ("checkpoint_timeout", "40", "may be set between 60000 and 3.6e+06 ms"),
        ("checkpoint_completion_target", "0.1", "may be set between 0.5 and 1"),
        ("track_functions", "some", "one of none, pl, all"),
        ("log_checkpoints", "perhaps", "on or off"),
        ("fsync", "off", "not on the list"),
        ("shared_buffers", "1GB", "not on the list"),
        ("archive_command", "rm -rf /", "not on the list"),
    ],
)
async def test_what_may_not_be_set_is_refused(
    postgres18: ScratchPostgres, name: str, value: str, words: str
) -> None:
    async with acting(postgres18) as session:
        assert words in (await refusal(SET, session, name=name, value=value)).reason


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("log_min_duration_statement", "-1", "-1"),
        ("log_min_duration_statement", "2s", "2s"),
        ("max_wal_size", "2GB", "2GB"),
        ("checkpoint_timeout", "10min", "10min"),
        ("random_page_cost", "1.1", "1.1"),
        ("track_functions", "pl", "pl"),
        ("log_checkpoints", "off", "off"),
        ("autovacuum_vacuum_cost_delay", "1.5ms", "1500us"),
        ("effective_cache_size", "1048576", "8GB"),
    ],
)
async def test_values_of_every_kind(new_postgres: NewPostgres, name: str, value: str, shown: str) -> None:
    server = await new_postgres(15)
    async with acting(server) as session:
        await carried_out(SET, await planned(SET, session, name=name, value=value), session)
    assert await server.psql(f"show {name}") == shown


@pytest.mark.parametrize("major", [14, 15, 16, 17, 18])
async def test_every_name_on_the_list_takes_effect_without_a_restart(servers: Any, major: int) -> None:
    server = await servers.get(major)
    names = ", ".join(f"'{name}'" for name in ALLOWED)
    found = await server.psql(
        f"select name from pg_settings where context <> 'postmaster' and name in ({names})"
    )
    assert set(found.split()) == set(ALLOWED)


async def test_what_waits_for_a_restart_is_told(server: ScratchPostgres) -> None:
    await server.psql("alter system set max_connections = 77")
    await server.psql("select pg_reload_conf()")
    async with acting(server) as session:

        async def warned() -> bool:
            plan = await planned(SET, session, name="work_mem", value="8MB")
            return any("max_connections" in warning for warning in plan.warnings)

        await until(warned, 60)


async def test_a_file_with_mistakes_is_not_read_again(server: ScratchPostgres) -> None:
    with (server.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write("maintenance_work_mem = 'a lot'\n")
    async with acting(server) as session:
        assert "mend them first" in (await refusal(SET, session, name="work_mem", value="8MB")).reason


async def test_where_alter_system_is_off_nothing_is_set(new_postgres: NewPostgres) -> None:
    server = await new_postgres(17, settings={"allow_alter_system": "off"})
    async with acting(server) as session:
        assert (
            "allow_alter_system is off" in (await refusal(SET, session, name="work_mem", value="8MB")).reason
        )


async def test_the_rights_can_be_granted_one_by_one(
    new_postgres: NewPostgres, monitor_role: NewLogin
) -> None:
    server = await new_postgres(16)
    login = await monitor_role(server)
    async with acting(server, login=login) as session:
        for _ in range(3):
            refused = await SET.plan(asked(name="work_mem", value="8MB"), session)
            if isinstance(refused, Refusal):
                await server.psql("; ".join(re.findall(r"GRANT [^;]+", refused.reason)))
        plan = await planned(SET, session, name="work_mem", value="8MB")
        await carried_out(SET, plan, session)
    assert await server.psql("show work_mem") == "8MB"


async def test_before_15_only_a_superuser_may(postgres14: ScratchPostgres, monitor_role: NewLogin) -> None:
    login = await monitor_role(postgres14)
    async with acting(postgres14, login=login) as session:
        assert "only a superuser may" in (await refusal(SET, session, name="work_mem", value="8MB")).reason


async def test_what_our_own_role_was_given_does_not_hide_it(server: ScratchPostgres) -> None:
    await server.psql("alter role current_user set work_mem = '5MB'")
    async with acting(server) as session:
        plan = await planned(SET, session, name="work_mem", value="8MB")
        await carried_out(SET, plan, session)
    assert "work_mem = '8MB'" in auto(server)


def test_what_is_not_measured_is_not_judged() -> None:
    assert SET.judge(None, {}, {}) is Verdict.INCONCLUSIVE  # type: ignore[arg-type]
    waiting = {"in_force": 1.0, "pending_restart": 1.0}
    assert SET.judge(None, {}, waiting) is Verdict.NEUTRAL  # type: ignore[arg-type]
