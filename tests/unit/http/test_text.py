from __future__ import annotations

import math
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from daemon.http.text import help_text, lines, number, patched, rows_of

ANY_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
NUMBERS = st.one_of(st.none(), st.integers(), st.floats(), st.booleans())


def as_read(value: object) -> float | None:
    """What a reader should make of a value."""
    if value is None:
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def same(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    # This parser keeps whole numbers whole; Prometheus reads floats.
    return float(left) == right or (math.isnan(left) and math.isnan(right))


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=5))
def test_both_parsers_give_every_label_value_back(keys: list[tuple[str, str]]) -> None:
    body = lines("m{", rows_of('a="%s",b="%s"} ', keys), [1.5] * len(keys)).decode()
    text = [dict(s.labels) for family in parse_text(body) for s in family.samples]
    assert text == [{"a": a, "b": b} for a, b in keys]
    one = lines("m{", rows_of('a="%s",b="%s"} ', keys[:1]), [1.5]).decode()
    with_type = f"# TYPE m unknown\n{one}# EOF\n"
    openmetrics = [dict(s.labels) for family in parse_openmetrics(with_type) for s in family.samples]
    assert openmetrics == [{"a": keys[0][0], "b": keys[0][1]}]


@given(st.lists(NUMBERS, max_size=12))
def test_numbers_come_back_as_they_were_and_none_is_absent(values: list[object]) -> None:
    body = lines("m{", rows_of('i="%s"} ', [(str(i),) for i in range(len(values))]), values).decode()
    found = {s.labels["i"]: s.value for family in parse_text(body) for s in family.samples}
    for index, value in enumerate(values):
        assert same(found.get(str(index)), as_read(value))


def test_whole_numbers_beyond_the_float_range_are_infinite_and_huge_ones_exact() -> None:
    assert number(2**70) == "1180591620717411303424"
    assert number(10**400) == "+Inf"
    assert number(-(10**400)) == "-Inf"
    assert lines("m{", ['i="1"} '] * 5, [2**70, 10**400, 1, 2, 3]).split(b"\n")[:2] == [
        b'm{i="1"} 1180591620717411303424',
        b'm{i="1"} +Inf',
    ]


def test_special_values_are_written_as_the_format_has_them() -> None:
    assert [number(v) for v in (math.nan, math.inf, -math.inf, True, False, None)] == [
        "NaN", "+Inf", "-Inf", "1", "0", "",
    ]  # fmt: skip
    body = lines("m{", ["} "] * 5, [math.nan, math.inf, -math.inf, 1, None])
    assert body == b"m{} NaN\nm{} +Inf\nm{} -Inf\nm{} 1\n"


def test_what_a_driver_should_not_give_harms_nobody_else() -> None:
    body = lines("m{", ['i="1"} ', 'i="2"} ', 'i="3"} '], [Decimal("1.5"), "text", object()])
    assert body == b'm{i="1"} 1.5\n'
    assert rows_of('a="%s"} ', [(7,), ("x",)]) == ['a="7"} ', 'a="x"} ']  # type: ignore[list-item]


def test_lone_surrogates_and_nul_become_replacement_characters() -> None:
    assert rows_of('a="%s"} ', [("a\ud800b",), ("c\x00d",)]) == ['a="a\ufffdb"} ', 'a="c\ufffdd"} ']


def test_help_is_escaped_as_each_format_wants() -> None:
    assert help_text('a "b" \\ \n', quotes=False) == 'a "b" \\\\ \\n'
    assert help_text('a "b" \\ \n', quotes=True) == 'a \\"b\\" \\\\ \\n'


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, st.booleans()), min_size=1, max_size=40),
)
def test_patched_lines_read_like_fresh_ones(cells: list[tuple[object, object, bool]]) -> None:
    then = [old for old, _, _ in cells]
    now = [new if change else old for old, new, change in cells]
    rows = rows_of('i="%s\\n"} '.replace("\\n", ""), [(f'{i}"\n',) for i in range(len(cells))])
    piece = patched(lines("m{", rows, then), "m{", rows, then, now)
    if piece is None:
        return
    assert values_of(piece) == values_of(lines("m{", rows, now))


def values_of(piece: bytes) -> list[tuple[str, str]]:
    return [
        (s.labels["i"], repr(s.value + 0.0)) for family in parse_text(piece.decode()) for s in family.samples
    ]


def test_a_few_changed_lines_are_patched_not_rendered_anew() -> None:
    rows = rows_of('i="%s"} ', [(str(i),) for i in range(100)])
    then = [float(i) for i in range(100)]
    now = [*then[:50], 0.5, *then[51:]]
    assert patched(lines("m{", rows, then), "m{", rows, then, now) == lines("m{", rows, now)
    assert patched(lines("m{", rows, then), "m{", rows, then, [value + 1 for value in then]) is None
