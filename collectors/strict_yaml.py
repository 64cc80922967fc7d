"""YAML that says where things stand: no tags, no aliases, no duplicate keys, lines kept.

Scalars follow YAML 1.2's core schema, so `no`, `on` and `12:30:45` stay the text they look like.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

Path_ = tuple[str | int, ...]
SIZE_MAX_BYTES = 8 * 1024 * 1024
DEPTH_MAX = 50
_DIGITS_MAX = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file that a person wrote."""

    file: str
    line: int
    """Counted from 1; 0 when the mistake is the file as a whole."""
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}" + (f"\n    hint: {self.hint}" if self.hint else "")


class InvalidFile(Exception):
    """A file has mistakes: all of them are in `problems`, in the order of their lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda one: (one.file, one.line, one.column))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(slots=True)
class Document:
    """A file's value, and where each part of it stands."""

    file: str
    value: Any
    marks: dict[Path_, tuple[int, int]] = field(default_factory=dict)

    def problem(self, path: Path_, message: str, hint: str = "") -> Problem:
        """Return a problem at `path`, or at its nearest parent that is in the file."""
        while path and path not in self.marks:
            path = path[:-1]
        line, column = self.marks.get(path, (1, 1))
        return Problem(self.file, line, column, message, hint)


# The parser in C is ten times as fast: a file of 10,000 targets is read in seconds.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc] # which of the two is known at run time only
    """A safe loader whose plain scalars follow YAML 1.2."""


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader would otherwise take for something else than text."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    # Line ends of other kinds would be folded into blanks in any but double quotes.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)
_Loader.yaml_implicit_resolvers = _Dumper.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_TABS = "indent with spaces, not tabs"
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_CONTROL = re.compile(
    "[^\\t\\r\\n\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\U00010000-\U0010ffff]"
)


def parse(text: str, file: str) -> Document:
    """Return the document in `text`; raise InvalidFile with every mistake."""
    if len(text) > SIZE_MAX_BYTES:
        raise InvalidFile([Problem(file, 0, 0, f"larger than {SIZE_MAX_BYTES} bytes")])
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InvalidFile([Problem(file, line, 1, "a NUL byte is not text")])
    try:
        _only_plain_nodes(text.removeprefix("\ufeff"), file)
        node = _compose(text.removeprefix("\ufeff"))
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        raise InvalidFile(
            [Problem(file, *place, f"not YAML: {error.problem or error.context}", _yaml_hint(error, text))]
        ) from None
    except yaml.YAMLError as error:
        raise InvalidFile([unreadable(error, text, file)]) from None
    document = Document(file, None)
    if node is None:
        return document
    problems: list[Problem] = []
    document.value = _value(node, (), document, problems)
    if problems:
        raise InvalidFile(problems)
    return document


def read(path: Path) -> Document:
    """Return the document in a file; raise InvalidFile also when it cannot be read."""
    try:
        content = content_of(path)
        if len(content) > SIZE_MAX_BYTES:
            raise InvalidFile([Problem(str(path), 0, 0, f"larger than {SIZE_MAX_BYTES} bytes")])
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(
            [Problem(str(path), 0, 0, f"not UTF-8 at byte {error.start}", "save it as UTF-8")]
        ) from None
    except OSError as error:
        raise InvalidFile([Problem(str(path), 0, 0, f"cannot be read: {error.strerror or error}")]) from None
    return parse(text.replace("\r\n", "\n").replace("\r", "\n"), str(path))


def content_of(path: Path) -> bytes:
    """Return what is in a file, up to one byte more than a file may have; raise OSError."""
    # A pipe that nobody writes to would block the open for ever; one that somebody does is read to its end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(SIZE_MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def dump(value: object) -> str:
    """Return a value of plain types as YAML that `parse` reads back equal."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def problems_of(error: ValidationError, document: Document, at: Path_ = ()) -> list[Problem]:
    """Turn pydantic's errors into problems with lines; values never appear in the message."""
    problems = []
    for one in error.errors(include_url=False, include_context=True):
        path = at + tuple(one["loc"])
        name = ".".join(str(part) for part in path) or "the file"
        message, hint = one["msg"], ""
        if one["type"] == "extra_forbidden":
            message = "unknown key"
        elif one["type"] == "missing":
            message, path = "required key is missing", path[:-1]
        elif one["type"] == "value_error":
            message = str(one.get("ctx", {}).get("error", message))
        elif one["type"] in ("bool_type", "bool_parsing"):
            hint = "write true or false"
        problems.append(document.problem(path, f"{name}: {message}", hint))
    return problems


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`, or an empty string when nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _only_plain_nodes(text: str, file: str) -> None:
    """Refuse aliases, tags and deep nesting by event, before composing could multiply them.

    Their names are not shown: an unquoted password that starts with `*`, `&` or `!` looks like one.
    """
    found: list[Problem] = []
    depth = 0
    for event in _events(text):
        place = _place(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            hint = "write the value out; text that starts with * or & needs quotes"
            found.append(Problem(file, *place, "anchors and aliases are not allowed", hint))
        elif getattr(event, "tag", None):
            hint = "text that starts with ! needs quotes"
            found.append(Problem(file, *place, "tags are not allowed", hint))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise InvalidFile([Problem(file, *place, f"nested deeper than {DEPTH_MAX}")])
    if found:
        raise InvalidFile(found)


def _events(text: str) -> Iterator[yaml.Event]:
    loader = _Loader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def unreadable(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """Return the problem of a character that YAML does not allow anywhere."""
    for number, line in enumerate(_LINE_BREAK.split(text), 1):
        bad = _CONTROL.search(line)
        if bad:
            what = f"the control character U+{ord(bad[0]):04X} is not text"
            return Problem(file, number, bad.start() + 1, what, "remove it")
    reason = getattr(error, "reason", None) or type(error).__name__
    return Problem(file, 0, 0, f"not YAML: {reason}")


def _place(mark: Any) -> tuple[int, int]:  # noqa: ANN401 - yaml has two mark types
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _value(node: yaml.Node, path: Path_, document: Document, problems: list[Problem]) -> Any:  # noqa: ANN401
    document.marks.setdefault(path, _place(node.start_mark))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), document, problems) for index, item in enumerate(node.value)]
    return _scalar(node)


def _mapping(
    node: yaml.MappingNode, path: Path_, document: Document, problems: list[Problem]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = _place(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem(document.file, *place, "a key must be a plain word"))
            continue
        key = str(key_node.value)
        if key in result:
            first = document.marks[*path, key][0]
            problems.append(
                Problem(
                    document.file,
                    *place,
                    f"the key {key!r} stands here twice",
                    f"it is first set in line {first}",
                )
            )
            continue
        document.marks[*path, key] = place
        result[key] = _value(value_node, (*path, key), document, problems)
    return result


def _scalar(node: yaml.Node) -> str | int | float | bool | None:
    text = str(node.value)
    match node.tag.rsplit(":", 1)[-1]:
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text) if len(text) < _DIGITS_MAX else text
        case "float":
            return float(
                text.replace(".inf", "inf")
                .replace(".Inf", "inf")
                .replace(".INF", "inf")
                .replace(".nan", "nan")
                .replace(".NaN", "nan")
                .replace(".NAN", "nan")
            )
        case "null":
            return None
        case _:
            return text


def _yaml_hint(error: yaml.MarkedYAMLError, text: str) -> str:
    if "mapping values are not allowed" in str(error.problem):
        return "a colon in a value needs quotes around the value"
    if "tab character" in str(error.problem):
        return _TABS
    if "cannot start any token" in str(error.problem) and error.problem_mark:
        lines = _LINE_BREAK.split(text.removeprefix("\ufeff"))
        line = "".join(lines[error.problem_mark.line : error.problem_mark.line + 1])
        if line[error.problem_mark.column :].startswith("\t"):
            return _TABS
        return "text that starts with @, % or ` needs quotes"
    return ""
