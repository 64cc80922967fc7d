"""`dbarchitect demo`: a real primary, replica and workload under watch, to break and to heal."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table

from actions.scratch.errors import ScratchError
from collectors.definition import seconds as duration
from collectors.strict_yaml import did_you_mean
from daemon.demo.faults import FAULTS
from daemon.demo.play import Wishes, play
from daemon.demo.readings import FIGURES
from daemon.demo.running import NoDemo, Running, ask, running_demos, the_demo
from daemon.demo.watching import PORT
from daemon.terminal.options import Output
from daemon.terminal.screen import console

NOT_DONE = 2
"""Exit code: nothing was broken or healed; the message says why."""

app = typer.Typer(
    help="Start a real primary and replica with a shop on them, under watch; break and heal them.",
    invoke_without_command=True,
)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return duration(text)
    if not 0 < number < math.inf:
        raise ValueError("should be more than 0")
    return number


def _period(text: str | None) -> float | None:
    try:
        return _seconds(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error} (a number alone means seconds)") from None


Port = Annotated[int | None, typer.Option(min=1, max=65535, help="The demo whose daemon listens there.")]
Directory = Annotated[Path | None, typer.Option("--dir", help="The demo in this directory.")]


@app.callback()
def demo(
    context: typer.Context,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="SECONDS", help="End by itself after 60, 90s or 5m.")
    ] = None,
    pg_bindir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Programs of PostgreSQL to use, e.g. with `initdb`.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where the daemon listens, or on the next free port.")
    ] = PORT,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Make the demo's directory in this one.")
    ] = None,
) -> None:
    """Start the demo; it ends with Ctrl-C and leaves nothing behind."""
    seconds = _period(for_)
    if context.invoked_subcommand is not None:
        _check_order(context)
        return
    here = directory.resolve() if directory else None
    bindir = pg_bindir.resolve() if pg_bindir else None
    wishes = Wishes(seconds=seconds, bindir=bindir, port=port, directory=here)
    try:
        with asyncio.Runner() as runner:
            code = runner.run(play(wishes, console()))
    except ScratchError as error:
        typer.echo(f"dbarchitect demo: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


@app.command("break")
def break_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="What to break; `demo faults` lists it.")],
    for_: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Heal by itself after 30s or 5m.")
    ] = None,
    port: Port = None,
    directory: Directory = None,
) -> None:
    """Break something in the running demo."""
    request: dict[str, Any] = {"do": "break", "what": _fault(what), "seconds": _period(for_)}
    _ordered(_demo(directory, port), request)


@app.command()
def heal(
    what: Annotated[
        str | None, typer.Argument(metavar="[WHAT]", help="What to heal; everything if it is not said.")
    ] = None,
    port: Port = None,
    directory: Directory = None,
) -> None:
    """Heal what was broken in the running demo."""
    request: dict[str, Any] = {"do": "heal", "what": _fault(what) if what else None}
    _ordered(_demo(directory, port), request)


@app.command()
def faults(
    output: Annotated[Output, typer.Option(help="How to print it.")] = Output.TABLE,
    port: Port = None,
    directory: Directory = None,
) -> None:
    """List what can be broken, where it shows, and what is broken now."""
    broken = {one: demo.port for demo in running_demos(directory) if port in (None, demo.port)
              for one in _broken(demo)}  # fmt: skip
    listed = [
        {
            "name": fault.name,
            "summary": fault.summary,
            "metrics": [FIGURES[sign.reading].metrics[0] for sign in fault.signs],
            "broken": fault.name in broken,
        }
        for fault in FAULTS.values()
    ]
    if output is Output.JSON:
        typer.echo(json.dumps(listed, indent=2))
        return
    table = Table("fault", "what it does", "where it shows", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for one in listed:
        mark = " [bold red](broken)[/]" if one["broken"] else ""
        table.add_row(f"{one['name']}{mark}", str(one["summary"]), "\n".join(one["metrics"]))  # type: ignore[arg-type]
    console().print(table)


def _check_order(context: typer.Context) -> None:
    """Refuse `demo --port 1 break X`: the option would be the start's, and be lost without a word."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{ {'for_': 'for', 'pg_bindir': 'pg-bindir', 'directory': 'dir'}.get(name, name) }"
            _refuse(f"{option} before `{context.invoked_subcommand}` would be for the start; write it after")


def _fault(name: str) -> str:
    if name in FAULTS:
        return name
    guess = f" ({near})" if (near := did_you_mean(name, FAULTS)) else ""
    return _refuse(f"there is no fault {name!r}{guess}; there are: {', '.join(FAULTS)}")


def _demo(directory: Path | None, port: int | None) -> Running:
    try:
        return the_demo(directory.resolve() if directory else None, port)
    except NoDemo as error:
        return _refuse(str(error))


def _ordered(demo: Running, request: dict[str, Any]) -> None:
    try:
        answer = ask(demo.directory, request)
    except (OSError, ValueError) as error:
        _refuse(f"the demo on port {demo.port} did not answer ({error}); it may be ending")
    for line in answer["said"]:
        typer.echo(line, err=not answer["ok"])
    if not answer["ok"]:
        raise typer.Exit(NOT_DONE)


def _broken(demo: Running) -> list[str]:
    try:
        return [one["name"] for one in ask(demo.directory, {"do": "state"})["broken"]]
    except (OSError, ValueError, KeyError):
        return []


def _refuse(message: str) -> NoReturn:
    typer.echo(f"dbarchitect demo: {message}", err=True)
    raise typer.Exit(NOT_DONE)
