"""The action `command.NAME`: a program of the operator's, planned, run, read back and undone like others."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from actions.action import ActionInfo, Evidence, Operation, Parameter, ReadBack, Work
from actions.command.arguments import BadValue, checked, trouble_with, words
from actions.command.model import Command, CommandParameter
from actions.command.process import Ended, run
from actions.command.systemd import Systemd
from actions.errors import ActError, NotDone, OutcomeUnknown
from actions.model import (
    ActionClass,
    GuardResult,
    Inconclusive,
    Json,
    Plan,
    Prediction,
    Refusal,
    Scope,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.ports import Asked

PREFIX = "command."
_FORGET_SECONDS = 90.0
_ATTEMPTS = 2
"""Of a command that may be run again."""
_CHECK_SECONDS = 30.0
_FAILED = "check_failed"


def command_actions(
    commands: Mapping[str, Command], systemd: Systemd | None = None
) -> tuple[CommandAction, ...]:
    """Return an action for each command of the configuration; `systemd` is the machine's own if it has it."""
    manager = systemd or Systemd.here()
    return tuple(CommandAction(name, command, manager) for name, command in commands.items())


class CommandAction:
    """One command."""

    def __init__(self, name: str, command: Command, systemd: Systemd | None) -> None:
        self._command = command
        self._systemd = systemd
        self.info = _info(name, command, systemd is not None)
        undo = self._undo if command.undo else None
        self.operations: Mapping[str, Operation] = {
            "run": Operation(perform=self._run, undo=undo),
            "start_unit": Operation(
                perform=self._start, capture=self._capture, read_back=self._read_back, undo=undo
            ),
            "forget_unit": Operation(perform=self._forget),
        }

    async def plan(self, asked: Asked, session: Any) -> Plan | Refusal:  # noqa: ANN401 - any engine's
        """Fill in the argv and see that the program is there; runs nothing."""
        command = self._command
        try:
            values = checked(command, asked.parameters, asked.target)
        except BadValue as error:
            return Refusal("precondition", f"{self.info.name}: {error}")
        for one in (command.argv, command.undo, command.check):
            if one and (trouble := await asyncio.to_thread(trouble_with, one[0])):
                return Refusal("precondition", f"{self.info.name}: {trouble}")
        argv = words(command.argv, values)
        return Plan(
            action=self.info.name,
            version=self.info.version,
            action_class=self.info.action_class,
            target=asked.target,
            targets=(asked.target,),
            identity=await session.identity(),
            parameters=dict(asked.parameters),
            scope=Scope(cluster=asked.cluster),
            subject=" ".join(argv),
            summary=f"run {shlex.join(argv)} for {asked.target}",
            reason=asked.reason or "asked for",
            evidence={},
            steps=self._steps(argv, values),
            prediction=Prediction(duration_seconds=command.timeout, risk=command.help),
            verification=_verification(command),
            irreversible=command.action_class is ActionClass.D and command.undo is None,
            warnings=_warnings(command, managed=self._systemd is not None),
        )

    async def check(self, plan: Plan, session: Any) -> Sequence[GuardResult]:  # noqa: ANN401 - any engine's
        """See that the program is still one that only its owner can change."""
        del session
        words_of = plan.steps[0].arguments
        trouble = await asyncio.to_thread(trouble_with, words_of["argv"][0])
        return (
            GuardResult(
                guard="precondition",
                allowed=not trouble,
                reason=trouble or "the program is there",
                inputs={"program": words_of["argv"][0]},
            ),
        )

    async def measure(self, plan: Plan, session: Any) -> Mapping[str, float]:  # noqa: ANN401 - any engine's
        """Run the configured check: 0 when all is well, 1 when not; absent without one, or when it hangs."""
        del session
        argv = plan.steps[0].arguments.get("check")
        if not argv:
            return {}
        try:
            ended = await self._ran(argv, _CHECK_SECONDS)
        except ActError:
            return {}
        return {_FAILED: float(ended.code != 0)}

    def judge(self, plan: Plan, before: Mapping[str, float], after: Mapping[str, float]) -> Verdict:
        """Well after trouble is improved; trouble after all was well is worse."""
        del plan
        if _FAILED not in before or _FAILED not in after:
            return Verdict.INCONCLUSIVE
        if after[_FAILED]:
            # The trouble it was for is still there: not told yet, until the time is over.
            return Verdict.INCONCLUSIVE if before[_FAILED] else Verdict.WORSE
        return Verdict.IMPROVED if before[_FAILED] else Verdict.NEUTRAL

    def _steps(self, argv: list[str], values: Mapping[str, str]) -> tuple[Step, ...]:
        command = self._command
        managed = self._systemd is not None
        undo = words(command.undo, values) if command.undo else []
        arguments: dict[str, Json] = {
            "argv": argv,
            "undo": undo,
            "check": words(command.check, values) if command.check else [],
        }
        alone = StepKind.IDEMPOTENT if command.repeatable else StepKind.ONCE
        first = Step(
            name="run",
            operation="start_unit" if managed else "run",
            kind=StepKind.CHECKABLE if managed else alone,
            text=shlex.join(argv),
            arguments=arguments,
            deadline_seconds=command.timeout,
            attempts_max=_ATTEMPTS if command.repeatable else 1,
            undo_text=shlex.join(undo),
            undoable=bool(undo),
        )
        if not managed:
            return (first,)
        forget = Step(
            name="forget",
            operation="forget_unit",
            kind=StepKind.IDEMPOTENT,
            text="systemctl stop of the unit that has ended",
            deadline_seconds=_FORGET_SECONDS,
            attempts_max=3,
            undoable=True,
            undo_text="nothing to take back",
        )
        return first, forget

    async def _run(self, work: Work) -> Evidence:
        ended = await self._ran(work.step.arguments["argv"], work.step.deadline_seconds)
        return self._told(ended.code, ended.words, ended.evidence)

    async def _start(self, work: Work) -> Evidence:
        manager, unit = self._manager(), unit_of(work)
        seconds = work.step.deadline_seconds
        await manager.start(
            unit,
            work.step.arguments["argv"],
            within=seconds,
            environment=self._command.environment,
            directory=self._command.directory,
            description=f"{self.info.name} for {work.plan.target}",
        )
        found = await manager.wait(unit, seconds)
        if found.answer == "done":
            return {"unit": unit, **found.evidence}
        code = int(found.evidence.get("ExecMainStatus") or 0)
        exited = found.evidence.get("Result") == "exit-code"
        return self._told(code if exited else -1, f"{unit}: {found.evidence.get('Result')} {code}", {})

    def _told(self, code: int, said: str, evidence: dict[str, Json]) -> Evidence:
        """Return the evidence of success, or raise what an exit code means."""
        if code == 0:
            return evidence
        if code in self._command.nothing_done_codes:
            raise NotDone(f"{self._command.argv[0]} says that it has changed nothing: {said}")
        raise OutcomeUnknown(f"{self._command.argv[0]} failed, and may have done a part of its work: {said}")

    async def _capture(self, work: Work) -> Evidence:
        del work
        return await self._manager().where()

    async def _read_back(self, work: Work) -> ReadBack:
        found = await self._manager().read_back(unit_of(work), work.before)
        if found.answer == "ambiguous" and self._command.repeatable:
            return ReadBack(answer="not_done", evidence=found.evidence)
        return found

    async def _forget(self, work: Work) -> Evidence:
        unit = str(work.results.get("run", {}).get("unit", ""))
        if unit:
            await self._manager().forget(unit)
        return {"unit": unit}

    async def _undo(self, work: Work) -> Evidence:
        argv = work.step.arguments["undo"]
        ended = await self._ran(argv, work.step.deadline_seconds)
        if ended.code != 0:
            raise OutcomeUnknown(f"{argv[0]} failed: {ended.words}")
        return ended.evidence

    async def _ran(self, argv: Sequence[str], within: float) -> Ended:
        environment, directory = self._command.environment, self._command.directory
        return await run(argv, within=within, environment=environment, directory=directory)

    def _manager(self) -> Systemd:
        if self._systemd is None:
            raise NotDone("the plan was made where systemd runs, and here it does not")
        return self._systemd


def unit_of(work: Work) -> str:
    """Return the unit's name: one for each attempt."""
    return f"dbarchitect-{work.execution}-{work.step.name}-{work.attempt}.service"


def _info(name: str, command: Command, managed: bool) -> ActionInfo:
    return ActionInfo(
        name=PREFIX + name,
        version=1,
        engine=command.engine,
        action_class=command.action_class,
        title=f"Run {command.argv[0]}",
        help=command.help,
        parameters=tuple(_parameter(name, one) for name, one in command.parameters.items()),
        steps=(shlex.join(command.argv), *(("forget the unit",) if managed else ())),
        undo=shlex.join(command.undo) if command.undo else "",
        verification=_verification(command).text,
        grants=("the rights of the daemon's own user on this machine",),
    )


def _parameter(name: str, one: CommandParameter) -> Parameter:
    numbers = one.type == "integer"
    return Parameter(
        name=name,
        type=one.type,
        help=one.help,
        required=True,
        label=one.label,
        least=one.least if numbers else None,
        most=one.most if numbers else None,
        choices=one.choices,
    )


def _verification(command: Command) -> Verification:
    if command.check is None:
        return Verification(
            within_seconds=0.0,
            on_inconclusive=command.when_unsure,
            text="no check is configured: its effect cannot be told",
        )
    return Verification(
        within_seconds=command.check_within,
        on_inconclusive=command.when_unsure,
        text=f"{shlex.join(command.check)} ends with 0 after it, and did not before",
    )


def _warnings(command: Command, *, managed: bool) -> tuple[str, ...]:
    found = []
    if not managed and not command.repeatable:
        found.append(
            "no systemd here: if the daemon is lost while it runs, a person has to find out how far it came"
        )
    if command.check is None and command.when_unsure is Inconclusive.HUMAN:
        found.append("no check is configured, so a person is asked afterwards whether it helped")
    return tuple(found)
