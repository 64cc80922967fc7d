"""`dbarchitect stop` and `dbarchitect resume`: the kill switch, also beside a daemon that does not answer."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from daemon.terminal.asking import Form, asked, decline
from daemon.terminal.client import Address, CannotAsk, Client, Declined, connected
from daemon.terminal.options import CaFile, ConfigFile, Output, TokenFile, Url, address, give_up
from daemon.terminal.plan_text import when
from daemon.terminal.screen import Column, console, plain, table

PATH = "/api/v1/stop"
DIRECT_SECONDS = 15.0
Shown = Mapping[str, Any]
Target = Annotated[str, typer.Option(help="Only this target.")]
Action = Annotated[str, typer.Option(help="Only this action.")]


def stop(
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    why: Annotated[str, typer.Option(help="Why; everybody reads it.")] = "",
    target: Target = "",
    action: Action = "",
    direct: Annotated[
        bool, typer.Option("--direct", help="Into the journal of --config, without asking the daemon.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Only list what is stopped.")] = False,
    output: Form = Output.TABLE,
) -> None:
    """Stop acting: everything, or one target or action. Scope `approve` or `admin`. It outlives restarts.

    With --config, a daemon that does not answer is stopped through its journal, or by its stop file.
    Exit code 0: stopped. 1: the daemon declined. 2: nobody could be reached, nothing is stopped.
    """
    if direct and config is None:
        give_up("--direct needs --config: it names the journal")
    if not show and not why.strip():
        give_up("--why is missing: say why, everybody will ask")
    where = address(url, config, token_file, ca_file)
    if show:
        _print(asked(where, lambda client: _ask(client, "GET")), output)
        return
    body = {"why": why, "target": target, "action": action}
    if direct and config is not None:
        _stop_directly(config, body, "", output)
        return
    try:
        flags = asyncio.run(_through_daemon(where, body))
    except Declined as error:
        decline(str(error))
    except CannotAsk as error:
        if config is None:
            give_up(f"{error} Nothing is stopped; with --config FILE the journal is written to instead.")
        _stop_directly(config, body, str(error), output)
    else:
        _print(flags, output)


def resume(
    note: Annotated[str, typer.Option(help="Why it may go on; kept in the journal.")],
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    target: Target = "",
    action: Action = "",
    output: Form = Output.TABLE,
) -> None:
    """Take a stop back: the one for everything, or that of a target or action. Scope `admin`.

    Exit code 0: taken back; others may still be set. 1: the daemon declined. 2: it could not be asked.
    """
    body = {"note": note, "target": target, "action": action}
    _print(asked(address(url, config, token_file, ca_file), lambda one: _ask(one, "DELETE", body)), output)


async def _through_daemon(where: Address, body: Mapping[str, str]) -> Sequence[Shown]:
    async with connected(where) as client:
        return await _ask(client, "POST", body)


async def _ask(client: Client, method: str, body: Mapping[str, str] | None = None) -> Sequence[Shown]:
    answer = await client.ask(method, PATH, body=body)
    try:
        names = ("target", "action", "by", "why", "at")
        return [{name: each[name] for name in names} for each in answer["stops"]]
    except (LookupError, TypeError):
        raise CannotAsk(client.stranger(PATH, "it has another form")) from None


def _stop_directly(config: Path, body: Mapping[str, str], trouble: str, output: Output) -> None:
    # Here and not above: the store takes a second to load, which the other ways need not wait for.
    from actions.errors import ActError  # noqa: PLC0415
    from daemon import config as configuration  # noqa: PLC0415

    if trouble:
        typer.echo(f"dbarchitect: {plain(trouble)}", err=True)
    loaded = configuration.load(config)
    try:
        flags = asyncio.run(_into_store(loaded, body))
    except (ActError, OSError, TimeoutError) as error:
        why = str(error) or f"no answer within {DIRECT_SECONDS:g} s"
        _by_file(Path(loaded.acting.stop_file), body, why)
        return
    typer.echo("written into the journal: a daemon that lives sees it within five seconds", err=True)
    _print(flags, output)


async def _into_store(config: Any, body: Mapping[str, str]) -> Sequence[Shown]:  # noqa: ANN401 - loaded above
    from actions.ports import Stop  # noqa: PLC0415
    from daemon.acting.steady import SteadyClock  # noqa: PLC0415
    from daemon.acting.switch import stop_record  # noqa: PLC0415
    from daemon.http.acting_json import stop as shown  # noqa: PLC0415
    from daemon.store.configured import options_of  # noqa: PLC0415
    from daemon.store.opening import open_store  # noqa: PLC0415
    from daemon.store.options import Part  # noqa: PLC0415

    clock = SteadyClock()
    flag = Stop(by=f"cli:{getpass.getuser()}", at=clock.now(), **body)
    async with asyncio.timeout(DIRECT_SECONDS):
        store = await open_store(options_of(config), clock, Part.CLERK)
        try:
            await store.stop(flag, stop_record(flag))
            return [shown(each) for each in await store.stops()]
        finally:
            await store.close()


def _by_file(file: Path, body: Mapping[str, str], trouble: str) -> None:
    if body["target"] or body["action"]:
        give_up(f"{trouble}. Nothing is stopped; without --target and --action the stop file is made.")
    try:
        file.touch()
    except OSError as error:
        give_up(f"{trouble}; and the stop file {file} cannot be made: {error.strerror}. Nothing is stopped.")
    typer.echo(
        f"dbarchitect: {plain(trouble)}; made {file} instead: daemons of this host stop by it", err=True
    )


def _print(flags: Sequence[Shown], output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps({"stops": list(flags)}, indent=2))
    elif not flags:
        console().print("Nothing is stopped.")
    else:
        screen = console()
        screen.print(table(_COLUMNS, flags, screen.width))


_COLUMNS: Sequence[Column[Shown]] = (
    Column("TARGET", lambda one: one["target"] or "all"),
    Column("ACTION", lambda one: one["action"] or "all"),
    Column("BY", lambda one: one["by"], least=8),
    Column("AT (UTC)", lambda one: when(one["at"]), keep=1),
    Column("WHY", lambda one: " ".join(one["why"].split()), least=12),
)
