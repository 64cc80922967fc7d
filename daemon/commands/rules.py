"""`dbarchitect rules`: checks rule files, and runs their unit tests."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from collectors.strict_yaml import InvalidFile, Problem
from daemon.commands.check import Output, print_json
from daemon.config.rule_files import texts
from rules.load import load
from rules.model import Group
from rules.testing import TestFile, read, run

EX_FAILED = 1
EX_UNREADABLE = 2

app = typer.Typer(name="rules", help="Check rule files and run their unit tests.", no_args_is_help=True)
Files = Annotated[list[Path], typer.Argument(help="The files.", metavar="FILE...")]
Form = Annotated[Output, typer.Option(help="text or json.")]


@dataclass(slots=True)
class Outcome:
    """How one test file fared."""

    file: str
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


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
