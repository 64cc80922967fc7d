"""Any text is policies or a list of mistakes; what is called unreachable is never reached; first match wins."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actions.model import Mode
from actions.policies.decide import decide
from actions.policies.load import LoadedPolicies, load
from actions.policies.matchers import BadMatcher, fits, parse, written
from actions.policies.reach import Earlier, contradiction, takes_all
from actions.policy import Match, Policies, Policy, Schedule
from collectors.strict_yaml import InvalidFile, dump
from rules.model import Place
from tests.fixtures.policies import CATALOGUE, GOOD, HEAD, NOW

MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
SIGNS = [*"-:?[]{},#&*!|>'\"%@`\n\t .~<=\0\r\x85\u2028", "  ", "\n  ", "- ", ": "]
WORDS = [
    "policies", "name", "match", "alertname", "action", "postgresql.vacuum", "mode", "auto", "windows", "begin", "22:00",
    "end", "zone", "Europe/Berlin", "schedule", "cron", "30 2 * * 0", "budget", "per_action_hour", "0", "label", "=~",
]  # fmt: skip
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = (
    "match", "from", "targets", "parameters", "mode", "windows", "urgent", "budget", "cool_down", "schedule",
    "undo_on_stop", "expires", "targets_max",
)  # fmt: skip


def loads_or_tells(text: str) -> None:
    problems, loaded = [], None
    try:
        loaded = load({"p.yaml": text}, CATALOGUE, NOW)
    except InvalidFile as error:
        problems = error.problems
    assert isinstance(loaded, LoadedPolicies) or problems
    for problem in problems:
        assert problem.message
        assert problem.file == "p.yaml"


@MANY
@given(st.lists(st.sampled_from(SIGNS + WORDS), max_size=40).map("".join))
def test_any_text_is_policies_or_mistakes(text: str) -> None:
    loads_or_tells(text)
    loads_or_tells(HEAD + "    " + text)


@MANY
@given(st.sampled_from(KEYS), PLAIN)
@example("windows", [{"begin": "22:00", "end": "04:00", "days": [1]}])
@example("schedule", {"cron": "* * * * *", "zone": {}})
@example("parameters", {"table": {"label": []}})
def test_any_value_of_any_key_is_taken_or_told(key: str, value: Any) -> None:
    loads_or_tells(
        (HEAD if key in ("match", "schedule") else GOOD)
        + f"    {key}: "
        + dump([value]).strip()[2:].replace("\n", "\n      ")
    )
    text = dump(
        {"policies": [{"name": "one", "action": "postgresql.vacuum", "match": {"a": "b"}, key: value}]}
    )
    loads_or_tells(text)


@MANY
@given(st.text(max_size=30))
def test_a_matcher_is_read_back_as_it_is_written(text: str) -> None:
    try:
        match = parse(text)
    except BadMatcher:
        return
    assert parse(written(match)) == match


VALUES = ("", "a", "b", "ab", "abc")
PATTERNS = ("a", "a|b", "ab|abc", ".*", ".+", "a.*", "[ab]", "|a", "b?")
MATCHES = st.one_of(
    st.builds(Match, st.sampled_from("xy"), st.sampled_from(["=", "!="]), st.sampled_from(VALUES)),
    st.builds(Match, st.sampled_from("xy"), st.sampled_from(["=~", "!~"]), st.sampled_from(PATTERNS)),
)
TARGETS = st.lists(st.sampled_from(["a", "b", "ab", "a*", "*", "*b"]), max_size=2).map(tuple)
ONE = st.builds(
    Policy,
    name=st.just("p"),
    action=st.just("postgresql.vacuum"),
    mode=st.just(Mode.AUTO),
    place=st.just(Place("f", 1, 1)),
    matches=st.lists(MATCHES, max_size=3).map(tuple),
    source=st.sampled_from(["rules", "alertmanager", "any"]),
    targets=TARGETS,
    schedule=st.none() | st.just(Schedule(cron="* * * * *")),
)


def matches(policy: Policy, labels: dict[str, str], source: str, target: str) -> bool:
    return decide(Policies(policies=(policy,)), labels, source, target).policy is not None


@settings(max_examples=2000, deadline=None)
@given(ONE, ONE)
def test_what_is_called_unreachable_is_never_reached(earlier: Policy, later: Policy) -> None:
    hidden, never = takes_all(earlier, later), contradiction(later)
    if not (hidden or never):
        return
    for x in VALUES:
        for y in VALUES:
            for source in ("rules", "alertmanager"):
                for target in ("a", "b", "ab", "c"):
                    if matches(later, {"x": x, "y": y}, source, target):
                        assert not never
                        assert matches(earlier, {"x": x, "y": y}, source, target)


@settings(max_examples=1000, deadline=None)
@given(st.lists(ONE, max_size=4), ONE)
def test_the_index_of_earlier_policies_overlooks_none(earlier: list[Policy], later: Policy) -> None:
    possible = [one for one in earlier if not contradiction(one)]
    known = Earlier()
    for one in possible:
        known.add(one)
    if not contradiction(later):
        hiding = [one for one in possible if takes_all(one, later)]
        assert known.hiding(later) == (hiding[0] if hiding else None)


@MANY
@given(
    st.lists(ONE, max_size=5),
    st.sampled_from(VALUES),
    st.sampled_from(VALUES),
    st.sampled_from(["rules", "alertmanager"]),
)
def test_the_first_that_matches_wins_and_every_one_before_it_is_told(
    policies: list[Policy], x: str, y: str, source: str
) -> None:
    labels = {"x": x, "y": y}
    decision = decide(Policies(policies=tuple(policies)), labels, source, "ab")
    fitting = [index for index, one in enumerate(policies) if matches(one, labels, source, "ab")]
    assert (decision.policy is not None) is bool(fitting)
    assert len(decision.tried) == (fitting[0] if fitting else len(policies))
    assert all(one.why_not for one in decision.tried)
    if decision.policy:
        assert all(fits(match, labels) for match in decision.policy.matches)
