"""What people read before they say yes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actions.model import (
    ActionClass,
    GuardResult,
    Identity,
    Inconclusive,
    OnStop,
    Plan,
    Prediction,
    State,
    StepKind,
    Verification,
)
from actions.preview import duration, preview, size
from tests.fixtures.acting import FakeAction, LoopClock, MemoryStore, approved, step, virtually

PLAN = Plan(
    action="postgresql.drop_inactive_slot",
    version=1,
    action_class=ActionClass.D,
    target="pg1",
    targets=("pg1", "pg2"),
    identity=Identity(system="73", timeline=2, role="primary"),
    parameters={"slot": "old_standby", "retained_min": 1073741824},
    scope=FakeAction().made().scope,
    subject="slot old_standby",
    summary="Drops the replication slot old_standby, which nobody has used for 9 days.",
    reason="It retains 40 GiB of WAL, and the disk is full in 3 hours.",
    evidence={
        "retained_bytes": 42949672960.0,
        "inactive_days": 9,
        "idle_seconds": 777600,
        "share": 0.12345,
        "urgent": True,
    },
    steps=(
        step("look", kind=StepKind.READ, text="SELECT * FROM pg_replication_slots\nWHERE slot_name = $1"),
        step(
            "drop",
            kind=StepKind.CHECKABLE,
            text="SELECT pg_drop_replication_slot('old_standby')",
            undoable=False,
            on_stop=OnStop.CANCEL,
            attempts_max=2,
            deadline_seconds=90.0,
            locks="none",
        ),
    ),
    prediction=Prediction(duration_seconds=0.5, disk_bytes=2048, risk="Its standby must be made anew."),
    verification=Verification(
        settle_seconds=5, within_seconds=3600, on_inconclusive=Inconclusive.HUMAN, text="The disk has room."
    ),
    irreversible=True,
    warnings=("It belonged to pg2, which is down.",),
)
WANTED = """\
Drops the replication slot old_standby, which nobody has used for
9 days.

action        postgresql.drop_inactive_slot (version 1)
class         D: destructive or irreversible
target        pg1, slot old_standby
touches       pg1, pg2
server        system 73, timeline 2, role primary
scope         cluster:c1/table:5.1
why           It retains 40 GiB of WAL, and the disk is full in 3 hours.
evidence      retained_bytes 40 GiB, inactive_days 9, idle_seconds 9 d, share
              0.123, urgent True
parameters    slot old_standby, retained_min 1073741824
takes         about 0.5 s, 2 KiB of disk, 3.5 min at the most
risk          Its standby must be made anew.
warning       It belonged to pg2, which is down.
undo          NONE: what this does cannot be taken back

Step 1 of 2: look
    SELECT * FROM pg_replication_slots
    WHERE slot_name = $1
  repeated    only looks
  deadline    30 s
  on stop     it is finished
  locks       none that others feel

Step 2 of 2: drop
    SELECT pg_drop_replication_slot('old_standby')
  repeated    the target is asked whether it was done, before it is repeated
  deadline    1.5 min, 2 attempts
  on stop     it is cancelled
  locks       none
  undo        none

verified      The disk has room.
looked at     after 5 s, then every 15 s, for 1 h at the most
if unclear    a person is asked

Guards
  mode        allows: a person asked
  budget      REFUSES: 3 of 3 in this hour
  window      allows
"""


def test_a_plan_is_told_whole() -> None:
    guards = [
        GuardResult(guard="mode", allowed=True, reason="a person asked"),
        GuardResult(guard="budget", allowed=False, reason="3 of 3 in this hour"),
        GuardResult(guard="window", allowed=True, reason=""),
    ]
    assert preview(PLAN, guards) == f"{WANTED}plan hash     {PLAN.plan_hash}\n"


@pytest.mark.parametrize("kind", StepKind)
def test_each_kind_of_step_is_explained(kind: StepKind) -> None:
    text = preview(FakeAction(steps=[step(kind=kind, undo_text="")]).made())
    assert ("undo" in text) == (kind is not StepKind.READ)
    assert "repeated" in text


def test_an_execution_says_where_it_stands_and_who_wanted_it() -> None:
    async def test() -> None:
        store = MemoryStore(LoopClock())
        execution = await approved(store, FakeAction(steps=[step()]).made())
        text = preview(execution.plan, execution=replace(execution, reason="it waits for its window"))
        assert "plan          e1\nstate         approved\nbecause       it waits for its window\n" in text
        assert "proposed      2027-01-15 08:00:00 UTC by policy shrink, mode auto" in text
        assert "answers       TooLarge (rules)" in text
        asked = replace(
            execution,
            policy="",
            proposer="ann",
            state=State.SUCCEEDED,
            incident=replace(execution.incident, name="", source="person"),
        )
        text = preview(asked.plan, execution=asked)
        assert "by ann, mode auto" in text
        assert "answers       person\n" in text

    virtually(test())


def test_a_plan_for_no_target_says_that_it_would_be_refused() -> None:
    assert "touches       nothing: it would be refused" in preview(replace(PLAN, targets=()))


def test_names_that_would_move_a_terminal_are_told_harmlessly() -> None:
    hostile = "a\x1b[2J\x07\u202eb"
    plan = replace(
        PLAN,
        subject=hostile,
        reason=hostile,
        parameters={hostile: hostile},
        steps=(step(text=f"DROP {hostile}\rok", undo_text=hostile),),
    )
    text = preview(plan, [GuardResult(guard="mode", allowed=True, reason=hostile)])
    assert not set(text) & {"\x1b", "\x07", "\r", "\u202e"}
    assert "DROP a\ufffd[2J\ufffd\ufffdb\ufffdok" in text


def test_long_sentences_are_wrapped_and_statements_are_not() -> None:
    statement = "SELECT " + ", ".join(f"column_{n}" for n in range(60))
    text = preview(replace(PLAN, reason="because " * 60, steps=(step(text=statement),)))
    assert f"    {statement}\n" in text
    assert all(len(line) <= 80 for line in text.splitlines() if "column_" not in line)
    assert text.count("\n              because") >= 4


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.25, "0.25 s"), (90, "1.5 min"), (7200, "2 h"), (86400, "1 d"), (59.5, "59.5 s")]
)
def test_durations_are_told_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("octets", "told"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 1024**5, "5120 TiB")]
)
def test_sizes_are_told_in_the_unit_that_suits_them(octets: float, told: str) -> None:
    assert size(octets) == told
