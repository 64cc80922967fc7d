"""Reads the policies that the configuration names, and the catalogue of actions that they may name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from actions.action import ActionInfo
from actions.command.action import command_actions
from actions.command.model import Command
from actions.policies.load import load
from actions.policy import Policies
from actions.registry import actions
from collectors.strict_yaml import Document, InvalidFile, Problem
from daemon.config.acting import POLICY_FILES, ActingSettings
from daemon.config.files import found_files
from daemon.config.rule_files import texts


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """What all files of policies hold."""

    policies: Policies
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    own: frozenset[str] = frozenset()
    """Names of the files that people wrote."""


def catalogue(commands: Mapping[str, Command]) -> dict[str, ActionInfo]:
    """Return every action there is, by name: those of the program, and the configuration's commands."""
    return _built_in() | {one.info.name: one.info for one in command_actions(commands)}


def read_all(settings: ActingSettings, document: Document) -> PolicyFiles:
    """Return the policies of all files in their order, with every mistake in them."""
    problems: list[Problem] = []
    sources, unreadable = texts(_files(settings, document, problems))
    problems += unreadable
    try:
        loaded = load(sources, catalogue(settings.commands), time.time(), builtin=settings.builtin)
    except InvalidFile as error:
        return PolicyFiles(Policies(), (*problems, *error.problems))
    return PolicyFiles(loaded.policies, tuple(problems), loaded.warnings, frozenset(sources))


@cache
def _built_in() -> dict[str, ActionInfo]:
    return {name: action.info for name, action in actions().items()}


def _files(settings: ActingSettings, document: Document, problems: list[Problem]) -> list[Path]:
    found: dict[Path, None] = {}
    folder = Path(document.file).absolute().parent
    for index, pattern in enumerate(settings.policy_files):
        paths, reason = found_files(str(folder / pattern))
        if reason and pattern not in POLICY_FILES:
            place = ("acting", "policy_files", index)
            problems.append(document.problem(place, f"acting.policy_files[{index}]: {reason}"))
        found.update(dict.fromkeys(paths))
    return list(found)
