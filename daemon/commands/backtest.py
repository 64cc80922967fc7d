"""`dbarchitect rules backtest`: what rules would have said of the past."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon.config import Config
from daemon.config.rule_files import texts
from daemon.history.errors import HistoryError
from daemon.history.reader import Reader
from daemon.history.remote_read import RemoteReader
from daemon.history.sheets import Samples
from daemon.history.store import FOLDER
from daemon.judge.keepers import remote_options
from daemon.judge.needs import Needs
from daemon.judge.past import PastReader, sheets
from daemon.moment import moment
from daemon.terminal.figures import seconds
from daemon.terminal.options import Output
from daemon.terminal.screen import Column, console, plain, table
from rules.durations import duration_ms
from rules.group import GroupRun, RunSettings
from rules.labels import NAME
from rules.load import load
from rules.model import ALERT_NAME, Group
from rules.promql.expression import Settings
from rules.promql.matchers import Matcher, MatchOp
from rules.replay import Episode, Replayed, replay
from rules.window import Window

EX_FAILED = 1
EX_UNREADABLE = 2
EVALUATIONS_MAX = 2_000_000
_STATE_DIR = Path("/var/lib/dbarchitect")
_INTERVAL_SECONDS = 15.0
_FOREVER_MS = 1 << 60


@dataclass(slots=True)
class Past:
    """The samples that are looked at."""

    window: Window
    samples: int
    absent: list[str]
    """Metrics that rules ask for and of which nothing was recorded."""


class _Files:
    """The history on disk; the daemon may write it meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._reader = Reader(folder)

    async def read(self, query: Sequence[Matcher], start_ms: int, end_ms: int, /) -> list[Samples]:
        return list(self._reader.read(query, start_ms, end_ms))


def backtest(
    files: Annotated[list[Path], typer.Argument(help="Rule files.", metavar="FILE...")],
    since: Annotated[str, typer.Option(help="How long ago to begin.")] = "24h",
    until: Annotated[str, typer.Option(help="How long ago to end.")] = "0",
    config: Annotated[
        Path | None, typer.Option("--config", help="The daemon's configuration: where its history is.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help=f"The daemon's state directory.  [default: {_STATE_DIR}]")
    ] = None,
    pending: Annotated[bool, typer.Option("--pending", help="Show also what never fired.")] = False,
    output: Annotated[Output, typer.Option(help="table or json.")] = Output.TABLE,
) -> None:
    """Replay recorded history through rule files and list what would have fired.

    Exit code 0: done, whatever fired. 1: a rule could not be evaluated. 2: bad usage, or no history.
    """
    groups = _groups(files)
    loaded = _loaded(config)
    now_ms = round(time.time() * 1000)
    span = (now_ms - _milliseconds(since, "--since"), now_ms - _milliseconds(until, "--until"))
    interval_ms = round(1000 * (loaded.rules.interval if loaded else _INTERVAL_SECONDS))
    _check(groups, span, interval_ms)
    try:
        past, found = asyncio.run(_run(groups, _reader(loaded, state_dir), span, interval_ms))
    except HistoryError as error:
        _give_up(str(error))
    if not past.samples:
        _give_up("there is no history of what these rules ask for: the daemon records what its own rules use")
    if not pending:
        found.episodes = [each for each in found.episodes if each.fired_at_ms is not None]
    if output is Output.JSON:
        typer.echo(json.dumps(_as_json(past, found, span), indent=2))
    else:
        _print(console(), past, found, span)
    if found.failures:
        raise typer.Exit(EX_FAILED)


async def _run(
    groups: Sequence[Group], reader: PastReader, span: tuple[int, int], interval_ms: int
) -> tuple[Past, Replayed]:
    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        past = await _read(groups, reader, span, progress)
        settings = RunSettings(promql=Settings(step_ms=interval_ms))
        runs = [GroupRun(group, past.window, past.window, None, settings) for group in groups]
        task = progress.add_task("judging", total=span[1] - span[0])

        def tell(at_ms: int) -> None:
            progress.update(task, completed=at_ms - span[0])

        return past, replay(runs, *span, interval_ms, tell)


async def _read(
    groups: Sequence[Group], reader: PastReader, span: tuple[int, int], progress: Progress
) -> Past:
    rules = [rule for group in groups for rule in group.rules]
    made = {rule.name for rule in rules if not rule.is_alert}
    keep = Needs([rule.expression for rule in rules]).named()
    # Everything is at hand at once: nothing is forgotten while it is looked at.
    past = Past(Window(lambda _name: _FOREVER_MS), 0, [])
    task = progress.add_task("reading", total=len(keep))
    for name, past_ms in keep.items():
        progress.advance(task)
        if name in made:
            continue
        query = (Matcher(NAME, MatchOp.EQUAL, name),)
        found = list(sheets(await reader.read(query, span[0] - past_ms, span[1])))
        for sheet in found:
            past.window.load(*sheet)
            past.samples += sheet.values.size
        if not found:
            past.absent.append(name)
    return past


def _groups(files: Sequence[Path]) -> tuple[Group, ...]:
    sources, problems = texts(list(files))
    try:
        groups = load(sources) if not problems else ()
    except InvalidFile as error:
        problems = error.problems
        groups = ()
    for problem in problems:
        typer.echo(str(problem), err=True)
    if problems:
        raise typer.Exit(EX_UNREADABLE)
    return groups


def _loaded(config: Path | None) -> Config | None:
    if config is None:
        return None
    try:
        return configuration.load(config)
    except InvalidFile as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(EX_UNREADABLE) from None


def _milliseconds(text: str, option: str) -> int:
    try:
        return duration_ms(text)
    except ValueError as error:
        _give_up(f"{option}: {error}; write it as 24h, 7d or 1h30m")


def _check(groups: Sequence[Group], span: tuple[int, int], interval_ms: int) -> None:
    if span[0] >= span[1]:
        _give_up("--since has to be longer ago than --until")
    count = sum((span[1] - span[0]) // (group.interval_ms or interval_ms) for group in groups)
    if count > EVALUATIONS_MAX:
        _give_up(f"that is {count} evaluations; {EVALUATIONS_MAX} are permitted: look at a shorter time")


def _reader(loaded: Config | None, state_dir: Path | None) -> PastReader:
    if loaded is not None and loaded.history.query is not None and state_dir is None:
        return RemoteReader(remote_options(loaded.history.query))
    folder = (state_dir or (Path(loaded.daemon.state_dir) if loaded else _STATE_DIR)) / FOLDER
    if not folder.is_dir():
        _give_up(f"there is no history in {folder}: say where it is by --state-dir or --config")
    return _Files(folder)


def _give_up(message: str) -> NoReturn:
    typer.echo(f"dbarchitect: {message}", err=True)
    raise typer.Exit(EX_UNREADABLE)


def _print(screen: Console, past: Past, found: Replayed, span: tuple[int, int]) -> None:
    if found.episodes:
        screen.print(table(_columns(span[1]), found.episodes, screen.width))
    else:
        screen.print("Nothing would have fired.")
    screen.print()
    length = seconds((span[1] - span[0]) / 1000)
    screen.print(f"{found.evaluations:,} evaluations of groups over {length}, {past.samples:,} samples read.")
    for name in past.absent:
        screen.print(Text.assemble((f"not recorded: {plain(name)}", "yellow")))
    for (group, rule), failure in found.failures.items():
        screen.print(Text.assemble((f"{plain(group)}: {plain(rule)} failed: ", "bold red"), plain(failure)))


def _columns(end_ms: int) -> tuple[Column[Episode], ...]:
    return (
        Column("ALERT", lambda one: one.rule, least=16),
        Column("LABELS", _labels, least=16),
        Column("ACTIVE", lambda one: moment(one.active_at_ms / 1000)[:19]),
        Column("FIRED", lambda one: moment(one.fired_at_ms / 1000)[:19] if one.fired_at_ms else "-", keep=2),
        Column("FOR", lambda one: seconds(((one.ended_at_ms or end_ms) - one.active_at_ms) / 1000), "right"),
        Column("END", lambda one: "over" if one.ended_at_ms else "still there", keep=1),
        Column("VALUE", lambda one: f"{one.value:.6g}", "right", keep=3),
    )


def _labels(episode: Episode) -> str:
    return ", ".join(f"{name}={value}" for name, value in episode.labels.items() if name != ALERT_NAME)


def _as_json(past: Past, found: Replayed, span: tuple[int, int]) -> dict[str, Any]:
    return {
        "from": moment(span[0] / 1000),
        "to": moment(span[1] / 1000),
        "evaluations": found.evaluations,
        "samples": past.samples,
        "not_recorded": past.absent,
        "failures": [
            {"group": group, "rule": rule, "reason": reason}
            for (group, rule), reason in found.failures.items()
        ],
        "alerts": [
            {
                "alert": each.rule,
                "group": each.group,
                "file": each.file,
                "labels": each.labels.as_dict(),
                "annotations": each.annotations,
                "active_at": moment(each.active_at_ms / 1000),
                "fired_at": moment(each.fired_at_ms / 1000) if each.fired_at_ms else None,
                "ended_at": moment(each.ended_at_ms / 1000) if each.ended_at_ms else None,
                "value": repr(each.value),
            }
            for each in found.episodes
        ],
    }
