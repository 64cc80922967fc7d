"""The command `dbarchitect`."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon import log as logs
from daemon.commands.actions import actions
from daemon.commands.alerts import alerts
from daemon.commands.audit import app as audit_app
from daemon.commands.check import check
from daemon.commands.demo import app as demo_app
from daemon.commands.metrics import metrics
from daemon.commands.plan import app as plan_app
from daemon.commands.plans import plans
from daemon.commands.policy import app as policy_app
from daemon.commands.rules import app as rules_app
from daemon.commands.shadow import shadow
from daemon.commands.status import status
from daemon.commands.stop import resume, stop
from daemon.commands.top import top
from daemon.state_dir import StateDirTaken, StateDirUnusable

EX_CONFIG = 78
EX_UNAVAILABLE = 69
EX_CANTCREAT = 73

app = typer.Typer(
    name="dbarchitect",
    help="Watches databases, judges what it sees, and repairs what it can prove it may repair.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def installed_version() -> str:
    """Return the version of the installed distribution, or `unknown` in a bare checkout."""
    try:
        return version("database-architect")
    except PackageNotFoundError:
        return "unknown"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dbarchitect {installed_version()}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


@app.command()
def run(config: Annotated[Path, typer.Argument(help="The configuration file.")]) -> None:
    """Watch the targets of CONFIG until SIGTERM; SIGHUP reads it again."""
    # Here and not above: the daemon's parts take a second to load, which `status` need not wait for.
    import structlog  # noqa: PLC0415
    import uvloop  # noqa: PLC0415

    from daemon.app import App  # noqa: PLC0415
    from daemon.http.listening import CannotListen  # noqa: PLC0415

    try:
        loaded = configuration.load(config)
    except InvalidFile as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        typer.echo(f"{config}: {len(error.problems)} mistakes; nothing was started", err=True)
        raise typer.Exit(EX_CONFIG) from None
    logs.set_up(loaded.daemon.log.level, loaded.daemon.log.format)
    factory = uvloop.new_event_loop if loaded.daemon.uvloop else None
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(App(config, loaded, installed_version()).run())
    except (CannotListen, StateDirTaken, StateDirUnusable) as error:
        structlog.get_logger().error("daemon.not_started", reason=str(error))
        raise typer.Exit(EX_UNAVAILABLE if isinstance(error, CannotListen) else EX_CANTCREAT) from None


app.command()(check)
app.command()(status)
app.command()(alerts)
app.command()(top)
app.command()(metrics)
app.command()(actions)
app.command()(plans)
app.command()(stop)
app.command()(resume)
app.command()(shadow)
app.add_typer(rules_app, name="rules")
app.add_typer(plan_app, name="plan")
app.add_typer(policy_app, name="policy")
app.add_typer(audit_app, name="audit")
app.add_typer(demo_app, name="demo")


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
