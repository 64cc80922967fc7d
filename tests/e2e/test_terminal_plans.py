"""`dbarchitect plans`, `plan`, `stop`, `resume` and `shadow` against a daemon's HTTP side with a real office."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actions.model import State
from tests.fixtures.terminals import Answer, Terminal, dbarchitect
from tests.fixtures.waiting import until
from tests.integration.http.asking import ID, Api, asking


@dataclass
class Desk:
    """The command line of each person."""

    api: Api
    folder: Path

    def options(self, who: str) -> tuple[str, ...]:
        """Return the options by which somebody asks."""
        file = self.folder / f"{who}.token"
        file.write_text(f"{who}-secret\n")
        return ("--url", self.api.served.url, "--token-file", str(file))

    async def run(self, who: str, *words: str, columns: int = 200) -> Answer:
        """Run a command as somebody."""
        answer = await dbarchitect(*words, *self.options(who), COLUMNS=str(columns))
        assert "-secret" not in answer.out + answer.err
        return answer

    async def declined(self, who: str, *words: str) -> str:
        """Return what is said about something that the daemon does not do, and that changes nothing."""
        before = len(self.api.bureau.store.journal)
        answer = await self.run(who, *words)
        assert (answer.code, answer.out) == (1, ""), answer
        assert len(self.api.bureau.store.journal) == before
        return answer.err


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with asking(tmp_path) as api:
        yield Desk(api, tmp_path)


async def test_plans_are_listed_and_shown(desk: Desk) -> None:
    await desk.api.bureau.advised()
    await desk.api.bureau.advised("other", state=State.SUCCEEDED)
    answer = await desk.run("eyes", "plans")
    head, _, *lines = answer.out.splitlines()
    assert head.split()[:5] == ["PLAN", "STATE", "CLASS", "ACTION", "TARGET"]
    assert {line.split()[0] for line in lines} == {"other", ID}
    answer = await desk.run("eyes", "plans", "--state", "proposed", "--output", "json")
    assert [one["id"] for one in json.loads(answer.out)["plans"]] == [ID]
    answer = await desk.run("eyes", "plans", "--target", "pg9")
    assert (answer.code, answer.out) == (0, "No plans.\n")
    assert "unknown state 'prposed'" in await desk.declined("eyes", "plans", "--state", "prposed")
    answer = await desk.run("eyes", "plan", "show", ID[:6], columns=80)
    for said in (
        "make shrink",
        "  undo        unmake shrink",
        "Guards",
        "REFUSES",
        "1 more needed",
        "Journal",
    ):
        assert said in answer.out, answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    answer = await desk.run("eyes", "plan", "show", ID, "--output", "json")
    assert json.loads(answer.out)["plan"]["steps"][0]["name"] == "shrink"


async def test_a_narrow_terminal_keeps_what_matters(desk: Desk) -> None:
    await desk.api.bureau.advised()
    answer = await desk.run("eyes", "plans", columns=80)
    assert max(map(len, answer.out.splitlines())) <= 80
    assert ID in answer.out
    assert "proposed" in answer.out


async def test_what_others_have_named_moves_no_cursor(desk: Desk) -> None:
    made = await desk.api.bureau.advised(reason="\x1b[2Jevil")
    await desk.run("bert", "plan", "deny", ID, "--note", "no")
    for words in (("plans",), ("plan", "show", made.id)):
        answer = await desk.run("eyes", *words)
        assert "\x1b" not in answer.out


async def test_a_plan_is_proposed_approved_by_another_and_run(desk: Desk) -> None:
    words = ("plan", "propose", "fake.act", "pg1", "-p", "rows=7", "--note", "it grows")
    answer = await desk.run("anna", *words, "--output", "json")
    plan = json.loads(answer.out)
    assert (answer.code, plan["state"], plan["proposer"]) == (0, "awaiting_approval", "anna")
    key = plan["id"]
    answer = await desk.run("bert", "plan", "approve", key)
    assert (answer.code, answer.out) == (2, "")
    assert "there is no terminal to ask at" in answer.err
    assert "make shrink" in answer.err, "it is shown first"
    said = await desk.declined("bert", "plan", "approve", key, "--hash", "0" * 64)
    assert "is not the plan that you have seen" in said
    answer = await desk.run("bert", "plan", "approve", key, "--hash", plan["plan_hash"][:12])
    assert (answer.code, answer.out.splitlines()[0]) == (0, f"{key} is approved")
    answer = await desk.run("bert", "plan", "run", key)
    assert answer.code == 0, answer
    assert [record.who for record in desk.api.bureau.store.journal if record.execution == key] == [
        "anna",
        "bert",
        "bert",
        "bert",
    ]


@pytest.mark.parametrize(
    ("who", "words", "said"),
    [
        ("eyes", ("plan", "show", "nobody"), "there is no plan 'nobody'"),
        ("eyes", ("plan", "show", "../../etc/passwd"), "there is no such plan"),
        ("eyes", ("plan", "deny", ID), "the token 'eyes' has no scope 'approve' or 'propose'"),
        ("hook", ("plans",), "the token 'hook' has no scope 'read'"),
        ("anna", ("plan", "propose", "fake.nothing", "pg1"), "there is no action 'fake.nothing'"),
        ("anna", ("plan", "propose", "fake.act", "pg1", "-p", "rows=many"), "rows"),
        ("bert", ("plan", "run", ID), "proposed, not approved: approve it first"),
        ("bert", ("plan", "undo", ID), "only what succeeded can be undone"),
        ("root", ("plan", "settle", ID, "mark_done", "--note", "x"), "nothing waits for a person's decision"),
        ("root", ("plan", "settle", ID, "forget", "--note", "x"), "unknown way to settle 'forget'"),
        ("root", ("resume", "--note", "x"), "no stop flag is set for everything"),
        ("bert", ("resume", "--note", "x"), "has no scope 'admin'"),
        ("eyes", ("stop", "--why", "x"), "has no scope 'approve' or 'admin'"),
    ],
)
async def test_what_the_daemon_declines_ends_with_1(
    desk: Desk, who: str, words: tuple[str, ...], said: str
) -> None:
    await desk.api.bureau.advised()
    assert said in await desk.declined(who, *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "propose", "a", "pg1", "-p", "rows"), "--parameter rows: should be NAME=VALUE"),
        (("plan", "propose", "a", "pg1", "-p", "r=1", "-p", "r=2"), "--parameter r: is there twice"),
        (("plan", "approve", ID, "--hash", "abc"), "--hash abc: give 8 characters at least"),
        (("stop",), "--why is missing"),
        (("stop", "--why", "x", "--direct"), "--direct needs --config"),
        (("shadow", "--since", "yesterday"), "--since yesterday"),
    ],
)
async def test_what_cannot_be_asked_so_ends_with_2(desk: Desk, words: tuple[str, ...], said: str) -> None:
    answer = await desk.run("root", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


async def test_without_a_token_or_a_daemon_it_is_2(desk: Desk) -> None:
    answer = await dbarchitect("plans", "--url", desk.api.served.url)
    assert (answer.code, "wants a token" in answer.err) == (2, True)
    for words in (("plans",), ("plan", "show", ID), ("stop", "--why", "x"), ("shadow",)):
        answer = await dbarchitect(*words, "--url", "http://127.0.0.1:1")
        assert (answer.code, answer.out) == (2, ""), words
        assert "no daemon at http://127.0.0.1:1" in answer.err


async def test_stop_resume_and_what_is_stopped(desk: Desk) -> None:
    answer = await desk.run("eyes", "stop", "--show")
    assert (answer.code, answer.out) == (0, "Nothing is stopped.\n")
    answer = await desk.run("bert", "stop", "--why", "odd", "--target", "pg1", "--action", "fake.act")
    assert answer.code == 0
    assert re.search(r"pg1 +fake\.act +bert .* odd", answer.out), answer.out
    answer = await desk.run("root", "stop", "--why", "all", "--output", "json")
    assert {one["target"] for one in json.loads(answer.out)["stops"]} == {"", "pg1"}
    answer = await desk.run("root", "resume", "--note", "fine")
    assert re.search(r"pg1 +fake\.act", answer.out)
    answer = await desk.run("root", "resume", "--note", "fine", "--target", "pg1", "--action", "fake.act")
    assert (answer.code, answer.out) == (0, "Nothing is stopped.\n")


async def test_shadow_says_what_would_have_been_done(desk: Desk) -> None:
    await desk.api.bureau.advised(state=State.OBSERVED)
    answer = await desk.run("eyes", "shadow", "--since", "2h")
    assert ID in answer.out
    assert "still there" in answer.out
    assert "1 would have been done since" in answer.out
    answer = await desk.run("eyes", "shadow", "--output", "json")
    assert [one["id"] for one in json.loads(answer.out)["shadow"]] == [ID]


@pytest.mark.parametrize(("name", "typed", "state"), [
    ("fake.act", "y\r", State.APPROVED),
    ("fake.act", "n\r", State.PROPOSED),
    ("fake.drop", "pg2\r", State.PROPOSED),
    ("fake.drop", "pg1\r", State.AWAITING_APPROVAL),
])  # fmt: skip
async def test_at_a_terminal_a_person_is_asked(desk: Desk, name: str, typed: str, state: State) -> None:
    await desk.api.bureau.advised(name=name)
    question = "Type the name of its target" if name == "fake.drop" else "Approve this plan?"
    terminal = Terminal(120, 40, "plan", "approve", ID, *desk.options("bert"))
    try:
        await until(lambda: terminal.shows(question), 60)
        assert terminal.shows("make ")
        terminal.press(typed)
        await until(lambda: terminal.shows("") or terminal.process.poll() is not None, 60)
        code = await asyncio.to_thread(terminal.process.wait, 60)
    finally:
        terminal.close()
    assert desk.api.bureau.store.kept[ID].state is state
    assert code == (1 if state is State.PROPOSED else 0)
