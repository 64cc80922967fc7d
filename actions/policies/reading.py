"""Reads one policy as it stands in a file, and checks it against the action that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from actions.action import ActionInfo
from actions.guards.limits import TARGETS_MAX
from actions.model import ActionClass, Json, Mode
from actions.policies import windows
from actions.policies.budgets import budget, cool_down
from actions.policies.cron import BadCron
from actions.policies.cron import check as check_cron
from actions.policies.fields import Fields
from actions.policies.matchers import BadMatcher, parse
from actions.policies.parameters import BadValue, typed
from actions.policy import From, FromLabel, Match, Policy, Schedule
from collectors.strict_yaml import did_you_mean
from rules.model import Place

KEYS = (
    "name", "match", "from", "targets", "action", "parameters", "mode", "windows", "urgent", "budget",
    "cool_down", "schedule", "undo_on_stop", "expires", "targets_max",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,99}")
_TARGET = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9_.@:*-]{0,99}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_HARD = "this is the hard limit of the program"
_MINUTE, _DAY = 60.0, 86400.0


def read(fields: Fields, place: Place, actions: Mapping[str, ActionInfo], now: float) -> Policy | None:
    """Return a policy; mistakes are noted. None when it has no name or no action that exists."""
    fields.only(KEYS)
    name = _name(fields)
    info = _action(fields, actions)
    mode = Mode(fields.choice("mode", [mode.value for mode in Mode], Mode.ADVISE))
    schedule = _schedule(fields, now)
    matches = _matches(fields)
    targets = _targets(fields)
    source = fields.choice("from", get_args(From), "rules")
    policy = Policy(
        name=name,
        action=info.name if info else "",
        mode=mode,
        place=place,
        matches=matches,
        source=source,  # type: ignore[arg-type] # it is one of these words
        targets=targets,
        parameters=_parameters(fields, info) if info else {},
        windows=windows.read(fields),
        urgent=fields.truth("urgent"),
        budget=budget(fields),
        cool_down=cool_down(fields),
        schedule=schedule,
        undo_on_stop=fields.truth("undo_on_stop"),
        expires_seconds=fields.span("expires", _DAY, _MINUTE, 30 * _DAY),
        targets_max=fields.whole("targets_max", 1, 1, TARGETS_MAX, why=_HARD),
    )
    if schedule and policy.windows and not windows.meets(schedule, policy.windows, now):
        hint = "widen the windows, or choose another time"
        fields.wrong("schedule", "never comes while one of the windows is open", hint)
    if info:
        _check_class(fields, policy, info)
    return policy if name and info else None


def _name(fields: Fields) -> str:
    if "name" not in fields:
        fields.missing("name", "each policy needs a name of its own")
        return ""
    name = fields.text("name")
    if name and not _NAME.fullmatch(name):
        fields.wrong("name", "should be 1 to 100 of the letters A to Z, digits and _ . - : @")
        return ""
    return name


def _action(fields: Fields, actions: Mapping[str, ActionInfo]) -> ActionInfo | None:
    if "action" not in fields:
        fields.missing("action", "`dbarchitect actions` lists them")
        return None
    name = fields.text("action")
    if name and name not in actions:
        hint = did_you_mean(name, actions) or "`dbarchitect actions` lists them"
        fields.wrong("action", f"there is no action {name!r}", hint)
    return actions.get(name)


def _matches(fields: Fields) -> tuple[Match, ...]:
    scheduled = "schedule" in fields
    for key in ("match", "from"):
        if scheduled and key in fields:
            fields.wrong(
                key,
                "stands beside `schedule`: a policy is asked either by alerts or by the clock",
                "make it two policies",
            )
    if not scheduled and "match" not in fields:
        fields.missing("match", "write match: ['alertname=\"...\"'], or schedule: {cron: ...}")
    if isinstance(fields.raw("match"), dict):
        return _equalities(fields)
    found = []
    for index, text in fields.texts("match"):
        try:
            found.append(parse(text))
        except BadMatcher as error:
            fields.wrong("match", str(error), error.hint, index)
    return tuple(found)


def _equalities(fields: Fields) -> tuple[Match, ...]:
    """Return the matchers of a mapping of labels to values."""
    found = []
    written = fields.mapping("match") or {}
    if not written:
        fields.wrong("match", "is empty", "write match: {alertname: ...}")
    for label, value in written.items():
        if not _LABEL.fullmatch(label):
            hint = 'as a list it takes =, !=, =~ and !~: - label=~"regex"'
            fields.wrong("match", f"{label!r} is no label's name", hint, label)
        elif not isinstance(value, str):
            fields.wrong("match", "should be text", "put quotes around it", label)
        else:
            found.append(Match(label, "=", value))
    return tuple(found)


def _targets(fields: Fields) -> tuple[str, ...]:
    found = []
    for index, name in fields.texts("targets"):
        if _TARGET.fullmatch(name):
            found.append(name)
        else:
            message = f"{name!r} is no target's name, nor a pattern of names with *"
            fields.wrong("targets", message, "letters A to Z, digits and _ . - : @ *", index)
    return tuple(found)


def _schedule(fields: Fields, now: float) -> Schedule | None:
    if fields.raw("schedule") is not None and not isinstance(fields.raw("schedule"), dict):
        hint = 'write it as {cron: "30 2 * * 0", zone: Europe/Berlin}'
        fields.wrong("schedule", "should be keys with values", hint)
        return None
    inner = fields.inner("schedule")
    if inner is None:
        return None
    inner.only(("cron", "zone"))
    zone = windows.zone_of(inner)
    if "cron" not in inner:
        inner.missing("cron", 'write cron: "30 2 * * 0"')
        return None
    text = inner.text("cron")
    if not isinstance(inner.raw("cron"), str):  # told already
        return None
    schedule = Schedule(cron=text, zone=zone)
    try:
        check_cron(schedule, now)
    except BadCron as error:
        inner.wrong("cron", str(error), error.hint)
        return None
    return schedule


def _parameters(fields: Fields, info: ActionInfo) -> dict[str, Json | FromLabel]:
    known = {parameter.name: parameter for parameter in info.parameters}
    found: dict[str, Json | FromLabel] = {}
    for name, value in (fields.mapping("parameters") or {}).items():
        if name not in known:
            hint = did_you_mean(name, known) or f"known are {', '.join(known) or 'none'}"
            fields.wrong("parameters", f"{info.name} has no parameter {name!r}", hint, name)
        elif value is None:
            fields.wrong("parameters", "is empty", "give it a value, or leave it out", name)
        elif isinstance(value, dict):
            label = _label_of(fields, name, value)
            if label:
                found[name] = FromLabel(label)
        else:
            try:
                typed(known[name], value)
                found[name] = value
            except BadValue as error:
                fields.wrong("parameters", str(error), known[name].help, name)
    _check_required(fields, info, found)
    return found


def _label_of(fields: Fields, name: str, value: Mapping[str, object]) -> str:
    label = value.get("label")
    if set(value) != {"label"} or not isinstance(label, str) or not _LABEL.fullmatch(label):
        message = "should be a value, or {label: NAME} with the name of one of the alert's labels"
        fields.wrong("parameters", message, "", name)
        return ""
    if "schedule" in fields:
        fields.wrong("parameters", f"a schedule brings no labels, so there is no {label!r}", "", name)
    return label


def _check_required(fields: Fields, info: ActionInfo, found: Mapping[str, object]) -> None:
    written = fields.mapping("parameters") or {}
    for parameter in info.parameters:
        from_label = parameter.label and "schedule" not in fields
        if not parameter.required or parameter.default is not None or from_label:
            continue
        if parameter.name not in found and parameter.name not in written:
            key = "parameters" if "parameters" in fields else "action"
            fields.wrong(key, f"{info.name} needs the parameter {parameter.name!r}", parameter.help)


def _check_class(fields: Fields, policy: Policy, info: ActionInfo) -> None:
    """Refuse what its class forbids: automatic destruction of anything, and haste with what disrupts."""
    literal = policy.targets and not any("*" in name for name in policy.targets)
    if info.action_class is ActionClass.D and policy.mode is Mode.AUTO and not literal:
        fields.wrong(
            "mode",
            f"{info.name} is of class D, so `auto` needs `targets` with whole names, without *",
            "name each target, or write mode: approve",
        )
    if policy.urgent and info.action_class in (ActionClass.C, ActionClass.D):
        message = f"{info.name} is of class {info.action_class}: only A and B may be begun outside windows"
        fields.wrong("urgent", message, "take it away, or widen the windows")
