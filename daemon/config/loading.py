"""Reads the configuration's file: every mistake in it at once, each with its line."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from collectors.engine import Engine
from collectors.file_path import FOLDER
from collectors.registry import engines
from collectors.strict_yaml import Document, InvalidFile, Problem, did_you_mean
from collectors.strict_yaml import read as read_yaml
from daemon.config import checks, custom, policy_doubts, policy_files, rule_files
from daemon.config.acting import ActingSettings
from daemon.config.judging import RulesSettings
from daemon.config.known import known_of, with_custom
from daemon.config.messages import empty_keys, problems_in
from daemon.config.model import Config, DefaultSettings, TargetSettings
from daemon.config.settings import Settings

_Part = TypeVar("_Part", bound=Settings)
_COMMON = frozenset(TargetSettings.model_fields) - {"options"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A good configuration with what a person may still want to know about it."""

    config: Config
    warnings: tuple[Problem, ...]
    document: Document
    """For lines of what is found out later."""


def load(path: str | Path) -> Config:
    """Return the configuration in a file; raise InvalidFile with all its mistakes.

    Custom metric files belong to it. Nothing else is touched: no secret is read, no server asked.
    """
    return read(path).config


def read(path: str | Path) -> Loaded:
    """Return the configuration with its warnings; raise InvalidFile with all its mistakes."""
    document = read_yaml(Path(path))
    if not isinstance(document.value, dict):
        raise InvalidFile([_not_a_configuration(document)])
    reader = _Reader(document)
    config = reader.whole()
    if reader.problems:
        raise InvalidFile(reader.problems)
    return Loaded(config, tuple(reader.warnings), document)


def _not_a_configuration(document: Document) -> Problem:
    empty = document.value is None
    message = "there is no configuration in the file" if empty else "the file should hold keys with values"
    return document.problem((), message, "it needs at least `targets:`; see config.example.yaml")


class _Reader:
    """One reading of one file; gathers problems as it goes."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.value: dict[str, Any] = document.value
        self.context = {FOLDER: str(Path(document.file).absolute().parent)}
        self.problems: list[Problem] = empty_keys(document)
        self.warnings: list[Problem] = []

    def whole(self) -> Config:
        """Return the configuration; it holds only when there are no problems."""
        config, bad = self._frame()
        targets = self._targets(config)
        builtin = {name: known_of(engine) for name, engine in engines().items()}
        probes, found = custom.read_all(config.metrics_files, self.document, builtin)
        self.problems += found
        rules = (
            self._readable(RulesSettings, "rules", {"builtin", "files"}) if "rules" in bad else config.rules
        )
        groups, found = rule_files.read_all(rules, self.document)
        self.problems += found
        acting = config.acting
        if "acting" in bad:
            acting = self._readable(ActingSettings, "acting", {"builtin", "policy_files", "commands"})
        policies = policy_files.read_all(acting, self.document)
        self.problems += policies.problems
        known = with_custom(builtin, probes)
        self.problems += checks.of_targets(targets, config.defaults, self.document, known)
        self.problems += checks.of_acting(targets, self.document)
        self.warnings += checks.same_address(targets, self.document)
        if not bad & {"daemon", "http"}:
            self.problems += checks.of_daemon(config, self.document)
        if self.value.get("allow_inline_secrets") is not True:
            self.problems += checks.inline_secrets(targets, config, self.document)
        whole = config.with_parts(
            tuple(target for _, target in targets), tuple(probes), groups, policies.policies
        )
        self.warnings += (*policies.warnings, *policy_doubts.of_policies(whole, policies, known))
        return whole

    def _readable(self, model: type[_Part], name: str, keys: set[str]) -> _Part:
        """Return what can be read of a part when some of it is wrong, so that its files are looked at."""
        written = self.value.get(name)
        good: dict[str, Any] = {}
        if isinstance(written, dict):
            for key in written.keys() & keys:
                part = {key: written[key]}
                with contextlib.suppress(ValidationError):
                    model.model_validate(part, context=self.context)
                    good |= part
        return model.model_validate(good, context=self.context)

    def _frame(self) -> tuple[Config, set[str]]:
        """Return everything but the targets, and the parts of it that are wrong and left out."""
        listed = isinstance(self.value.get("targets"), list)
        frame = {**self.value, "targets": []} if listed else self.value
        try:
            return Config.model_validate(frame, context=self.context), set()
        except ValidationError as error:
            self.problems += problems_in(error, self.document, (), Config)
            bad = {str(one["loc"][0]) for one in error.errors(include_input=False) if one["loc"]}
        # The rest is still looked at, so that all mistakes come at once.
        good = {key: value for key, value in frame.items() if key not in bad}
        return Config.model_validate({**good, "targets": []}, context=self.context), bad

    def _targets(self, config: Config) -> list[tuple[int, TargetSettings]]:
        listed = self.value.get("targets")
        if not isinstance(listed, list):
            return []
        if not listed:
            hint = "write `- name: ...`, `engine: ...` and where the server is"
            self.problems.append(
                self.document.problem(("targets",), "targets: there is nothing to watch", hint)
            )
        made = ((index, self._target(index, body, config)) for index, body in enumerate(listed))
        return [(index, target) for index, target in made if target is not None]

    def _target(self, index: int, body: object, config: Config) -> TargetSettings | None:
        at = ("targets", index)
        if body is None:
            return None
        if not isinstance(body, dict):
            self.problems.append(self.document.problem(at, f"targets[{index}]: should be keys with values"))
            return None
        engine = self._engine(index, body)
        own = {key: value for key, value in body.items() if key not in _COMMON}
        options = self._options(index, own, engine, config) if engine else None
        common = {key: value for key, value in body.items() if key in _COMMON and key != "engine"}
        stand_in = DefaultSettings()  # so that the common keys are checked even beside wrong options
        try:
            target = TargetSettings.model_validate(
                {**common, "engine": engine.name if engine else "", "options": options or stand_in},
                context=self.context,
            )
        except ValidationError as error:
            self.problems += problems_in(error, self.document, at, TargetSettings)
            return None
        return target if options is not None else None

    def _engine(self, index: int, body: dict[str, Any]) -> Engine | None:
        at = ("targets", index, "engine")
        known = engines()
        named = body.get("engine")
        if isinstance(named, str) and named in known:
            return known[named]
        choice = f"one of {', '.join(sorted(known))}"
        if named is None:
            near = next((key for key in body if did_you_mean(key, ["engine"])), "")
            hint = f"is {near!r} meant to be 'engine'?" if near else f"engine: {choice}"
            place = (*at[:-1], near) if near else at
            problem = self.document.problem(place, f"targets[{index}].engine: required key is missing", hint)
        else:
            hint = did_you_mean(str(named), known)
            problem = self.document.problem(at, f"targets[{index}].engine: should be {choice}", hint)
        self.problems.append(problem)
        return None

    def _options(self, index: int, own: dict[str, Any], engine: Engine, config: Config) -> Any:  # noqa: ANN401 - the engine's own model
        sessions = config.defaults.sessions_max
        if sessions is not None and "sessions_max" in engine.options.model_fields:
            own = {"sessions_max": sessions, **own}
        try:
            return engine.options.model_validate(own, context=self.context)
        except ValidationError as error:
            at = ("targets", index)
            self.problems += problems_in(error, self.document, at, engine.options, *sorted(_COMMON))
            return None
