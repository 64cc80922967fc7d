"""Reads YAML as Prometheus does: with anchors and merges, and with the place of everything.

Mistakes are collected, so that a person hears of all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from collectors.strict_yaml import SIZE_MAX_BYTES, InvalidFile, Problem, did_you_mean, unreadable
from rules.durations import duration_ms
from rules.model import Place

DEPTH_MAX = 50
GROWTH_MAX = 4
"""What aliases may multiply a file by."""
MERGES_MAX = 20
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = ("", "~", "null", "Null", "NULL")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|(?!0[0-9])[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = {
    ".nan": float("nan"),
    ".inf": float("inf"),
    "+.inf": float("inf"),
    "-.inf": float("-inf"),
}
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map"))


class _Loader(_Base):  # type: ignore[misc] # which of the two is known at run time only
    """Gives every plain scalar as the text it is."""


_Loader.yaml_implicit_resolvers = {}
Field = tuple[yaml.Node, yaml.Node]
"""A key and its value."""


class YamlFile:
    """One file that is read, and the mistakes found in it."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self.problems: list[Problem] = []
        self._visits = 0
        self._visits_max = 0

    def root(self) -> yaml.Node | None:
        """Return the document; None when there is none, or when it is no YAML, which is a problem then."""
        try:
            self._check_events()
            return _compose(self.text)
        except yaml.MarkedYAMLError as error:
            line, column = _line_column(error.problem_mark or error.context_mark)
            several = "single document" in str(error.context)
            message = "more than one document" if several else f"not YAML: {error.problem or error.context}"
            self.problems.append(Problem(self.file, line, column, message, _hint(error, self.text)))
        except yaml.YAMLError as error:
            self.problems.append(unreadable(error, self.text, self.file))
        except InvalidFile as error:
            self.problems += error.problems
        return None

    def place(self, node: yaml.Node) -> Place:
        """Return where a node begins."""
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def problem(self, where: yaml.Node | Place, message: str, hint: str = "") -> None:
        """Note a mistake."""
        place = where if isinstance(where, Place) else self.place(where)
        self.problems.append(Problem(place.file, place.line, place.column, message, hint))

    def fields(
        self, node: yaml.Node | None, what: str, known: Collection[str] | None = None
    ) -> dict[str, Field]:
        """Return the keys and values of a mapping; a key that is not among the known ones is a mistake."""
        found: dict[str, Field] = {}
        if node is None or self.is_null(node):
            return found
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, f"{what} must be a mapping of keys to values")
            return found
        self._collect(node, found, 0)
        if known is not None:
            for name in [name for name in found if name not in known]:
                self.problem(
                    found.pop(name)[0], f"unknown field {name!r} in {what}", did_you_mean(name, known)
                )
        return found

    def items(self, node: yaml.Node | None, what: str) -> Iterator[yaml.Node]:
        """Give the items of a list; none for nothing."""
        if node is None or self.is_null(node):
            return
        if not isinstance(node, yaml.SequenceNode):
            self.problem(node, f"{what} must be a list")
            return
        for item in node.value:
            if self._visit(item):
                yield item

    def string(self, node: yaml.Node | None, what: str) -> str:
        """Return a scalar's text; empty for nothing."""
        if node is None or self.is_null(node):
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.problem(node, f"{what} must be text")
            return ""
        return str(node.value)

    def strings(self, node: yaml.Node | None, what: str) -> dict[str, Field]:
        """Return a mapping of texts; what is no text is a mistake and left out."""
        found = self.fields(node, what)
        texts: dict[str, Field] = {}
        for name, (key, value) in found.items():
            if isinstance(value, yaml.ScalarNode):
                texts[name] = (key, value)
            else:
                self.problem(value, f"{name!r} in {what} must be text")
        return texts

    def duration(self, node: yaml.Node | None, what: str) -> int | None:
        """Return milliseconds; None for nothing, and for what is no duration."""
        if node is None or self.is_null(node):
            return None
        text = self.string(node, what)
        try:
            return duration_ms(text) if isinstance(node, yaml.ScalarNode) else None
        except ValueError as error:
            self.problem(node, f"{what}: {error}", "write it as 30s, 5m or 1h30m")
            return None

    def integer(self, node: yaml.Node | None, what: str) -> int:
        """Return a whole number; 0 for nothing."""
        if node is None or self.is_null(node):
            return 0
        text = str(node.value) if isinstance(node, yaml.ScalarNode) and not node.style else ""
        try:
            value = _number(text)
        except ValueError:
            value = 0.5
        if not value.is_integer() or abs(value) >= 1 << 63:
            self.problem(node, f"{what} must be a whole number")
            return 0
        return int(value)

    def number(self, node: yaml.Node | None, what: str) -> float:
        """Return a number; 0 for nothing."""
        if node is None or self.is_null(node):
            return 0.0
        text = str(node.value) if isinstance(node, yaml.ScalarNode) and not node.style else ""
        try:
            return _SPECIAL[text.lower()] if text.lower() in _SPECIAL else _number(text)
        except ValueError:
            self.problem(node, f"{what} must be a number", "write NaN as .nan, and infinity as .inf")
            return 0.0

    def truth(self, node: yaml.Node | None, what: str) -> bool:
        """Return true or false; false for nothing."""
        if node is None or self.is_null(node):
            return False
        if not isinstance(node, yaml.ScalarNode) or node.style or node.value not in _TRUTH:
            self.problem(node, f"{what} must be true or false")
            return False
        return _TRUTH[node.value]

    @staticmethod
    def is_null(node: yaml.Node) -> bool:
        """Tell whether a node says that there is nothing."""
        return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULLS

    def _collect(self, node: yaml.MappingNode, found: dict[str, Field], depth: int) -> None:
        """Add the mapping's keys that are not there yet; merged ones come after its own."""
        merged: list[yaml.Node] = []
        own: set[str] = set()
        for key, value in node.value:
            if not self._visit(value):
                return
            if not isinstance(key, yaml.ScalarNode):
                self.problem(key, "a key must be a plain word")
            elif key.value == "<<" and not key.style:
                merged.append(value)
            elif key.value in own:
                line = found[key.value][0].start_mark.line + 1 if key.value in found else 0
                self.problem(
                    key, f"the key {key.value!r} stands here twice", f"it is first set in line {line}"
                )
            else:
                own.add(key.value)
                found.setdefault(key.value, (key, value))
        for each in merged:
            self._merge(each, found, depth)

    def _merge(self, node: yaml.Node, found: dict[str, Field], depth: int) -> None:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for part in parts:
            if not isinstance(part, yaml.MappingNode) or depth >= MERGES_MAX:
                self.problem(part, "only mappings can be merged with <<")
                return
            self._collect(part, found, depth + 1)

    def _visit(self, node: yaml.Node) -> bool:
        self._visits += 1
        if self._visits == self._visits_max:
            self.problem(node, f"aliases make this file more than {GROWTH_MAX} times as large")
        return self._visits < self._visits_max

    def _check_events(self) -> None:
        """Refuse great size, deep nesting and strange tags before a tree is made."""
        if len(self.text) > SIZE_MAX_BYTES:
            raise InvalidFile([Problem(self.file, 0, 0, f"larger than {SIZE_MAX_BYTES} bytes")])
        depth = 0
        self._visits_max = 1000
        for event in _events(self.text):
            self._visits_max += GROWTH_MAX
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            tag = getattr(event, "tag", None)
            message = f"nested deeper than {DEPTH_MAX}" if depth > DEPTH_MAX else ""
            if tag and tag not in _TAGS:
                message = "tags are not supported"
            if message:
                raise InvalidFile([Problem(self.file, *_line_column(event.start_mark), message)])


def _number(text: str) -> float:
    if _FLOAT.fullmatch(text):
        return float(text)
    digits = text.lower().replace("_", "")
    octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
    return float(int(f"{octal[1]}0o{octal[2]}" if octal else digits, 0))


def _line_column(mark: Any) -> tuple[int, int]:  # noqa: ANN401 - yaml has two mark types
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _events(text: str) -> Iterator[yaml.Event]:
    loader = _Loader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _hint(error: yaml.MarkedYAMLError, text: str) -> str:
    if "mapping values are not allowed" in str(error.problem):
        return "a colon in a value needs quotes around the value"
    lines, (number, _) = text.split("\n"), _line_column(error.problem_mark)
    indent = lines[number - 1] if 0 < number <= len(lines) else ""
    if "tab" in str(error.problem) or "\t" in indent[: len(indent) - len(indent.lstrip())]:
        return "indent with spaces, not tabs"
    if "undefined alias" in str(error.problem):
        return "text that starts with * needs quotes"
    return ""
