"""Everything that acts, once the store is open; built and ended as a whole."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from actions.action import Action
from actions.command.action import command_actions
from actions.executor import Executor
from actions.guards.judge import judge
from actions.model import Mode, State
from actions.policies.decide import effective
from actions.policy import Policy
from actions.ports import Hands, Store
from actions.postgresql.client import Credentials
from actions.registry import actions
from collectors.model import Target
from collectors.postgresql.options import PostgresOptions
from daemon.acting.cases import Cases
from daemon.acting.clerk import Clerk
from daemon.acting.decisions import Decisions
from daemon.acting.facts import Facts
from daemon.acting.firing import Firing
from daemon.acting.guardian import FactGuardian
from daemon.acting.hands import TargetHands
from daemon.acting.intake import Intake, Rulebook
from daemon.acting.leader import LeaseKeeper, LeaseTimes, owner_name
from daemon.acting.loops import again_and_again
from daemon.acting.metrics import Standing
from daemon.acting.notes import Notes
from daemon.acting.planner import Planner
from daemon.acting.proposals import Proposals
from daemon.acting.runner import Runner
from daemon.acting.steady import SteadyClock, Tilt
from daemon.acting.switch import KillSwitch
from daemon.acting.timetable import Timetable
from daemon.config import Config
from daemon.config.acting import ActSettings
from daemon.snapshot import Snapshot

LOOK_SECONDS = 1.0
COUNT_SECONDS = 5.0


class Rules:
    """What the configuration in force says about acting; a reload replaces `config`."""

    def __init__(self, config: Config, targets: Callable[[Config], Mapping[str, Target]]) -> None:
        self._of = targets
        self.become(config)

    def become(self, config: Config) -> None:
        """Go by another configuration."""
        self.config = config
        self.targets = self._of(config)
        self._acts = {each.name: each.act for each in config.targets}
        self._policies = {each.name: each for each in config.policies.policies}

    def cap(self, target: str) -> Mode:
        """Return how far a target lets any policy go."""
        if self.config.acting.shadow:
            return Mode.OBSERVE
        act = self._acts.get(target)
        return act.mode if act else Mode.ADVISE

    def policy(self, name: str) -> Policy | None:
        """Return a policy by its name."""
        return self._policies.get(name)

    def book(self) -> Rulebook:
        """Return what the intake goes by."""
        return Rulebook(self.config.policies, self.cap)

    def who(self, target: str) -> Credentials | None:
        """Return who acts at a target; None when nobody may."""
        act = self._acts.get(target)
        return Credentials(user=act.user, password=act.password) if act and act.user else None

    def nobody_acts(self, target: str) -> str:
        """Return why nothing can be carried out at a target; empty when somebody acts there."""
        act: ActSettings | None = self._acts.get(target)
        options = self.targets[target].options if target in self.targets else None
        if act is None or (isinstance(options, PostgresOptions) and not act.user):
            return (
                f"nobody acts on {target}: write `act: {{user: ..., password: ..., mode: ...}}` at the target"
            )
        return ""


class House:
    """One for each time that the store is opened."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        snapshot: Snapshot,
        firing: Firing,
        *,
        clock: SteadyClock | None = None,
        times: LeaseTimes | None = None,
        hands: Hands | None = None,
        catalogue: Mapping[str, Action] | None = None,
    ) -> None:
        self.clock = clock = clock or SteadyClock()
        self._store = store
        self._rules = rules
        self._firing = firing
        self.lease = LeaseKeeper(store, owner_name(), clock, times or LeaseTimes())
        self.switch = KillSwitch(store, clock, Path(rules.config.acting.stop_file))
        self.tilt = Tilt(clock)
        notes, facts = Notes(store, clock), Facts(snapshot)
        every = dict(catalogue) if catalogue is not None else all_actions(rules.config)
        hands = hands or TargetHands(lambda: rules.targets, rules.who)
        self.guardian = FactGuardian(
            judge,
            clock=clock,
            store=store,
            switch=self.switch,
            lease=self.lease,
            tilt=self.tilt,
            facts=facts,
            firing=firing,
            notes=notes,
            actions=every,
            policy=self._capped,
            nobody_acts=rules.nobody_acts,
        )
        self.executor = Executor(
            store, hands, every, self.guardian, self.switch, self.lease, clock,
            undo_on_stop=lambda one: bool((found := rules.policy(one.policy)) and found.undo_on_stop),
        )  # fmt: skip
        planner = Planner(every, hands, facts)
        proposals = Proposals(store, self.guardian, clock, rules.nobody_acts)
        self.runner = Runner(self.executor, self.guardian, firing, rules.policy)
        self.intake = Intake(
            firing=firing,
            planner=planner,
            proposals=proposals,
            store=store,
            lease=self.lease,
            clock=clock,
            rulebook=rules.book,
        )
        self._timetable = Timetable(
            clock,
            facts,
            lambda: rules.config.policies.policies,
            lambda name: every[name].info.engine if name in every else None,
        )
        cases = Cases(store, clock, rules.policy)
        decisions = Decisions(store, clock, cases, self.executor, rules.nobody_acts)
        self.clerk = Clerk(store, clock, planner, proposals, cases, decisions, self.switch, notes)
        self._counted = Standing()
        self._unread = False

    async def run(self) -> None:
        """Act until cancelled; what runs is ended as its steps say, then the lease is given back."""
        try:
            async with asyncio.TaskGroup() as work:
                self.runner.start(work)
                try:
                    async with asyncio.TaskGroup() as loops:
                        loops.create_task(self.lease.run())
                        loops.create_task(self.switch.run(self.lease.owner))
                        loops.create_task(self.tilt.run())
                        loops.create_task(again_and_again("intake", self._take_in, LOOK_SECONDS))
                        loops.create_task(again_and_again("runner", self.runner.look, LOOK_SECONDS))
                        loops.create_task(again_and_again("count", self._count, COUNT_SECONDS))
                finally:
                    await self.runner.stop()
        finally:
            if self.runner.idle:
                await self.lease.release()

    def standing(self) -> Standing:
        """Return how things stand, for metrics."""
        return dataclasses.replace(
            self._counted,
            enabled=not self.switch.stopped(),
            leader=bool(self.lease.held().epoch),
            store=not (self.lease.trouble or self._unread),
            flags=len(self.switch.flags()),
            dropped=self._firing.dropped,
            put_off=self.intake.counts.put_off,
            refusals=self.guardian.refusals,
            tally=self.runner.tally,
        )

    def _capped(self, name: str) -> Policy | None:
        """Return a policy that goes no further than the shadow lets any go."""
        policy = self._rules.policy(name)
        if policy is None or not self._rules.config.acting.shadow:
            return policy
        return dataclasses.replace(policy, mode=effective(policy, Mode.OBSERVE)[0])

    async def _take_in(self) -> None:
        if self.lease.held().epoch:
            self._timetable.look(self.intake.scheduled)
        await self.intake.look()

    async def _count(self) -> None:
        self._unread = True
        pending = await self._store.executions({State.AWAITING_APPROVAL})
        human = await self._store.executions({State.NEEDS_HUMAN})
        now = self.clock.now()
        self._counted = Standing(
            pending=len(pending),
            pending_oldest_seconds=max((now - each.created for each in pending), default=0.0),
            human=len(human),
            human_oldest_seconds=max((now - each.updated for each in human), default=0.0),
            running=len(self.executor.busy),
        )
        self._unread = False


def all_actions(config: Config) -> dict[str, Action]:
    """Return every action there is: those of the program, and the configuration's commands."""
    return {**actions(), **{each.info.name: each for each in command_actions(config.acting.commands)}}
