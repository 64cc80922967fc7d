"""What our templates say is byte for byte what Prometheus' own (promtool's) say."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.template import TemplateError, expand_or_say, parse
from tests.fixtures.expansions import CASES, context_of, expansions, find_promtool, newer, older, refusals
from tests.fixtures.templates import EXPANDED, REFUSED


@pytest.fixture(scope="module")
def promtool() -> str:
    return find_promtool()


@pytest.fixture(scope="module")
def theirs(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The annotations that promtool computes, for each case."""
    return expansions(promtool, tmp_path_factory.mktemp("expanded"), EXPANDED, CASES)


def test_there_are_many_templates_and_cases() -> None:
    assert len(set(EXPANDED)) == len(EXPANDED) >= 200
    assert len(set(REFUSED)) == len(REFUSED) >= 80


@pytest.mark.parametrize("number", range(len(EXPANDED)), ids=lambda n: repr(EXPANDED[n])[:60])
def test_each_template_says_what_prometheus_says(theirs: list[dict[str, str]], number: int) -> None:
    template = parse(EXPANDED[number], "A")
    ours = [older(expand_or_say(template, context_of(case))) for case in CASES]
    expected = [annotations.get(f"t{number}", "") for annotations in theirs]
    assert ours == [newer(text) for text in expected], EXPANDED[number]


def test_each_bad_template_is_refused_as_prometheus_refuses_it(promtool: str, tmp_path: Path) -> None:
    said = refusals(promtool, tmp_path, REFUSED)
    ours: dict[int, str] = {}
    for number, text in enumerate(REFUSED):
        with pytest.raises(TemplateError) as caught:
            parse(text, "A")
        ours[number] = caught.value.report
    assert {n: (REFUSED[n], ours[n]) for n in ours} == {n: (REFUSED[n], said.get(n)) for n in ours}
