"""How a command is written down in the configuration: `acting.commands.NAME`."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from actions.model import ActionClass, Inconclusive
from collectors.definition import Duration
from collectors.strict_yaml import did_you_mean

TARGET = "target"
"""The one parameter that nobody declares: the name of the target that the command is for."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
SHELLS = frozenset({"ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "mksh", "sh", "tcsh", "zsh"})
_PLACE = re.compile(r"\{([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CODE_MAX = 255


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("should be a to z, digits and _, the first a letter, at most 40")
    return value


def _word(value: str) -> str:
    if not value.isprintable():
        raise ValueError("an argument should be printable, without line breaks")
    return value


def _program(value: str) -> str:
    if not value.startswith("/") or ".." in PurePosixPath(value).parts:
        raise ValueError(
            "should be the whole path of a program, starting with /: nothing is looked up in PATH"
        )
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value) or value.startswith("LD_"):
        raise ValueError("should be the name of an environment variable, and not one of LD_*")
    return value


def _code(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _CODE_MAX:
        raise ValueError("an exit code is a whole number from 0 to 255")
    return value


Name = Annotated[str, AfterValidator(_name)]
Word = Annotated[str, AfterValidator(_word)]
Variable = Annotated[str, AfterValidator(_variable)]
Code = Annotated[int, BeforeValidator(_code)]
Argv = Annotated[tuple[Word, ...], Field(min_length=1, max_length=100)]


class CommandParameter(BaseModel):
    """One parameter: what a policy, a person or a label may put into the argv."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["identifier", "integer", "choice", "text"]
    help: str = ""
    label: str = ""
    """Alert label that gives it when the policy does not."""
    least: int = 0
    most: int = 2**31 - 1
    choices: tuple[Word, ...] = ()
    pattern: str = ""
    """For `text`: what the whole value must look like (RE2)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.type == "choice" and not self.choices:
            raise ValueError("a choice needs `choices`")
        if self.type != "choice" and self.choices:
            raise ValueError("`choices` belong to type choice")
        if self.type == "text" and not self.pattern:
            raise ValueError("text from outside needs a `pattern` that the whole value must match")
        if self.least > self.most:
            raise ValueError("`least` is above `most`: no number would do")
        if self.pattern:
            import re2  # noqa: PLC0415 - only where a pattern is

            try:
                re2.compile(self.pattern)
            except re2.error as error:
                raise ValueError(f"not a pattern: {error}") from None
        return self


class Command(BaseModel):
    """A program with fixed arguments; `{name}` as a whole argument is a parameter's value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    argv: Argv
    help: str = Field(min_length=1)
    """What it does, for whoever is asked to approve it."""
    action_class: ActionClass = Field(default=ActionClass.C, alias="class")
    engine: str = ""
    """Targets it is for; empty: any."""
    parameters: dict[Name, CommandParameter] = {}
    environment: dict[Variable, Word] = {}
    """All it gets besides PATH, LC_ALL and TZ. Shown in plans: no place for secrets."""
    directory: Annotated[str, AfterValidator(_program)] = "/"
    timeout: Duration = 60.0
    """After it everything that it started is killed, and the outcome is unknown."""
    repeatable: bool = False
    """Running it twice gives the same as once: after a crash it is run again."""
    nothing_done_codes: tuple[Code, ...] = ()
    """Exit codes by which it says that it has changed nothing."""
    undo: Argv | None = None
    """What takes it back; must do no harm when there is nothing to take back."""
    check: Argv | None = None
    """Read-only: exit code 0 means that all is well. Run before and after, it tells the effect."""
    check_within: Duration = 300.0
    when_unsure: Inconclusive = Inconclusive.HUMAN
    """What follows when the effect cannot be told: `keep`, `revert`, or a person is asked."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        used: set[str] = set()
        for argv in (self.argv, self.undo or (), self.check or ()):
            used |= _used(argv, (*self.parameters, TARGET))
        if TARGET in self.parameters:
            raise ValueError(f"`{TARGET}` is the target's name and cannot be a parameter of its own")
        if unused := self.parameters.keys() - used:
            raise ValueError(f"no argument is {{{min(unused)}}}: take the parameter away or use it")
        if 0 in self.nothing_done_codes:
            raise ValueError("exit code 0 means that it was done; `nothing_done_codes` cannot have it")
        if self.when_unsure is Inconclusive.REVERT and self.undo is None:
            raise ValueError("`when_unsure: revert` needs `undo`")
        return self


def _used(argv: tuple[str, ...], known: tuple[str, ...]) -> set[str]:
    """Return the parameters in an argv; raise ValueError where it could become something else."""
    if not argv:
        return set()
    program = _program(argv[0])
    if _PLACE.search(program):
        raise ValueError("the program itself is fixed: no parameter may stand in it")
    if PurePosixPath(program).name in SHELLS and any(_is_script(word) for word in argv[1:]):
        raise ValueError("a shell with -c runs text as a program: name the program and its arguments instead")
    used = set()
    for word in argv[1:]:
        for name in _PLACE.findall(word):
            if word != f"{{{name}}}":
                raise ValueError(f"{word!r}: a parameter is a whole argument: write it as one of its own")
            if name not in known:
                raise ValueError(f"{word!r}: there is no such parameter. {did_you_mean(name, known)}".strip())
            used.add(name)
    return used


def _is_script(word: str) -> bool:
    return word == "--command" or (word.startswith("-") and not word.startswith("--") and "c" in word)
