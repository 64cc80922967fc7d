"""Measures what watching costs, beside prometheus-postgres-exporter on the same server, in one run.

    make bench-collect
    make bench-collect ARGS="--quick"
    make bench-collect ARGS="--only default,many --json found.json"

It prints; it judges nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from actions.scratch.errors import ScratchError
from actions.scratch.place import Place, scratch_place
from tests.bench import bench_exposition
from tests.bench import collect_report as report
from tests.bench.collect_default import measure_default
from tests.bench.collect_everything import measure_everything
from tests.bench.collect_many import measure_many
from tests.bench.collect_process import cores
from tests.bench.collect_watchers import exporter_path
from tests.bench.collect_workload import workload

PARTS = ("default", "full", "many", "expo")


def main() -> int:
    asked = _arguments()
    try:
        exporter_path()
        found = asyncio.run(_measure(asked))
    except ScratchError as error:
        print(error, file=sys.stderr)
        return 1
    if asked.json:
        Path(asked.json).write_text(json.dumps(found, default=_plain, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-collect", description="What watching costs.")
    parser.add_argument("--quick", action="store_true", help="shorter windows: less exact, under 3 minutes")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    parser.add_argument("--window", type=float, help="seconds that the default metrics are measured for")
    parser.add_argument("--targets", type=int, help="how many targets the one daemon has (500)")
    parser.add_argument("--servers", type=int, default=5, help="how many servers these are on (5)")
    parser.add_argument("--keep-logs", metavar="DIRECTORY", help="keep logs and configurations there")
    asked = parser.parse_args()
    asked.parts = tuple(asked.only.split(","))
    if wrong := set(asked.parts) - set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}, and not {', '.join(sorted(wrong))}")
    return asked


async def _measure(asked: argparse.Namespace) -> dict[str, Any]:
    rows: list[report.Row] = []
    found: dict[str, Any] = {"machine": _machine()}
    say("machine: " + ", ".join(f"{key} {value}" for key, value in found["machine"].items()))
    async with scratch_place() as place:
        room = _room(place, asked.keep_logs)
        if {"default", "full"} & set(asked.parts):
            await _on_workload(asked, place, room, rows, found)
        if "expo" in asked.parts:
            say("exposition of 100,000 series ...")
            ours = await asyncio.to_thread(
                bench_exposition.apart, bench_exposition.ours, bench_exposition.SERIES, False
            )
            theirs = await asyncio.to_thread(
                bench_exposition.apart, bench_exposition.theirs, bench_exposition.SERIES, False
            )
            rows += report.exposition_rows(ours, theirs)
            found["exposition"] = {"ours": ours, "prometheus_client": theirs}
        if "many" in asked.parts:
            number = asked.targets or (100 if asked.quick else 500)
            say(f"one daemon, {number} targets ...")
            loops = (True,) if asked.quick else (True, False)
            cycles = 1 if asked.quick else 2
            window = 20.0 if asked.quick else 40.0
            many = await measure_many(place, room, number, window, loops, asked.servers, cycles)
            report.show_many(many)
            rows += report.many_rows(many)
            found["many"] = many
    report.show(rows)
    found["goals"] = rows
    return found


async def _on_workload(
    asked: argparse.Namespace, place: Place, room: Path, rows: list[report.Row], found: dict[str, Any]
) -> None:
    say("making the server: 1,000 tables, 5,000 statements ...")
    async with workload(place) as made:
        say("on the server: " + ", ".join(f"{value:,} {key}" for key, value in made.counts.items()))
        if "default" in asked.parts:
            window = asked.window or (30.0 if asked.quick else 120.0)
            say(f"default metrics, {window:g} s ...")
            default = await measure_default(made, room, window, 15.0 if asked.quick else 30.0)
            report.show_watchers("Default metrics, one scrape in 10 s", list(default.values()))
            for name in ("exporter", "same", "full"):
                report.show_ranking(f"What costs the server most: {name}", default[name])
            _say_missing(default["exporter"].families, default["same"].families)
            rows += report.default_rows(default)
            found["default"] = default
        if "full" in asked.parts:
            say("everything per table and statement ...")
            everything = await measure_everything(made, room, 2 if asked.quick else 5)
            report.show_watchers(
                "Everything per table and statement, one scrape in 15 s",
                [one.measured for one in everything.values()],
            )
            rows += report.everything_rows(everything)
            found["everything"] = everything


def _say_missing(theirs: frozenset[str], ours: frozenset[str]) -> None:
    """Name the exporter's families that "the same information" lacks, its own process's left out."""
    known = {name.removesuffix("_total") for name in ours}
    lacking = sorted(
        name
        for name in theirs
        if name.startswith("pg_")
        and not name.startswith(("pg_exporter", "pg_settings"))
        and name.removesuffix("_total") not in known
    )
    say(f"families of the exporter that `same` lacks: {', '.join(lacking) or 'none'}")


def _machine() -> dict[str, Any]:
    return {
        "cores": len(cores()),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def _room(place: Place, kept: str | None) -> Path:
    room = Path(kept) if kept else place.path / "watchers"
    room.mkdir(parents=True, exist_ok=True)
    return room


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return sorted(value) if isinstance(value, frozenset | set) else str(value)


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
