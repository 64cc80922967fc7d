"""`dbarchitect rules`: checks rule files, and runs their unit tests."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from collectors.registry import engines
from collectors.strict_yaml import InvalidFile, Problem
from daemon import config as configuration
from daemon.catalogue import catalogue
from daemon.commands.backtest import backtest
from daemon.commands.check import Output, print_json
from daemon.config.rule_files import texts
from daemon.own_metrics import own_metrics
from daemon.selfmetrics import TARGET_METRICS
from rules.check import Known, advise, known_of
from rules.load import load
from rules.model import Group
from rules.testing import TestFile, read, run

EX_FAILED = 1
EX_UNREADABLE = 2

app = typer.Typer(name="rules", help="Check rule files and run their unit tests.", no_args_is_help=True)
app.command()(backtest)
Files = Annotated[list[Path], typer.Argument(help="The files.", metavar="FILE...")]
Form = Annotated[Output, typer.Option(help="text or json.")]


@dataclass(slots=True)
class Outcome:
    """How one test file fared."""

    file: str
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@app.command("check")
def check_files(
    files: Files,
    config: Annotated[
        Path | None, typer.Option(help="Know the metrics and labels that this configuration declares, too.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Doubtful rules are mistakes.")] = False,
    output: Form = Output.TEXT,
) -> None:
    """Check rule files; exit 1 when one has mistakes, 2 when one cannot be read."""
    sources, unreadable = texts(files)
    _stop_at(unreadable, output)
    groups: list[Group] = []
    problems: list[Problem] = []
    for file, text in sources.items():
        try:
            groups += load({file: text})
        except InvalidFile as error:
            problems += error.problems
    advice = advise(groups, _known(config), sources)
    ok = not problems and not (strict and advice)
    if output is Output.JSON:
        print_json(_checked(ok, sources, groups, problems, advice))
    else:
        _say(sources, groups, problems, advice)
    if not ok:
        raise typer.Exit(EX_FAILED)


@app.command("test")
def run_tests(files: Files, output: Form = Output.TEXT) -> None:
    """Run unit tests in promtool's format; exit 1 when one fails, 2 when a file cannot be read."""
    sources, unreadable = texts(files)
    _stop_at(unreadable, output)
    outcomes = []
    for file, text in sources.items():
        if output is Output.TEXT:
            typer.echo(f"Unit Testing:  {file}")
        outcomes.append(_test(file, text))
        if output is Output.TEXT:
            _show(outcomes[-1])
    failed = any(each.failures for each in outcomes)
    if output is Output.JSON:
        print_json(
            {"ok": not failed, "files": [{"ok": not each.failures, **asdict(each)} for each in outcomes]}
        )
    if failed:
        raise typer.Exit(EX_FAILED)


def _known(config: Path | None) -> Known:
    """Return the metrics of all engines, and what a configuration adds to them."""
    try:
        loaded = configuration.load(config) if config else None
    except InvalidFile as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        typer.echo(f"{config} has mistakes, so its metrics and labels are not known", err=True)
        raise typer.Exit(EX_UNREADABLE) from None
    custom = loaded.custom_probes if loaded else ()
    labels = {name for target in loaded.targets for name in target.labels} if loaded else None
    of_targets = [entry.metric for entry in catalogue(engines().values(), (), custom)]
    names = {metric.name for metric in TARGET_METRICS}
    of_the_daemon = [metric for metric in own_metrics() if metric.name not in names]
    return known_of([*of_targets, *TARGET_METRICS], of_the_daemon, labels)


def _checked(
    ok: bool,
    files: Iterable[str],
    groups: Sequence[Group],
    problems: Sequence[Problem],
    advice: Sequence[Problem],
) -> dict[str, Any]:
    return {
        "ok": ok,
        "files": [{"file": file, **_counts(groups, file)} for file in files],
        "problems": [asdict(one) for one in problems],
        "warnings": [asdict(one) for one in advice],
    }


def _counts(groups: Sequence[Group], file: str) -> dict[str, int]:
    mine = [group for group in groups if group.file == file]
    alerts = [rule.is_alert for group in mine for rule in group.rules]
    return {"groups": len(mine), "alerts": alerts.count(True), "recordings": alerts.count(False)}


def _say(
    files: Iterable[str], groups: Sequence[Group], problems: Sequence[Problem], advice: Sequence[Problem]
) -> None:
    for one in advice:
        typer.echo(f"warning: {one}", err=True)
    for one in problems:
        typer.echo(str(one), err=True)
    for file in files:
        mistakes = sum(one.file == file for one in problems)
        if mistakes:
            typer.echo(f"{file}: {mistakes} mistake{'s' if mistakes != 1 else ''}", err=True)
        else:
            count = _counts(groups, file)
            counted = [f"{count[name]} {name if count[name] != 1 else name[:-1]}" for name in count]
            typer.echo(f"OK {file}: {counted[1]}, {counted[2]} in {counted[0]}")


def _test(file: str, text: str) -> Outcome:
    outcome = Outcome(file)
    try:
        tests = read(file, text)
        outcome.failures = run(tests, _rules_of(tests, outcome.warnings))
    except InvalidFile as error:
        outcome.failures = [str(problem) for problem in error.problems]
    return outcome


def _rules_of(tests: TestFile, warnings: list[str]) -> Sequence[Group]:
    """Return the groups of the rule files that a test file names."""
    folder = Path(tests.name).parent
    found: dict[Path, None] = {}
    for pattern, _ in tests.rule_files:
        names = sorted(glob.glob(os.path.join(folder, pattern)))  # noqa: PTH118, PTH207 - may be absolute
        if not names:
            warnings.append(f"no file match pattern {folder / pattern}")
        found.update(dict.fromkeys(map(Path, names)))
    sources, unreadable = texts(list(found))
    if unreadable:
        raise InvalidFile(unreadable)
    return load(sources)


def _show(outcome: Outcome) -> None:
    """Print the verdict where promtool prints it: what failed goes to stderr."""
    for warning in outcome.warnings:
        typer.echo(f"  WARNING: {warning}", err=True)
    if outcome.failures:
        typer.echo("  FAILED:", err=True)
        for failure in outcome.failures:
            typer.echo(failure, err=True)
            typer.echo()
    else:
        typer.echo("  SUCCESS")
    typer.echo()


def _stop_at(unreadable: Sequence[Problem], output: Output) -> None:
    """End the command when a file that was asked for cannot be read."""
    if not unreadable:
        return
    if output is Output.JSON:
        print_json({"ok": False, "problems": [asdict(problem) for problem in unreadable]})
    else:
        for problem in unreadable:
            typer.echo(str(problem), err=True)
    raise typer.Exit(EX_UNREADABLE)
