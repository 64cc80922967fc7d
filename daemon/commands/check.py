"""`dbarchitect check`: says what is wrong with a configuration, and with --connect what the servers say."""

from __future__ import annotations

import asyncio
import enum
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from actions.policies.load import BUILTIN_FILE
from collectors.engine import Finding
from collectors.strict_yaml import Problem
from daemon import check as checking

EX_CONFIG = 78
_WIDE = 240
"""Columns where nobody looks: a remedy stays on one line, to be copied or searched for."""
_STYLES = {"ok": "green", "missing": "yellow", "unknown": "magenta", "info": "cyan"}


class Output(enum.StrEnum):
    """Who reads the result."""

    TEXT = "text"
    JSON = "json"


def check(
    config: Annotated[Path, typer.Argument(help="The configuration file.")],
    connect: Annotated[
        bool, typer.Option("--connect", help="Ask every server: reachable, rights, collectors, TLS, clock.")
    ] = False,
    output: Annotated[Output, typer.Option(help="text or json.")] = Output.TEXT,
) -> None:
    """Check CONFIG; exit 0 when all is well, 78 for mistakes in it, 1 when a server needs attention."""
    report = checking.check(config)
    if report.config is None or not report.ok:
        _show_mistakes(report, output)
        raise typer.Exit(EX_CONFIG)
    servers = asyncio.run(checking.check_connect(report.config)) if connect else ()
    if output is Output.JSON:
        print_json(_as_data(report, servers))
    else:
        _warn(report.warnings)
        console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
        console.print(summary(report), soft_wrap=not sys.stdout.isatty())
        for server in servers:
            console.print(target_view(server))
    if not all(server.ok for server in servers):
        raise typer.Exit(1)


def summary(report: checking.Report) -> Text:
    """Return `OK` with what the daemon would do."""
    engines: dict[str, int] = {}
    for target in report.targets:
        engines[target.engine] = engines.get(target.engine, 0) + 1
    kinds = ", ".join(f"{count} {engine}" for engine, count in sorted(engines.items()))
    text = Text.assemble(
        ("OK", "bold green"), f" {plain(report.file)}: {len(report.targets)} targets ({kinds})"
    )
    own = len(report.config.custom_probes) if report.config else 0
    if own:
        text.append(f", {own} probes of your own")
    policies = report.config.policies.policies if report.config else ()
    if mine := [policy for policy in policies if policy.place.file != BUILTIN_FILE]:
        text.append(f", {len(mine)} policies of your own")
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for target in report.targets:
        groups.setdefault((target.engine, target.on, target.off), []).append(target.name)
    for (engine, on, off), names in groups.items():
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")  # noqa: PLR2004
        text.append(f"\n  {engine}: {shown}\n    probes on:  {', '.join(on) or 'none'}")
        text.append(f"\n    probes off: {', '.join(off) or 'none'}")
    return text


def target_view(server: checking.TargetReport) -> RenderableType:
    """Return what is to be said of one server, as a table."""
    title = Text(f"\n{server.name} ({server.engine}, {plain(server.address)})", "bold")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if not server.up:
        cause, message = (server.failure.cause, server.failure.message) if server.failure else ("error", "")
        table.add_row("reachable", Text("no", "bold red"), Text(plain(f"{cause}: {message}")))
        return Group(title, table)
    table.add_row("reachable", Text("ok", "green"), Text(f"answers in {server.took_seconds * 1000:.0f} ms"))
    for finding in server.findings:
        _add(table, finding)
    table.add_row("collectors", Text("ok", "green"), Text(", ".join(server.working) or "none"))
    for failing in server.failing:
        table.add_row(failing.probe, Text("fails", "bold red"), Text(plain(failing.reason)))
    named = {finding.feature for finding in server.findings}
    for one in server.rejections:
        if f"probe {one.probe}" not in named:
            table.add_row(
                one.probe, Text("absent", "magenta"), Text(plain(f"{one.what or 'all of it'}: {one.reason}"))
            )
    return Group(title, table)


def plain(text: str) -> str:
    """Return a text from a server without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def print_json(data: object) -> None:
    """Write data as JSON to standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def _add(table: Table, finding: Finding) -> None:
    state = Text(finding.state, _STYLES.get(finding.state, ""))
    table.add_row(plain(finding.feature), state, Text(plain(finding.detail)))
    if finding.remedy:
        table.add_row("", Text("do", "bold"), Text(plain(finding.remedy), "bold"))


def _show_mistakes(report: checking.Report, output: Output) -> None:
    if output is Output.JSON:
        print_json(_as_data(report, ()))
        return
    _warn(report.warnings)
    for problem in report.problems:
        typer.echo(str(problem), err=True)
    count = len(report.problems)
    typer.echo(f"{report.file}: {count} mistake{'s' if count != 1 else ''}", err=True)


def _warn(warnings: Sequence[Problem]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def _as_data(report: checking.Report, servers: Sequence[checking.TargetReport]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "file": report.file,
        "ok": report.ok and all(server.ok for server in servers),
        "problems": [asdict(one) for one in report.problems],
        "warnings": [asdict(one) for one in report.warnings],
        "targets": [asdict(one) for one in report.targets],
    }
    if servers:
        data["servers"] = [{**asdict(one), "ok": one.ok} for one in servers]
    return data
