"""Mutation run: changes the code that acting's safety rests on, one place at a time, and counts what tests notice.

    python -m tests.mutate guards window executor store --least 90

Everything happens in a copy, which is removed at the end: the working tree is only read.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("daemon", "actions", "rules", "collectors")
NOTICED = {"killed", "timeout", "segfault", "caught by type check"}
"""What mutmut says of mutants that did not get through; a timeout is a loop that never ends."""


@dataclasses.dataclass(frozen=True, slots=True)
class Area:
    """Code that is changed, and the tests that have to notice; paths may be patterns."""

    code: tuple[str, ...]
    tests: tuple[str, ...]


AREAS = {
    "guards": Area(("actions/guards/*.py",), ("tests/unit/guards/test_guard*.py",)),
    "window": Area(("actions/window.py",), ("tests/unit/guards/test_windows.py",)),
    "executor": Area(
        ("actions/executor.py", "actions/recovery.py", "actions/run/*.py"),
        ("tests/unit/acting/test_executor*.py", "tests/unit/acting/test_recovery*.py"),
    ),
    "store": Area(
        ("daemon/store/*.py",), ("tests/unit/store/test_*.py", "tests/integration/store/test_*.py")
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the named areas; return 1 when one of them scores less than asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"some of: {', '.join(AREAS)}; else all")
    parser.add_argument("--least", type=float, default=0.0, help="percentage of mutants that must be noticed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print the changes that nobody noticed")
    options = parser.parse_args(arguments)
    # Told to stop, it removes its copy too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if unknown := set(options.areas) - set(AREAS):
        parser.error(f"there is no area {', '.join(sorted(unknown))}; there are {', '.join(AREAS)}")
    areas = options.areas or AREAS
    scores = [run(name, AREAS[name], options.jobs, show=options.show) for name in areas]
    return int(min(scores) < options.least)


def run(name: str, area: Area, jobs: int, *, show: bool) -> float:
    """Mutate one area in a copy, print what came of it, and return the score in percent."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        place = Path(folder)
        _copy(place, area)
        done = _mutmut(place, "run", "--max-children", str(jobs), say=True)
        verdicts = _verdicts(place)
        counts = Counter(verdicts.values())
        if done.returncode != 0 or not counts:
            sys.exit(f"{name}: mutmut did not come to an end (exit {done.returncode})")
        noticed = sum(count for verdict, count in counts.items() if verdict in NOTICED)
        score = 100.0 * noticed / counts.total()
        survived = sorted(mutant for mutant, verdict in verdicts.items() if verdict not in NOTICED)
        for mutant in survived:
            print(f"{verdicts[mutant]}: {mutant}")
            if show:
                print(_mutmut(place, "show", mutant).stdout)
    print(
        f"{name}: {noticed} of {counts.total()} mutants noticed, {score:.1f} % ({dict(counts)})", flush=True
    )
    return score


def _copy(place: Path, area: Area) -> None:
    """Copy what tests need, with settings that name what is mutated."""
    leave = shutil.ignore_patterns("__pycache__", "node_modules")
    for folder in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / folder, place / folder, ignore=leave)
    for file in ("config.example.yaml", "README.md"):
        shutil.copy2(ROOT / file, place / file)
    code = [str(path.relative_to(ROOT)) for pattern in area.code for path in sorted(ROOT.glob(pattern))]
    tests = [str(path.relative_to(ROOT)) for pattern in area.tests for path in sorted(ROOT.glob(pattern))]
    if not code or not tests:
        sys.exit(f"there is nothing at {area.code}, or no tests at {area.tests}")
    settings = {
        "source_paths": list(PACKAGES),
        "only_mutate": code,
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-x", "-q", "-n", "0"],
        "pytest_add_cli_args_test_selection": tests,
        "also_copy": ["config.example.yaml", "README.md"],
        "use_git_change_detection": False,
        "track_dependencies": False,
    }
    pytest_settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    lines = ["[tool.mutmut]", *_toml(settings), "[tool.pytest.ini_options]", *_toml(pytest_settings)]
    (place / "pyproject.toml").write_text("\n".join(lines) + "\n")


def _toml(settings: dict[str, object]) -> list[str]:
    """Return settings as TOML; JSON's booleans, numbers, strings and lists are TOML's too."""
    return [f"{key} = {json.dumps(value)}" for key, value in settings.items()]


def _mutmut(place: Path, *arguments: str, say: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", *arguments]
    done = subprocess.run(command, cwd=place, text=True, capture_output=True, check=False)
    if say and done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
    return done


def _verdicts(place: Path) -> dict[str, str]:
    listed = _mutmut(place, "results", "--all", "true").stdout
    pairs = (line.strip().rsplit(": ", 1) for line in listed.splitlines() if ": " in line)
    return {pair[0]: pair[1] for pair in pairs if "__mutmut_" in pair[0]}


if __name__ == "__main__":
    raise SystemExit(main())
