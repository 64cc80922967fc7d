"""The options that all commands share which ask a running daemon."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon.terminal.client import DEFAULT_URL, Address, checked_url, url_of

NOT_REACHED = 2
"""Exit code: the daemon could not be asked, or not so."""
_TOKEN_MAX_BYTES = 4096


class Output(enum.StrEnum):
    """How a command prints what it knows."""

    TABLE = "table"
    JSON = "json"


Url = Annotated[
    str | None,
    typer.Option(
        envvar="DBARCHITECT_URL", help=f"Where the daemon listens, or unix:/path.  [default: {DEFAULT_URL}]"
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Take the address from this configuration file.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        envvar="DBARCHITECT_TOKEN_FILE",
        help="File with a token of the scope `read`, or what this command needs.",
    ),
]
CaFile = Annotated[Path | None, typer.Option(help="Authority (PEM) that the daemon's certificate is from.")]


def address(url: str | None, config: Path | None, token_file: Path | None, ca_file: Path | None) -> Address:
    """Return where to ask; end the command with a message when the options do not say it."""
    if config is not None and not url:
        found = _configured(config)
    else:
        try:
            found = checked_url(url or DEFAULT_URL)
        except ValueError as error:
            give_up(f"--url: {error}")
    return Address(url=found, token=_token(token_file), ca_file=ca_file)


def give_up(message: str) -> NoReturn:
    """End the command: what happened goes to stderr."""
    typer.echo(f"dbarchitect: {message}", err=True)
    raise typer.Exit(NOT_REACHED)


def _configured(config: Path) -> str:
    try:
        loaded = configuration.load(config)
    except InvalidFile as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        give_up(f"{config} cannot be read; name the daemon's address with --url instead")
    return url_of(loaded.daemon.address, tls=loaded.http.tls is not None)


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open(encoding="utf-8") as file:
            token = file.read(_TOKEN_MAX_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        give_up(f"--token-file {path}: {getattr(error, 'strerror', None) or 'not text'}")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        give_up(f"--token-file {path}: should hold one token and nothing else")
    return token
