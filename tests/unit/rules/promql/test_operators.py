from __future__ import annotations

import math

import pytest

from rules.errors import EvalError
from rules.labels import labels_of
from rules.promql import Expression, Vector
from rules.promql.values import Value
from rules.window import Window

SERIES: dict[str, list[tuple[dict[str, str], float]]] = {
    "use": [
        ({"host": "a", "disk": "1"}, 10),
        ({"host": "a", "disk": "2"}, 20),
        ({"host": "b", "disk": "1"}, 30),
    ],
    "size": [
        ({"host": "a", "disk": "1"}, 100),
        ({"host": "a", "disk": "2"}, 20),
        ({"host": "c", "disk": "1"}, 1),
    ],
    "host_info": [({"host": "a", "site": "x"}, 1), ({"host": "b", "site": "y"}, 1)],
    "twice": [({"host": "a", "n": "1"}, 1), ({"host": "a", "n": "2"}, 2), ({"host": "b", "n": "1"}, 3)],
}


TWICE = (
    'found duplicate series for the match group {host="a"} on the SIDE hand-side of the operation: '
    '[{__name__="twice", host="a", n="2"}, {__name__="twice", host="a", n="1"}];'
    "many-to-many matching not allowed: matching labels must be unique on one side"
)


@pytest.fixture
def window() -> Window:
    found = Window()
    for metric, elements in SERIES.items():
        series = [labels_of({"__name__": metric, **labels}) for labels, _ in elements]
        found.write(metric, series, 1000, [value for _, value in elements])
    return found


def told(value: Value) -> list[str]:
    assert isinstance(value, Vector)
    return [f"{labels} {number:g}" for labels, number in value.items()]


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("use + size", ['{disk="1", host="a"} 110', '{disk="2", host="a"} 40']),
        ("use < size", ['{__name__="use", disk="1", host="a"} 10']),
        ("use < bool size", ['{disk="1", host="a"} 1', '{disk="2", host="a"} 0']),
        ("use atan2 (size * 0)", ['{disk="1", host="a"} 1.5708', '{disk="2", host="a"} 1.5708']),
        ("host_info == ignoring (site, disk) size{disk='1'} / 100", ['{__name__="host_info", host="a"} 1']),
        ("host_info == on (host) size{disk='1'} / 100", ['{host="a"} 1']),
        ("host_info == on (host, __name__) host_info", ['{__name__="host_info", host="a"} 1', '{__name__="host_info", host="b"} 1']),
        (
            "use * on (host) group_left (site) host_info",
            ['{disk="1", host="a", site="x"} 10', '{disk="2", host="a", site="x"} 20', '{disk="1", host="b", site="y"} 30'],
        ),
        ("host_info + on (host) group_right (nothing) use > 20", ['{disk="2", host="a"} 21', '{disk="1", host="b"} 31']),
        ("host_info < on (host) group_right (site) use", [
            '{__name__="use", disk="1", host="a", site="x"} 1', '{__name__="use", disk="2", host="a", site="x"} 1',
            '{__name__="use", disk="1", host="b", site="y"} 1',
        ]),
        ("15 < use", ['{__name__="use", disk="2", host="a"} 20', '{__name__="use", disk="1", host="b"} 30']),
        ("use and on (host) host_info{site='y'}", ['{__name__="use", disk="1", host="b"} 30']),
        ("use unless on (host) host_info{site='y'}", ['{__name__="use", disk="1", host="a"} 10', '{__name__="use", disk="2", host="a"} 20']),
        ("use > 20 or use < 20", ['{__name__="use", disk="1", host="b"} 30', '{__name__="use", disk="1", host="a"} 10']),
        ("use > 20 or on (disk) use", ['{__name__="use", disk="1", host="b"} 30', '{__name__="use", disk="2", host="a"} 20']),
        ("sum(use > 20 or use < 20)", ["{} 40"]),
        ("nothing + use", []),
        ("use + nothing", []),
        ("nothing or use{disk='2'}", ['{__name__="use", disk="2", host="a"} 20']),
    ],
)  # fmt: skip
def test_what_operators_give(window: Window, text: str, elements: list[str]) -> None:
    assert told(Expression(text).at(window, 1000)) == elements


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 / 0", math.inf), ("-1 / 0", -math.inf), ("0 / 0", math.nan), ("-7 % 3", -1.0), ("7 % -3", 1.0), ("5 % 0", math.nan),
        ("5 % Inf", 5.0), ("Inf % 5", math.nan), ("0 ^ -1", math.inf), ("-8 ^ (1/3)", -2.0), ("(-8) ^ (1/3)", math.nan),
        ("NaN ^ 0", 1.0), ("1 ^ NaN", 1.0), ("2 ^ 3 ^ 2", 512.0), ("1e308 * 10", math.inf), ("3 == bool 3", 1.0),
        ("NaN != bool NaN", 1.0), ("NaN >= bool NaN", 0.0), ("0 atan2 -1", math.pi),
    ],
)  # fmt: skip
def test_numbers_are_go_s(window: Window, text: str, value: float) -> None:
    assert Expression(text).at(window, 1000) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "host_info * on (host) twice",
            TWICE.replace("SIDE", "right"),
        ),
        (
            "twice * on (host) group_right () use",
            TWICE.replace("SIDE", "left"),
        ),
        (
            "twice * on (host) host_info",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            "twice * on (host) group_left (n) label_replace(host_info, 'n', 'same', '', '')",
            "multiple matches for labels: grouping labels must ensure unique matches",
        ),
        ("-{__name__=~'use|size',host='a'}", "vector cannot contain metrics with the same labelset"),
        ("{__name__=~'use|size',host='a'} + 1", "vector cannot contain metrics with the same labelset"),
    ],
)
def test_matches_that_are_not_unique_are_errors(window: Window, text: str, said: str) -> None:
    with pytest.raises(EvalError) as caught:
        Expression(text).at(window, 1000)
    assert str(caught.value) == said


def test_only_what_is_there_can_match_twice(window: Window) -> None:
    assert len(told(Expression("host_info * on (host) (twice != 2)").at(window, 1000))) == 2
    assert len(told(Expression("(twice > 1) * on (host) host_info").at(window, 1000))) == 2
    assert len(told(Expression("twice > on (host) host_info * 1.5").at(window, 1000))) == 2
    assert told(Expression("nothing * on (host) twice").at(window, 1000)) == []


def test_a_match_is_found_anew_when_elements_come_and_go(window: Window) -> None:
    expression = Expression("use * on (host) group_left (n) (twice == scalar(choice))")
    choice = [labels_of({"__name__": "choice"})]
    for at_ms, number in ((2000, 1.0), (3000, 2.0), (4000, 1.0)):
        window.write("choice", choice, at_ms, [number])
        assert {line.partition(' n="')[2][0] for line in told(expression.at(window, at_ms))} == {
            f"{number:g}"
        }


def test_the_same_series_give_the_same_rows(window: Window) -> None:
    for text in (
        "use + size", "use > size", "use / ignoring (disk) group_left host_info", "use * on (host) group_left (site) host_info",
        "use or size", "use and size", "use > 15", "use * 2", "use == on (host, disk) size",
    ):  # fmt: skip
        expression = Expression(text)
        first, again = expression.at(window, 1000), expression.at(window, 2000)
        assert isinstance(first, Vector)
        assert isinstance(again, Vector)
        assert first.rows is again.rows
