"""`dbarchitect top TARGET`: what one server does right now, as the daemon sees it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from daemon.terminal.client import Address, CannotAsk, connected
from daemon.terminal.draw import draw
from daemon.terminal.live import Display
from daemon.terminal.look import Look
from daemon.terminal.looker import Looker
from daemon.terminal.options import CaFile, ConfigFile, Output, TokenFile, Url, address, give_up
from daemon.terminal.screen import console

_EVERY_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0
"""A picture waits for the second reading that rates need, but not for probes that are slower than this."""
_SVG_PATIENCE_SECONDS = 90.0
_AGAIN_SECONDS = 1.0
_SVG_COLUMNS = 120
_PIPED_COLUMNS = 200
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def top(
    target: Annotated[str, typer.Argument(help="Name of the target, as `dbarchitect status` shows it.")],
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print one picture, as soon as rates are known, and end.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.5, max=60, help="Seconds between two looks at the daemon.")
    ] = _EVERY_SECONDS,
    output: Annotated[Output, typer.Option(help="table, or json: one picture as values.")] = Output.TABLE,
    svg: Annotated[Path | None, typer.Option(hidden=True, help="Write one picture as SVG.")] = None,
) -> None:
    """Show what a target does, live: sessions, lock queues, statements, tables, replication.

    Only the daemon is asked, never the database. Keys: q quits, s and t change what statements and tables are
    sorted by. Without a terminal one picture is printed. Exit code 2: the daemon could not be asked, or has
    no such target.
    """
    where = address(url, config, token_file, ca_file)
    screen = console()
    live = screen.is_terminal and not once and output is Output.TABLE and svg is None
    with contextlib.suppress(KeyboardInterrupt):
        try:
            patience = _PATIENCE_SECONDS if svg is None else _SVG_PATIENCE_SECONDS
            look = asyncio.run(
                _watch(where, target, screen, every) if live else _picture(where, target, patience)
            )
        except CannotAsk as error:
            give_up(str(error))
        if look is not None:
            _print(*look, screen=screen, output=output, svg=svg)


async def _watch(where: Address, target: str, screen: Console, every: float) -> None:
    async with connected(where) as client:
        looker = Looker(client, target)
        await Display(looker, screen, every).run(await looker.look())


async def _picture(where: Address, target: str, patience: float) -> tuple[Looker, Look]:
    async with connected(where) as client:
        looker = Looker(client, target)
        look = await looker.look()
        end = time.monotonic() + 1.5 * patience
        while not looker.settled(look, patience) and time.monotonic() < end:
            await asyncio.sleep(_AGAIN_SECONDS)
            look = await looker.look()
        return looker, look


def _print(looker: Looker, look: Look, *, screen: Console, output: Output, svg: Path | None) -> None:
    made = looker.screen(look)
    if output is Output.JSON:
        target = look.target
        about = {
            "target": target.name,
            "engine": target.engine,
            "role": target.role,
            "version": target.version,
        }
        typer.echo(json.dumps({**about, "up": target.up, "note": made.note, **made.as_json()}, indent=2))
    elif svg is not None:
        paper = Console(
            record=True, file=io.StringIO(), width=_SVG_COLUMNS, force_terminal=True, highlight=False
        )
        paper.print(draw(made, _SVG_COLUMNS))
        picture = paper.export_svg(title=f"dbarchitect top {look.target.name}")
        # A picture asks nobody for its fonts.
        svg.write_text(_FONTS.sub("", picture), encoding="utf-8")
    else:
        screen.print(draw(made, min(screen.width, _PIPED_COLUMNS)))
