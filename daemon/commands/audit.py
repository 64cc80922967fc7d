"""`dbarchitect audit`: reads the journal itself, beside a daemon or without one, and checks its chain."""

from __future__ import annotations

import asyncio
import getpass
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress

from actions.errors import StoreDamaged, StoreUnavailable
from actions.model import Record
from actions.ports import ChainReport
from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon.commands.audit_lines import COLUMNS
from daemon.config import Config
from daemon.http.acting_json import chain, record
from daemon.state_dir import StateDirTaken, StateDirUnusable, held
from daemon.store.aside import SetAside, set_aside
from daemon.store.configured import options_of
from daemon.store.opening import open_store
from daemon.store.options import Part, StoreOptions
from daemon.store.store import SqlStore
from daemon.terminal.options import Output
from daemon.terminal.screen import console, plain, table
from rules.durations import duration_ms

T = TypeVar("T")
EX_BAD = 1
EX_UNREADABLE = 2
_PIECE = 1000

app = typer.Typer(name="audit", help="Read the journal, and check that it is whole.", no_args_is_help=True)
ConfigFile = Annotated[Path, typer.Option("--config", help="Configuration that says where the journal is.")]
Form = Annotated[Output, typer.Option(help="table or json.")]
CONFIG = Path("/etc/dbarchitect/config.yaml")


class _Wall:
    """Time as the daemon has it."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@app.command()
def verify(config: ConfigFile = CONFIG, output: Form = Output.TABLE) -> None:
    """Recompute the hash of every record.

    Exit code 0: the journal is as it was written. 1: it is not; the first bad record is named. 2: it cannot
    be read.
    """
    options = _options(config, output)
    where = _where(options)
    try:
        report = asyncio.run(_read(options, lambda store: _verified(store, Console(stderr=True))))
    except StoreDamaged as error:
        report = ChainReport(records=0, head="", problem=str(error))
    except StoreUnavailable as error:
        _give_up(str(error), output)
    if output is Output.JSON:
        typer.echo(json.dumps({"where": where, **chain(report)}, indent=2))
    else:
        typer.echo(_said(where, report))
    if report.problem:
        raise typer.Exit(EX_BAD)


@app.command()
def show(
    config: ConfigFile = CONFIG,
    plan: Annotated[str, typer.Option(help="Of this plan only.", metavar="ID")] = "",
    since: Annotated[str, typer.Option(help="How long ago to begin: 24h, 7d.")] = "24h",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many records.")] = 200,
    output: Form = Output.TABLE,
) -> None:
    """Show who did what, why, and with which effect, oldest first; a plan's records whatever their age.

    Exit code 0: whatever there is. 1: the plan is not there, or a record cannot be read. 2: the journal
    cannot be read.
    """
    try:
        begin = time.time() - duration_ms(since) / 1000
    except ValueError as error:
        _give_up(f"--since {since}: {error}", output)
    try:
        found = asyncio.run(_read(_options(config, output), lambda store: _lines(store, plan, begin, limit)))
    except StoreDamaged as error:
        _end(f"{error}; `dbarchitect audit verify` names the first bad record", EX_BAD, output)
    except StoreUnavailable as error:
        _give_up(str(error), output)
    if plan and not found:
        _end(f"there is no plan {plan!r} in the journal", EX_BAD, output)
    if output is Output.JSON:
        lines: list[dict[str, Any]] = [{"execution": line.execution, **record(line)} for line in found]
        typer.echo(json.dumps({"records": lines}, indent=2))
    elif found:
        screen = console()
        screen.print(table(COLUMNS, found, screen.width))
    else:
        typer.echo(f"Nothing was written within {since}.")


@app.command("set-aside")
def aside(
    why: Annotated[str, typer.Option(help="Why; it stands in the first record of the new journal.")],
    config: ConfigFile = CONFIG,
    output: Form = Output.TABLE,
) -> None:
    """Keep a damaged journal elsewhere and begin a new one; everything stays stopped until `resume`.

    Never while a daemon runs. Exit code 0: done. 2: nothing was changed.
    """
    whole = _configuration(config, output)
    options = options_of(whole)
    if options.path is None:
        _give_up("the journal is in a PostgreSQL database: docs/audit.md says how to set it aside", output)
    if not why.strip():
        _give_up("--why: should say why", output)
    try:
        with held(Path(whole.daemon.state_dir)):
            asked = SetAside(by=getpass.getuser(), why=why, found=_found(options))
            folder = asyncio.run(set_aside(options, asked, _Wall()))
    except (StateDirTaken, StateDirUnusable, StoreUnavailable) as error:
        _give_up(str(error), output)
    if output is Output.JSON:
        typer.echo(json.dumps({"kept_in": str(folder), "stopped": True}, indent=2))
        return
    typer.echo(
        f"{folder}: the old journal is kept here; a new one has begun at {options.path}.\n"
        "Everything is stopped: look what was under way, then `dbarchitect resume --note ...`."
    )


def _found(options: StoreOptions) -> ChainReport:
    """Return what can be told of a journal, however damaged."""
    try:
        return asyncio.run(_read(options, lambda store: store.verify()))
    except StoreDamaged as error:
        return ChainReport(records=0, head="", problem=str(error))


async def _read(options: StoreOptions, look: Callable[[SqlStore], Awaitable[T]]) -> T:
    store = await open_store(options, _Wall(), Part.READER)
    try:
        return await look(store)
    finally:
        await store.close()


async def _verified(store: SqlStore, screen: Console) -> ChainReport:
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("records", total=None)
        return await store.verify(progress=lambda done, due: progress.update(task, completed=done, total=due))


async def _lines(store: SqlStore, plan: str, since: float, limit: int) -> Sequence[Record]:
    if plan:
        return list(await store.records(plan))[-limit:]
    found: deque[Record] = deque(maxlen=limit)
    after = 0
    while lines := await store.journal(after, limit=_PIECE, since=since):
        found.extend(lines)
        after = lines[-1].seq
    return list(found)


def _said(where: str, report: ChainReport) -> str:
    if not report.problem:
        end = f"; the last has the hash {report.head}" if report.head else ""
        return f"{where}: {report.records} records, all as they were written{end}"
    good = f"the {report.records} before it are as they were written" if report.first_bad else ""
    parts = [report.problem.removeprefix(f"{where}: "), good, "docs/audit.md says what to do"]
    return f"{where}: {'; '.join(part for part in parts if part)}"


def _options(config: Path, output: Output) -> StoreOptions:
    return options_of(_configuration(config, output))


def _configuration(config: Path, output: Output) -> Config:
    try:
        return configuration.load(config)
    except InvalidFile as error:
        _give_up("\n".join(str(problem) for problem in error.problems), output)


def _where(options: StoreOptions) -> str:
    return str(options.path) if options.server is None else f"postgresql://{options.server.address}"


def _give_up(message: str, output: Output) -> NoReturn:
    _end(message, EX_UNREADABLE, output)


def _end(message: str, code: int, output: Output) -> NoReturn:
    if output is Output.JSON:
        typer.echo(json.dumps({"ok": False, "problem": message}, indent=2))
    else:
        for line in message.splitlines():
            typer.echo(f"dbarchitect: {plain(line)}", err=True)
    raise typer.Exit(code)
