"""Templates made at random mean to us what they mean to Prometheus."""

from __future__ import annotations

import itertools
import math
import random
import struct
from pathlib import Path

import pytest

from rules.template import TemplateError, expand_or_say, parse
from tests.fixtures.expansions import CASES, context_of, expansions, find_promtool, newer, older, refusals
from tests.fixtures.templates import EXPANDED, REFUSED

SOME_CASES = CASES[:2]
PIECES = [
    "{{", "}}", "{{-", " -}}", "(", "|", " ", ".", "$x", "$labels", ".Labels.job", "1", "1.5", '"a"', "`b`", "'c'",
    "if ", "else ", "end ", "range ", "with ", "define ", "template ", "block ", ":=", "=", ",", "nil", "true",
    "print ", "printf ", "len ", "index ", "eq ", "and ", "or ", "toUpper ", "humanize ", "break", "continue", "\n",
    "-", "+", "/*", "*/", "x", "é", '"', "'", "\\", "$", ".Foo", "$value", "{{end}}", "{{else}}", "{{if 1}}", "_", "0x",
    "e5",
]  # fmt: skip
VALUES = [
    "0", "1", "-1", "42", "-255", "123456789", "1.5", "-0.0", "0.0", "1e6", "1.234567e-7", "-12345.678", '""', '"abc"',
    '"é日x"', r'"q\"\n"', "true", "false", "nil", "'x'", "$value", "$labels", '(index "a" 0)', '(args 1 "a" 2.5 nil)',
    '(query "sum(y)" | first)', '(safeHtml "<")', "$externalLabels", "(toTime 3).Month",
    "((toTime 5).Sub (toTime 3.5))", "9223372036854775807", "-9223372036854775808", "1e308", "5e-324",
    '(query "nothing")', "(toTime 0).Unix", "99.95", "2.5", "0.5", "1.0",
]  # fmt: skip

EXPRESSIONS = [
    "a", "b", "c", ".", "*", "+", "?", "|", "(", ")", "(?:", "(?i)", "(?P<n>", "[ab]", "[^a]", "[a-c]", "^", "$", r"\d",
    r"\w", r"\b", r"\s", "{2}", "{1,2}", "*?", "é", r"\pL", "[[:alpha:]]", r"\.", "x", "(?s)", r"\Q", r"\E", r"\x41",
    "(?m)", r"\B", r"\A", r"\z", "{", "}", "]", "[", "-", r"\C", "(?U)", "(?-i)", r"\1", "{,2}", "[^",
]  # fmt: skip
REPLACEMENTS = ["$1", "$0", "${n}", "$n", "x", "$$", "$", "${1}z", "$2", "-", "${", "$1a"]


@pytest.fixture(scope="module")
def promtool() -> str:
    return find_promtool()


def test_directives_of_printf_with_any_flags_and_values(promtool: str, tmp_path: Path) -> None:
    dice = random.Random(20)
    assert_alike(promtool, tmp_path, [some_printf(dice) for _ in range(600)])


def test_templates_with_pieces_taken_out_and_put_in(promtool: str, tmp_path: Path) -> None:
    dice = random.Random(21)
    mutants = [mutant(dice) for _ in range(600)]
    # Known differences: parentheses closed too often are said otherwise by newer versions of Go, there are no
    # complex numbers here, and queries can only be those that the other side can answer too.
    mutants = [text for text in mutants if "query" not in text and "i" not in numbers_of(text)]
    assert_alike(promtool, tmp_path, mutants)


def test_regular_expressions_match_replace_and_are_refused_alike(promtool: str, tmp_path: Path) -> None:
    dice = random.Random(23)
    assert_alike(promtool, tmp_path, [some_replacement(dice) for _ in range(1000)])


def test_numbers_of_any_size_are_written_alike(promtool: str, tmp_path: Path) -> None:
    dice = random.Random(22)
    numbers = [struct.unpack("<d", dice.randbytes(8))[0] for _ in range(1500)]
    numbers += [dice.uniform(-1e6, 1e6) for _ in range(500)] + [10.0**n for n in range(-30, 30)]
    numbers += [round(dice.uniform(0, 1000), 2) for _ in range(300)] + [
        float(n) for n in range(999_990, 1_000_010)
    ]
    literals = [repr(number) for number in numbers if math.isfinite(number)]
    forms = [
        "{{ %s }}",
        "{{ humanize %s }} {{ humanize1024 %s }} {{ humanizePercentage %s }} {{ humanizeDuration %s }}",
    ]
    forms.append('{{ printf "%%g %%e %%.4g %%.3f %%10.2f" %s %s %s %s %s }}')
    templates = [
        " ".join(form.replace("%s", literal).replace("%%", "%") for literal in literals[start : start + 40])
        for form in forms
        for start in range(0, len(literals), 40)
    ]
    assert_alike(promtool, tmp_path, templates)


def some_printf(dice: random.Random) -> str:
    count = dice.randint(1, 4)
    form = "|".join(directive(dice) for _ in range(count))
    return f'{{{{ printf "{form}" {" ".join(dice.choice(VALUES) for _ in range(count))} }}}}'


def some_replacement(dice: random.Random) -> str:
    pattern = "".join(dice.choices(EXPRESSIONS, k=dice.randint(0, 6)))
    replacement = "".join(dice.choices(REPLACEMENTS, k=dice.randint(0, 3)))
    text = "".join(dice.choices("abcé1 .Ax_\n", k=dice.randint(0, 8)))
    return f"{{{{ reReplaceAll `{pattern}` `{replacement}` `{text}` }}}} {{{{ match `{pattern}` `{text}` }}}}"


def directive(dice: random.Random) -> str:
    flags = "".join(dice.sample("+-# 0", dice.choice([0, 0, 1, 1, 2, 3])))
    width = str(dice.randint(0, 12)) if dice.random() < 0.5 else ""
    precision = "." + dice.choice(["", "0", "1", "2", "3", "5", "10"]) if dice.random() < 0.4 else ""
    return f"%{flags}{width}{precision}{dice.choice('vvvdsfegxXqtTcUboOEFGz%')}"


def mutant(dice: random.Random) -> str:
    text = dice.choice(EXPANDED + REFUSED)
    for _ in range(dice.randint(1, 3)):
        start = dice.randint(0, len(text))
        end = min(len(text), start + dice.randint(0, 6))
        text = text[:start] + dice.choice(["", dice.choice(PIECES), piece_of(dice)]) + text[end:]
    return text


def piece_of(dice: random.Random) -> str:
    other = dice.choice(EXPANDED)
    start = dice.randint(0, len(other))
    return other[start : start + dice.randint(1, 20)]


def numbers_of(text: str) -> str:
    return "".join(after for before, after in itertools.pairwise(text) if before.isdigit())


def refusal_of(text: str) -> str | None:
    try:
        parse(text, "A")
    except TemplateError as error:
        return error.report
    return None


def assert_alike(promtool: str, place: Path, templates: list[str]) -> None:
    assert len(templates) > 100
    said = refusals(promtool, place, templates)
    accepted: list[str] = []
    for number, text in enumerate(templates):
        ours, theirs_says = refusal_of(text), said.get(number)
        if "unexpected right paren" in (ours or ""):
            assert 'unexpected ")" in ' in (theirs_says or "")
            continue
        assert (text, ours) == (text, theirs_says)
        if ours is None:
            accepted.append(text)
    theirs = expansions(promtool, place, accepted, SOME_CASES)
    for number, text in enumerate(accepted):
        template = parse(text, "A")
        said_by_us = [older(expand_or_say(template, context_of(case))) for case in SOME_CASES]
        expected = [newer(annotations.get(f"t{number}", "")) for annotations in theirs]
        assert (text, said_by_us) == (text, expected)
