"""From typed parameters to an argv: each value is checked again, and is one whole argument."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from actions.command.model import TARGET, Command, CommandParameter
from actions.model import Json

LONGEST = 255
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")


class BadValue(ValueError):
    """A value that must not become an argument; says which and why."""


def words(argv: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return the argv with `{name}` replaced by values of `checked`."""
    return [argv[0], *(_filled(word, values) for word in argv[1:])]


def checked(command: Command, given: Mapping[str, Json], target: str) -> dict[str, str]:
    """Return every parameter as the text of one argument; raise BadValue."""
    for name in given:
        if name not in command.parameters:
            raise BadValue(f"there is no parameter {name!r}")
    values = {TARGET: _harmless(TARGET, target)}
    for name, parameter in command.parameters.items():
        if given.get(name) is None:
            raise BadValue(f"parameter {name!r} is missing")
        values[name] = _text(name, parameter, given[name])
    return values


def trouble_with(program: str) -> str:
    """Return why a program must not be run, or an empty string: it is a file that only its owner changes."""
    path = Path(program)
    try:
        found, folder = path.stat(), path.parent.stat()
    except OSError as error:
        return f"{program}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode) or not os.access(path, os.X_OK):
        return f"{program} is not a program that we may run"
    for what, one in ((program, found), (str(path.parent), folder)):
        if one.st_uid not in {0, os.geteuid()} or one.st_mode & stat.S_IWOTH:
            return (
                f"{what} could be changed by others: it should belong to root or to us, and not be "
                "writable for all"
            )
    return ""


def _filled(word: str, values: Mapping[str, str]) -> str:
    return values[word[1:-1]] if word.startswith("{") and word.endswith("}") else word


def _text(name: str, parameter: CommandParameter, value: Json) -> str:
    if parameter.type == "integer":
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(f"{name}: {value!r} is not a whole number")
        if not parameter.least <= value <= parameter.most:
            raise BadValue(f"{name}: {value} is not from {parameter.least} to {parameter.most}")
        return str(value)
    if not isinstance(value, str):
        raise BadValue(f"{name}: {value!r} is not text")
    if parameter.type == "choice":
        if value not in parameter.choices:
            raise BadValue(f"{name}: {value!r} is none of {', '.join(parameter.choices)}")
        return value
    if parameter.type == "identifier" and not _IDENTIFIER.fullmatch(value):
        raise BadValue(f"{name}: {value!r} is not a name of letters A to Z, digits, _ and $")
    if parameter.type == "text" and not _matches(parameter.pattern, value):
        raise BadValue(f"{name}: {value!r} does not match {parameter.pattern!r}")
    return _harmless(name, value)


def _harmless(name: str, value: str) -> str:
    if not value or len(value) > LONGEST or not value.isprintable():
        raise BadValue(f"{name}: should be 1 to {LONGEST} printable characters")
    if value.startswith("-"):
        raise BadValue(f"{name}: {value!r} starts with - and would be taken for an option")
    return value


def _matches(pattern: str, value: str) -> bool:
    import re2  # noqa: PLC0415 - only where a pattern is

    return re2.fullmatch(pattern, value) is not None
