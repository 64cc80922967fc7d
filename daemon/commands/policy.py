"""`dbarchitect policy`: checks files of policies, and explains which policy an alert reaches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn
from zoneinfo import ZoneInfo

import typer

from actions.policies.explain import Explanation, explain
from actions.policies.load import load
from actions.policy import Policies, Policy
from collectors.strict_yaml import InvalidFile, Problem
from daemon import config as configuration
from daemon.commands.check import Output, print_json
from daemon.config import Config, policy_files
from daemon.config.acting import ActingSettings
from daemon.config.rule_files import texts

EX_FAILED = 1
EX_UNREADABLE = 2
CONFIG = Path("/etc/dbarchitect/config.yaml")
_SOURCES = ("rules", "alertmanager")

app = typer.Typer(
    name="policy", help="Check policies, and explain which of them an alert reaches.", no_args_is_help=True
)
Form = Annotated[Output, typer.Option(help="text or json.")]


@app.command("check")
def check_files(
    files: Annotated[list[Path], typer.Argument(help="The files, in their order.", metavar="FILE...")],
    config: Annotated[Path | None, typer.Option(help="Know the commands of this configuration, too.")] = None,
    output: Form = Output.TEXT,
) -> None:
    """Check files of policies; exit 1 when one has mistakes, 2 when one cannot be read."""
    sources, unreadable = texts(files)
    if unreadable:
        _end(unreadable, EX_UNREADABLE, output)
    acting = _configuration(config, output).acting if config else ActingSettings()
    try:
        loaded = load(sources, policy_files.catalogue(acting.commands), time.time(), builtin=acting.builtin)
    except InvalidFile as error:
        _end(error.problems, EX_FAILED, output)
    own = [policy for policy in loaded.policies.policies if policy.place.file in sources]
    if output is Output.JSON:
        names = [policy.name for policy in own]
        print_json({"ok": True, "policies": names, "warnings": [asdict(one) for one in loaded.warnings]})
        return
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"OK: {len(own)} policies in {len(sources)} files")


@app.command("explain")
def explain_alert(
    label: Annotated[list[str], typer.Option(help="A label of the alert, as NAME=VALUE; once for each.")],
    source: Annotated[str, typer.Option("--from", help="rules or alertmanager.")] = "rules",
    config: Annotated[Path, typer.Option(help="The configuration file.")] = CONFIG,
    output: Form = Output.TEXT,
) -> None:
    """Say which policy an alert reaches, and why; exit 1 when it reaches none, 2 when that cannot be told."""
    labels = _labels(label, output)
    if source not in _SOURCES:
        _stop(f"--from {source}: should be one of {', '.join(_SOURCES)}", output)
    whole = _configuration(config, output)
    said = explained(whole, labels, "rules" if source == "rules" else "alertmanager", time.time())
    if output is Output.JSON:
        print_json(said.as_data())
    else:
        typer.echo("\n".join(_lines(said, whole)))
    if said.decision.policy is None:
        raise typer.Exit(EX_FAILED)


def explained(
    config: Config, labels: Mapping[str, str], source: Literal["rules", "alertmanager"], now: float
) -> Explanation:
    """Return what the policies of a configuration make of an alert."""
    policies = config.policies if config.acting.enabled else Policies()
    target = labels.get("target", "")
    cap, why = config.caps.of(target)
    catalogue = policy_files.catalogue(config.acting.commands)
    return explain(policies, catalogue, labels, source, target, cap, why, now)


def _lines(said: Explanation, config: Config) -> list[str]:
    lines = []
    for one in said.decision.tried:
        lines += [f"passed over  {one.policy.name} ({one.policy.place})", f"             {one.why_not}"]
    policy = said.decision.policy
    if policy is None:
        return [*lines, f"no policy: {_no_policy(said, config)}"]
    named = f"{policy.action} (class {said.action.action_class})" if said.action else policy.action
    lines += [
        f"reached      {policy.name} ({policy.place})",
        f"  action     {named}",
        f"  mode       {said.decision.mode}: {said.decision.reason}",
    ]
    lines += [
        f"  parameter  {name} = {value} ({said.parameters.origins[name]})"
        for name, value in said.parameters.values.items()
    ]
    lines += [f"  parameter  {problem}: there would be no plan" for problem in said.parameters.problems]
    return [*lines, f"  window     {_window(said, policy)}", *_doubts(said, config)]


def _window(said: Explanation, policy: Policy) -> str:
    if not policy.windows:
        return "none: at any time"
    zone = policy.windows[0].zone
    if said.open_now:
        return f"open until {_when(said.closes, zone)}" if said.closes else "open for two weeks and more"
    return f"closed, opens {_when(said.opens, zone)}" if said.opens else "closed for the next two weeks"


def _doubts(said: Explanation, config: Config) -> list[str]:
    if not said.target:
        return ["warning: the alert has no label 'target': nothing would be done"]
    if said.target not in {one.name for one in config.targets}:
        return [f"warning: there is no target {said.target!r} in the configuration: nothing would be done"]
    return []


def _no_policy(said: Explanation, config: Config) -> str:
    return said.decision.reason if config.acting.enabled else "acting is switched off (acting.enabled: false)"


def _when(moment: float, zone: str) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %Z")


def _labels(written: Sequence[str], output: Output) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in written:
        name, equals, value = one.partition("=")
        if not name or not equals:
            _stop(f"--label {one}: should be NAME=VALUE", output)
        if name in found:
            _stop(f"--label {name}: is there twice", output)
        found[name] = value
    return found


def _configuration(path: Path, output: Output) -> Config:
    try:
        return configuration.load(path)
    except InvalidFile as error:
        _end(error.problems, EX_UNREADABLE, output)


def _stop(message: str, output: Output) -> NoReturn:
    _end([Problem("dbarchitect policy explain", 0, 0, message)], EX_UNREADABLE, output)


def _end(problems: Sequence[Problem], code: int, output: Output) -> NoReturn:
    if output is Output.JSON:
        print_json(_as_data(problems))
    else:
        for problem in problems:
            typer.echo(str(problem), err=True)
    raise typer.Exit(code)


def _as_data(problems: Sequence[Problem]) -> dict[str, Any]:
    return {"ok": False, "problems": [asdict(problem) for problem in problems]}
