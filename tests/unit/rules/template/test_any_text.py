"""Whatever the text, a template is expanded or refused, and nothing else happens."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import strict_yaml
from rules.template import TemplateContext, TemplateError, expand_or_say, parse
from tests.fixtures.templates import EXPANDED, REFUSED

BUILTIN = sorted(path for path in Path("rules/builtin").glob("*.yaml") if ".test." not in path.name)
CONTEXT = TemplateContext({"a": "1", "job": "x"}, 0.5, {"region": "eu"}, "http://x/", lambda _: [])
WORDS = [
    "{{", "}}", "{{- ", " -}}", "(", ")", "|", " ", ".", "$", "$labels", ".Labels", "1", '"', "'", "`", "if ", "end",
    "else ", "range ", "with ", "define ", "template ", "break", ":=", "=", ",", "nil", "printf ", "%", "query ",
    "print ", "index ", "eq ", "/*", "*/", "\\", "\n", "0x", "1e9", "toTime ", "humanize ", "args ", ".Format ",
]  # fmt: skip
PIECES = st.one_of(st.sampled_from(WORDS), st.text(max_size=4))


@settings(max_examples=400, deadline=None)
@given(st.text(st.characters(codec=None), max_size=60))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    assert_expanded_or_refused(text)


@settings(max_examples=800, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_any_pieces_of_templates_are_expanded_or_refused(text: str) -> None:
    assert_expanded_or_refused("{{ " + text)
    assert_expanded_or_refused(text)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(EXPANDED + REFUSED), st.integers(0, 80), st.integers(0, 10), st.text(max_size=3))
def test_any_damaged_template_is_expanded_or_refused(text: str, start: int, count: int, other: str) -> None:
    assert_expanded_or_refused(text[:start] + other + text[start + count :])


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=20), st.sampled_from("vTtcdoOqxXUeEfFgGspw%!"), st.text("+-# 0123456789.*[]", max_size=8)
)
def test_any_directive_of_printf_writes_something(value: str, verb: str, flags: str) -> None:
    quoted = value.replace("`", "").replace("}}", "").replace("{{", "")
    form = f'{{{{ printf "%{flags}{verb}" `{quoted}` $value $labels }}}}'
    said = expand_or_say(parse(form), CONTEXT)
    assert "longer than" in said or not said.startswith("<error")


@given(st.text("{}%-/*\"'`\n é", max_size=40).filter(lambda text: "{{" not in text))
def test_a_text_without_actions_stays_as_it_is(text: str) -> None:
    assert parse(text).expand(CONTEXT) == text


@pytest.mark.parametrize("path", BUILTIN, ids=lambda path: path.name)
def test_every_text_of_the_rules_that_come_with_the_daemon_parses(path: Path) -> None:
    count = 0
    for group in strict_yaml.read(path).value["groups"]:
        for rule in group["rules"]:
            for text in [*rule.get("annotations", {}).values(), *rule.get("labels", {}).values()]:
                parse(str(text), str(rule.get("alert", "")))
                count += 1
    assert count


def assert_expanded_or_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        said = expand_or_say(parse(text), CONTEXT)
        said.encode()
