"""A program whose children act on a real server with a real journal, and are ended by kill -9.

Each line of its input is one run, as JSON; each line of its output says how that ended. It forks for every
run, so that a thousand of them need not load the program a thousand times.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from actions.action import ActionInfo, Evidence, Operation, ReadBack, Work
from actions.executor import Executor
from actions.model import (
    ActionClass,
    GuardResult,
    Identity,
    Plan,
    Prediction,
    Record,
    RecordKind,
    Scope,
    State,
    Step,
    StepKind,
    Verdict,
    Verification,
)
from actions.ports import Asked, Tag
from actions.postgresql.client import Credentials, PostgresActing, connect
from actions.recovery import Recovery
from collectors.postgresql.options import PostgresOptions
from daemon.store import runner, store
from daemon.store.book import Book
from daemon.store.opening import open_store
from daemon.store.options import StoreOptions
from tests.fixtures.acting import FakeGuardian, FakeLease, FakeSwitch, approved
from tests.fixtures.waiting import until

LEASE_SECONDS = 0.2
Settings = Mapping[str, Any]


class WallClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class Counting:
    """Two steps of one kind; what they do is counted in tables."""

    info = ActionInfo(
        name="test.count", version=1, engine="postgresql", action_class=ActionClass.B, title="Counts", help=""
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.operations = {"count": Operation(perform=_perform, read_back=_read_back)}

    def made(self) -> Plan:
        """Return the plan."""
        kind = StepKind(self._settings["kind"])
        key = self._settings["execution"]
        return Plan(
            action=self.info.name, version=1, action_class=ActionClass.B,
            target="t", targets=("t",), identity=Identity(database=self._settings["database"]),
            parameters={}, scope=Scope(cluster="t", part=key), subject=key,
            summary="Counts.", reason="A test.", evidence={},
            steps=tuple(
                Step(name=name, operation="count", kind=kind, text=f"count {name}") for name in ("one", "two")
            ),
            prediction=Prediction(duration_seconds=1.0),
            verification=Verification(within_seconds=0.1, every_seconds=0.1),
        )  # fmt: skip

    async def plan(self, asked: Asked, session: PostgresActing) -> Plan:  # noqa: ARG002 - the contract
        return self.made()

    async def check(self, plan: Plan, session: PostgresActing) -> Sequence[GuardResult]:  # noqa: ARG002
        return ()

    async def measure(self, plan: Plan, session: PostgresActing) -> Mapping[str, float]:  # noqa: ARG002
        return {"rows": float((await session.fetch("select count(*) as n from public.effects"))[0]["n"])}

    def judge(self, plan: Plan, before: Evidence, after: Evidence) -> Verdict:  # noqa: ARG002
        return Verdict.IMPROVED


async def _perform(work: Work) -> Evidence:
    session: PostgresActing = work.session
    if work.step.kind is StepKind.READ:
        await session.fetch("select count(*) from public.effects")
    elif work.step.kind is StepKind.CHECKABLE:
        insert = "insert into public.effects (execution, step) values ($1, $2)"
        await session.run(insert, work.execution, work.step.name, within=10)
    else:
        count = "update public.counters set n = n + 1 where execution = $1 and step = $2"
        await session.run(count, work.execution, work.step.name, within=10)
    return {"done": True}


async def _read_back(work: Work) -> ReadBack:
    find = "select count(*) as n from public.effects where execution = $1 and step = $2"
    count = (await work.session.fetch(find, work.execution, work.step.name))[0]["n"]
    return ReadBack(answer="done" if count else "not_done", evidence={"rows": count})


class Reaching:
    """Opens real acting sessions."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options

    def open(self, target: str, database: str, tag: Tag) -> AbstractAsyncContextManager[PostgresActing]:
        del target
        credentials = Credentials(user=self._options.user, password=self._options.password)
        return connect(self._options, credentials, database, tag)


def kill_at(write: int, moment: str) -> Callable[[], None]:
    """Let this process end at its n-th write: `before` it, `inside` its transaction, or `after` it.

    Returns what begins the counting.
    """
    counted = [-1]
    real_write, real_close = runner.Runner.write, Book.close

    def at(now: str) -> None:
        if counted[0] == write and now == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    async def counting(self: runner.Runner, work: Any) -> Any:
        counted[0] += counted[0] >= 0
        at("before")
        result = await real_write(self, work)
        at("after")
        return result

    def close(self: Book) -> None:
        real_close(self)
        at("inside")

    runner.Runner.write = counting  # type: ignore[method-assign]
    Book.close = close  # type: ignore[method-assign]

    def begin() -> None:
        counted[0] = 0

    return begin


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[store.SqlStore]:
    server = settings.get("store_server")
    options = (
        StoreOptions(server=PostgresOptions.model_validate(server))
        if server
        else StoreOptions(path=Path(settings["store_path"]))
    )
    opened = await open_store(options, WallClock())
    try:
        yield opened
    finally:
        await opened.close()


async def act(settings: Settings) -> dict[str, Any]:
    """Carry out what is approved, or go on with what was left, and tell where it stands."""
    begin = kill_at(settings.get("write", 0), settings.get("moment", ""))
    key = settings["execution"]
    action = Counting(settings)
    async with _opened(settings) as journal:
        grant = await until(lambda: journal.grant(f"pid {os.getpid()}", LEASE_SECONDS))
        assert grant is not None
        if settings["first"]:
            await approved(journal, action.made(), key, created=time.time(), deadline=time.time() + 3600)
        records = await journal.records(key)
        executor = _executor(journal, settings, action, grant.epoch)
        begin()
        recovery = Recovery(executor)
        for adopted in await recovery.adopt():
            if adopted == key:
                await recovery.resume(adopted)
        execution = await journal.execution(key)
        if execution is not None and execution.state is State.APPROVED:
            await executor.carry_out(key)
        execution = await journal.execution(key)
        report = await journal.verify()
        return {
            "state": execution.state if execution else "",
            "reason": execution.reason if execution else "",
            "began_open": _open(records),
            "chain": report.problem if report.first_bad is not None else "",
            "intents": sum(each.kind is RecordKind.INTENT for each in await journal.records(key)),
        }


def _executor(journal: Any, settings: Settings, action: Any, epoch: int) -> Executor:
    return Executor(
        journal, Reaching(PostgresOptions.model_validate(settings["target"])), {action.info.name: action},
        FakeGuardian(), FakeSwitch(), FakeLease(epoch=epoch), WallClock(),
    )  # fmt: skip


def _open(records: Sequence[Record]) -> bool:
    """Tell whether an attempt was begun of which no outcome is written."""
    told = [each.kind for each in records if each.kind in {RecordKind.INTENT, RecordKind.OUTCOME}]
    return bool(told) and told[-1] is RecordKind.INTENT


def main() -> None:
    """Run what is asked for, each in a process of its own."""
    for line in sys.stdin:
        settings = json.loads(line)
        result = Path(settings["result"])
        result.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            result.write_text(json.dumps(asyncio.run(act(settings))))
            os._exit(0)
        if (seconds := settings.get("kill_after")) is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    main()
