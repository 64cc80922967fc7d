"""Measures what judging costs, and Prometheus on the same series in the same run.

    make bench-rules
    make bench-rules ARGS="--quick"
    make bench-rules ARGS="--targets 200 --series 1000 --json found.json"

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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions.scratch.errors import ScratchError
from actions.scratch.place import scratch_place
from tests.bench import rules_report as report
from tests.bench.rules_capture import Seen, capture
from tests.bench.rules_judging import Daemon, Judging, churn, measure
from tests.bench.rules_prometheus import Compared, compare

HOUR_STEPS = 360


def main() -> int:
    asked = _arguments()
    try:
        seen = asyncio.run(_capture(asked))
        judging, compared = _measure(asked, seen)
    except ScratchError as error:
        print(error, file=sys.stderr)
        return 1
    if asked.json:
        found = {
            "machine": _machine(),
            "judging": dataclasses.asdict(judging),
            "prometheus": [dataclasses.asdict(one) for one in compared],
        }
        Path(asked.json).write_text(json.dumps(found, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-rules", description="What judging costs.")
    parser.add_argument("--quick", action="store_true", help="20 targets, ten minutes of samples")
    parser.add_argument(
        "--targets", type=int, help="PostgreSQL targets (100); to ten, a pgBouncer and a host"
    )
    parser.add_argument("--series", type=int, default=2000, help="series of each that rules look at (2000)")
    parser.add_argument(
        "--steps", type=int, help=f"steps of 10 s that the window is filled with ({HOUR_STEPS})"
    )
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    parser.add_argument(
        "--seen", type=Path, metavar="FILE", help="keep there what the servers showed, or take it"
    )
    parser.add_argument("--without-prometheus", action="store_true", help="leave the comparison out")
    asked = parser.parse_args()
    asked.targets = asked.targets or (20 if asked.quick else 100)
    asked.steps = asked.steps or (60 if asked.quick else HOUR_STEPS)
    return asked


async def _capture(asked: argparse.Namespace) -> Mapping[str, Seen]:
    say("machine: " + ", ".join(f"{key} {value}" for key, value in _machine().items()))
    say(
        "a primary with 1,000 tables and 5,000 statements, a replica, a pgBouncer, this host: two minutes ..."
    )
    async with scratch_place() as place:
        seen = await capture(place, 60.0, asked.seen)
    say("they show " + ", ".join(f"{name} {one.series:,} series" for name, one in seen.items()))
    return seen


def _measure(asked: argparse.Namespace, seen: Mapping[str, Seen]) -> tuple[Judging, list[Compared]]:
    daemon = Daemon(seen, asked.targets, asked.series, asked.steps)
    judging = measure(daemon, asked.steps, say)
    compared: list[Compared] = []
    if not asked.without_prometheus:
        say("loading the same series into Prometheus ...")
        compared = asyncio.run(_compare(daemon))
        report.show_compared(compared)
    churn(daemon, judging, 3)
    report.show_judging(judging)
    return judging, compared


async def _compare(daemon: Daemon) -> list[Compared]:
    async with scratch_place() as place:
        return await compare(place, daemon.bench.window, daemon.groups, daemon.now_ms, say)


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
