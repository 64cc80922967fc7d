"""Reads files of policies: every mistake in all of them at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from actions.action import ActionInfo
from actions.policies.fields import Fields
from actions.policies.reach import Earlier, contradiction
from actions.policies.reading import read
from actions.policies.windows import changed_days, length_minutes
from actions.policy import Policies, Policy
from actions.window import Window
from collectors.strict_yaml import Document, InvalidFile, Problem, did_you_mean, parse
from rules.model import Place

BUILTIN_FILE = "builtin/policies.yaml"
"""How people know the file that comes with the program."""


@dataclass(frozen=True, slots=True)
class LoadedPolicies:
    """Policies in the order in which they are tried, and what is doubtful about them."""

    policies: Policies
    warnings: tuple[Problem, ...] = ()


def load(
    sources: Mapping[str, str], actions: Mapping[str, ActionInfo], now: float, *, builtin: bool = False
) -> LoadedPolicies:
    """Return the policies of files by name, in this order, the program's own after them if they are wanted.

    `now` is Unix time: schedules and changes of the clock are looked for from there on. Raises InvalidFile
    with every mistake of all files.
    """
    reader = _Reader(actions, now)
    for file, text in sources.items():
        reader.file(file, text)
    _check_reach(reader)
    own = len(reader.found)
    if builtin:
        reader.file(BUILTIN_FILE, builtin_text())
    if reader.problems:
        raise InvalidFile(reader.problems)
    policies = tuple(policy for policy, _ in reader.found)
    for policy, fields in reader.found[:own]:
        reader.warnings += _doubts(policy, fields, now)
    return LoadedPolicies(Policies(policies=policies), tuple(reader.warnings))


@cache
def builtin_text() -> str:
    """Return the file of policies that comes with the program."""
    return (files("actions.policies") / "builtin.yaml").read_text("utf-8")


class _Reader:
    """One reading of some files; gathers policies, each with its fields."""

    def __init__(self, actions: Mapping[str, ActionInfo], now: float) -> None:
        self.actions = actions
        self.now = now
        self.found: list[tuple[Policy, Fields]] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._first: dict[str, Place] = {}

    def file(self, name: str, text: str) -> None:
        """Read one file."""
        try:
            document = parse(text, name)
        except InvalidFile as error:
            self.problems += error.problems
            return
        for index, value in enumerate(self._listed(document)):
            at = ("policies", index)
            if not isinstance(value, dict):
                message = f"policies[{index}]: should be keys with values"
                self.problems.append(document.problem(at, message, "write `- name: ...` and its other keys"))
                continue
            called = value.get("name")
            shown = f"policy {called!r}" if isinstance(called, str) and called else f"policies[{index}]"
            self._policy(Fields(document, at, value, shown, self.problems), called)

    def _listed(self, document: Document) -> Sequence[object]:
        """Return the entries of `policies`."""
        whole = document.value
        if whole is None:
            self.warnings.append(Problem(document.file, 0, 0, "there are no policies in the file"))
            return ()
        if not isinstance(whole, dict) or "policies" not in whole:
            keys = whole if isinstance(whole, dict) else ()
            near = next((key for key in keys if did_you_mean(key, ["policies"])), "")
            hint = (
                f"is {near!r} meant to be 'policies'?" if near else "write `policies:`, and a list below it"
            )
            place = (near,) if near else ()
            self.problems.append(document.problem(place, "there is no list of policies in the file", hint))
            return ()
        for key in whole.keys() - {"policies"}:
            self.problems.append(document.problem((key,), f"{key}: unknown key", "known is `policies`"))
        listed = whole["policies"]
        if isinstance(listed, list):
            return listed
        if listed is None:
            hint = "write a policy as `- name: ...`, or take the key away"
            self.problems.append(document.problem(("policies",), "policies: is empty", hint))
        else:
            hint = "begin each policy with `- name: ...`"
            self.problems.append(document.problem(("policies",), "policies: should be a list", hint))
        return ()

    def _policy(self, fields: Fields, called: object) -> None:
        place = Place(fields.document.file, *fields.document.marks[fields.at])
        policy = read(fields, place, self.actions, self.now)
        if isinstance(called, str) and called:
            first = self._first.setdefault(called, place)
            if first != place:
                hint = "each policy needs its own name"
                fields.wrong("name", f"a policy of this name is already at {first}", hint)
        if policy:
            self.found.append((policy, fields))


def _check_reach(reader: _Reader) -> None:
    """Note policies that no alert can reach; hiding one of the program's own is a person's right."""
    earlier = Earlier()
    for policy, fields in reader.found:
        label = contradiction(policy)
        if label:
            hint = "a policy holds when all its matchers fit"
            fields.wrong("match", f"no value of {label!r} fits all matchers, so it never matches", hint)
            continue
        other = earlier.hiding(policy)
        earlier.add(policy)
        if other:
            message = f"never matches: {other.name!r} at {other.place} comes first and takes all its alerts"
            fields.wrong("match", message, "the first that matches wins: put the narrower one first")


def _doubts(policy: Policy, fields: Fields, now: float) -> Iterator[Problem]:
    """Give what is allowed and seldom meant."""
    for index, window in enumerate(policy.windows):
        changes = _changes(window, now)
        if changes:
            what = f"windows[{index}]: the clocks of {window.zone} change within it: {changes}"
            hint = "a plan that needs the whole window does not begin on that day"
            yield fields.document.problem((*fields.at, "windows", index), f"{fields.name}: {what}", hint)
    if policy.urgent and not policy.windows:
        message = f"{fields.name}: urgent: means nothing without windows"
        yield fields.document.problem((*fields.at, "urgent"), message)


def _changes(window: Window, now: float) -> str:
    return ", ".join(f"on {day} it {_gain(window, minutes)}" for day, minutes in changed_days(window, now))


def _gain(window: Window, minutes: int) -> str:
    if minutes == -length_minutes(window):
        return "does not open"
    return f"is {abs(minutes)} minutes {'longer' if minutes > 0 else 'shorter'}"
