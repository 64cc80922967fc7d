"""Rule files are accepted and refused as promtool does it, and every mistake is told with its place."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from collectors.strict_yaml import InvalidFile
from rules.load import load
from tests.fixtures.missing import missing

RULE = "groups:\n- name: a\n  rules:\n  - %s\n"
GROUP = "groups:\n- %s\n"
FILES = {
    "empty": "",
    "only a comment": "# nothing\n",
    "no groups": "groups:\n",
    "an empty list of groups": "groups: []\n",
    "a list": "- a\n",
    "a word": "abc\n",
    "not YAML": "groups: [\n",
    "a tab": "groups:\n\t- name: a\n",
    "a colon in a plain text": RULE % "{alert: A, expr: up}\n  - alert: a: b\n",
    "an unknown field": "groups: []\nfoo: 1\n",
    "an unknown field of a group": GROUP % "{name: a, rulez: []}",
    "an unknown field of a rule": RULE % "{alert: A, expr: up, sumary: x}",
    "a key twice": RULE % "{alert: A, expr: up, expr: up}",
    "a label twice": RULE % "{alert: A, expr: up, labels: {a: 1, a: 2}}",
    "a group without rules": GROUP % "{name: a}",
    "a group whose rules are nothing": GROUP % "{name: a, rules: }",
    "a group without a name": GROUP % "{rules: []}",
    "a group with an empty name": GROUP % '{name: "", rules: []}',
    "two groups of one name": GROUP % "{name: a}\n- {name: a}",
    "two groups of two names": GROUP % "{name: a}\n- {name: b}",
    "a group that is a text": GROUP % "abc",
    "groups that are a mapping": "groups: {a: b}\n",
    "rules that are a mapping": GROUP % "{name: a, rules: {a: b}}",
    "a rule that is a text": RULE % "abc",
    "an interval": GROUP % "{name: a, interval: 1h30m}",
    "an interval of nothing": GROUP % "{name: a, interval: 0s}",
    "an interval without a unit": GROUP % "{name: a, interval: 5}",
    "an interval that is 0": GROUP % "{name: a, interval: 0}",
    "an empty interval": GROUP % '{name: a, interval: ""}',
    "no interval": GROUP % "{name: a, interval: }",
    "an interval below nothing": GROUP % "{name: a, interval: -5m}",
    "an interval of a fraction": GROUP % "{name: a, interval: 1.5m}",
    "an interval in the wrong order": GROUP % "{name: a, interval: 5s1m}",
    "an interval of all units": GROUP % "{name: a, interval: 1y2w3d4h5m6s7ms}",
    "an interval longer than all time": GROUP % "{name: a, interval: 1000y}",
    "a limit": GROUP % "{name: a, limit: 5}",
    "a limit below nothing": GROUP % "{name: a, limit: -5}",
    "a limit that is a text": GROUP % '{name: a, limit: "5"}',
    "a limit that is a word": GROUP % "{name: a, limit: many}",
    "a limit with underscores": GROUP % "{name: a, limit: 1_000}",
    "a limit with a point": GROUP % "{name: a, limit: 5.0}",
    "a limit in other digits": GROUP % "{name: a, limit: 0x10}",
    "an infinite limit": GROUP % "{name: a, limit: .inf}",
    "no limit": GROUP % "{name: a, limit: }",
    "an alert": RULE % "{alert: A, expr: up == 0, for: 5m, keep_firing_for: 5m}",
    "a recording": RULE % '{record: "a:b", expr: up, labels: {a: b}}',
    "neither": RULE % "{expr: up}",
    "both": RULE % "{alert: A, record: a, expr: up}",
    "an empty alert": RULE % '{alert: "", expr: up}',
    "no expression": RULE % "{alert: A}",
    "an empty expression": RULE % '{alert: A, expr: ""}',
    "a number for an expression": RULE % "{alert: A, expr: 5}",
    "truth for a name": RULE % "{alert: true, expr: up}",
    "a list for an expression": RULE % "{alert: A, expr: [up]}",
    "an expression that does not end": RULE % "{alert: A, expr: 'sum(up'}",
    "an unknown function": RULE % "{alert: A, expr: foo(up)}",
    "a wrong argument": RULE % "{alert: A, expr: rate(up)}",
    "a range vector": RULE % "{alert: A, expr: 'up[5m]'}",
    "a text for an expression": RULE % """{alert: A, expr: '"abc"'}""",
    "a comparison of numbers": RULE % "{alert: A, expr: 1 > 2}",
    "an invalid regular expression": RULE % """{alert: A, expr: 'up{a=~"("}'}""",
    "an empty selector": RULE % "{alert: A, expr: '{}'}",
    "for in a recording": RULE % "{record: a, expr: up, for: 5m}",
    "for nothing in a recording": RULE % "{record: a, expr: up, for: 0s}",
    "keep_firing_for in a recording": RULE % "{record: a, expr: up, keep_firing_for: 5m}",
    "annotations in a recording": RULE % "{record: a, expr: up, annotations: {a: b}}",
    "empty annotations in a recording": RULE % "{record: a, expr: up, annotations: {}}",
    "a name that is no metric": RULE % "{record: 'a b', expr: up}",
    "a name that begins with a digit": RULE % "{record: 5a, expr: up}",
    "a name with braces": RULE % "{record: 'a{b=\"c\"}', expr: up}",
    "an alert with blanks": RULE % "{alert: A b c, expr: up}",
    "a label that is none": RULE % "{alert: A, expr: up, labels: {a-b: c}}",
    "a label with a colon": RULE % "{alert: A, expr: up, labels: {'a:b': c}}",
    "an empty label": RULE % "{alert: A, expr: up, labels: {'': c}}",
    "the label __name__": RULE % "{alert: A, expr: up, labels: {__name__: c}}",
    "an annotation __name__": RULE % "{alert: A, expr: up, annotations: {__name__: c}}",
    "an annotation that is none": RULE % "{alert: A, expr: up, annotations: {a-b: c}}",
    "a number for a label": RULE % "{alert: A, expr: up, labels: {a: 5, b: true, c: 1.5, d: }}",
    "a list for a label": RULE % "{alert: A, expr: up, labels: {a: [b]}}",
    "a list for the labels": RULE % "{alert: A, expr: up, labels: [a]}",
    "templates": RULE
    % "{alert: A, expr: up, labels: {a: '{{ $value }}'}, annotations: {b: '{{ $labels.x }}'}}",
    "a template that does not end": RULE % "{alert: A, expr: up, annotations: {b: '{{ $labels.x'}}",
    "a template with an unknown function": RULE % "{alert: A, expr: up, labels: {b: '{{ foo 1 }}'}}",
    "a template with an unknown variable": RULE % "{alert: A, expr: up, annotations: {b: '{{ $foo }}'}}",
    "a template that does not end in a recording": RULE % "{record: a, expr: up, labels: {b: '{{ foo'}}",
    "a template of a name": RULE % "{alert: 'A {{ $value }}', expr: up}",
    "anchors": "groups:\n- name: a\n  rules:\n  - {alert: A, expr: up, labels: &l {a: b}}\n  - {alert: B, expr: up, labels: *l}\n",
    "merged labels": "groups:\n- name: a\n  rules:\n  - {alert: A, expr: up, labels: &l {a: b}}\n  - {alert: B, expr: up, labels: {<<: *l, a: c}}\n",
    "merged rules": "groups:\n- name: a\n  rules:\n  - &r {alert: A, expr: up}\n  - {<<: *r, alert: B}\n",
    "an unknown alias": RULE % "{alert: A, expr: up, labels: *l}",
    "a block": "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: |\n      sum(up)\n        > 1\n",
    "the same rule twice": RULE % "{alert: A, expr: up}\n  - {alert: A, expr: up}",
    "a text of a number": RULE % "{alert: !!str 5, expr: up}",
}
"""What Debian's promtool and we agree about."""
NEWER = {
    "labels of a group": GROUP % "{name: a, labels: {a: b}, rules: []}",
    "a query offset": GROUP % "{name: a, query_offset: 1m, rules: []}",
}
STRICTER = {
    "two documents": "groups: []\n---\ngroups: []\n",
    "a limit with a fraction": GROUP % "{name: a, limit: 5.5}",
    "a group that is nothing": GROUP % "",
}


def is_accepted(text: str) -> bool:
    try:
        load({"a.yaml": text})
    except InvalidFile:
        return False
    return True


def promtool(text: str, folder: Path) -> tuple[bool, str]:
    tool = shutil.which("promtool") or missing("promtool", "apt-get install prometheus")
    file = folder / "a.yaml"
    file.write_text(text)
    ran = subprocess.run([tool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    return ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_accepted_when_promtool_accepts_it(name: str, tmp_path: Path) -> None:
    accepted, said = promtool(FILES[name], tmp_path)
    assert is_accepted(FILES[name]) is accepted, said


def test_both_kinds_are_among_the_files() -> None:
    accepted = [is_accepted(text) for text in FILES.values()]
    assert accepted.count(True) >= 30
    assert accepted.count(False) >= 45


@pytest.mark.parametrize("name", NEWER)
def test_what_newer_versions_of_prometheus_know_is_known(name: str) -> None:
    assert is_accepted(NEWER[name])


@pytest.mark.parametrize("name", STRICTER)
def test_what_prometheus_passes_over_in_silence_is_refused(name: str, tmp_path: Path) -> None:
    assert promtool(STRICTER[name], tmp_path)[0]
    assert not is_accepted(STRICTER[name])


MISTAKEN = """\
groups:
- name: a
  interval: 5 m
  rulez: []
  rules:
  - alert: A
    expr: |  # a comment

       sum(up)
         + sum(foo(
             bar))
    for: 5x
    labels:
      c: "a \\" b {{ $x }}"
  - alert: B
    expr: >-
      up{a=~"x"} > 0

      and bar(up) > 1
    annotations:
      s: 'it\'\'s {{ nothing }}'
  - record: c
    for: 1m
    expr: "up +\\
      nowhere(up)"
- name: a
"""
PLACES = ("5 m", "rulez", "foo(", "5x", "$x }}", "bar(up)", "nothing }}", "for: 1m", "nowhere(up)", "a\n")


def test_all_mistakes_are_told_at_once_each_with_its_place() -> None:
    with pytest.raises(InvalidFile) as caught:
        load({"a.yaml": MISTAKEN, "b.yaml": "groups: {a: b}"})
    offsets = [MISTAKEN.rindex(word) for word in PLACES]
    places = [(MISTAKEN.count("\n", 0, at) + 1, at - MISTAKEN.rfind("\n", 0, at)) for at in offsets]
    said = [(one.file, one.line, one.column) for one in caught.value.problems]
    assert said == [*(("a.yaml", *place) for place in places), ("b.yaml", 1, 9)]
    for words in ("did you mean 'rules'", 'undefined variable "$x"', 'not a valid duration string: "5 m"'):
        assert words in str(caught.value)


def test_a_regular_expression_of_ten_megabytes_is_refused_in_a_moment() -> None:
    pattern = "a?" * 5_000_000
    with pytest.raises(InvalidFile, match="larger than"):
        load({"a.yaml": RULE % f"{{alert: A, expr: 'up{{a=~\"{pattern}\"}}'}}"})
    with pytest.raises(InvalidFile, match="characters long"):
        load({"a.yaml": RULE % f"{{alert: A, expr: 'up{{a=~\"{pattern[:2_000_000]}\"}}'}}"})


def test_aliases_cannot_make_a_small_file_a_great_one() -> None:
    rules = "rules: &r [" + "{alert: A, expr: up}, " * 500 + "]"
    groups = "".join(f"- {{name: g{number}, rules: *r}}\n" for number in range(3000))
    with pytest.raises(InvalidFile, match="times as large"):
        load({"a.yaml": f"groups:\n- {{name: a, {rules}}}\n{groups}"})


def test_a_file_that_nests_deeply_or_merges_itself_is_refused() -> None:
    for text in ("groups: " + "[" * 100_000, "groups: &a {<<: *a}", "groups: [&g {name: a, <<: [*g, *g]}]"):
        assert not is_accepted(text)


def test_what_a_group_has_its_rules_have_unless_they_say_otherwise() -> None:
    text = GROUP % (
        "{name: a, interval: 30s, query_offset: 1m, limit: 3, labels: {team: db, severity: info}, rules: ["
        "{alert: A, expr: up, labels: {severity: page}}, {record: b, expr: up}]}"
    )
    (group,) = load({"a.yaml": text})
    assert (group.interval_ms, group.query_offset_ms, group.limit) == (30_000, 60_000, 3)
    texts = [[(name, text.text) for name, text in rule.labels] for rule in group.rules]
    assert texts == [[("severity", "page"), ("team", "db")], [("severity", "info"), ("team", "db")]]
