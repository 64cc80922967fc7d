"""What functions give, compared with what promtool says, to the last digit wherever that is possible.

What Prometheus 3 does differently from the promtool that is installed is left out here: extrapolation
of counters that were zero a while ago, the mean, and sums with infinities in between.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from rules.errors import EvalError
from rules.promql import Expression, Vector
from rules.window import Window
from tests.fixtures.promql_samples import same, samples
from tests.fixtures.promtool_answers import Answers, promtool

COUNT = 61
STEP = 61
"""Seconds: no time that is asked for lies a whole range after a sample, where version 2 counts one more."""
TIMES = {"9m5s": 545, "23m31s": 1411, "59m51s": 3591}


def test_functions_of_ranges_are_exactly_those_of_promtool(tmp_path: Path) -> None:
    names = [
        *("delta", "irate", "idelta", "deriv", "changes", "resets", "absent_over_time"),
        *(
            f"{name}_over_time"
            for name in ("min", "max", "sum", "count", "stddev", "stdvar", "last", "present")
        ),
    ]
    asked = [f"{name}({metric}[{span}])" for name in names for metric in "cg" for span in ("2m", "5m", "50m")]
    asked += [f"{name}(c[10m] offset 7m)" for name in names] + [f"{name}(g[10m] @ 1203.5)" for name in names]
    asked += [f"{name}(irate(c[5m])[20m:90s])" for name in names]
    asked += [f"{name}(large[{span}])" for name in ("rate", "increase") for span in ("2m", "5m", "50m")]
    asked += [f"quantile_over_time({share}, g[20m])" for share in (0, 0.1, 0.5, 1, -1, 2, "NaN")]
    asked += [f"predict_linear({given}, 3600)" for given in ("c[20m]", "g[10m] offset 3m", "g[10m] @ 1203.5")]
    _compare(asked, tmp_path)


def test_functions_of_elements_are_those_of_promtool(tmp_path: Path) -> None:
    exact = ["abs", "ceil", "floor", "sqrt", "ln", "log2", "log10", "deg", "rad", "sgn", "round"]
    exact += [
        "minute",
        "hour",
        "day_of_week",
        "day_of_month",
        "day_of_year",
        "days_in_month",
        "month",
        "year",
    ]
    asked = [f"{name}({given})" for name in exact for given in ("g", "odd", "u", "large * 1e6")]
    for bound in ("5", "0.1", "-2", "0", "Inf", "-Inf", "NaN"):
        asked += [f"round(odd, {bound})", f"clamp_min(odd, {bound})", f"clamp_max(odd, {bound})"]
        asked += [f"clamp(odd, {bound}, 3)", f"clamp(odd, -3, {bound})"]
    asked += ["time()", "pi()", "scalar(g)", "timestamp(g)", "timestamp((g offset 3m))", "timestamp(g + 1)"]
    asked += [f"histogram_quantile({share}, h_bucket)" for share in (0, 0.1, 0.5, 0.95, 1, -1, 2, "NaN")]
    asked += [f"histogram_quantile({share}, irate(h_bucket[10m]))" for share in (0.1, 0.9)]
    _compare(asked, tmp_path)


def test_transcendental_functions_are_those_of_promtool_but_for_the_last_digit(tmp_path: Path) -> None:
    names = [
        "exp",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
    ]
    _compare([f"{name}({given})" for name in names for given in ("u", "g", "odd")], tmp_path, within=1e-14)


def test_labels_are_those_of_promtool(tmp_path: Path) -> None:
    replacements = [
        "$1",
        "${1}x",
        "$1x",
        "$n/$2",
        "${n}$$",
        "a$",
        "${",
        "${1",
        "$0-$00",
        "",
        "$é$1",
        "[$1|$2]",
    ]
    patterns = ["foo-(.*)", "(?P<n>foo)-(.*)", "(.*)", ".*", "o", "(x1y)|(foo-2)", "(.*", "[", "()", "zz"]
    asked = [f'label_replace(g, "b", "{new}", "a", "{old}")' for new in replacements for old in patterns]
    asked += [
        'label_replace(u, "i", "", "i", ".*")',
        'label_replace(g, "__name__", "n$1", "i", "(.*)")',
        'label_join(g, "b", "-", "a", "none", "i")',
        'label_join(g, "a", "-")',
        'label_join(u, "i", "-")',
        'abs({__name__=~"g|u"})',
        'irate({__name__=~"c|large"}[10m])',
        *(
            f"absent({given})"
            for given in ("g", 'no{a="1", a="2", b="3", c=~"4"}', '(no{a="1"})', '-no{a="1"}')
        ),
        *(f'absent_over_time(no{{a="1"}}[{span}])' for span in ("5m", "5m:1m")),
        'histogram_quantile(0.5, {__name__=~"h_bucket|u"})',
        *(
            f'histogram_quantile(0.5, label_replace(h_bucket, "le", "{bound}", "le", "1"))'
            for bound in ("0x1p1", "bad", "1e400", "1_0", "5.0", " 1", ".5", "Inf", "infinity")
        ),
    ]
    _compare(asked, tmp_path)


def _compare(expressions: list[str], folder: Path, within: float = 0.0) -> None:
    series = _series()
    window = samples(series, STEP * 1000)
    theirs = promtool(series, STEP, expressions, TIMES, folder)
    assert len(theirs) == len(expressions) * len(TIMES)
    differences = [
        f"{expression} at {time}: {ours} but promtool has {found}"
        for (expression, time), found in theirs.items()
        if not _agree(ours := _ours(window, expression, TIMES[time]), found, within)
    ]
    assert not differences, "\n".join(differences[:10])


def _series() -> dict[str, str]:
    chance = random.Random(11)

    def gauge() -> float:
        return chance.choice([chance.uniform(-100, 100), float(chance.randint(-5, 5)), 1e9 * chance.random()])

    made = {f'g{{i="{i}",a="foo-{i}"}}': [gauge() for _ in range(COUNT)] for i in range(3)}
    made |= {
        f'g{{i="{i}",a="x1y"}}': _with_gaps([gauge() for _ in range(COUNT)], chance) for i in range(3, 6)
    }
    made |= {'g{i="6"}': [5.0] * COUNT, 'g{i="7"}': [math.nan] * COUNT, 'g{i="8"}': [0.1] * COUNT}
    made |= {'g{i="9"}': [1e16 + i for i in range(COUNT)]}
    odd = [math.nan, math.inf, -math.inf, 0.0, 1e-300, -0.5, 2.5, 1e300]
    made |= {f'odd{{i="{i}"}}': [chance.choice(odd) for _ in range(COUNT)] for i in range(6)}
    made |= {f'u{{i="{i}"}}': [chance.uniform(-1, 1) for _ in range(COUNT)] for i in range(4)}
    for i in range(4):
        made[f'c{{i="{i}"}}'] = counter = _counter(chance, 0.0)
        made[f'c{{i="{i + 4}"}}'] = _with_gaps(counter, chance)
        made[f'large{{i="{i}"}}'] = _counter(chance, 1e9)
    for j in range(3):
        rows = [[float(chance.randint(0, 4)) for _ in range(COUNT)] for _ in range(5)]
        for place, bound in enumerate(["-1", "1", "5", "10", "+Inf"]):
            rising = [sum(row[k] for row in rows[: place + 1]) for k in range(COUNT)]
            made[f'h_bucket{{j="{j}",le="{bound}"}}'] = [sum(rising[: k + 1]) for k in range(COUNT)]
    return {key: " ".join(map(_written, values)) for key, values in made.items()}


def _counter(chance: random.Random, start: float) -> list[float]:
    """Rises and, when it starts at 0, begins again now and then."""
    value, found = start, []
    for _ in range(COUNT):
        value += chance.choice([0, chance.random() * 10, chance.randint(0, 10)])
        value = chance.random() if not start and chance.random() < 0.05 else value
        found.append(value)
    return found


def _with_gaps(values: list[float], chance: random.Random) -> list[float | str]:
    return [chance.choice([value, value, value, "_", "_", "stale"]) for value in values]


def _written(value: float | str) -> str:
    if isinstance(value, str) or math.isfinite(value):
        return str(value)
    return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"


def _ours(window: Window, expression: str, seconds: int) -> Answers | str:
    try:
        value = Expression(expression).at(window, seconds * 1000)
    except EvalError as error:
        return str(error)
    if isinstance(value, float):
        return {(): value}
    assert isinstance(value, Vector)
    return {tuple(labels.items()): number for labels, number in value.items()}


def _agree(ours: Answers | str, theirs: Answers | str, within: float) -> bool:
    if isinstance(ours, str) or isinstance(theirs, str):
        return isinstance(ours, str) and isinstance(theirs, str) and ours.strip() == theirs.strip()
    return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key], within) for key in ours)
