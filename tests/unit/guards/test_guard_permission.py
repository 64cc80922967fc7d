from __future__ import annotations

import pytest

from actions.guards.permission import mode_now
from actions.guards.sight import Sight
from actions.model import Mode
from tests.fixtures.sights import a_plan, a_policy, a_sight, an_execution, by_person, said


def proposed_by(policy: str, proposer: str) -> Sight:
    return a_sight(execution=an_execution(policy=policy, proposer=proposer), policy=None)


def of(stage: str, mode: Mode, then: Mode = Mode.AUTO) -> Sight:
    return a_sight(stage=stage, execution=an_execution(mode=then), policy=a_policy(mode=mode))


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "asked for by the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5)"),
        (by_person(), True, "asked for by anna"),
        (
            proposed_by("vacuum", "dbarchitect"),
            False,
            "the policy 'vacuum' that proposed it does not exist any more; deny this plan, or propose the action by hand",
        ),
        (
            proposed_by("vacuum", "anna"),
            False,
            "the policy 'vacuum' that proposed it does not exist any more; deny this plan, or propose the action by hand",
        ),
        (
            proposed_by("", "dbarchitect"),
            False,
            "neither a policy nor a person asks for it; propose the action by hand if it is wanted",
        ),
        (
            proposed_by("", ""),
            False,
            "neither a policy nor a person asks for it; propose the action by hand if it is wanted",
        ),
        (
            a_sight(policy=a_policy(name="other")),
            False,
            "it was proposed by the policy 'vacuum', not by 'other'",
        ),
        (
            a_sight(policy=a_policy(action="postgresql.analyze")),
            False,
            "the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5) is for postgresql.analyze now, not for postgresql.vacuum; deny this plan",
        ),
        (
            a_sight(policy=a_policy(targets=("shop1",))),
            True,
            "asked for by the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5)",
        ),
        (
            a_sight(policy=a_policy(targets=("shop*",))),
            True,
            "asked for by the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5)",
        ),
        (
            a_sight(policy=a_policy(targets=("crm*", "shop2"))),
            False,
            "the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5) does not cover the target 'shop1' any more; deny this plan",
        ),
        (
            of("session", Mode.OBSERVE),
            False,
            "the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5) only observes: this plan is a record of what would have been done",
        ),
        (
            of("claimed", Mode.OBSERVE),
            False,
            "the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5) only observes: this plan is a record of what would have been done",
        ),
        (
            of("claimed", Mode.AUTO, then=Mode.OBSERVE),
            False,
            "the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5) only observes: this plan is a record of what would have been done",
        ),
        (
            of("proposed", Mode.OBSERVE, then=Mode.OBSERVE),
            True,
            "asked for by the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5)",
        ),
        (
            of("claimed", Mode.ADVISE),
            True,
            "asked for by the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5)",
        ),
        (
            of("session", Mode.APPROVE),
            True,
            "asked for by the policy 'vacuum' (/etc/dbarchitect/policies/shop.yaml:3:5)",
        ),
    ],
)
def test_a_policy_or_a_person_must_want_it(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("policy", sight)
    assert (result.guard, result.allowed, result.reason) == ("policy", allowed, reason)


def test_who_wants_it_is_kept() -> None:
    assert said("policy", a_sight()).inputs == {
        "policy": "vacuum",
        "proposer": "dbarchitect",
        "mode": "auto",
        "place": "/etc/dbarchitect/policies/shop.yaml:3:5",
    }
    assert said("policy", by_person()).inputs == {
        "policy": "",
        "proposer": "anna",
        "mode": "approve",
        "place": "",
    }
    assert said("policy", a_sight(policy=a_policy(name="x"))).inputs["policy"] == "vacuum"


@pytest.mark.parametrize(
    ("then", "now", "holds"),
    [
        (Mode.AUTO, Mode.AUTO, Mode.AUTO),
        (Mode.AUTO, Mode.APPROVE, Mode.APPROVE),
        (Mode.APPROVE, Mode.AUTO, Mode.APPROVE),
        (Mode.ADVISE, Mode.APPROVE, Mode.ADVISE),
        (Mode.AUTO, Mode.OBSERVE, Mode.OBSERVE),
    ],
)
def test_the_lower_mode_holds(then: Mode, now: Mode, holds: Mode) -> None:
    assert mode_now(an_execution(a_plan(), mode=then), a_policy(mode=now)) is holds
