"""Reads the rules that the configuration names: packs that come with the program, and files of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import rules
from collectors.strict_yaml import (
    SIZE_MAX_BYTES,
    Document,
    InvalidFile,
    Problem,
    content_of,
    did_you_mean,
)
from daemon.config.files import found_files
from daemon.config.judging import RULE_FILES, RulesSettings
from daemon.config.messages import Place
from rules.load import load
from rules.model import Group

PACKS = Path(rules.__file__).parent / "builtin"


def packs() -> dict[str, Path]:
    """Return the packs that come with the program, by name."""
    found = sorted(PACKS.glob("*.yaml"))
    return {path.stem: path for path in found if not path.name.endswith(".test.yaml")}


def read_all(settings: RulesSettings, document: Document) -> tuple[tuple[Group, ...], list[Problem]]:
    """Return the groups of all packs and files, with every mistake in them."""
    groups: list[Group] = []
    problems: list[Problem] = []
    chosen, wrong = _chosen(settings, document)
    problems += wrong
    groups += _packs(chosen)
    sources: dict[str, str] = {}
    for path in _files(settings, document, problems):
        text = _text(path, problems)
        if text is not None:
            sources[str(path)] = text
    try:
        groups += load(sources)
    except InvalidFile as error:
        problems += error.problems
    return tuple(groups), problems


def texts(names: Iterator[Path] | list[Path]) -> tuple[dict[str, str], list[Problem]]:
    """Return the texts of rule files by name, with those that cannot be read."""
    problems: list[Problem] = []
    found = {str(path): text for path in names if (text := _text(path, problems)) is not None}
    return found, problems


def _chosen(settings: RulesSettings, document: Document) -> tuple[tuple[str, ...], list[Problem]]:
    known = packs()
    if isinstance(settings.builtin, bool):
        return (tuple(known) if settings.builtin else ()), []
    problems = [
        document.problem(
            ("rules", "builtin", index),
            f"rules.builtin: there is no pack {name!r}",
            did_you_mean(name, known) or f"there are {', '.join(known)}",
        )
        for index, name in enumerate(settings.builtin)
        if name not in known
    ]
    return tuple(name for name in settings.builtin if name in known), problems


@cache
def _packs(names: tuple[str, ...]) -> tuple[Group, ...]:
    """Return the groups of packs; their files are named as people know them."""
    known = packs()
    return load({f"builtin/{known[name].name}": known[name].read_text("utf-8") for name in names})


def _files(settings: RulesSettings, document: Document, problems: list[Problem]) -> list[Path]:
    found: dict[Path, None] = {}
    folder = Path(document.file).absolute().parent
    for index, pattern in enumerate(settings.files):
        at: Place = ("rules", "files", index)
        paths, reason = found_files(str(folder / pattern))
        if reason and pattern not in RULE_FILES:
            problems.append(document.problem(at, f"rules.files[{index}]: {reason}"))
        found.update(dict.fromkeys(path for path in paths if not _is_test(path)))
    return list(found)


def _is_test(path: Path) -> bool:
    """Tell whether it is a file of unit tests that lies beside the rules."""
    return bool(re.search(r"[._-]tests?$", path.stem))


def _text(path: Path, problems: list[Problem]) -> str | None:
    try:
        content = content_of(path)
        if len(content) > SIZE_MAX_BYTES:
            message = f"the file is larger than {SIZE_MAX_BYTES} bytes, which is the most for rule files"
            problems.append(Problem(str(path), 1, 1, message, ""))
            return None
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.append(Problem(str(path), 1, 1, f"the file is not UTF-8 text: {error.reason}", ""))
    except OSError as error:
        problems.append(Problem(str(path), 1, 1, f"the file cannot be read: {error.strerror}", ""))
    return None
