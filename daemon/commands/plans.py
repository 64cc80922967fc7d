"""`dbarchitect plans`: what is proposed, under way and done, the newest first."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from daemon.terminal.asking import Form, asked
from daemon.terminal.client import CannotAsk, Client
from daemon.terminal.figures import UNKNOWN, seconds
from daemon.terminal.options import CaFile, ConfigFile, Output, TokenFile, Url, address
from daemon.terminal.plan_text import PLANS
from daemon.terminal.screen import Column, console, table

Shown = Mapping[str, Any]
_STYLES = {
    "needs_human": "bold red",
    "awaiting_approval": "yellow",
    "proposed": "yellow",
    "rolled_back": "red",
    "succeeded": "green",
}
_EXPIRING = frozenset({"proposed", "awaiting_approval", "approved"})


def plans(
    url: Url = None,
    config: ConfigFile = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="In this state only: proposed, needs_human, ...; may be repeated."),
    ] = None,
    target: Annotated[str, typer.Option(help="For this target only.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=5000)] = 200,
    output: Form = Output.TABLE,
) -> None:
    """List plans: proposed, waiting for approval, under way, and how they ended.

    Exit code 0: whatever there is. 1: the daemon declined. 2: it could not be asked.
    """
    params = {"limit": str(limit)}
    params |= {"state": ",".join(state)} if state else {}
    params |= {"target": target} if target else {}

    async def ask(client: Client) -> list[Shown]:
        answer = await client.ask("GET", PLANS, params=params)
        try:
            return [{"id": each["id"], "state": each["state"], **each} for each in answer["plans"]]
        except (LookupError, TypeError):
            raise CannotAsk(client.stranger(PLANS, "it has another form")) from None

    found = asked(address(url, config, token_file, ca_file), ask)
    if output is Output.JSON:
        typer.echo(json.dumps({"plans": found}, indent=2))
    elif not found:
        console().print("No plans.")
    else:
        screen = console()
        screen.print(table(_columns(time.time()), found, screen.width))


def _columns(now: float) -> tuple[Column[Shown], ...]:
    return (
        Column("PLAN", lambda one: one["id"]),
        Column("STATE", lambda one: Text(one["state"], style=_STYLES.get(one["state"], ""))),
        Column("CLASS", lambda one: one.get("class", ""), keep=4),
        Column("ACTION", lambda one: one.get("action", ""), least=12),
        Column("TARGET", lambda one: one.get("target", ""), least=8),
        Column("AGE", lambda one: seconds(max(0.0, now - one.get("created", now))), "right", keep=2),
        Column("EXPIRES", lambda one: _expires(one, now), "right", keep=5),
        Column("WHAT", lambda one: one.get("summary", ""), keep=1, least=12),
        Column("BECAUSE", lambda one: one.get("reason", ""), keep=6, least=12),
    )


def _expires(one: Shown, now: float) -> str:
    left = one.get("deadline", 0.0) - now
    return f"in {seconds(left)}" if one["state"] in _EXPIRING and left > 0 else UNKNOWN
