"""`dbarchitect shadow`: what `auto` would have done, and whether the symptom went away by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from daemon.terminal.asking import Form, asked
from daemon.terminal.client import CannotAsk, Client
from daemon.terminal.figures import seconds
from daemon.terminal.options import CaFile, ConfigFile, Output, TokenFile, Url, address, give_up
from daemon.terminal.plan_text import when
from daemon.terminal.screen import Column, console, table
from rules.durations import duration_ms

PATH = "/api/v1/shadow"
Shown = Mapping[str, Any]


def shadow(
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    since: Annotated[str, typer.Option(help="How long ago to begin: 12h, 7d.")] = "7d",
    output: Form = Output.TABLE,
) -> None:
    """List what was only recorded (mode `observe`), and whether the symptom went away without it.

    Exit code 0: whatever there is. 1: the daemon declined. 2: it could not be asked.
    """
    try:
        begin = time.time() - duration_ms(since) / 1000
    except ValueError as error:
        give_up(f"--since {since}: {error}")

    async def ask(client: Client) -> Sequence[Shown]:
        answer = await client.ask("GET", PATH, params={"since": f"{max(0.0, begin):.3f}"})
        try:
            return [{**each, "cleared_at": each["cleared_at"]} for each in answer["shadow"]]
        except (LookupError, TypeError):
            raise CannotAsk(client.stranger(PATH, "it has another form")) from None

    found = asked(address(url, config, token_file, ca_file), ask)
    if output is Output.JSON:
        typer.echo(json.dumps({"since": begin, "shadow": list(found)}, indent=2))
        return
    screen = console()
    if found:
        screen.print(table(_COLUMNS, found, screen.width))
        screen.print()
    cleared = sum(one["cleared_at"] is not None for one in found)
    screen.print(
        f"{len(found)} would have been done since {when(begin)} UTC; {cleared} symptoms went away without it."
    )


def _became(one: Shown) -> str:
    if one["cleared_at"] is None:
        return "still there"
    return f"gone after {seconds(max(0.0, one['cleared_at'] - one['created']))}"


_COLUMNS: Sequence[Column[Shown]] = (
    Column("PLAN", lambda one: one["id"]),
    Column("AT (UTC)", lambda one: when(one["created"]), keep=2),
    Column("ACTION", lambda one: one["action"], least=12),
    Column("TARGET", lambda one: one["target"], least=8),
    Column("ALERT", lambda one: one["incident"], keep=3, least=8),
    Column("SYMPTOM", _became),
    Column("WHAT", lambda one: one["summary"], keep=1, least=12),
)
