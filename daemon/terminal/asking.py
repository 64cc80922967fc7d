"""How commands ask the daemon to do something, and end when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar

import typer

from daemon.terminal.client import Address, CannotAsk, Client, Declined, connected
from daemon.terminal.options import Output, give_up
from daemon.terminal.screen import plain

T = TypeVar("T")
DECLINED = 1
"""Exit code: the daemon was asked, and did not do it."""
Form = Annotated[Output, typer.Option(help="table or json.")]


def asked(where: Address, question: Callable[[Client], Awaitable[T]]) -> T:
    """Return the answer; end the command with 1 when the daemon declines, 2 when it cannot be asked."""

    async def ask() -> T:
        async with connected(where) as client:
            return await question(client)

    try:
        return asyncio.run(ask())
    except Declined as error:
        decline(str(error))
    except CannotAsk as error:
        give_up(str(error))


def decline(message: str) -> NoReturn:
    """End the command: what was wanted was not done."""
    typer.echo(f"dbarchitect: {plain(message)}", err=True)
    raise typer.Exit(DECLINED)
