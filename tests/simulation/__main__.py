"""Runs many simulations, or replays one: `make simulate SEEDS=10000`; ends with 1 when a promise was broken."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.scenario import Result, rules_without, simulate

OTHER = frozenset({"executions", "effects", "records"})
console = Console()


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes at a time")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one, and tell all that happens in it")
    parser.add_argument("--without", metavar="RULE", default="", help="take a rule away, e.g. fence")
    asked = parser.parse_args()
    return _replay(asked.replay, asked.without) if asked.replay is not None else _many(asked)


def _replay(seed: int, without: str) -> int:
    result = simulate(seed, rules_without(without) if without else None, trace=True)
    for line in result.trace:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    _table(1, 0.0, [result] if result.violations else [], result.counts)
    return 1 if result.violations else 0


def _many(asked: argparse.Namespace) -> int:
    began, counts, broken = time.monotonic(), Counter[str](), []
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[found]}"), console=console) as progress:
        task = progress.add_task("", total=asked.seeds, found="")
        for result in _results(range(asked.first, asked.first + asked.seeds), asked.jobs, asked.without):
            counts += result.counts
            if result.violations:
                broken.append(result)
                progress.console.print(f"[red]seed {result.seed}[/]: {result.violations[0]}")
            progress.update(task, advance=1, found=f"{len(broken)} broken" if broken else "")
    _table(asked.seeds, time.monotonic() - began, broken, counts)
    return 1 if broken else 0


def _results(seeds: range, jobs: int, without: str) -> Iterator[Result]:
    rules = rules_without(without) if without else None
    if jobs == 1:
        yield from (simulate(seed, rules) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(simulate, seeds, [rules] * len(seeds), chunksize=5)


def _table(seeds: int, seconds: float, broken: list[Result], counts: Counter[str]) -> None:
    table = Table(title=f"{seeds} simulations in {seconds:.0f} s", title_justify="left")
    table.add_column("what")
    table.add_column("how often", justify="right")
    ends = sorted(name for name in counts if name.startswith("ended "))
    for group in (sorted(OTHER), ends, sorted(counts.keys() - OTHER - set(ends))):
        for name in group:
            table.add_row(name, f"{counts[name]:,}")
        table.add_section()
    style = "red" if broken else "green"
    table.add_row("broken promises", str(sum(len(each.violations) for each in broken)), style=style)
    console.print(table)
    for each in broken[:10]:
        console.print(f"seed {each.seed}: .venv/bin/python -m tests.simulation --replay {each.seed}")


if __name__ == "__main__":
    sys.exit(main())
