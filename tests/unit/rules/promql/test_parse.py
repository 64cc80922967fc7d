from __future__ import annotations

import subprocess
import sys

import pytest

from rules.errors import EvalError, ParseError
from rules.labels import labels_of
from rules.promql import Expression
from rules.promql.parse import parse
from rules.promql.tree import (
    Aggregate,
    Binary,
    Card,
    Edge,
    Kind,
    Range,
    Selector,
    Subquery,
    Text,
    reaches,
    walk,
)
from rules.window import Window

WINDOW = Window()
WINDOW.write("up", (labels_of({"__name__": "up", "job": "a1"}),), 1000, [1.0])


def refused(text: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("histogram_count(up)", "1:1: `histogram_count` is for native histograms, which are not supported"),
        (
            "1 +\n  histogram_avg(up)",
            "2:3: `histogram_avg` is for native histograms, which are not supported",
        ),
        (
            "sum(\nsort_by_label(up, 'a'))",
            "2:1: `sort_by_label` is experimental in Prometheus and not supported",
        ),
        ("limitk(1, up)", "1:1: `limitk` is experimental in Prometheus and not supported"),
        ("info(up)", "1:1: `info` is experimental in Prometheus and not supported"),
        ("mad_over_time(up[5m])", "1:1: `mad_over_time` is experimental in Prometheus and not supported"),
        ('up{a="b" or c="d"}', "1:9: `or` between label matchers is not supported"),
        ("up @ -1", "1:4: `@` with a time before 1970 is not supported"),
        ("up @ 1e12", "1:1: a duration or a time in it is out of range"),
        ("up offset 3000000y", "1:1: a duration or a time in it is out of range"),
    ],
)
def test_what_we_do_not_do_is_refused_with_reason_and_place(text: str, said: str) -> None:
    assert refused(text).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: no expression found in input"),
        ("up +", "1:5: unexpected end of input"),
        ("up\n+\n", "2:2: unexpected end of input"),
        ("up up", '1:4: unexpected "up"'),
        ("sum by job (up)", '1:8: unexpected "job"'),
        ("up = 1", '1:4: unexpected "="'),
        (" or ".join(["sum(up)"] * 199) + " up up", '1:2187: unexpected "up"'),
        ('a{b="c"} + ' * 30 + "= 1", '1:331: unexpected "="'),
        ("up ** 2", '1:5: unexpected "*"'),
        ("up @ (1)", '1:6: unexpected "("'),
        ("# all\nup == on (job) # these\n  ignoring (job) up", '3:3: unexpected "ignoring"'),
        ("(up", "1:4: unclosed left parenthesis"),
        ("up\n)", "2:1: unexpected right parenthesis ')'"),
        ("sum(up))", "1:8: unexpected right parenthesis ')'"),
        ("up;", "1:3: unexpected character: ';'"),
        ("nofunction(up)", "1:1: unknown function with name 'nofunction'"),
        ("up + nofunction(up)", "1:6: unknown function with name 'nofunction'"),
        ("rate(up)", "1:1: expected type range vector in call to function 'rate', got instant vector"),
        ("sum(up[5m])", "1:1: expected type instant vector in aggregation expression, got range vector"),
        ("1 > 2", "1:1: comparisons between scalars must use BOOL modifier"),
        ("up[5m] + 1", "1:1: binary expression must contain only scalar and instant vector types"),
        ("1 and up", "1:3: set operator 'and' not allowed in binary scalar expression"),
        ('up{job=~"("}', "1:10: illegal regex for ("),
        ('up{job=~"a{1001}"}', "1:10: `a{1001}` is not a regular expression: "),
        ("{}", "1:1: vector selector must contain at least one non-empty matcher"),
        ('up{__name__="x"}', "1:1: metric name must not be set twice"),
        ("up[5m][5m:]", "1:1: subquery is only allowed on instant vector, got range vector instead"),
        ("up[1.5m]", "1:4: not a valid duration string: 1.5m"),
        ("up == on(a) group_left(a) up", "1:10: label 'a' must not occur in ON and GROUP clause at once"),
    ],
)
def test_nonsense_is_refused_with_a_place(text: str, said: str) -> None:
    assert refused(text).startswith(said)


TOO_DEEP = {
    "parentheses": "'(' * 60000 + '1' + ')' * 60000",
    "calls": "'abs(' * 20000 + 'up' + ')' * 20000",
    "aggregations": "'sum(' * 140 + 'abs(' * 70 + 'up' + ')' * 210",
    "signs": "'-' * 100000 + 'up'",
    "a chain": "'+'.join(['1'] * 50000)",
    "a chain of words": "' or '.join(['up'] * 20000)",
    "powers": "'2 ^ ' * 20000 + '2'",
    "subqueries": "'up' + '[5m:1m]' * 20000",
    "length": "' ' * 300000",
    "a regex of 10 MB": "'up{a=~\"' + 'x' * 10000000 + '\"}'",
    "quotes without end": "'\"' + chr(92) + '\"' + (chr(92) + '\"') * 100000",
    "an open end": "'(' * 100000",
}


@pytest.mark.parametrize("text", TOO_DEEP.values(), ids=TOO_DEEP)
def test_no_text_is_deep_or_long_enough_to_end_the_process(text: str) -> None:
    # In a process of its own, and in a thread: a stack that overflows ends it.
    script = f"""
import threading
from rules.errors import EvalError, ParseError
from rules.promql.parse import parse
def attempt():
    try:
        parse({text})
    except ParseError as error:
        print("refused", str(error)[:100], end="")
thread = threading.Thread(target=attempt)
thread.start()
thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("refused 1:")


def test_what_is_just_not_too_deep_can_be_evaluated() -> None:
    for text in (
        "abs(" * 149 + "up" + ")" * 149,
        "(" * 150 + "up" + ")" * 150,
        " + ".join(["up"] * 199),
        "sum(" * 100 + "up" + ")" * 100,
        "max_over_time(" * 60 + "up" + "[59s:1m])" * 60,
    ):
        assert len(Expression(text).at(WINDOW, 60_000)) <= 1


@pytest.mark.parametrize(
    "text", [r"up{job=~`a\d+`}", r'up{job=~"a\\d+"}', r"up{job=~'a\\d+'}", "up{job=`a1`} # `b"]
)
def test_raw_strings_keep_their_backslashes(text: str) -> None:
    assert len(Expression(text).at(WINDOW, 1000)) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("`\\d`", "\\d"),
        ('`a"b\nc\\\\`', 'a"b\nc\\\\'),
        ("``", ""),
        ('"`\\n`"', "`\n`"),
        ("'it\\'s'", "it's"),
        ('"# no comment" # comment', "# no comment"),
        ("`ü\x01🙂`", "ü\x01🙂"),
    ],
)
def test_strings(text: str, value: str) -> None:
    found = parse(text)
    assert isinstance(found, Text)
    assert found.value == value


def test_times_and_durations_are_milliseconds() -> None:
    tree = parse("up[1d2h3m4s5ms] @ 1.5 offset -1w")
    assert isinstance(tree, Range)
    assert tree.range_ms == ((26 * 60 + 3) * 60 + 4) * 1000 + 5
    assert (tree.selector.at, tree.selector.offset_ms) == (1500, -7 * 86_400_000)
    tree = parse("sum(up)[1h:] @ end() offset 90")
    assert isinstance(tree, Subquery)
    assert (tree.range_ms, tree.step_ms, tree.offset_ms, tree.at) == (3_600_000, None, 90_000, Edge.END)


def test_a_metric_may_have_any_name_in_quotes() -> None:
    tree = parse('{"my.metric", "a b"="c"}')
    assert isinstance(tree, Selector)
    assert tree.name == "my.metric"
    assert [(each.name, each.value) for each in tree.matchers] == [("__name__", "my.metric"), ("a b", "c")]
    grouped = parse('sum by ("a b") (up)')
    assert isinstance(grouped, Aggregate)
    assert grouped.grouping == {"a b"}


def test_a_subquery_of_too_many_steps_is_an_error_and_not_the_end_of_memory() -> None:
    with pytest.raises(EvalError, match="too many samples"):
        Expression("max_over_time(up[10y:1ms])").at(WINDOW, 60_000)


def test_how_two_vectors_are_matched() -> None:
    tree = parse("a * on (x, y) group_left (z) b")
    assert isinstance(tree, Binary)
    assert tree.matching is not None
    assert (tree.matching.card, tree.matching.labels, tree.matching.on, tree.matching.include) == (
        Card.MANY_TO_ONE, {"x", "y"}, True, ("z",),
    )  # fmt: skip
    for text, card in (
        ("a + b", Card.ONE_TO_ONE),
        ("a and b", Card.MANY_TO_MANY),
        ("a + on() group_right b", Card.ONE_TO_MANY),
    ):
        tree = parse(text)
        assert isinstance(tree, Binary)
        assert tree.matching is not None
        assert tree.matching.card is card
    scalar = parse("a + 1")
    assert isinstance(scalar, Binary)
    assert (scalar.matching, scalar.kind) == (None, Kind.VECTOR)


def test_how_far_an_expression_looks_back() -> None:
    text = "rate(a[5m] offset 1m) + max_over_time(sum(b offset -1m)[1h:5m] offset 10m) + c"
    found = {each.selector.name: each for each in reaches(parse(text))}
    assert {name: each.past_ms // 60_000 for name, each in found.items()} == {"a": 6, "b": 70, "c": 0}
    assert (found["a"].function, found["a"].range_ms) == ("rate", 300_000)


def test_everything_in_an_expression_can_be_walked() -> None:
    names = [type(each).__name__ for each in walk(parse("topk(2, rate(a[5m])) > -b"))]
    assert names == ["Binary", "Aggregate", "Number", "Call", "Range", "Selector", "Negation", "Selector"]
