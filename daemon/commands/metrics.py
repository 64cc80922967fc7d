"""`dbarchitect metrics`: every metric there is, with its meaning, its source and its price."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from collectors.catalogue import CatalogueEntry
from collectors.definition import ProbeDef
from collectors.registry import engines
from collectors.strict_yaml import InvalidFile, did_you_mean
from daemon import config as configuration
from daemon.catalogue import OWN, catalogue, matching, source_of
from daemon.docs_metrics import markdown, pace
from daemon.own_metrics import own_metrics
from daemon.terminal.options import give_up
from daemon.terminal.screen import Column, console, table

NOTHING_FOUND = 1


class Format(enum.StrEnum):
    """How the catalogue is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def metrics(
    pattern: Annotated[
        str, typer.Argument(help="Part of the name of a metric or probe, or a pattern with * and ?.")
    ] = "",
    engine: Annotated[str, typer.Option(help="Only what this engine gives.")] = "",
    config: Annotated[
        Path | None, typer.Option(help="Show the metrics that this configuration declares, too.")
    ] = None,
    output: Annotated[Format, typer.Option(help="table, json or markdown.")] = Format.TABLE,
) -> None:
    """List every metric: type, unit, labels, source, cost, pace, needs."""
    known = [*engines(), OWN]
    if engine and engine not in known:
        hint = did_you_mean(engine, known) or f"there are {', '.join(known)}"
        give_up(f"there is no engine {engine!r}: {hint}")
    entries = catalogue(engines().values(), own_metrics(), _custom(config))
    found = matching(entries, pattern, engine)
    if not found:
        names = [entry.metric.name for entry in matching(entries, "", engine)]
        typer.echo(f"no metric matches {pattern!r}; {did_you_mean(pattern, names)}".rstrip("; "), err=True)
        raise typer.Exit(NOTHING_FOUND)
    _print(found, output)


def _custom(config: Path | None) -> Sequence[ProbeDef]:
    if config is None:
        return ()
    try:
        return configuration.load(config).custom_probes
    except InvalidFile as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        give_up(f"{config} has mistakes, so its metrics are not known")


def _print(entries: Sequence[CatalogueEntry], output: Format) -> None:
    if output is Format.MARKDOWN:
        typer.echo(markdown(entries, {name: one.title for name, one in engines().items()}), nl=False)
    elif output is Format.JSON:
        typer.echo(json.dumps([_as_json(entry) for entry in entries], indent=2))
    else:
        screen = console()
        screen.print(table(_COLUMNS, entries, screen.width))


_COLUMNS: Sequence[Column[CatalogueEntry]] = (
    Column("METRIC", lambda entry: entry.metric.name, least=30),
    Column("TYPE", lambda entry: entry.metric.kind, keep=1),
    Column("UNIT", lambda entry: entry.metric.unit, keep=4),
    Column("LABELS", lambda entry: ",".join(entry.metric.labels), keep=3, least=16),
    Column("PROBE", lambda entry: entry.probe, keep=2),
    Column("COST", lambda entry: entry.cost, keep=5),
    Column("PACE", pace, "right", keep=5),
    Column("ON", lambda entry: "yes" if entry.default else "no", keep=6),
    Column("SOURCE", source_of, keep=7),
    Column("NEEDS", lambda entry: ", ".join(entry.needs), keep=8, least=20),
    Column("ALIASES", lambda entry: ", ".join(entry.metric.aliases), keep=9, least=20),
)


def _as_json(entry: CatalogueEntry) -> dict[str, Any]:
    metric = entry.metric
    return {
        "metric": metric.name,
        "type": metric.kind,
        "unit": metric.unit,
        "labels": list(metric.labels),
        "help": metric.help,
        "aliases": list(metric.aliases),
        "engine": entry.engine,
        "probe": entry.probe,
        "source": source_of(entry),
        "cost": entry.cost,
        "every_seconds": entry.every_seconds or None,
        "scope": entry.scope,
        "role": entry.role,
        "default": entry.default,
        "needs": list(entry.needs),
        "custom": entry.custom,
    }
