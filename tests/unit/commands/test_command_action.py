"""`command.NAME` as an action: planned, run with and without systemd, read back, undone, measured.

The systemd here is a stand-in (tests/fixtures/stand_in_systemd.py): this machine was not booted by one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actions.action import Work
from actions.command.action import CommandAction, command_actions, unit_of
from actions.command.model import Command
from actions.command.systemd import Systemd, _being_asked_for, said_by
from actions.errors import NotDone, OutcomeUnknown
from actions.model import Identity, Plan, Refusal, StepKind, Verdict
from actions.ports import Asked
from tests.fixtures.stand_in_systemd import stand_in_systemd
from tests.fixtures.waiting import until


class Session:
    async def identity(self) -> Identity:
        return Identity(system="42", role="primary", database="postgres")


def program(folder: Path, name: str, code: str) -> str:
    path = folder / name
    path.write_text(f"#!{sys.executable} -I\nimport os, sys, time\nfrom pathlib import Path\n{code}\n")
    path.chmod(0o755)
    return str(path)


def action(systemd: Systemd | None = None, **fields: Any) -> CommandAction:
    made = Command.model_validate({"help": "Marks a file.", **fields})
    if systemd is None:
        return CommandAction("mark", made, None)
    (one,) = command_actions({"mark": made}, systemd)
    return one


async def planned(one: CommandAction, **parameters: Any) -> Plan:
    plan = await one.plan(Asked(target="db1", cluster="main", parameters=parameters), Session())
    assert isinstance(plan, Plan), plan
    return plan


def work(plan: Plan, number: int = 0, **more: Any) -> Work:
    given: dict[str, Any] = {"execution": "e1", "epoch": 1, "attempt": 1, "session": None}
    return Work(plan=plan, step=plan.steps[number], **(given | more))


async def test_without_systemd_it_is_run_once(tmp_path: Path) -> None:
    mark = program(tmp_path, "mark", "print('hello', sys.argv[1:])")
    one = action(argv=[mark, "{target}", "{what}"], parameters={"what": {"type": "identifier"}})
    plan = await planned(one, what="it")
    (step,) = plan.steps
    assert step.kind is StepKind.ONCE
    assert step.text == f"{mark} db1 it"
    assert plan.identity.system == "42"
    assert "a person has to find out" in plan.warnings[0]
    evidence = await one.operations["run"].perform(work(plan))
    assert evidence["stdout"] == "hello ['db1', 'it']\n"


async def test_what_is_repeatable_may_be_run_again(tmp_path: Path) -> None:
    plan = await planned(action(argv=[program(tmp_path, "mark", "")], repeatable=True))
    assert plan.steps[0].kind is StepKind.IDEMPOTENT
    assert plan.steps[0].attempts_max == 2


async def test_exit_codes_mean_what_the_configuration_says(tmp_path: Path) -> None:
    one = action(argv=[program(tmp_path, "mark", "print('no'); sys.exit(4)")], nothing_done_codes=[4])
    with pytest.raises(NotDone, match="has changed nothing: exit code 4: no"):
        await one.operations["run"].perform(work(await planned(one)))
    one = action(argv=[program(tmp_path, "mark", "print('oh'); sys.exit(5)")], nothing_done_codes=[4])
    with pytest.raises(OutcomeUnknown, match="may have done a part of its work: exit code 5: oh"):
        await one.operations["run"].perform(work(await planned(one)))


async def test_passing_the_deadline_is_unknown(tmp_path: Path) -> None:
    one = action(argv=[program(tmp_path, "mark", "time.sleep(3600)")], timeout="1s")
    with pytest.raises(OutcomeUnknown, match="did not end within 1 s"):
        await one.operations["run"].perform(work(await planned(one)))


@pytest.mark.parametrize("parameters", [{}, {"what": "a b"}, {"what": "x", "more": 1}, {"what": ["x"]}])
async def test_values_that_do_not_fit_are_refused_when_planned(
    tmp_path: Path, parameters: Mapping[str, Any]
) -> None:
    one = action(argv=[program(tmp_path, "mark", ""), "{what}"], parameters={"what": {"type": "identifier"}})
    refusal = await one.plan(Asked(target="db1", cluster="main", parameters=parameters), Session())
    assert isinstance(refusal, Refusal)
    assert refusal.guard == "precondition"
    assert "command.mark" in refusal.reason


async def test_a_program_that_is_not_there_or_was_opened_to_all_is_refused(tmp_path: Path) -> None:
    one = action(argv=[str(tmp_path / "gone")])
    refusal = await one.plan(Asked(target="db1", cluster="main"), Session())
    assert isinstance(refusal, Refusal)
    assert "No such file" in refusal.reason
    mark = program(tmp_path, "mark", "")
    plan = await planned(action(argv=[mark]))
    (fine,) = await action(argv=[mark]).check(plan, None)
    Path(mark).chmod(0o777)
    (bad,) = await action(argv=[mark]).check(plan, None)
    assert fine.allowed
    assert not bad.allowed
    assert "could be changed by others" in bad.reason


async def test_undo_runs_its_own_argv(tmp_path: Path) -> None:
    undo = program(tmp_path, "unmark", "print('undone', sys.argv[1]); sys.exit(int(sys.argv[2]))")
    for code in ("0", "3"):
        one = action(argv=[program(tmp_path, "mark", "")], undo=[undo, "{target}", code])
        plan = await planned(one)
        assert plan.steps[0].undoable
        assert plan.steps[0].undo_text == f"{undo} db1 {code}"
        undoing = one.operations["run"].undo
        assert undoing
        if code == "0":
            assert (await undoing(work(plan)))["stdout"] == "undone db1\n"
        else:
            with pytest.raises(OutcomeUnknown, match="exit code 3"):
                await undoing(work(plan))


async def test_the_check_tells_the_effect(tmp_path: Path) -> None:
    sign = tmp_path / "well"
    check = program(tmp_path, "check", f"sys.exit(0 if Path({str(sign)!r}).exists() else 1)")
    one = action(argv=[program(tmp_path, "mark", "")], check=[check])
    plan = await planned(one)
    ill = await one.measure(plan, None)
    sign.touch()
    well = await one.measure(plan, None)
    assert (ill, well) == ({"check_failed": 1.0}, {"check_failed": 0.0})
    assert one.judge(plan, ill, well) is Verdict.IMPROVED
    assert one.judge(plan, well, ill) is Verdict.WORSE
    assert one.judge(plan, well, well) is Verdict.NEUTRAL
    assert one.judge(plan, ill, ill) is Verdict.INCONCLUSIVE
    assert one.judge(plan, {}, well) is Verdict.INCONCLUSIVE
    Path(check).unlink()
    assert await one.measure(plan, None) == {}
    assert await action(argv=[program(tmp_path, "mark", "")]).measure(
        await planned(action(argv=[program(tmp_path, "mark", "")])), None
    ) == {}  # fmt: skip


async def test_with_systemd_the_unit_is_named_after_the_attempt_and_told_apart(tmp_path: Path) -> None:
    systemd, units = stand_in_systemd(tmp_path / "systemd")
    marks = tmp_path / "marks"
    mark = program(tmp_path, "mark", f"open({str(marks)!r}, 'a').write(sys.argv[1] + os.environ['MARK'])")
    one = action(systemd, argv=[mark, "$HOME"], environment={"MARK": "!"}, timeout="50s")
    plan = await planned(one)
    assert [step.kind for step in plan.steps] == [StepKind.CHECKABLE, StepKind.IDEMPOTENT]
    operation = one.operations["start_unit"]
    assert operation.capture
    assert operation.read_back
    asked = work(plan, before=await operation.capture(work(plan)))
    assert (await operation.read_back(asked)).answer == "not_done"

    evidence = await operation.perform(asked)
    unit = "dbarchitect-e1-run-1.service"
    assert evidence["unit"] == unit == unit_of(asked)
    assert marks.read_text() == "$HOME!"
    assert (await operation.read_back(asked)).answer == "done"
    options = json.loads((units / unit / "asked").read_text())
    assert {"--property=RuntimeMaxSec=50", "--remain-after-exit", "--setenv=MARK=!"} < set(options)

    with pytest.raises(OutcomeUnknown, match="already loaded"):
        await operation.perform(asked)
    assert marks.read_text() == "$HOME!"

    forget = one.operations["forget_unit"].perform
    forgetting = work(plan, 1, results={"run": evidence})
    for _ in range(2):
        assert await forget(forgetting) == {"unit": unit}
    assert not (units / unit).exists()


async def test_a_unit_that_failed_is_ambiguous_unless_it_may_be_run_again(tmp_path: Path) -> None:
    systemd, _units = stand_in_systemd(tmp_path / "systemd")
    for repeatable, answer in ((False, "ambiguous"), (True, "not_done")):
        one = action(systemd, argv=[program(tmp_path, "mark", "sys.exit(7)")], repeatable=repeatable)
        plan = await planned(one)
        operation = one.operations["start_unit"]
        assert operation.capture
        assert operation.read_back
        asked = work(plan, execution=f"e{repeatable}", before=await operation.capture(work(plan)))
        with pytest.raises(OutcomeUnknown, match="exit-code 7"):
            await operation.perform(asked)
        assert (await operation.read_back(asked)).answer == answer


async def test_a_unit_that_said_it_did_nothing_was_not_done(tmp_path: Path) -> None:
    systemd, _ = stand_in_systemd(tmp_path / "systemd")
    one = action(systemd, argv=[program(tmp_path, "mark", "sys.exit(7)")], nothing_done_codes=[7])
    with pytest.raises(NotDone, match="has changed nothing"):
        await one.operations["start_unit"].perform(work(await planned(one)))


async def test_a_unit_that_runs_is_under_way_and_ends_at_its_deadline_without_us(tmp_path: Path) -> None:
    systemd, _ = stand_in_systemd(tmp_path / "systemd")
    runs = tmp_path / "runs"
    mark = program(tmp_path, "mark", f"Path({str(runs)!r}).touch(); time.sleep(3600)")
    one = action(systemd, argv=[mark], timeout="10s")
    plan = await planned(one)
    operation = one.operations["start_unit"]
    assert operation.capture
    assert operation.read_back
    asked = work(plan, before=await operation.capture(work(plan)))
    task = asyncio.ensure_future(operation.perform(asked))
    read_back = operation.read_back
    await until(runs.exists, deadline=60)
    assert await _answer_is(read_back, asked, "under_way")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: _answer_is(read_back, asked, "ambiguous"), deadline=120)


async def _answer_is(read_back: Any, asked: Work, answer: str) -> bool:
    return bool((await read_back(asked)).answer == answer)


async def test_an_answer_that_is_lost_after_the_start_is_unknown_and_can_be_read_back(tmp_path: Path) -> None:
    systemd, units = stand_in_systemd(tmp_path / "systemd")
    (units / "lose_the_answer").touch()
    one = action(systemd, argv=[program(tmp_path, "mark", "")])
    plan = await planned(one)
    operation = one.operations["start_unit"]
    assert operation.capture
    assert operation.read_back
    asked = work(plan, before=await operation.capture(work(plan)))
    with pytest.raises(OutcomeUnknown, match="killed by SIGKILL"):
        await operation.perform(asked)
    read_back = operation.read_back
    await until(lambda: _answer_is(read_back, asked, "done"), deadline=60)


async def test_without_the_right_to_start_units_nothing_was_done(tmp_path: Path) -> None:
    systemd, units = stand_in_systemd(tmp_path / "systemd")
    (units / "refuse").touch()
    one = action(systemd, argv=[program(tmp_path, "mark", "")])
    with pytest.raises(NotDone, match="Interactive authentication required"):
        await one.operations["start_unit"].perform(work(await planned(one)))


async def test_a_manager_that_does_not_answer_leaves_it_unknown(tmp_path: Path) -> None:
    systemd, units = stand_in_systemd(tmp_path / "systemd")
    (units / "mute").touch()
    with pytest.raises(OutcomeUnknown, match="Failed to connect to bus"):
        await systemd.show("dbarchitect-e1-run-1.service")


async def test_after_a_boot_or_on_another_machine_nobody_can_tell(tmp_path: Path) -> None:
    systemd, _ = stand_in_systemd(tmp_path / "systemd")
    here = await systemd.where()
    assert here["boot_id"]
    for elsewhere in ({**here, "boot_id": "other"}, {**here, "machine_id": "other"}, {}):
        assert (await systemd.read_back("dbarchitect-e1-run-1.service", elsewhere)).answer == "ambiguous"


async def test_a_systemd_run_that_still_asks_is_under_way(tmp_path: Path) -> None:
    systemd, _ = stand_in_systemd(tmp_path / "systemd")
    waiting = program(tmp_path, "systemd-run", "time.sleep(3600)")
    unit = "dbarchitect-e1-run-1.service"
    process = await asyncio.create_subprocess_exec(waiting, "--quiet", f"--unit={unit}")
    try:
        here = await systemd.where()
        await until(lambda: _being_asked_for(unit), deadline=30)
        assert (await systemd.read_back(unit, here)).answer == "under_way"
    finally:
        process.kill()
        await process.wait()
    assert (await systemd.read_back(unit, here)).answer == "not_done"


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        ("loaded active running success", "under_way"),
        ("loaded activating start success", "under_way"),
        ("loaded deactivating stop-sigterm timeout", "under_way"),
        ("loaded active exited success", "done"),
        ("loaded failed failed exit-code", "ambiguous"),
        ("loaded failed failed timeout", "ambiguous"),
        ("loaded inactive dead success", "ambiguous"),
        ("not-found inactive dead success", "not_done"),
        ("masked inactive dead success", "ambiguous"),
    ],
)
def test_what_a_unit_s_properties_mean(shown: str, answer: str) -> None:
    names = ("LoadState", "ActiveState", "SubState", "Result")
    assert said_by(dict(zip(names, shown.split(), strict=True))).answer == answer


async def test_a_plan_for_systemd_is_not_carried_out_without_it(tmp_path: Path) -> None:
    systemd, _ = stand_in_systemd(tmp_path / "systemd")
    mark = program(tmp_path, "mark", "")
    plan = await planned(action(systemd, argv=[mark]))
    with pytest.raises(NotDone, match="here it does not"):
        await action(argv=[mark]).operations["start_unit"].perform(work(plan))


def test_the_catalogue_says_what_it_is(tmp_path: Path) -> None:
    one = action(
        None,
        argv=["/usr/bin/fix", "{slot}", "{size}"],
        parameters={
            "slot": {"type": "identifier", "label": "slot_name", "help": "Which."},
            "size": {"type": "integer", "least": 1, "most": 9},
        },
        undo=["/usr/bin/unfix"],
        **{"class": "D"},
    )
    info = one.info
    assert (info.name, info.action_class, info.undo) == ("command.mark", "D", "/usr/bin/unfix")
    assert [(p.name, p.type, p.label, p.least, p.most) for p in info.parameters] == [
        ("slot", "identifier", "slot_name", None, None),
        ("size", "integer", "", 1, 9),
    ]
