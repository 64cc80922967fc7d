"""`dbarchitect actions`: every action there is, with its class, steps, undo and verification."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from actions.action import ActionInfo
from actions.model import as_json
from actions.registry import actions as known
from collectors.strict_yaml import did_you_mean
from daemon.docs_actions import markdown
from daemon.terminal.screen import Column, console, table

NOTHING_FOUND = 1


class Format(enum.StrEnum):
    """How the catalogue is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def actions(
    pattern: Annotated[
        str, typer.Argument(help="Part of the name of an action, or a pattern with * and ?.")
    ] = "",
    output: Annotated[Format, typer.Option(help="table, json or markdown.")] = Format.TABLE,
) -> None:
    """List every action: class, parameters, steps, undo, verification."""
    infos = [action.info for action in known().values()]
    found = [info for info in infos if _matches(info.name, pattern)]
    if not found:
        hint = did_you_mean(pattern, [info.name for info in infos])
        typer.echo(f"no action matches {pattern!r}; {hint}".rstrip("; "), err=True)
        raise typer.Exit(NOTHING_FOUND)
    _print(found, output)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) if set(pattern) & set("*?") else pattern in name


def _print(infos: Sequence[ActionInfo], output: Format) -> None:
    if output is Format.MARKDOWN:
        typer.echo(markdown(infos), nl=False)
    elif output is Format.JSON:
        typer.echo(json.dumps([as_json(info) for info in infos], indent=2))
    else:
        screen = console()
        screen.print(table(_COLUMNS, infos, screen.width))


def _parameters(info: ActionInfo) -> str:
    return ", ".join(one.name + ("*" if one.required else "") for one in info.parameters)


_COLUMNS: Sequence[Column[ActionInfo]] = (
    Column("ACTION", lambda info: info.name, least=30),
    Column("CLASS", lambda info: info.action_class),
    Column("WHAT", lambda info: info.title, keep=1, least=16),
    Column("PARAMETERS (* REQUIRED)", _parameters, keep=2, least=16),
    Column("STEPS", lambda info: "; ".join(info.steps), keep=4, least=20),
    Column("UNDO", lambda info: info.undo or "none", keep=3, least=8),
    Column("VERIFICATION", lambda info: info.verification, keep=5, least=20),
)
