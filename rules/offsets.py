"""Finds where a character of a YAML value stands in the file."""

from __future__ import annotations

import re

import yaml

from rules.model import Place

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_HEX = {"x": 2, "u": 4, "U": 8}
_BLANK_ESCAPES = " \n\tntrvfN_LP"


def place_within(file: str, text: str, node: yaml.ScalarNode, line: int, column: int) -> Place:
    """Return the place in the file of a line and column (from 1) of a scalar's value.

    Characters that are not blank stand in the value in the order they stand in the file, whatever the
    quoting and folding, so they are counted.
    """
    lines = str(node.value).split("\n")
    before = "\n".join([*lines[: line - 1], lines[line - 1][: column - 1] if line <= len(lines) else ""])
    spots = _spots(text, node)
    spots.append(spots[-1] + 1 if spots else node.start_mark.index)
    index = spots[min(len("".join(before.split())), len(spots) - 1)]
    return Place(file, text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1)


def _spots(text: str, node: yaml.ScalarNode) -> list[int]:
    """Return where the value's characters that are not blank stand in the text."""
    begin, end = node.start_mark.index, node.end_mark.index
    found = _PROPERTIES.match(text, begin, end)
    begin = found.end() if found else begin
    if node.style in ("|", ">"):
        begin = text.find("\n", begin, end)
        return [] if begin < 0 else _plain(text, begin, end)
    if node.style == '"':
        return _double(text, begin + 1, end - 1)
    if node.style == "'":
        return _single(text, begin + 1, end - 1)
    return _plain(text, begin, end)


def _plain(text: str, begin: int, end: int) -> list[int]:
    return [at for at in range(begin, end) if not text[at].isspace()]


def _single(text: str, begin: int, end: int) -> list[int]:
    spots = []
    at = begin
    while at < end:
        if not text[at].isspace():
            spots.append(at)
        at += 2 if text[at] == "'" else 1
    return spots


def _double(text: str, begin: int, end: int) -> list[int]:
    spots = []
    at = begin
    while at < end:
        step, blank = 1, text[at].isspace()
        if text[at] == "\\" and at + 1 < end:
            letter = text[at + 1]
            digits = text[at + 2 : at + 2 + _HEX.get(letter, 0)]
            step = 2 + len(digits)
            blank = chr(int(digits, 16)).isspace() if digits else letter in _BLANK_ESCAPES
        if not blank:
            spots.append(at)
        at += step
    return spots
