"""The house rules that a machine can check."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("daemon", "rules", "collectors", "actions")
LONGEST = 400


def ours(*patterns: str) -> list[Path]:
    """Return the files that git knows or would know, so that nothing unpacked or built counts."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_python_file_is_longer_than_400_lines() -> None:
    files = ours("*.py")
    assert len(files) > 20
    assert {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := len(path.read_text().splitlines())) > LONGEST
    } == {}


def test_tests_are_not_packages() -> None:
    assert [str(path) for path in ours("tests/**/__init__.py", "tests/__init__.py")] == []


def test_the_four_packages_are_the_ones_that_are_shipped() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert tuple(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == OURS
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_the_names_of_our_packages_belong_to_nobody_else(name: str) -> None:
    # python-daemon, django-rules and others use them too: installed beside us, one would hide the other.
    owners = set(importlib.metadata.packages_distributions().get(name, []))
    assert owners <= {"database-architect"}


def test_the_makefile_and_the_installer_are_complete() -> None:
    makefile = (ROOT / "Makefile").read_text()
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    declared = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    assert described == declared


def test_every_pinned_package_has_a_hash_and_no_place_is_named() -> None:
    for path in ours("requirements/*.txt"):
        text = path.read_text()
        for pin in re.split(r"\n(?=[\w.-]+==)", text)[1:]:
            assert "--hash=sha256:" in pin, pin
        assert not re.search(r"https?://|file:|--(?:extra-)?index-url|--find-links", text), path


def test_the_pins_of_the_demo_and_of_the_product_are_those_that_are_tested() -> None:
    pins = {name: _pins(ROOT / "requirements" / f"{name}.txt") for name in ("run", "demo", "test")}
    assert pins["run"]
    assert pins["run"].items() <= pins["demo"].items() <= pins["test"].items()


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = {re.match(r"[\w.-]+", line)[0].lower() for line in project["project"]["dependencies"]}
    assert named <= _pins(ROOT / "requirements" / "run.txt").keys()
    for group in project["dependency-groups"].values():
        named |= {re.match(r"[\w.-]+", line)[0].lower() for line in group}
    assert named <= _pins(ROOT / "requirements" / "test.txt").keys()


def test_the_readme_shows_how_to_try_it_and_how_to_test_it_before_anything_else() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.search(r"```(?:sh|bash|console|shell)\n(.*?)```", readme, re.DOTALL)
    assert commands is not None
    assert "make demo" in commands[1]
    assert "make test" in "\n".join(readme.splitlines()[:60])


def _pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(), re.MULTILINE))
