"""Which engine keeps the history best: Parquet with DuckDB, or SQLite with packed chunks.

    make bench-history
    .venv/bin/python -m tests.bench.history [--targets 100] [--only NAME]

Each candidate runs in a process of its own, so that its memory is its own. Without duckdb and pyarrow,
which the product does not need, only SQLite is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import lzma
import random
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.history_candidates import (
    Candidate,
    DuckTable,
    ParquetFiles,
    SplitParquetFiles,
    SqliteChunks,
    installed_mb,
    sqlite_with,
)
from tests.bench.history_workload import START_MS, Shape, batches

CANDIDATES: dict[str, Callable[[Path], Candidate]] = {
    "sqlite+zstd": SqliteChunks,
    "sqlite+zlib": sqlite_with(lambda data: zlib.compress(data, 6), zlib.decompress),
    "sqlite+lzma": sqlite_with(lambda data: lzma.compress(data, preset=1), lzma.decompress),
    "parquet": ParquetFiles,
    "parquet-bss": SplitParquetFiles,
    "duckdb": DuckTable,
}
KILLS = 8
ROWS = (
    ("samples", "{:,.0f}"),
    ("bytes a sample, packed", "{:.2f}"),
    ("bytes a sample, its rollups", "{:.2f}"),
    ("bytes a sample, not yet packed", "{:.2f}"),
    ("CPU ms a batch of 30 s", "{:.0f}"),
    ("CPU ms, the slowest batch", "{:.0f}"),
    ("CPU s to pack an hour", "{:.1f}"),
    ("memory added at most, MB", "{:.0f}"),
    ("1 series, 1 h, not yet packed, ms", "{:.1f}"),
    ("100 series, 1 h, packed, ms", "{:.1f}"),
    ("1 series, 24 h, packed, ms", "{:.1f}"),
    (f"samples lost in {KILLS} kills -9", "{:.0f}"),
    ("packages installed, MB", "{:.0f}"),
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--targets", type=int, default=100)
    words.add_argument("--only", choices=CANDIDATES, action="append")
    words.add_argument("--measure", choices=CANDIDATES, help=argparse.SUPPRESS)
    words.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.write:
        write_until_killed(given.write[0], Path(given.write[1]))
    elif given.measure:
        print(json.dumps(measured(given.measure, given.targets)))
    else:
        report(given.only or list(CANDIDATES), given.targets)


def report(names: list[str], targets: int) -> None:
    duck = all(importlib.util.find_spec(name) for name in ("duckdb", "pyarrow"))
    if not duck:
        print(
            "duckdb and pyarrow are not installed: without them only SQLite is measured (make bench-history)"
        )
    names = [name for name in names if duck or name.startswith("sqlite")]
    results = {name: in_own_process(name, targets) for name in names}
    table = Table()
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for row, form in ROWS:
        table.add_row(
            row, *(form.format(results[name][row]) if row in results[name] else "-" for name in names)
        )
    console = Console(width=140)
    console.print(f"{targets} targets x 300 series, one sample in 10 s for 1 h")
    console.print(table)


def in_own_process(name: str, targets: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.history", "--measure", name, "--targets", str(targets)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def measured(name: str, targets: int) -> dict[str, float]:
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
        found |= an_hour(name, Path(folder), Shape(targets=targets))
    with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
        found |= a_day(
            name, Path(folder), Shape(targets=max(1, targets // 10), seconds=86_400, batch_rows=360)
        )
    found[f"samples lost in {KILLS} kills -9"] = lost_by_kills(name)
    return found


def an_hour(name: str, folder: Path, shape: Shape) -> dict[str, float]:
    given = list(batches(shape))
    candidate = CANDIDATES[name](folder)
    before = memory_now()
    costs = [cpu(lambda sheets=sheets: candidate.write(sheets)) for sheets in given]
    loose = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    first, everyone = (
        given[0][2].series[:1],
        [sheet.series[7] for sheet in given[0] if len(sheet.series) == 45],
    )
    ends = (START_MS, START_MS + 3_700_000)
    one_fresh = wall(lambda: candidate.read(first, *ends), expected=shape.rows)
    packing = cpu(lambda: candidate.pack(START_MS + 86_400_000))
    hundred = (everyone * 100)[:100] if len(everyone) < 100 else everyone[:100]
    hundred_ms = wall(lambda: candidate.read(hundred, *ends), expected=shape.rows * len(set(hundred)))
    peak = memory_peak() - before
    raw, rollups = candidate.kept_bytes()
    candidate.close()
    return {
        "samples": shape.samples,
        "bytes a sample, packed": raw / shape.samples,
        **({"bytes a sample, its rollups": rollups / shape.samples} if rollups else {}),
        "bytes a sample, not yet packed": loose / shape.samples,
        "CPU ms a batch of 30 s": sorted(costs)[len(costs) // 2] * 1000,
        "CPU ms, the slowest batch": max(costs) * 1000,
        "CPU s to pack an hour": packing,
        "memory added at most, MB": peak,
        "1 series, 1 h, not yet packed, ms": one_fresh,
        "100 series, 1 h, packed, ms": hundred_ms,
        "packages installed, MB": installed_mb(candidate.packages),
    }


def a_day(name: str, folder: Path, shape: Shape) -> dict[str, float]:
    candidate = CANDIDATES[name](folder)
    wanted = None
    for sheets in batches(shape):
        wanted = wanted or sheets[2].series[:1]
        candidate.write(sheets)
    candidate.pack(START_MS + 2 * 86_400_000)
    ends = (START_MS, START_MS + 86_500_000)
    took = wall(lambda: candidate.read(wanted, *ends), expected=shape.rows)
    candidate.close()
    return {"1 series, 24 h, packed, ms": took}


def lost_by_kills(name: str) -> int:
    """Kill a writer at random times; return how many samples that it had called durable are gone."""
    lost = 0
    rng = random.Random(3)
    for _ in range(KILLS):
        with tempfile.TemporaryDirectory(prefix="bench-history-") as folder:
            command = [sys.executable, "-u", "-m", "tests.bench.history", "--write", name, folder]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                writer.stdout.readline()
                time.sleep(rng.uniform(0.05, 0.6))
                writer.send_signal(signal.SIGKILL)
                acknowledged = 1 + len([line for line in writer.stdout if line.endswith("\n")])
            lost += max(0, acknowledged * 3 - survived(name, Path(folder)))
    return lost


SMALL = Shape(targets=4, seconds=36_000)


def write_until_killed(name: str, folder: Path) -> None:
    candidate = CANDIDATES[name](folder)
    for sheets in batches(SMALL):
        candidate.write(sheets)
        print("durable")


def survived(name: str, folder: Path) -> int:
    """Return how many samples of one series a new process finds."""
    series = next(batches(SMALL))[2].series[:1]
    candidate = CANDIDATES[name](folder)
    if hasattr(candidate, "_numbers"):
        # The numbers of series are in the file; which one it is, is the same in each run.
        candidate._numbers = {series[0]: 35}
    found = candidate.read(series, 0, 2**60)
    candidate.close()
    return found


def cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def wall(work: Callable[[], int], *, expected: int) -> float:
    took = []
    for _ in range(7):
        began = time.perf_counter()
        found = work()
        took.append(time.perf_counter() - began)
        assert found == expected, f"{found} samples where {expected} were written"
    return min(took) * 1000


def memory_now() -> float:
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def memory_peak() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1000


if __name__ == "__main__":
    main()
