"""What is installed can make its tables: the steps are found by their files, not by imports."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.missing import missing

ROOT = Path(__file__).resolve().parents[3]
USE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import daemon.store
assert daemon.store.__file__.startswith(sys.argv[1]), daemon.store.__file__
from daemon.acting.steady import SteadyClock
from daemon.store.opening import open_store
from daemon.store.options import StoreOptions

async def main():
    store = await open_store(StoreOptions(path=Path(sys.argv[2])), SteadyClock())
    print((await store.verify()).records, (await store.grant("a", 30.0)).epoch)
    await store.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from what git knows, in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in tracked():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    made = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    if "No module named hatchling" in made.stderr:
        missing("hatchling", "make install")
    assert made.returncode == 0, made.stderr
    (found,) = folder.glob("*.whl")
    return found


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        missing("the repository's history", "git clone")
    return listed.stdout.splitlines()


def test_every_step_is_in_the_wheel(wheel: Path) -> None:
    steps = {name for name in tracked() if name.startswith("daemon/store/migrations/")}
    assert len(steps) >= 4
    assert steps <= set(zipfile.ZipFile(wheel).namelist())


def test_a_store_is_made_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "installed 100%"
    zipfile.ZipFile(wheel).extractall(unpacked)
    made = subprocess.run(
        [sys.executable, "-P", "-c", USE, str(unpacked), str(tmp_path / "acting.sqlite")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.stdout, made.returncode) == ("0 1\n", 0), made.stderr
