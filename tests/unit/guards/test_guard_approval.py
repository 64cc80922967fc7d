from __future__ import annotations

from typing import Any

import pytest

from actions.guards.approval import approvals_needed, approvers
from actions.guards.sight import Sight
from actions.model import ActionClass, Mode
from actions.ports import Approval
from tests.fixtures.sights import NOW, a_plan, a_policy, a_sight, an_approval, an_execution, said

A, B, C, D = ActionClass.A, ActionClass.B, ActionClass.C, ActionClass.D


@pytest.mark.parametrize(
    ("mode", "targets", "needed"),
    [
        # mode None: a person asked for it. Needed of classes A, B, C, D.
        (None, (), (0, 0, 1, 2)),
        (Mode.OBSERVE, (), (1, 1, 1, 2)),
        (Mode.ADVISE, ("shop1",), (1, 1, 1, 2)),
        (Mode.APPROVE, ("shop1",), (1, 1, 1, 2)),
        (Mode.AUTO, (), (0, 0, 0, 2)),
        (Mode.AUTO, ("shop*",), (0, 0, 0, 2)),
        (Mode.AUTO, ("shop2", "shop1"), (0, 0, 0, 0)),
    ],
)
def test_how_many_must_say_yes(mode: Mode | None, targets: tuple[str, ...], needed: tuple[int, ...]) -> None:
    policy = None if mode is None else a_policy(mode=mode, targets=targets)
    for kind, count in zip((A, B, C, D), needed, strict=True):
        assert approvals_needed(an_execution(a_plan(action_class=kind)), policy) == count, kind


def test_auto_of_a_policy_does_not_reach_what_was_proposed_for_approval() -> None:
    proposed = an_execution(a_plan(action_class=C), mode=Mode.APPROVE)
    assert approvals_needed(proposed, a_policy(mode=Mode.AUTO)) == 1
    assert approvals_needed(an_execution(a_plan(action_class=C)), a_policy(mode=Mode.APPROVE)) == 1


def test_every_target_must_be_named() -> None:
    execution = an_execution(a_plan(action_class=D, targets=("shop1", "crm1")))
    assert approvals_needed(execution, a_policy(targets=("shop1",))) == 2
    assert approvals_needed(execution, a_policy(targets=("shop1", "crm1"))) == 0
    away = an_execution(a_plan(action_class=D, targets=("crm1",)))
    assert approvals_needed(away, a_policy(targets=("crm1",))) == 2


def approved(kind: ActionClass, *approvals: Approval, proposer: str = "dbarchitect") -> Sight:
    plan = a_plan(action_class=kind)
    return a_sight(
        plan,
        execution=an_execution(plan, mode=Mode.APPROVE, proposer=proposer),
        policy=a_policy(mode=Mode.APPROVE),
        approvals=approvals,
    )


def yes(who: str, kind: ActionClass = C, **changes: Any) -> Approval:
    return an_approval(who, a_plan(action_class=kind), **changes)


@pytest.mark.parametrize(
    ("sight", "allowed", "reason"),
    [
        (a_sight(), True, "needs no approval"),
        (a_sight(approvals=[an_approval()]), True, "approved by anna"),
        (approved(B), False, "class B needs 1 approvals, 1 are missing; `dbarchitect plan approve e1`"),
        (approved(B, yes("anna", B)), True, "approved by anna"),
        (approved(C), False, "class C needs 1 approvals, 1 are missing; `dbarchitect plan approve e1`"),
        (approved(C, yes("anna")), True, "approved by anna"),
        (approved(C, yes("anna"), yes("ben")), True, "approved by anna, ben"),
        (
            approved(C, yes("anna"), proposer="anna"),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(C, yes("Anna "), proposer="anna"),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(C, yes("dbarchitect"), proposer="anna"),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (approved(C, yes("dbarchitect"), yes("anna"), yes("ben"), proposer="anna"), True, "approved by ben"),
        (
            approved(C, yes("")),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(C, yes("  ")),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(C, yes("anna", expires_at=NOW)),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (approved(C, yes("anna", expires_at=NOW + 0.1)), True, "approved by anna"),
        (
            approved(C, yes("anna", expires_at=float("nan"))),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(C, yes("anna", execution="e2")),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(C, yes("anna", B)),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(C, yes("anna", plan_hash="")),
            False,
            "class C needs 1 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(D, yes("anna", D)),
            False,
            "class D needs 2 approvals, 1 are missing; `dbarchitect plan approve e1`",
        ),
        (
            approved(D, yes("anna", D), yes("anna", D)),
            False,
            "class D needs 2 approvals, 1 are missing; `dbarchitect plan approve e1`",
        ),
        (
            approved(D, yes("anna", D), yes("ANNA", D)),
            False,
            "class D needs 2 approvals, 1 are missing; `dbarchitect plan approve e1`",
        ),
        (approved(D, yes("anna", D), yes("ben", D)), True, "approved by anna, ben"),
        (
            approved(D, yes("anna", D), yes("ben", D), proposer="ben"),
            False,
            "class D needs 2 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
        (
            approved(D, yes("anna", D), yes("ben", D, expires_at=NOW - 1)),
            False,
            "class D needs 2 approvals, 1 are missing; 1 do not count (expired, for another plan, or by the proposer); `dbarchitect plan approve e1`",
        ),
    ],
)
def test_enough_people_must_have_said_yes(sight: Sight, allowed: bool, reason: str) -> None:
    result = said("approval", sight)
    assert (result.guard, result.allowed, result.reason) == ("approval", allowed, reason)


def test_an_approval_of_a_plan_that_is_not_the_stored_one_is_void() -> None:
    execution = an_execution(plan_hash="0" * 64)
    assert approvers(execution, [an_approval(plan_hash="0" * 64), an_approval()], NOW) == []
    assert approvers(an_execution(), [an_approval("ben"), an_approval("anna")], NOW) == ["anna", "ben"]


def test_who_said_yes_is_kept() -> None:
    assert said(
        "approval", approved(D, yes("ben", D), yes("anna", C), yes("carl", D, expires_at=NOW))
    ).inputs == {
        "class": "D",
        "needed": 2,
        "by": ["ben"],
        "do_not_count": ["anna", "carl"],
    }
    assert said("approval", approved(C, yes("anna"))).inputs == {
        "class": "C",
        "needed": 1,
        "by": ["anna"],
        "do_not_count": [],
    }
