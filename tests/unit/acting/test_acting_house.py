"""From alerts to executions: the daemon's loops over real guards and the real executor, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actions.model import ActionClass, Mode, RecordKind, State
from daemon.acting.office import OfficeRefused
from tests.fixtures.acting import step
from tests.fixtures.house import Scene, Shrink, policy, scene
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.virtual_time import virtually

Story = Callable[[Scene], Awaitable[None]]


def told(tmp_path: Path, story: Story, *policies: Any, **more: Any) -> None:
    async def whole() -> None:
        async with scene(tmp_path, *policies, **more) as one:
            await story(one)

    virtually(whole())


def test_an_alert_leads_to_an_execution_that_is_verified(tmp_path: Path) -> None:
    async def story(one: Scene) -> None:
        one.fire("TooLarge")
        await asyncio.sleep(60)
        assert one.states() == ["succeeded"]
        assert one.target.times("shrink") == 1
        standing = one.house.standing()
        assert standing.tally.outcomes["fake.act", "succeeded"] == 1
        assert standing.tally.durations["fake.act"].total == 1
        await asyncio.sleep(600)
        assert one.target.times("shrink") == 1, "the same alert is answered once"

    told(tmp_path, story, policy())


@pytest.mark.parametrize(
    ("mode", "state"),
    [(Mode.OBSERVE, "observed"), (Mode.ADVISE, "proposed"), (Mode.APPROVE, "awaiting_approval")],
)
def test_other_modes_change_nothing(tmp_path: Path, mode: Mode, state: str) -> None:
    async def story(one: Scene) -> None:
        one.fire("TooLarge")
        await asyncio.sleep(600)
        assert one.states() == [state]
        assert one.target.landed == []

    told(tmp_path, story, policy(mode))


def test_a_target_caps_what_a_policy_may_do(tmp_path: Path) -> None:
    async def story(one: Scene) -> None:
        one.fire("TooLarge")
        await asyncio.sleep(600)
        assert one.states() == ["proposed"]
        assert one.target.landed == []

    told(tmp_path, story, policy(), cap=Mode.ADVISE)


def test_an_alert_that_is_over_cancels_what_was_not_begun(tmp_path: Path) -> None:
    """F34."""

    async def story(one: Scene) -> None:
        one.fire("TooLarge")
        await asyncio.sleep(10)
        one.resolve("TooLarge")
        await asyncio.sleep(10)
        assert one.states() == ["cancelled"]

    told(tmp_path, story, policy(Mode.APPROVE))


def test_an_alert_that_is_over_does_not_end_a_step_that_runs(tmp_path: Path) -> None:
    async def story(one: Scene) -> None:
        one.target.delay = 20.0
        one.target.then("shrink", "slow")
        one.fire("TooLarge")
        await asyncio.sleep(5)
        assert one.states() == ["running"]
        one.resolve("TooLarge")
        await asyncio.sleep(60)
        assert one.target.times("shrink") == 1
        assert one.states() == ["succeeded"]

    told(tmp_path, story, policy())


def test_repeated_and_late_words_of_an_alert_make_no_second_plan(tmp_path: Path) -> None:
    """F34."""

    async def story(one: Scene) -> None:
        for _ in range(20):
            one.received("pg1", one.clock.now() // 60 * 60 - 600)
            await asyncio.sleep(1)
        assert len(one.store.kept) == 1

    told(tmp_path, story, policy(Mode.ADVISE, source="any"))


def test_an_alert_of_yesterday_is_recorded_and_not_acted_on(tmp_path: Path) -> None:
    """F34."""

    async def story(one: Scene) -> None:
        one.received("pg1", one.clock.now() - 90_000)
        await asyncio.sleep(120)
        assert not one.store.kept
        notes = [record.body["event"] for record in one.store.journal if record.kind is RecordKind.NOTE]
        assert notes == ["too_old"]

    told(tmp_path, story, policy(source="any"))


def test_a_flood_makes_no_more_plans_than_the_budget_allows_and_few_executions(tmp_path: Path) -> None:
    """F35: one incident on two hundred targets at once."""
    names = [f"pg{number}" for number in range(200)]

    async def story(one: Scene) -> None:
        for name in names:
            one.fire("TooLarge", name)
        await asyncio.sleep(600)
        assert one.action.planned <= 120
        assert one.target.landed == [], "a symptom on all targets has a common cause"
        assert one.house.intake.counts.put_off > 0

    told(tmp_path, story, policy(), names=names)


def test_what_does_not_help_is_left_to_a_person_at_last(tmp_path: Path) -> None:
    """F36: the same rule fires every five minutes for a day."""

    async def story(one: Scene) -> None:
        for _ in range(288):
            one.fire("TooLarge")
            await asyncio.sleep(150)
            one.resolve("TooLarge")
            await asyncio.sleep(150)
            if "needs_human" in one.states():
                break
        assert one.states().count("succeeded") == 3
        human = next(each for each in one.store.kept.values() if each.state is State.NEEDS_HUMAN)
        assert "did not help" in human.reason
        await asyncio.sleep(10)
        assert one.house.standing().human == 1

    told(tmp_path, story, policy())


def test_nothing_begins_while_stopped_and_it_goes_on_when_a_person_says_so(tmp_path: Path) -> None:
    """F37."""

    async def story(one: Scene) -> None:
        await one.house.clerk.stop("ann", "strange things")
        one.fire("TooLarge")
        await asyncio.sleep(120)
        assert one.states() == ["approved"]
        assert one.target.landed == []
        assert not one.house.standing().enabled
        with pytest.raises(OfficeRefused, match="a note is needed"):
            await one.house.clerk.resume("ann", " ")
        assert await one.house.clerk.resume("ann", "understood") == ()
        await asyncio.sleep(60)
        assert one.states() == ["succeeded"]

    told(tmp_path, story, policy())


def test_a_stop_in_mid_run_begins_no_further_step(tmp_path: Path) -> None:
    """F37."""
    steps = (step("one", arguments={"size": 80.0}), step("two", arguments={"size": 50.0}))

    async def story(one: Scene) -> None:
        one.target.then("one", "slow")
        one.fire("TooLarge")
        await asyncio.sleep(4)
        (tmp_path / "STOP").touch()
        await asyncio.sleep(60)
        assert (one.target.times("one"), one.target.times("two")) == (1, 0)
        assert one.states() == ["needs_human"]

    told(tmp_path, story, policy(), action=Shrink(steps=steps))


def test_two_daemons_on_one_store_do_it_once(tmp_path: Path) -> None:
    """F04."""

    async def story(one: Scene) -> None:
        async with scene(tmp_path, policy(), store=one.store, ready=False) as other:
            for each in (one, other):
                each.fire("TooLarge")
            await asyncio.sleep(300)
            assert one.target.times("shrink") + other.target.times("shrink") == 1
            assert one.states() == ["succeeded"]
            assert not other.house.standing().leader

    told(tmp_path, story, policy())


def test_without_its_store_a_daemon_does_nothing_and_says_so_and_recovers_alone(tmp_path: Path) -> None:
    """F16."""

    async def story(one: Scene) -> None:
        one.store.away = True
        one.fire("TooLarge")
        await asyncio.sleep(120)
        standing = one.house.standing()
        assert (standing.store, standing.enabled, standing.leader) == (False, False, False)
        assert one.target.landed == []
        one.store.away = False
        await asyncio.sleep(180)
        assert one.states() == ["succeeded"]

    told(tmp_path, story, policy())


def test_a_clock_that_jumps_keeps_it_from_acting_for_a_while(tmp_path: Path) -> None:
    """F19."""

    async def story(one: Scene) -> None:
        one.clock.jumped = 5.0  # type: ignore[attr-defined]
        one.fire("TooLarge")
        await asyncio.sleep(20)
        assert one.target.landed == []
        await asyncio.sleep(60)
        assert one.target.times("shrink") == 1

    told(tmp_path, story, policy())


def test_an_approval_is_for_one_plan_by_another_person_and_for_a_while(tmp_path: Path) -> None:
    """F39 and F40."""

    async def story(one: Scene) -> None:
        clerk = one.house.clerk
        asked = await clerk.propose("fake.act", "pg1", {}, "ann")
        assert asked.state is State.AWAITING_APPROVAL
        with pytest.raises(OfficeRefused, match="somebody else must approve") as refused:
            await clerk.approve(asked.id, asked.plan_hash, "Ann ")
        assert refused.value.status == 403
        with pytest.raises(OfficeRefused, match="not the plan that you have seen"):
            await clerk.approve(asked.id, "0" * 64, "bob")
        assert (await clerk.case(asked.id[:6])).approvals_needed == 1
        await clerk.stop("ann", "wait")
        assert (await clerk.approve(asked.id, asked.plan_hash, "bob")).state is State.APPROVED
        await asyncio.sleep(920)
        late = (await clerk.case(asked.id)).execution
        assert late.state is State.EXPIRED
        with pytest.raises(OfficeRefused, match="asks for no approval"):
            await clerk.approve(asked.id, asked.plan_hash, "cid")
        assert one.target.landed == []

    told(tmp_path, story, action=Shrink(steps=(step(),), kind=ActionClass.C))


def test_what_cannot_be_taken_back_needs_two_people_and_the_name_of_its_target(tmp_path: Path) -> None:
    """F40."""

    async def story(one: Scene) -> None:
        clerk = one.house.clerk
        asked = await clerk.propose("fake.act", "pg1", {}, "ann")
        with pytest.raises(OfficeRefused, match="type the name of its target"):
            await clerk.approve(asked.id, asked.plan_hash, "bob", confirm="pg2")
        first = await clerk.approve(asked.id, asked.plan_hash, "bob", confirm="pg1")
        assert first.state is State.AWAITING_APPROVAL
        with pytest.raises(OfficeRefused, match="has approved"):
            await clerk.approve(asked.id, asked.plan_hash, "bob", confirm="pg1")
        second = await clerk.approve(asked.id, asked.plan_hash, "cid", confirm="pg1")
        assert second.state is State.APPROVED
        await asyncio.sleep(60)
        assert one.target.times("shrink") == 1

    told(tmp_path, story, action=Shrink(steps=(step(arguments={"size": 50.0}),), kind=ActionClass.D))


def test_what_is_denied_is_over(tmp_path: Path) -> None:
    async def story(one: Scene) -> None:
        one.fire("TooLarge")
        await asyncio.sleep(5)
        (waits,) = one.store.kept.values()
        assert (await one.house.clerk.deny(waits.id, "bob", "no")).state is State.DENIED
        await asyncio.sleep(3600)
        assert one.states() == ["denied"]
        with pytest.raises(OfficeRefused, match="waits for no decision"):
            await one.house.clerk.deny(waits.id, "bob")

    told(tmp_path, story, policy(Mode.APPROVE))


def test_a_proposal_that_nobody_decides_about_expires(tmp_path: Path) -> None:
    async def story(one: Scene) -> None:
        one.fire("TooLarge")
        await asyncio.sleep(5)
        await asyncio.sleep(620)
        assert one.states()[0] == "expired"

    told(tmp_path, story, policy(Mode.APPROVE, expires_seconds=600.0))


def test_the_office_refuses_in_words(tmp_path: Path) -> None:
    async def story(one: Scene) -> None:
        clerk = one.house.clerk
        with pytest.raises(OfficeRefused, match="there is no action 'no"):
            await clerk.propose("no.such", "pg1", {}, "ann")
        with pytest.raises(OfficeRefused, match="no parameter 'size'"):
            await clerk.propose("fake.act", "pg1", {"size": "1"}, "ann")
        with pytest.raises(OfficeRefused, match="no target that is watched here"):
            await clerk.propose("fake.act", "pg9", {}, "ann")
        with pytest.raises(OfficeRefused, match="there is no plan"):
            await clerk.case("0123")
        with pytest.raises(OfficeRefused, match="a note is needed"):
            await clerk.settle("0123", "resume", "ann", "")
        one.store.away = True
        with pytest.raises(OfficeRefused, match="the store is away") as refused:
            await clerk.executions()
        assert refused.value.status == 503

    told(tmp_path, story)


def test_what_would_have_been_done_is_told_with_what_became_of_it(tmp_path: Path) -> None:
    async def story(one: Scene) -> None:
        one.fire("TooLarge")
        await asyncio.sleep(30)
        one.resolve("TooLarge")
        await asyncio.sleep(10)
        (would,) = await one.house.clerk.shadow(0.0)
        assert would.execution.state is State.OBSERVED
        assert would.cleared_at is not None

    told(tmp_path, story, policy(Mode.OBSERVE))


def test_a_new_leader_goes_on_with_what_another_left_in_the_middle(tmp_path: Path) -> None:
    async def whole() -> None:
        kept: MemoryStore | None = None
        async with scene(tmp_path, policy()) as one:
            kept = one.store
            one.fire("TooLarge")
            await asyncio.sleep(60)
        async with scene(tmp_path, policy(), store=kept) as other:
            other.fire("TooLarge")
            await asyncio.sleep(60)
            assert other.house.standing().leader
            assert other.states()[0] == "succeeded"

    virtually(whole())
