"""Parameters are of their type and within their bounds, wherever they come from; a label is never more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions.action import ActionInfo, Parameter
from actions.model import ActionClass
from actions.policies.parameters import BadValue, from_text, parameters_asked, resolve_parameters
from actions.policy import FromLabel

TABLE = Parameter(name="table", type="identifier", help="", required=True, label="relname")
PARALLEL = Parameter(name="parallel", type="integer", help="", default=2, least=0, most=8)
PAUSE = Parameter(name="pause", type="duration", help="", least=1.0, most=60.0)
SORT = Parameter(name="sort", type="choice", help="", choices=("plain", "fast"), label="sort")
INFO = ActionInfo(
    name="postgresql.vacuum", version=1, engine="postgresql", action_class=ActionClass.B, title="", help="",
    parameters=(TABLE, PARALLEL, PAUSE, SORT),
)  # fmt: skip


def test_a_policy_comes_before_a_label_and_a_label_before_a_default() -> None:
    found = resolve_parameters(INFO, {"parallel": 4}, {"relname": "orders", "parallel": "8", "sort": "fast"})
    assert found.values == {"table": "orders", "parallel": 4, "sort": "fast"}
    assert found.origins == {"table": "label relname", "parallel": "policy", "sort": "label sort"}
    assert resolve_parameters(INFO, {"table": "x"}, {"relname": "orders"}).values["table"] == "x"
    assert resolve_parameters(INFO, {}, {"relname": "orders"}).origins["parallel"] == "default"


def test_a_label_is_taken_by_the_name_that_the_policy_gives_and_typed() -> None:
    found = resolve_parameters(INFO, {"parallel": FromLabel("workers")}, {"relname": "a", "workers": "3"})
    assert found.values["parallel"] == 3


@pytest.mark.parametrize(
    ("labels", "written", "says"),
    [
        ({}, {}, "table: is required, and the alert has no label 'relname'"),
        ({"relname": ""}, {}, "table: is required"),
        (
            {"relname": "x" * 64},
            {},
            "table (from the label relname): should be a name of 1 to 63 bytes, not of 64",
        ),
        ({"relname": "é" * 32}, {}, "not of 64"),
        ({"relname": "a\0b"}, {}, "holds a NUL byte"),
        ({"relname": "\ud800"}, {}, "is not UTF-8 text"),
        (
            {"relname": "a"},
            {"parallel": FromLabel("workers")},
            "no label 'workers', which the policy takes it from",
        ),
        ({"relname": "a", "w": "3; DROP TABLE x"}, {"parallel": FromLabel("w")}, "should be a whole number"),
        ({"relname": "a", "w": "٣"}, {"parallel": FromLabel("w")}, "should be a whole number"),
        ({"relname": "a", "w": "1e3"}, {"parallel": FromLabel("w")}, "should be a whole number"),
        ({"relname": "a", "w": "9" * 400}, {"parallel": FromLabel("w")}, "should be a whole number"),
        ({"relname": "a", "w": "9"}, {"parallel": FromLabel("w")}, "should be at most 8"),
        ({"relname": "a", "w": "-1"}, {"parallel": FromLabel("w")}, "should be at least 0"),
        ({"relname": "a", "w": "300"}, {"pause": FromLabel("w")}, "is not a duration"),
        ({"relname": "a", "w": "300s"}, {"pause": FromLabel("w")}, "should be at most 60s"),
        ({"relname": "a", "sort": "fats"}, {}, "one of plain, fast (did you mean 'fast'?)"),
    ],
)
def test_what_does_not_hold_gives_no_parameters_at_all(
    labels: dict[str, str], written: dict[str, object], says: str
) -> None:
    found = resolve_parameters(INFO, written, labels)
    assert found.values == {}
    assert any(says in problem for problem in found.problems), found.problems


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "-7", -7),
        ("integer", "007", 7),
        ("number", "0.25", 0.25),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("duration", "1h30m", 5400.0),
        ("identifier", 'we"ird; name', 'we"ird; name'),
        ("text", "any thing", "any thing"),
    ],
)
def test_texts_become_values_of_their_type(kind: str, text: str, value: object) -> None:
    found = from_text(Parameter(name="x", type=kind, help=""), text)  # type: ignore[arg-type]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("number", "nan"), ("number", "inf"), ("number", "1,5"), ("boolean", "True"), ("boolean", "1"), ("text", ""),
     ("text", "x" * 1001), ("text", "a\0"), ("identifier", "")],
)  # fmt: skip
def test_texts_that_are_no_such_value_are_refused(kind: str, text: str) -> None:
    with pytest.raises(BadValue):
        from_text(Parameter(name="x", type=kind, help=""), text)  # type: ignore[arg-type]


def test_names_and_texts_may_be_held_to_choices() -> None:
    one = Parameter(name="x", type="identifier", help="", choices=("a", "b"))
    assert from_text(one, "a") == "a"
    with pytest.raises(BadValue, match="one of a, b"):
        from_text(one, "c")


def test_what_a_person_asks_is_checked_in_the_same_way() -> None:
    assert parameters_asked(INFO, {"table": "orders", "pause": "5s"}).values == {
        "table": "orders",
        "parallel": 2,
        "pause": 5.0,
    }
    found = parameters_asked(INFO, {"tabel": "orders", "parallel": "many"})
    assert found.values == {}
    assert found.problems == (
        "postgresql.vacuum has no parameter 'tabel' (did you mean 'table'?)",
        "table: is required",
        "parallel: should be a whole number",
    )


@given(
    st.text(), st.sampled_from(["integer", "number", "boolean", "duration", "choice", "identifier", "text"])
)
def test_no_text_becomes_anything_but_a_value_of_the_type(text: str, kind: str) -> None:
    choices = ("a",) if kind == "choice" else ()
    parameter = Parameter(name="x", type=kind, help="", least=0, most=100, choices=choices)  # type: ignore[arg-type]
    try:
        value = from_text(parameter, text)
    except BadValue:
        return
    if kind in ("integer", "number", "duration"):
        assert type(value) is (int if kind == "integer" else float)
        assert 0 <= value <= 100
    elif kind == "boolean":
        assert value in (True, False)
    else:
        assert value == text
        assert "\0" not in value
