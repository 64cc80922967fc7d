"""Files with random damage are read or refused with places in them; nothing else ever happens."""

from __future__ import annotations

import random

import pytest

from collectors.strict_yaml import InvalidFile
from rules.load import load
from rules.testing import read, run
from tests.fixtures.rule_tests import CASES, RULES

PIECES = ["\n", " ", "  - ", ":", "'", '"', "{", "}", "[", "]", "{{", "}}", "|", ">", "&a ", "*a", "<<: ", "#", "\t", "\\", "\\x41",
          "\x00", "é", "\u2028", "\ufeff", "!!int ", "!x ", "---\n", "null", "1e999", "-", ",", "x5", "sum(", "5m", "%", "@", "`"]  # fmt: skip


def damaged(text: str, chance: random.Random) -> str:
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(text) + 1)
        text = (
            text[:at]
            + chance.choice(["", chance.choice(PIECES)])
            + text[at + chance.choice([0, 0, 1, 3, 30]) :]
        )
    return text


def check(problems: list[object], text: str) -> None:
    assert problems
    lines = text.replace("\r\n", "\n").split("\n")
    for one in problems:
        assert one.message  # type: ignore[attr-defined]
        assert 0 <= one.line <= len(lines) + 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    chance = random.Random(name)
    refused = 0
    for _ in range(150):
        text = damaged(RULES[name], chance)
        try:
            load({name: text})
        except InvalidFile as error:
            check(error.problems, text)
            refused += 1
    assert refused > 20


def test_tests() -> None:
    chance = random.Random(1)
    refused = 0
    for text in CASES.values():
        for _ in range(10):
            broken = damaged(text, chance)
            try:
                found = read("a.yaml", broken)
            except InvalidFile as error:
                check(error.problems, broken)
                refused += 1
                continue
            if all(group.last_ms < 3_600_000 for group in found.groups):
                assert isinstance(run(found, ()), list)
    assert refused > 100
