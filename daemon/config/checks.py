"""What concerns several keys at once: names that clash, probes nobody has, an open door, inline secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from actions.model import Mode
from collectors.registry import engines
from collectors.secret_ref import SecretRef
from collectors.strict_yaml import Document, Problem, did_you_mean
from daemon.config.known import Known
from daemon.config.messages import Place, where
from daemon.config.model import Config, DefaultSettings, TargetSettings
from daemon.config.targets import target_of

Indexed = Sequence[tuple[int, TargetSettings]]


def of_targets(
    targets: Indexed, defaults: DefaultSettings, document: Document, known: Mapping[str, Known]
) -> list[Problem]:
    """Return names that stand twice, and probes or labels that do not fit the engine."""
    problems = _twice(_written_names(document), document, "target")
    every = {name for one in known.values() for name in one.probes}
    problems += _unknown_probes(defaults.collect, ("defaults", "collect"), document, every)
    for index, target in targets:
        at: Place = ("targets", index)
        names = known[target.engine]
        problems += _unknown_probes(target.collect, (*at, "collect"), document, names.probes)
        capped: Collection[str] = getattr(target.options, "rows_max", ())
        problems += _unknown_probes(capped, (*at, "rows_max"), document, names.probes)
        for label in target.labels.keys() & names.labels.keys():
            message = f"the metric {names.labels[label]} has a label {label!r} of its own"
            problems.append(
                document.problem(
                    (*at, "labels", label), f"{where(at)}.labels: {message}", "choose another name"
                )
            )
    return problems


def of_acting(targets: Indexed, document: Document) -> list[Problem]:
    """Return targets at which nobody is named who acts, and those at which that is the one who watches."""
    problems = []
    for index, target in targets:
        act, watching = target.act, getattr(target.options, "user", None)
        if act is None:
            continue
        at: Place = ("targets", index, "act")
        message, hint = "", ""
        if watching is None and (act.user or act.password):
            message, hint = f"{target.engine} has no users", "take `user` and `password` away"
        elif watching is not None and not act.user and act.mode in (Mode.APPROVE, Mode.AUTO):
            message = f"mode {act.mode} needs the user who acts"
            hint = "write user: and password: of a role of its own; see docs/policies.md"
        elif watching is not None and act.user == watching:
            message = f"{act.user!r} is the user who watches, and must not be able to act"
            hint = "make a role of its own for it; see docs/policies.md"
        elif act.password and not act.user:
            message, hint = "a password without a user", "write user: too"
        if message:
            problems.append(document.problem((*at, "user"), f"{where(at)}: {message}", hint))
    return problems


def of_daemon(config: Config, document: Document) -> list[Problem]:
    """Return an address open to all, TLS files that are not there, tokens that stand twice."""
    problems: list[Problem] = []
    tokens = config.http.tokens
    for key in ("name", "sha256"):
        values = [
            (str(getattr(one, key)), ("http", "tokens", index, key)) for index, one in enumerate(tokens)
        ]
        problems += _twice(values, document, "token", show=key == "name")
    if not (config.daemon.address.local or config.http.allow_insecure):
        lacking = [
            name for name, there in (("http.tls", config.http.tls), ("http.tokens", tokens)) if not there
        ]
        if lacking:
            message = f"daemon.listen: others can reach this address, so it needs {' and '.join(lacking)}"
            hint = "listen at 127.0.0.1:8720, or set http.allow_insecure: true in a network closed otherwise"
            problems.append(document.problem(("daemon", "listen"), message, hint))
    if config.http.tls:
        for key in ("cert_file", "key_file"):
            reason = _not_a_file(Path(getattr(config.http.tls, key)))
            if reason:
                problems.append(document.problem(("http", "tls", key), f"http.tls.{key}: {reason}"))
    return problems


def same_address(targets: Indexed, document: Document) -> list[Problem]:
    """Return targets that are one and the same server: allowed, and seldom meant."""
    first: dict[tuple[str, str], tuple[int, str]] = {}
    warnings = []
    for index, target in targets:
        engine = engines()[target.engine]
        address = engine.address(target_of(target, DefaultSettings()))
        if address == target.name:
            continue
        other, name = first.setdefault((target.engine, address), (index, target.name))
        if other != index:
            message = f"targets[{index}]: {target.name!r} is at {address}, where {name!r} is too"
            warnings.append(document.problem(("targets", index), message, "each is asked on its own"))
    return warnings


def inline_secrets(targets: Indexed, config: Config, document: Document) -> list[Problem]:
    """Return secrets that stand in the file itself."""
    hint = (
        "write {file: /path}, {env: NAME} or {credential: NAME};"
        " `allow_inline_secrets: true` at the top permits it"
    )
    problems = []
    for key in ("alertmanagers", "history", "acting"):
        for place, reference in secrets_in(getattr(config, key), (key,)):
            if reference.inline:
                problems.append(
                    document.problem(place, f"{where(place)}: a secret stands in this file", hint)
                )
    for index, target in targets:
        for place, reference in (*secrets_in(target.options), *secrets_in(target.act, ("act",))):
            if reference.inline:
                at: Place = ("targets", index, *place)
                if at not in document.marks and ("targets", index, "dsn") in document.marks:
                    at = ("targets", index, "dsn")
                problems.append(document.problem(at, f"{where(at)}: a secret stands in this file", hint))
    return problems


def secrets_in(value: Any, place: Place = ()) -> Iterator[tuple[Place, SecretRef]]:  # noqa: ANN401 - anything an engine's options hold
    """Give every reference to a secret in an engine's options, with its place."""
    match value:
        case SecretRef():
            yield place, value
        case BaseModel():
            for key in type(value).model_fields:
                yield from secrets_in(getattr(value, key), (*place, key))
        case dict():
            for key, inner in value.items():
                yield from secrets_in(inner, (*place, key))
        case list() | tuple():
            for index, inner in enumerate(value):
                yield from secrets_in(inner, (*place, index))
        case _:
            pass


def _written_names(document: Document) -> list[tuple[str, Place]]:
    """Return the names of all targets, also of those that are wrong otherwise."""
    written = document.value.get("targets")
    return [
        (body["name"], ("targets", index, "name"))
        for index, body in enumerate(written if isinstance(written, list) else ())
        if isinstance(body, dict) and isinstance(body.get("name"), str)
    ]


def _twice(
    values: Sequence[tuple[str, Place]], document: Document, what: str, *, show: bool = True
) -> list[Problem]:
    first: dict[str, Place] = {}
    problems = []
    for value, place in values:
        other = first.setdefault(value, place)
        if other != place:
            line = document.marks.get(other, (0, 0))[0]
            named = f" {value!r}" if show else ""
            message = f"{where(place)}: the {what}{named} is already in line {line}"
            problems.append(document.problem(place, message, f"each {what} needs its own {place[-1]}"))
    return problems


def _unknown_probes(
    named: Iterable[str], at: Place, document: Document, known: Collection[str]
) -> list[Problem]:
    return [
        document.problem(
            (*at, name),
            f"{where(at)}: there is no probe {name!r}",
            did_you_mean(name, known) or "`dbarchitect metrics` lists them",
        )
        for name in named
        if name != "*" and name not in known
    ]


def _not_a_file(path: Path) -> str:
    """Return why a file cannot be used, as far as can be told without the right to read it."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a path may be anything, also one that pathlib refuses
    except PermissionError:
        return ""
    except (OSError, ValueError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
    return "" if stat.S_ISREG(mode) else f"{path} is not a regular file"
