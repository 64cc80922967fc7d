"""The first policy that matches wins, no further than the target allows; each that does not says why."""

from __future__ import annotations

import pytest

from actions.model import Mode
from actions.policies.decide import MODES, covers, decide, effective
from actions.policies.matchers import fits, parse, written
from actions.policies.reach import Earlier
from actions.policy import Match, Policies, Policy, Schedule
from rules.model import Place


def policy(name: str, *matchers: str, **more: object) -> Policy:
    more = {"mode": Mode.AUTO, "action": "postgresql.vacuum", **more}
    return Policy(name=name, place=Place("f", 1, 1), matches=tuple(parse(one) for one in matchers), **more)  # type: ignore[arg-type]


def hidden_by(later: Policy, earlier: list[Policy]) -> Policy | None:
    known = Earlier()
    for one in earlier:
        known.add(one)
    return known.hiding(later)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('alertname="A"', Match("alertname", "=", "A")),
        (' alertname = "A" ', Match("alertname", "=", "A")),
        ("alertname=A", Match("alertname", "=", "A")),
        ('a!=""', Match("a", "!=", "")),
        ("a=", Match("a", "=", "")),
        ('a=~"x|y"', Match("a", "=~", "x|y")),
        ('a!~"x.*"', Match("a", "!~", "x.*")),
        (r'a="say \"yes\""', Match("a", "=", 'say "yes"')),
        (r'a="line\nnext\\"', Match("a", "=", "line\nnext\\")),
        (r'a=~"x\.y"', Match("a", "=~", r"x\.y")),
        ('a="b=~c"', Match("a", "=", "b=~c")),
        ('a="x, y"', Match("a", "=", "x, y")),
    ],
)
def test_matchers_are_read_as_alertmanager_reads_them(text: str, match: Match) -> None:
    assert parse(text) == match
    assert parse(written(match)) == match


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ('a=~"x"', "xx", False),  # anchored at both ends
        ('a=~"x|y"', "y", True),
        ('a=~"x|y"', "yx", False),
        ('a!~"x.*"', "xyz", False),
        ('a=~".*"', "", True),
        ('a=~".+"', "", False),
        ('a!="x"', "", True),
        ('a=""', "", True),
        ('a=~"(?i)warn.*"', "WARNING", True),
        ('a=~"x.y"', "x\ny", True),
    ],
)
def test_regular_expressions_are_anchored_and_what_is_not_there_is_empty(
    text: str, value: str, holds: bool
) -> None:
    assert fits(parse(text), {"a": value}) is holds
    if not value:
        assert fits(parse(text), {}) is holds


def test_the_first_policy_that_matches_wins_and_the_others_say_why_not() -> None:
    policies = Policies(
        policies=(
            policy("other", 'alertname="B"'),
            policy("label-missing", 'alertname="A"', 'env="prod"'),
            policy("outside", 'alertname="A"', source="alertmanager"),
            policy("elsewhere", 'alertname="A"', targets=("bank-*",)),
            policy("timed", schedule=Schedule(cron="0 0 * * *")),
            policy("this", 'alertname="A"', targets=("shop-*",)),
            policy("late", 'alertname="A"'),
        )
    )
    decision = decide(policies, {"alertname": "A"}, "rules", "shop-1", Mode.AUTO)
    assert decision.policy is not None
    assert decision.policy.name == "this"
    assert decision.mode is Mode.AUTO
    assert [(one.policy.name, one.why_not) for one in decision.tried] == [
        ("other", "alertname=\"B\" does not match: alertname is 'A'"),
        ("label-missing", 'env="prod" does not match: env is not there'),
        ("outside", "it is for alerts from alertmanager, this one is from rules"),
        ("elsewhere", "it is for the targets bank-*, not for 'shop-1'"),
        ("timed", "it has a schedule: no alert asks for it"),
    ]


@pytest.mark.parametrize(
    ("source", "arrives", "reached"),
    [
        ("rules", "rules", True),
        ("rules", "alertmanager", False),
        ("alertmanager", "alertmanager", True),
        ("alertmanager", "rules", False),
        ("any", "rules", True),
        ("any", "alertmanager", True),
    ],
)
def test_an_alert_from_outside_reaches_only_policies_that_say_so(
    source: str, arrives: str, reached: bool
) -> None:
    decision = decide(Policies(policies=(policy("p", 'a="b"', source=source),)), {"a": "b"}, arrives, "shop")
    assert (decision.policy is not None) is reached


def test_without_a_policy_nothing_is_done() -> None:
    assert decide(Policies(), {"a": "b"}, "rules", "shop", Mode.AUTO).reason == "there are no policies"
    decision = decide(Policies(policies=(policy("p", 'a="c"'),)), {"a": "b"}, "rules", "shop", Mode.AUTO)
    assert (decision.policy, decision.mode) == (None, Mode.OBSERVE)
    assert decision.reason == "none of 1 policies matches"


@pytest.mark.parametrize("wanted", MODES)
@pytest.mark.parametrize("cap", MODES)
def test_the_lower_of_policy_and_target_holds(wanted: Mode, cap: Mode) -> None:
    mode, reason = effective(policy("p", mode=wanted), cap)
    assert mode is min(wanted, cap, key=MODES.index)
    assert ("allows" in reason) is (mode is not wanted)


def test_a_target_that_says_nothing_is_only_advised() -> None:
    decision = decide(Policies(policies=(policy("p", 'a="b"'),)), {"a": "b"}, "rules", "shop")
    assert decision.mode is Mode.ADVISE
    assert decision.reason == "the policy says auto, act.mode of the target allows advise at the most"


def test_only_a_star_is_special_in_the_names_of_targets() -> None:
    assert covers(policy("p"), "anything")
    assert covers(policy("p", targets=("a*b",)), "a-x-b")
    assert not covers(policy("p", targets=("a.b",)), "axb")
    assert not covers(policy("p", targets=("a[b]", "a?")), "ab")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (('a="1"',), ('a="2"',)),
        (('a="1"', 'b="1"'), ('a="1"',)),
        (('a=~"x.*"',), ('a=~"x.+"',)),  # true, and not claimed: only lists of words are compared
        (('a=~"x|y"',), ('a=~"x|z"',)),
        (('a!="x"',), ('a=~"x|y"',)),
        (('a!="x"',), ('b="x"',)),
        (('a=~".+"',), ('b="x"',)),
        (('a=~".+"',), ('a=~"x?"',)),
        (('a!~"x.*"',), ('a="x1"',)),
        (('a=~"x.*"',), ('a!="y"',)),
    ],
)
def test_a_policy_that_may_still_match_is_not_called_unreachable(
    first: tuple[str, ...], then: tuple[str, ...]
) -> None:
    assert hidden_by(policy("two", *then), [policy("one", *first)]) is None


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (('a=~".+"',), ('a!=""',)),
        (('a=~".+"',), ('a="x"',)),
        (('a!~"x.*"',), ('a=~"y|z"',)),
        (('a!="x"',), ('a!~"x|y"',)),
        (('a=~"x|y"',), ('a=~"x|y|z"', 'a!="z"')),
        ((), ('a="1"',)),
    ],
)
def test_a_policy_that_never_matches_is_found(first: tuple[str, ...], then: tuple[str, ...]) -> None:
    assert hidden_by(policy("two", *then), [policy("one", *first)]) is not None


@pytest.mark.parametrize(
    ("first", "then", "hidden"),
    [
        ({}, {}, True),
        ({"source": "any"}, {"source": "rules"}, True),
        ({"source": "rules"}, {"source": "any"}, False),
        ({"targets": ("a",)}, {}, False),
        ({"targets": ("a*",)}, {"targets": ("ab*", "ac")}, True),
        ({"targets": ("ab*",)}, {"targets": ("a*",)}, False),
        ({"targets": ("*",)}, {}, True),
        ({"targets": ("a", "b")}, {"targets": ("a", "c")}, False),
        ({"schedule": Schedule(cron="* * * * *")}, {}, False),
    ],
)
def test_source_and_targets_count_too(
    first: dict[str, object], then: dict[str, object], hidden: bool
) -> None:
    other = hidden_by(policy("two", 'a="1"', **then), [policy("one", 'a="1"', **first)])
    assert (other is not None) is hidden


def test_of_several_policies_that_hide_one_the_first_is_named() -> None:
    earlier = [policy("a", 'x="2"'), policy("b", 'x=~"1|3"'), policy("c", 'y=~"1.*"'), policy("d", 'x="1"')]
    hiding = hidden_by(policy("e", 'x="1"', 'y="12"'), earlier)
    assert hiding is earlier[1]
    assert hidden_by(policy("e", 'x="4"', 'y="12"'), earlier) is earlier[2]
    assert hidden_by(policy("e", 'x="4"'), earlier) is None
