"""vector, scalar, absent, sort."""

from __future__ import annotations

import math

import pytest

from tests.fixtures.promql_samples import answer, only, samples

EMPTY = samples({})


def test_a_number_becomes_a_vector_and_back() -> None:
    assert answer(EMPTY, "vector(3)") == {"{}": 3}
    assert answer(EMPTY, "scalar(vector(3))") == {"": 3}
    assert answer(EMPTY, "vector(scalar(vector(1) + 1))") == {"{}": 2}


def test_a_vector_of_one_element_is_needed_for_a_number() -> None:
    window = samples({'x{a="1"}': "1", 'x{a="2"}': "2"})
    assert math.isnan(only(window, "scalar(x)"))
    assert math.isnan(only(window, "scalar(nothing)"))
    assert only(window, "scalar(x > 1)") == 2
    assert only(window, 'scalar(x{a="1"})') == 1


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ("nothing", "{}"),
        ('nothing{a="1"}', '{a="1"}'),
        ('nothing{a="1", b!="2", c=~"3", d!~"4"}', '{a="1"}'),
        ('nothing{a="1", a="2", b="3"}', '{b="3"}'),
        ('nothing{a="1", a="1"}', "{}"),
        ('nothing{a=~"1", a="2"}', '{a="2"}'),
        ('nothing{a="2", a=~"1"}', "{}"),
        ('{__name__="nothing", a="1"}', '{a="1"}'),
        ('(nothing{a="1"})', '{a="1"}'),
        ('nothing{a="1"} offset 1m', '{a="1"}'),
        ('nothing{a="1"} @ 5', '{a="1"}'),
        ('nothing{a="1"} > 0', "{}"),
        ('sum(nothing{a="1"})', "{}"),
        ('-nothing{a="1"}', "{}"),
    ],
)
def test_absence_has_the_labels_that_the_selector_fixes(selector: str, labels: str) -> None:
    assert answer(EMPTY, f"absent({selector})") == {labels: 1}


def test_nothing_is_absent_when_one_element_is_there() -> None:
    window = samples({'x{a="1"}': "0", 'x{a="2"}': "stale"})
    assert answer(window, "absent(x)") == {}
    assert answer(window, 'absent(x{a="2"})') == {'{a="2"}': 1}
    assert answer(window, "absent(x > 1)") == {"{}": 1}
    assert answer(window, "absent(absent(x))") == {"{}": 1}


def test_sorting_orders_by_value_with_nan_at_the_end() -> None:
    window = samples(
        {f'x{{a="{i}"}}': value for i, value in enumerate(["3", "NaN", "-1", "Inf", "2", "NaN"])}
    )
    order = [labels[-3] for labels in answer(window, "sort(x)")]
    assert order[:4] == ["2", "4", "0", "3"]
    assert set(order[4:]) == {"1", "5"}
    order = [labels[-3] for labels in answer(window, "sort_desc(x)")]
    assert order[:4] == ["3", "0", "4", "2"]
    assert set(order[4:]) == {"1", "5"}


def test_sorting_keeps_names_and_leaves_out_what_is_not_there() -> None:
    window = samples({'x{a="1"}': "5", 'y{a="1"}': "4", 'x{a="2"}': "3"})
    assert list(answer(window, 'sort({__name__=~"x|y"} > 3)').items()) == [('y{a="1"}', 4), ('x{a="1"}', 5)]
    assert answer(window, "sort(nothing)") == {}
