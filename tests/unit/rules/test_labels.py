from __future__ import annotations

import pytest

from rules.labels import Labels, distinct, labels_of, schema, selector_text

UP = labels_of({"__name__": "up", "job": "x", "a": "1", "empty": ""})


def test_labels_are_equal_by_what_they_say() -> None:
    assert labels_of([("job", "x"), ("__name__", "up"), ("a", "1")]) == UP
    assert hash(labels_of({"a": "1", "__name__": "up", "job": "x"})) == hash(UP)
    assert labels_of({"a": "x"}) != labels_of({"b": "x"})
    assert UP.nameless() != UP
    assert distinct([UP, UP.nameless()])
    assert not distinct([UP, labels_of(UP.as_dict())])
    assert labels_of({}) == Labels("", schema(()), ())


def test_an_empty_value_is_no_label() -> None:
    assert UP.get("empty") == "" == UP.get("never heard of")
    assert UP.as_dict() == {"__name__": "up", "a": "1", "job": "x"}
    assert UP.having({"job": "", "b": "2"}).as_dict() == {"__name__": "up", "a": "1", "b": "2"}
    assert UP.having({"__name__": ""}) == UP.nameless()


def test_what_by_and_without_keep() -> None:
    assert UP.only(frozenset({"job", "nothing"})).as_dict() == {"job": "x"}
    assert UP.only(frozenset({"__name__"})).as_dict() == {"__name__": "up"}
    assert UP.without(frozenset({"job"})).as_dict() == {"a": "1"}
    assert UP.without(frozenset()).as_dict() == {"a": "1", "job": "x"}
    assert UP.only(frozenset()) == labels_of({})


@pytest.mark.parametrize(
    ("pairs", "message", "selector"),
    [
        ({"__name__": "up", "job": "x"}, '{__name__="up", job="x"}', 'up{job="x"}'),
        ({"__name__": "up"}, '{__name__="up"}', "up"),
        ({"A": "1", "__name__": "up"}, '{A="1", __name__="up"}', 'up{A="1"}'),
        (
            {"job": 'a"b\\c\n\x01\u00a0ü'},
            '{job="a\\"b\\\\c\\n\\x01\\u00a0ü"}',
            '{job="a\\"b\\\\c\\n\\x01\\u00a0ü"}',
        ),
        ({"__name__": "a.b", "c d": "1"}, '{__name__="a.b", "c d"="1"}', '{"a.b", "c d"="1"}'),
        ({"__name__": "job:up:sum"}, '{__name__="job:up:sum"}', "job:up:sum"),
        ({"1a": "x"}, '{"1a"="x"}', '{"1a"="x"}'),
        ({}, "{}", "{}"),
    ],
)
def test_labels_are_written_as_prometheus_writes_them(
    pairs: dict[str, str], message: str, selector: str
) -> None:
    assert str(labels_of(pairs)) == message
    assert selector_text(labels_of(pairs)) == selector


def test_labels_are_sorted_pair_by_pair() -> None:
    texts = [{"a": "1"}, {"a": "1", "b": "1"}, {"a": "2"}, {"b": "0"}, {}]
    found = sorted(map(labels_of, texts))
    assert [each.as_dict() for each in found] == [
        {},
        {"a": "1"},
        {"a": "1", "b": "1"},
        {"a": "2"},
        {"b": "0"},
    ]


def test_there_is_one_schema_for_each_set_of_names() -> None:
    assert labels_of({"a": "1", "b": "2"}).schema is labels_of({"b": "3", "a": "4"}).schema
    assert UP.only(frozenset({"job"})).schema is labels_of({"job": "y"}).schema
