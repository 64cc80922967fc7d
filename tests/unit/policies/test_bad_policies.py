"""Whatever is wrong with a policy, the message says where, what, and what to write instead."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from actions.policies.load import load
from collectors.strict_yaml import InvalidFile
from tests.fixtures.policies import CATALOGUE, GOOD, HEAD, NOW


def second(match: str, more: str = "") -> str:
    return f"  - name: two\n    action: postgresql.vacuum\n    match: [{match}]\n{more}"


class Case(NamedTuple):
    name: str
    text: str
    line: int
    says: str
    hint: str = ""


CASES = [
    # The file as such.
    Case("a list at the top", "- name: one\n", 1, "there is no list of policies", "policies:"),
    Case("a word", "policies\n", 1, "there is no list of policies"),
    Case("the list misspelt", "polices: []\n", 1, "there is no list of policies", "is 'polices' meant to be"),
    Case("the list empty", "policies:\n", 1, "policies: is empty", "- name"),
    Case("no list", "policies: {a: 1}\n", 1, "should be a list", "- name"),
    Case("another key at the top", GOOD + "rules: []\n", 5, "rules: unknown key", "`policies`"),
    Case("a key twice", GOOD + "    mode: auto\n    mode: advise\n", 6, "'mode' stands here twice", "line 5"),
    Case("a tab", HEAD + "\tmode: auto\n", 4, "not YAML", "spaces, not tabs"),
    Case("an alias", GOOD + "    mode: *x\n", 5, "anchors and aliases are not allowed"),
    Case("a tag", GOOD + "    mode: !!python/name:os.system x\n", 5, "tags are not allowed"),
    Case("a NUL", GOOD + "    mode: a\0\n", 5, "a NUL byte is not text"),
    Case("an entry that is a word", "policies:\n  - vacuum\n", 2, "policies[0]: should be keys with values"),
    # Keys.
    Case("a key misspelt", GOOD + "    mod: auto\n", 5, "policy 'one': mod: unknown key", "did you mean 'mode'?"),
    Case("a key of nobody", GOOD + "    zzz: 1\n", 5, "zzz: unknown key", "known are name, match"),
    Case("a key without a value", GOOD + "    mode:\n", 5, "mode: is empty", "leave the key out"),
    Case("no name", "policies:\n  - action: postgresql.vacuum\n    match: {a: b}\n", 2, "name: required key"),
    Case("a name with a blank", GOOD.replace("name: one", "name: the first"), 2, "letters A to Z"),
    Case("a name that is a number", GOOD.replace("name: one", "name: 1"), 2, "name: should be text", "quotes"),
    Case("a name twice", GOOD + second("'alertname=\"B\"'").replace("two", "one"), 5, "is already at f.yaml:2:5"),
    Case("no action", "policies:\n  - name: one\n    match: {a: b}\n", 2, "action: required key is missing", "actions"),
    Case("an action misspelt", GOOD.replace("vacuum", "vacum"), 3, "there is no action 'postgresql.vacum'", "did you mean 'postgresql.vacuum'?"),
    Case("an action of nobody", GOOD.replace("postgresql.vacuum", "rm"), 3, "there is no action 'rm'", "dbarchitect actions"),
    Case("an action that is a list", GOOD.replace("postgresql.vacuum", "[a]"), 3, "action: should be text"),
    Case("an unknown mode", GOOD + "    mode: automatic\n", 5, "one of observe, advise, approve, auto"),
    Case("a mode misspelt", GOOD + "    mode: aprove\n", 5, "mode: should be one of", "did you mean 'approve'?"),
    Case("a mode that is a truth", GOOD + "    mode: true\n", 5, "mode: should be one of"),
    Case("an unknown source", GOOD + "    from: alertmanger\n", 5, "one of rules, alertmanager, any", "did you mean 'alertmanager'?"),
    Case("urgent as a word", GOOD + "    urgent: yes\n", 5, "urgent: should be true or false"),
    Case("expires without a unit", GOOD + "    expires: 3600\n", 5, "a duration needs a unit"),
    Case("expires at once", GOOD + "    expires: 0s\n", 5, "expires: should be at least 60s"),
    Case("expires never", GOOD + "    expires: 100y\n", 5, "expires: should be at most"),
    Case("expires in the past", GOOD + "    expires: -5m\n", 5, "not a duration"),
    Case("no targets at all", GOOD + "    targets_max: 0\n", 5, "targets_max: should be at least 1, not 0"),
    Case("too many targets", GOOD + "    targets_max: 6\n", 5, "targets_max: should be at most 5, not 6", "hard limit"),
    # Matchers.
    Case("no match", HEAD, 2, "match: required key is missing", "schedule"),
    Case("match misspelt", HEAD + "    macth: {a: b}\n", 4, "match: required key is missing", "is 'macth' meant to be"),
    Case("no matchers", HEAD + "    match: []\n", 4, "match: is an empty list"),
    Case("no labels", HEAD + "    match: {}\n", 4, "match: is empty"),
    Case("match as text", HEAD + "    match: alertname\n", 4, "match: should be a list"),
    Case("an unknown operator", HEAD + "    match: ['a==\"b\"']\n", 4, "match[0]: '==' is no operator of matchers", 'label="value"'),
    Case("another unknown operator", HEAD + "    match: ['a~\"b\"']\n", 4, "'~' is no operator of matchers"),
    Case("no operator", HEAD + "    match: [alertname]\n", 4, "'alertname' is no matcher", 'label="value"'),
    Case("a label that is none", HEAD + "    match: ['alert-name=\"b\"']\n", 4, "'alert-name' is no label's name"),
    Case("a label of other letters", HEAD + "    match: ['аlertname=\"b\"']\n", 4, "is no label's name"),
    Case("braces", HEAD + "    match: ['{a=\"b\"}']\n", 4, "is no matcher", "without braces"),
    Case("a quote not closed", HEAD + "    match: ['a=\"b']\n", 4, 'the quotes of "b do not fit'),
    Case("a quote escaped at the end", HEAD + "    match: ['a=\"b\\\"']\n", 4, "do not fit"),
    Case("a quote within", HEAD + "    match: ['a=\"b\"c\"']\n", 4, "do not fit", 'as \\"'),
    Case("a quote in bare text", HEAD + "    match: ['a=b\"c']\n", 4, "has a quote in it"),
    Case("a bad regular expression", HEAD + "    match: ['a=~\"(\"']\n", 4, "is no regular expression", "RE2"),
    Case("a look-ahead", HEAD + "    match: ['a=~\"(?=x)y\"']\n", 4, "is no regular expression", "look-around"),
    Case("a matcher that is a number", HEAD + "    match: [1]\n", 4, "match[0]: should be text"),
    Case("a label in a mapping", HEAD + "    match: {'a-b': x}\n", 4, "'a-b' is no label's name"),
    Case("an operator in a mapping", HEAD + "    match: {'a=~': x}\n", 4, "'a=~' is no label's name", "as a list"),
    Case("a value that is a truth", HEAD + "    match: {a: true}\n", 4, "match.a: should be text", "quotes"),
    Case("matchers that exclude each other", HEAD + "    match: ['a=\"1\"', 'a=~\"2|3\"']\n", 4, "no value of 'a' fits all matchers"),
    # Two policies of which the second never matches.
    Case("the same again", GOOD + second("'alertname=\"A\"'"), 7, "never matches: 'one' at f.yaml:2:5 comes first", "narrower one first"),
    Case("narrower after wider", GOOD + second("'alertname=\"A\"', 'env=\"prod\"'"), 7, "never matches"),
    Case("a literal after a pattern", HEAD + "    match: ['alertname=~\"Post.*\"']\n" + second("'alertname=\"PostgresqlDown\"'"), 7, "never matches"),
    Case("alternatives after a pattern", HEAD + "    match: ['a=~\"x.*\"']\n" + second("'a=~\"x1|x2\"'"), 7, "never matches"),
    Case("anything first", HEAD + "    match: ['a=~\".*\"']\n" + second("'alertname=\"B\"'"), 7, "never matches"),
    Case("anything but one first", HEAD + "    match: ['a!=\"x\"']\n" + second("'a=\"y\"'"), 7, "never matches"),
    Case("targets within targets", GOOD + "    targets: ['shop-*']\n" + second("'alertname=\"A\"'", "    targets: [shop-1, shop-2]\n"), 8, "never matches"),
    Case("rules within any", GOOD + "    from: any\n" + second("'alertname=\"A\"'", "    from: alertmanager\n"), 8, "never matches"),
    # Targets.
    Case("a target with a blank", GOOD + "    targets: ['a b']\n", 5, "targets[0]: 'a b' is no target's name"),
    Case("a target as text", GOOD + "    targets: shop\n", 5, "targets: should be a list"),
    Case("no target", GOOD + "    targets: []\n", 5, "targets: is an empty list", "leave the key out"),
    # Parameters.
    Case("an unknown parameter", GOOD + "    parameters: {tabel: x}\n", 5, "postgresql.vacuum has no parameter 'tabel'", "did you mean 'table'?"),
    Case("parameters as a list", GOOD + "    parameters: [a]\n", 5, "parameters: should be keys with values"),
    Case("text for a number", GOOD + "    parameters: {parallel: '2'}\n", 5, "parameters.parallel: should be a whole number", "Parallel workers."),
    Case("a broken number", GOOD + "    parameters: {parallel: 1.5}\n", 5, "should be a whole number"),
    Case("a truth for a number", GOOD + "    parameters: {parallel: true}\n", 5, "should be a whole number"),
    Case("too many", GOOD + "    parameters: {parallel: 9}\n", 5, "should be at most 8"),
    Case("too few", GOOD + "    parameters: {parallel: -1}\n", 5, "should be at least 0"),
    Case("infinity", GOOD + "    parameters: {share: .inf}\n", 5, "should be a number"),
    Case("no number", GOOD + "    parameters: {share: .nan}\n", 5, "should be a number"),
    Case("a duration without a unit", GOOD + "    parameters: {pause: 5}\n", 5, "should be a duration such as 5m"),
    Case("a duration too long", GOOD + "    parameters: {pause: 5m}\n", 5, "should be at most 60s"),
    Case("a choice of nobody", GOOD + "    parameters: {sort: fats}\n", 5, "one of plain, fast (did you mean 'fast'?)"),
    Case("a word for a truth", GOOD + "    parameters: {hard: 'true'}\n", 5, "should be true or false"),
    Case("a name too long", GOOD + f"    parameters: {{table: {'x' * 64}}}\n", 5, "1 to 63 bytes, not of 64"),
    Case("a name with a NUL", GOOD + '    parameters: {table: "a\\0b"}\n', 5, "holds a NUL byte"),
    Case("an empty parameter", GOOD + "    parameters: {table: }\n", 5, "parameters.table: is empty"),
    Case("no label to take", GOOD + "    parameters: {table: {lable: x}}\n", 5, "{label: NAME}"),
    Case("a label that cannot be", GOOD + "    parameters: {table: {label: 'a; drop'}}\n", 5, "{label: NAME}"),
    Case("a label and more", GOOD + "    parameters: {table: {label: a, default: b}}\n", 5, "{label: NAME}"),
    Case("a parameter that has to be there", GOOD.replace("vacuum", "hand_over"), 3, "needs the parameter 'owner'", "Whose it is."),
    # Windows.
    Case("a window as text", GOOD + "    windows: ['22:00-04:00']\n", 5, "windows[0]: should be keys with values", "begin:"),
    Case("no windows", GOOD + "    windows: []\n", 5, "windows: is an empty list"),
    Case("a window without an end", GOOD + "    windows: [{begin: '22:00'}]\n", 5, "windows[0]: end: required key"),
    Case("a window that begins late", GOOD + "    windows: [{begin: '24:00', end: '01:00'}]\n", 5, 'from "00:00" to "23:59"'),
    Case("an hour that is none", GOOD + "    windows: [{begin: '25:00', end: '01:00'}]\n", 5, "begin: should be a time"),
    Case("a time of one digit", GOOD + "    windows: [{begin: '9:00', end: '11:00'}]\n", 5, "should be a time", "two digits"),
    Case("a time that is a number", GOOD + "    windows: [{begin: 9, end: '11:00'}]\n", 5, "should be a time"),
    Case("a window that never opens", GOOD + "    windows: [{begin: '02:00', end: '02:00'}]\n", 5, "so it never opens", '"24:00"'),
    Case("a window without days", GOOD + "    windows: [{days: [], begin: '02:00', end: '03:00'}]\n", 5, "days: is an empty list"),
    Case("a day misspelt", GOOD + "    windows: [{days: [sun, satt], begin: '02:00', end: '03:00'}]\n", 5, "days[1]: there is no day 'satt'", "did you mean 'sat'?"),
    Case("a span of no days", GOOD + "    windows: [{days: mon-fir, begin: '02:00', end: '03:00'}]\n", 5, "there is no day 'mon-fir'", "mon-fri"),
    Case("a zone misspelt", GOOD + "    windows: [{begin: '02:00', end: '03:00', zone: Europe/Berlni}]\n", 5, "there is no time zone 'Europe/Berlni'", "did you mean 'Europe/Berlin'?"),
    Case("a zone that is a path", GOOD + "    windows: [{begin: '02:00', end: '03:00', zone: ../../etc/passwd}]\n", 5, "there is no time zone"),
    Case("a zone that is a folder", GOOD + "    windows: [{begin: '02:00', end: '03:00', zone: Europe}]\n", 5, "there is no time zone 'Europe'"),
    Case("an unknown key of a window", GOOD + "    windows: [{begin: '02:00', end: '03:00', tz: UTC}]\n", 5, "windows[0]: tz: unknown key"),
    # Budgets and rests.
    Case("a budget of zero", GOOD + "    budget: {per_action_hour: 0}\n", 5, "per_action_hour: should be at least 1, not 0", "mode: observe"),
    Case("a budget below zero", GOOD + "    budget: {per_target_hour: -1}\n", 5, "should be at least 1, not -1"),
    Case("a budget above the hard limit", GOOD + "    budget: {per_action_hour: 31}\n", 5, "should be at most 30, not 31", "hard limit"),
    Case("a day's budget above the limit", GOOD + "    budget: {per_action_day: 201}\n", 5, "should be at most 200"),
    Case("all targets above the limit", GOOD + "    budget: {global_hour: 1000000}\n", 5, "should be at most 60"),
    Case("a budget that is a word", GOOD + "    budget: {per_action_hour: many}\n", 5, "should be a whole number"),
    Case("a budget misspelt", GOOD + "    budget: {per_action_huor: 1}\n", 5, "unknown key", "did you mean 'per_action_hour'?"),
    Case("a budget that is a number", GOOD + "    budget: 3\n", 5, "budget: should be keys with values"),
    Case("no rest", GOOD + "    cool_down: {after_success: 0s}\n", 5, "after_success: should be at least 60s"),
    Case("a rest without a unit", GOOD + "    cool_down: {after_failure: 30}\n", 5, "a duration needs a unit"),
    # Schedules.
    Case("a schedule as text", HEAD + "    schedule: '* * * * *'\n", 4, "schedule: should be keys with values", "cron:"),
    Case("a schedule without cron", HEAD + "    schedule: {zone: UTC}\n", 4, "schedule: cron: required key"),
    Case("an empty schedule", HEAD + "    schedule: {cron: ''}\n", 4, "has 0 fields, a schedule has five"),
    Case("a schedule without a value", HEAD + "    schedule: {cron: }\n", 4, "schedule: cron: is empty"),
    Case("a schedule that is a number", HEAD + "    schedule: {cron: 5}\n", 4, "schedule: cron: should be text"),
    Case("a window without a value", GOOD + "    windows: [{begin: , end: '01:00'}]\n", 5, "windows[0]: begin: is empty"),
    Case("a day that never is", HEAD + "    parameters: {table: x}\n    schedule: {cron: '* * 31 2 *'}\n", 5, "'* * 31 2 *' never comes", ""),
    Case("four fields", HEAD + "    schedule: {cron: '* * * *'}\n", 4, "has 4 fields, a schedule has five", "minute, hour"),
    Case("a minute too late", HEAD + "    schedule: {cron: '60 * * * *'}\n", 4, "higher than the maximum value"),
    Case("a month of nobody", HEAD + "    schedule: {cron: '0 0 1 foo *'}\n", 4, 'Invalid month name "foo"'),
    Case("a day of the week too late", HEAD + "    schedule: {cron: '0 0 * * 8'}\n", 4, "is no schedule"),
    Case("both sorts of days", HEAD + "    schedule: {cron: '0 0 1 * 1'}\n", 4, "days of the month and days of the week", "two policies"),
    Case("a schedule in an unknown zone", HEAD + "    schedule: {cron: '0 0 * * *', zone: Mars/Base}\n", 4, "there is no time zone 'Mars/Base'"),
    Case("a schedule beside match", GOOD + "    schedule: {cron: '0 0 * * *'}\n", 4, "match: stands beside `schedule`", "two policies"),
    Case("a schedule beside from", HEAD + "    from: any\n    schedule: {cron: '0 0 * * *'}\n", 4, "from: stands beside `schedule`"),
    Case("a schedule that takes a label", HEAD + "    parameters: {table: {label: relname}}\n    schedule: {cron: '0 0 * * *'}\n", 4, "a schedule brings no labels"),
    Case("a schedule without what it needs", HEAD + "    schedule: {cron: '0 0 * * *'}\n", 3, "needs the parameter 'table'"),
    Case("a schedule outside its windows", HEAD + "    parameters: {table: x}\n    windows: [{begin: '22:00', end: '23:00'}]\n    schedule: {cron: '0 4 * * *'}\n", 6, "never comes while one of the windows is open"),
    # Classes.
    Case("class D by itself", GOOD.replace("vacuum", "drop_inactive_slot") + "    mode: auto\n", 5, "is of class D, so `auto` needs `targets`", "name each target"),
    Case("class D by itself, by a pattern", GOOD.replace("vacuum", "drop_inactive_slot") + "    mode: auto\n    targets: [a, 'b*']\n", 5, "whole names"),
    Case("class C in haste", GOOD.replace("vacuum", "terminate_session") + "    urgent: true\n", 5, "is of class C: only A and B"),
]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_mistake_is_told_with_its_line_and_what_to_do(case: Case) -> None:
    with pytest.raises(InvalidFile) as told:
        load({"f.yaml": case.text}, CATALOGUE, NOW)
    lines = [str(problem) for problem in told.value.problems]
    near = [problem for problem in told.value.problems if case.says in problem.message]
    assert near, lines
    assert near[0].file == "f.yaml"
    assert near[0].line == case.line, lines
    assert case.hint in near[0].hint, lines


def test_there_are_enough_cases_and_each_has_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


def test_f44_all_mistakes_of_all_files_come_at_once() -> None:
    files = {
        "a.yaml": GOOD + "    mode: automatic\n    budget: {global_hour: 0}\n",
        "b.yaml": "polices: []\n",
        "c.yaml": "\t",
        "d.yaml": GOOD,
    }
    with pytest.raises(InvalidFile) as told:
        load(files, CATALOGUE, NOW)
    places = [(problem.file, problem.line) for problem in told.value.problems]
    assert places[:4] == [("a.yaml", 5), ("a.yaml", 6), ("b.yaml", 1), ("c.yaml", 1)]
    assert "is already at a.yaml:2:5" in str(told.value)


def test_f44_no_garbage_is_more_than_a_list_of_mistakes() -> None:
    for text in (
        "\x07",
        "[" * 1000,
        "%",
        "policies: [[[]]]",
        "policies: [{name: {}}]",
        "? [a]\n: b",
        "policies: [{match: [[]]}]",
    ):
        with pytest.raises(InvalidFile):
            load({"f.yaml": text}, CATALOGUE, NOW)
