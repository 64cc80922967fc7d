"""label_replace and label_join."""

from __future__ import annotations

import pytest

from rules.errors import EvalError
from rules.promql import Expression, Vector
from tests.fixtures.promql_samples import answer, samples

WINDOW = samples({'x{src="a-b",other="o"}': "1 2"})


@pytest.mark.parametrize(
    ("replacement", "pattern", "made"),
    [
        ("$1", "(.*)-(.*)", "a"),
        ("${2}x", "(.*)-(.*)", "bx"),
        ("$2x", "(.*)-(.*)", ""),
        ("$2-$1", "(.*)-(.*)", "b-a"),
        ("$0", "(.*)-(.*)", "a-b"),
        ("$00", "(.*)-(.*)", ""),
        ("$3", "(.*)-(.*)", ""),
        ("$$1", "(.*)-(.*)", "$1"),
        ("$", "(.*)-(.*)", "$"),
        ("1$ ", "(.*)-(.*)", "1$ "),
        ("${", "(.*)-(.*)", "${"),
        ("${1", "(.*)-(.*)", "${1"),
        ("${}", "(.*)-(.*)", "${}"),
        ("${1}${2}", "(.*)-(.*)", "ab"),
        ("$head", "(?P<head>.*)-(.*)", "a"),
        ("${head}!", "(?P<head>.*)-(.*)", "a!"),
        ("$tail", "(?P<head>.*)-(.*)", ""),
        ("<$1|$2>", "(a-b)|(c)", "<a-b|>"),
        ("$é$1", "(.*)", "a-b"),
        ("new", "a-b", "new"),
        ("${$1", "(.*)", "${a-b"),
        ("$$$1$", "(.*)", "$a-b$"),
        ("${1 }", "(.*)", "${1 }"),
        ("$" + 5000 * "1", "(.*)", ""),
        ("$1_", "(?P<n>.*)", ""),
    ],
)
def test_a_replacement_is_expanded_as_go_does(replacement: str, pattern: str, made: str) -> None:
    found = answer(WINDOW, f'label_replace(x, "dst", "{replacement}", "src", "{pattern}")')
    expected = f'x{{dst="{made}", other="o", src="a-b"}}' if made else 'x{other="o", src="a-b"}'
    assert found == {expected: 1}


def test_an_expression_has_to_match_the_whole_value() -> None:
    for pattern in ("a", "b", "-", "a-", ""):
        assert answer(WINDOW, f'label_replace(x, "dst", "new", "src", "{pattern}")') == {
            'x{other="o", src="a-b"}': 1
        }


def test_a_dot_matches_a_line_break() -> None:
    window = samples({'x{src="a\\nb"}': "1"})
    assert answer(window, 'label_replace(x, "src", "$1", "src", "a(.*)")') == {'x{src="\\nb"}': 1}


def test_an_empty_value_takes_the_label_away_and_a_missing_label_is_empty() -> None:
    assert answer(WINDOW, 'label_replace(x, "src", "", "src", ".*")') == {'x{other="o"}': 1}
    assert answer(WINDOW, 'label_replace(x, "dst", "new", "missing", "")') == {
        'x{dst="new", other="o", src="a-b"}': 1
    }
    assert answer(WINDOW, 'label_replace(x, "dst", "", "src", "(.*)")') == {'x{other="o", src="a-b"}': 1}


def test_the_metric_name_is_a_label_as_well() -> None:
    assert answer(WINDOW, 'label_replace(x, "__name__", "y", "src", ".*")') == {'y{other="o", src="a-b"}': 1}
    assert answer(WINDOW, 'label_replace(x, "src", "${1}_total", "__name__", "(.*)")') == {
        'x{other="o", src="x_total"}': 1
    }
    assert answer(WINDOW, 'label_replace(abs(x), "a", "[$1]", "__name__", "(.*)")') == {
        '{a="[]", other="o", src="a-b"}': 1
    }


def test_a_broken_expression_and_an_empty_name_are_refused() -> None:
    with pytest.raises(EvalError) as refused:
        answer(WINDOW, 'label_replace(x, "dst", "", "src", "(.*")')
    assert str(refused.value) == "invalid regular expression in label_replace(): (.*"
    with pytest.raises(EvalError) as refused:
        answer(WINDOW, 'label_replace(nothing, "", "", "src", "(.*)")')
    assert str(refused.value) == "invalid destination label name in label_replace(): "
    with pytest.raises(EvalError) as refused:
        answer(WINDOW, 'label_join(x, "dst", "", "src", "")')
    assert str(refused.value) == "invalid source label name in label_join(): "
    with pytest.raises(EvalError) as refused:
        answer(WINDOW, 'label_join(x, "", "", "src")')
    assert str(refused.value) == "invalid destination label name in label_join(): "


def test_two_series_may_not_get_the_same_labels() -> None:
    window = samples({'x{a="1"}': "1", 'x{a="2"}': "-2"})
    for expression in ('label_replace({}, "a", "3", "a", ".*")', 'label_join({}, "a", "-")'):
        with pytest.raises(EvalError, match="vector cannot contain metrics with the same labelset"):
            answer(window, expression.replace("{}", "x"))
        assert len(answer(window, expression.replace("{}", "x > 0"))) == 1


@pytest.mark.parametrize(
    ("arguments", "labels"),
    [
        ('"dst", "-", "src", "other"', '{dst="a-b-o", other="o", src="a-b"}'),
        ('"dst", ", ", "missing", "other"', '{dst=", o", other="o", src="a-b"}'),
        ('"other", "", "src"', '{other="a-b", src="a-b"}'),
        ('"other", "-"', '{src="a-b"}'),
        ('"src", "/", "src", "src"', '{other="o", src="a-b/a-b"}'),
        ('"zzz", "", "missing"', '{other="o", src="a-b"}'),
    ],
)
def test_labels_are_joined(arguments: str, labels: str) -> None:
    assert answer(WINDOW, f"label_join(x, {arguments})") == {f"x{labels}": 1}


def test_changed_rows_stay_the_same_object_while_the_series_stay() -> None:
    window = samples({'x{a="1"}': "1 2 3", 'x{a="2"}': "1 2 3"})
    expression = Expression('label_replace(x, "b", "$1", "a", "(.*)")')
    first, second = expression.at(window, 60_000), expression.at(window, 120_000)
    assert isinstance(first, Vector)
    assert isinstance(second, Vector)
    assert first.rows is second.rows
    untouched = Expression('label_replace(x, "b", "$1", "a", "no")').at(window, 60_000)
    plain = Expression("x").at(window, 60_000)
    assert isinstance(untouched, Vector)
    assert isinstance(plain, Vector)
    assert list(untouched.rows) == list(plain.rows)
