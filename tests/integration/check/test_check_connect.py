"""`dbarchitect check --connect` on real servers: what works, what is missing, and what to run for it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from collectors.strict_yaml import dump
from daemon import config as configuration
from daemon.check import TargetReport, check_connect
from tests.fixtures.clients import connected
from tests.fixtures.databases import Login, NewLogin
from tests.fixtures.proxy import NewProxy
from tests.fixtures.servers import NewPostgres

COMMAND = "import typer; from daemon.commands.check import check; typer.run(check)"


def target(name: str, server: Any, login: Login, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "engine": "postgresql",
        "host": server.host,
        "port": server.port,
        "user": login.user,
        "password": {"text": login.password},
        **more,
    }


def written(tmp_path: Path, *targets: dict[str, object], **more: object) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(dump({"allow_inline_secrets": True, "targets": list(targets), **more}))
    return path


async def asked(path: Path, **how: float) -> dict[str, TargetReport]:
    return {one.name: one for one in await check_connect(configuration.load(path), extra_seconds=20, **how)}


async def command(path: Path, *options: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, str(path), "--connect", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def state_of(report: TargetReport, feature: str) -> tuple[str, str]:
    return next((one.state, one.remedy) for one in report.findings if one.feature == feature)


async def test_a_server_with_all_rights_is_described(
    postgres15: ScratchPostgres, monitor_role: NewLogin, tmp_path: Path
) -> None:
    login = await monitor_role(postgres15)
    report = (await asked(written(tmp_path, target("a", postgres15, login))))["a"]
    assert report.up
    assert report.version.startswith("15.")
    assert report.role == "primary"
    assert state_of(report, "role pg_monitor") == ("ok", "")
    assert state_of(report, "clock")[0] == "ok"
    assert {"database", "activity", "locks"} <= set(report.working)
    assert report.failing == ()
    assert not {one.probe for one in report.rejections if not one.what} & set(report.working)


async def test_the_grant_that_is_missing_is_named_and_running_it_helps(
    postgres15: ScratchPostgres, bare_role: NewLogin, tmp_path: Path
) -> None:
    login = await bare_role(postgres15)
    path = written(tmp_path, target("a", postgres15, login))
    report = (await asked(path))["a"]
    state, remedy = state_of(report, "role pg_monitor")
    assert state == "missing"
    assert not report.ok
    assert remedy == f'GRANT pg_monitor TO "{login.user}";'
    await postgres15.psql(remedy)
    assert state_of((await asked(path))["a"], "role pg_monitor") == ("ok", "")


async def test_one_that_hangs_and_one_that_refuses_delay_nobody(
    postgres15: ScratchPostgres, monitor_role: NewLogin, proxy: NewProxy, tmp_path: Path
) -> None:
    login = await monitor_role(postgres15)
    hung = await proxy(postgres15)
    hung.stall()
    nobody = target("refused", postgres15, login) | {"port": free_port()}
    path = written(
        tmp_path,
        *(target(f"hung{n}", hung, login, deadline="1s") for n in range(4)),
        nobody,
        target("wrong", postgres15, Login(login.user, "c4n4ry-wrong")),
        target("good", postgres15, login),
    )
    began = time.monotonic()
    reports = await asked(path)
    took = time.monotonic() - began
    assert list(reports) == ["hung0", "hung1", "hung2", "hung3", "refused", "wrong", "good"]
    assert reports["good"].up
    causes = {name: one.failure.cause for name, one in reports.items() if one.failure}
    assert causes == {f"hung{n}": "timed_out" for n in range(4)} | {
        "refused": "unreachable",
        "wrong": "credentials",
    }
    assert took < 10


async def test_it_leaves_no_session_behind(
    postgres15: ScratchPostgres, monitor_role: NewLogin, tmp_path: Path
) -> None:
    login = await monitor_role(postgres15)
    await asked(written(tmp_path, target("a", postgres15, login)))
    async with connected(postgres15) as connection:
        for _ in range(50):
            left = await connection.fetchval(
                "select count(*) from pg_stat_activity where usename = $1", login.user
            )
            if not left:
                break
            await asyncio.sleep(0.1)
    assert left == 0


async def test_the_command_shows_tables_and_the_exit_tells(
    postgres15: ScratchPostgres, bare_role: NewLogin, tmp_path: Path
) -> None:
    login = await bare_role(postgres15)
    down = target("down", postgres15, login) | {"port": free_port()}
    code, out, err = await command(written(tmp_path, target("a", postgres15, login), down))
    assert code == 1
    assert err == ""
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f'do GRANT pg_monitor TO "{login.user}";' in lines
    assert any(line.startswith("reachable no unreachable: ") for line in lines)
    assert any(line.startswith("reachable ok answers in ") for line in lines)
    assert any(line.startswith("collectors ok ") and "database" in line for line in lines)
    assert login.password not in out + err


async def test_the_command_in_json_can_be_read_by_a_program(
    postgres15: ScratchPostgres, monitor_role: NewLogin, tmp_path: Path
) -> None:
    login = await monitor_role(postgres15)
    code, out, err = await command(written(tmp_path, target("a", postgres15, login)), "--output", "json")
    (server,) = json.loads(out)["servers"]
    assert code == (0 if server["ok"] else 1)
    assert err == ""
    assert server["version"].startswith("15.")
    assert {"feature", "state", "detail", "remedy"} == set(server["findings"][0])
    assert login.password not in out


async def test_a_replica_is_called_one(new_postgres: NewPostgres, tmp_path: Path) -> None:
    primary = await new_postgres(15)
    replica = await new_postgres(replica_of=primary)
    await primary.psql("create role mon login password 'right'; grant pg_monitor to mon")
    for _ in range(100):
        if await replica.psql("select 1 from pg_roles where rolname = 'mon'"):
            break
        await asyncio.sleep(0.1)
    login = Login("mon", "right")
    reports = await asked(written(tmp_path, target("p", primary, login), target("r", replica, login)))
    assert {name: one.role for name, one in reports.items()} == {"p": "primary", "r": "replica"}


@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_servers_are_asked_at_once_than_allowed(at_once: int, tmp_path: Path) -> None:
    now, most = 0, 0

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        while await reader.read(1000):
            pass
        now -= 1
        writer.close()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hung = {"engine": "postgresql", "host": "127.0.0.1", "port": port, "deadline": "500ms"}
        path = written(tmp_path, *({"name": f"t{n}", **hung} for n in range(6)))
        reports = await asked(path, at_once=at_once)
    assert [one.failure and one.failure.cause for one in reports.values()] == ["timed_out"] * 6
    assert most == at_once
