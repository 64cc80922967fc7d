"""`dbarchitect audit`: on real journals, whole and damaged, beside a daemon and without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from actions.errors import StoreDamaged
from actions.model import RecordKind
from daemon.cli import app
from daemon.store.anchor import last_mark
from daemon.store.opening import open_store
from daemon.store.options import ANCHOR, FILE, Part, StoreOptions
from daemon.store.store import SqlStore
from tests.fixtures.stores import HandClock, claim, propose, record


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"daemon: {{state_dir: {tmp_path}}}\ntargets: [{{name: pg1, engine: postgresql}}]\n")
    return path


def audit(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, words)], env={"COLUMNS": "200"})


def journal(config: Path, work: Callable[[SqlStore], Awaitable[None]] | None = None) -> None:
    """Write a journal: a plan of anna's, claimed by epoch 1, and what `work` does."""

    async def made() -> None:
        options = StoreOptions(path=config.parent / FILE, anchor=config.parent / ANCHOR)
        store = await open_store(options, HandClock(time.time()))
        assert (await store.grant("one", 60.0)).epoch == 1  # type: ignore[union-attr]
        await propose(store, "e1")
        await store.move(claim(epoch=1, lease_epoch=1))
        body = {"event": "stop", "target": "pg1", "action": "", "why": "the disk is\x1b[2J slow"}
        await store.write(record(RecordKind.STOP, body=body, who="anna"))
        if work:
            await work(store)
        await store.close()

    asyncio.run(made())


def sql(config: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(config.parent / FILE)) as connection, connection:
        connection.execute(statement)


def test_a_whole_journal_is_said_to_be_whole(config: Path) -> None:
    journal(config)
    said = audit("verify", "--config", config)
    assert said.exit_code == 0, said.output
    head = last_mark(config.parent / ANCHOR).head.hash
    assert said.stdout == (
        f"{config.parent / FILE}: 3 records, all as they were written; the last has the hash {head}\n"
    )
    data = json.loads(audit("verify", "--config", config, "--output", "json").stdout)
    assert (data["ok"], data["records"], data["head"], data["first_bad"]) == (True, 3, head, None)


@pytest.mark.parametrize(
    ("done", "first_bad", "words"),
    [
        ("update journal set who = 'bert' where seq = 2", 2, "record 2 is not as it was written"),
        ("delete from journal where seq = 2", 2, "record 2 is gone"),
        ("delete from journal where seq = 3", 3, "records 3 to 3 are gone"),
    ],
)
def test_the_first_bad_record_is_named(config: Path, done: str, first_bad: int, words: str) -> None:
    journal(config)
    sql(config, done)
    said = audit("verify", "--config", config)
    assert said.exit_code == 1
    assert words in said.stdout
    assert f"the {first_bad - 1} before it are as they were written" in said.stdout
    assert "docs/audit.md" in said.stdout
    data = json.loads(audit("verify", "--config", config, "--output", "json").stdout)
    assert (data["ok"], data["first_bad"]) == (False, first_bad)


def test_a_file_that_is_no_database_is_damaged_and_one_that_is_not_there_cannot_be_read(config: Path) -> None:
    said = audit("verify", "--config", config)
    assert said.exit_code == 2
    assert "there is no journal: no daemon has acted with this one yet" in said.stderr
    (config.parent / FILE).write_bytes(b"not a database, surely " * 1000)
    said = audit("verify", "--config", config)
    assert said.exit_code == 1
    assert "the file is damaged: file is not a database" in said.stdout
    said = audit("show", "--config", config)
    assert said.exit_code == 1
    assert "`dbarchitect audit verify` names the first bad record" in said.stderr


def test_a_configuration_with_mistakes_is_named(config: Path) -> None:
    config.write_text("daemon: {state_dir: 5}\n")
    said = audit("verify", "--config", config, "--output", "json")
    assert said.exit_code == 2
    assert "config.yaml:1" in json.loads(said.stdout)["problem"]


def test_who_did_what_and_why_is_shown(config: Path) -> None:
    journal(config)
    said = audit("show", "--config", config)
    assert said.exit_code == 0, said.output
    rows = said.stdout.splitlines()[-3:]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert "claimed" in rows[1]
    assert "anna" in rows[2]
    assert "stop of target pg1" in rows[2]
    assert "\x1b" not in said.stdout
    (row,) = audit("show", "--config", config, "--limit", "1").stdout.splitlines()[2:]
    assert row.split() == rows[2].split()


def test_one_plan_is_shown_whatever_its_age_and_a_wrong_one_is_told(config: Path) -> None:
    journal(config)
    data = json.loads(audit("show", "--config", config, "--plan", "e1", "--output", "json").stdout)
    assert [line["kind"] for line in data["records"]] == ["proposed", "claimed"]
    assert {line["execution"] for line in data["records"]} == {"e1"}
    said = audit("show", "--config", config, "--plan", "e7")
    assert (said.exit_code, said.stderr) == (1, "dbarchitect: there is no plan 'e7' in the journal\n")
    said = audit("show", "--config", config, "--since", "soon")
    assert said.exit_code == 2
    assert '--since soon: not a valid duration string: "soon"' in said.stderr
    sql(config, "update journal set at = at - 90000")
    assert audit("show", "--config", config).stdout == "Nothing was written within 24h.\n"


def test_it_works_beside_a_daemon_but_sets_nothing_aside_then(config: Path) -> None:
    async def beside(store: SqlStore) -> None:
        said = await asyncio.to_thread(audit, "verify", "--config", config)
        assert said.exit_code == 0, said.output
        said = await asyncio.to_thread(audit, "set-aside", "--config", config, "--why", "a test")
        assert said.exit_code == 2
        assert "another daemon (pid" in said.stderr
        await store.write(record())

    journal(config, beside)
    assert audit("verify", "--config", config).exit_code == 0


def test_a_damaged_journal_is_kept_and_a_new_one_begins_stopped(config: Path) -> None:
    journal(config)
    sql(config, "update journal set body = '{}' where seq = 2")
    damaged = (config.parent / FILE).read_bytes()
    said = audit("set-aside", "--config", config, "--why", "record 2 was changed", "--output", "json")
    assert said.exit_code == 0, said.output
    kept = Path(json.loads(said.stdout)["kept_in"])
    assert (kept / FILE).read_bytes() == damaged
    assert last_mark(kept / ANCHOR).head.seq == 3
    assert audit("verify", "--config", config).exit_code == 0
    (line,) = json.loads(audit("show", "--config", config, "--output", "json").stdout)["records"]
    assert line["kind"] == "stop"
    assert line["body"]["kept_in"] == str(kept)
    assert line["body"]["records"] == 1
    assert "record 2 is not as it was written" in line["body"]["problem"]

    async def after() -> None:
        options = StoreOptions(path=config.parent / FILE, anchor=config.parent / ANCHOR)
        store = await open_store(options, HandClock(time.time()), Part.DAEMON)
        (stop,) = await store.stops()
        assert (stop.target, stop.action) == ("", "")
        assert "record 2 was changed" in stop.why
        # Epochs go on: what is still at a target is of an older one.
        assert (await store.grant("two", 60.0)).epoch == 2  # type: ignore[union-attr]
        await store.close()

    asyncio.run(after())


def test_setting_aside_needs_a_reason_and_a_journal(config: Path) -> None:
    said = audit("set-aside", "--config", config, "--why", "gone")
    assert said.exit_code == 2
    assert "there is no journal" in said.stderr
    journal(config)
    said = audit("set-aside", "--config", config, "--why", " ")
    assert (said.exit_code, said.stderr) == (2, "dbarchitect: --why: should say why\n")
    assert audit("verify", "--config", config).exit_code == 0


def test_cut_short_no_daemon_begins_and_it_can_be_done_again(config: Path) -> None:
    journal(config)
    (config.parent / f"{ANCHOR}.new").mkdir()
    said = audit("set-aside", "--config", config, "--why", "a test")
    assert said.exit_code == 2
    assert "no new anchor can be begun: Is a directory; do this again" in said.stderr

    async def start() -> None:
        await open_store(
            StoreOptions(path=config.parent / FILE, anchor=config.parent / ANCHOR), HandClock(time.time())
        )

    with pytest.raises(StoreDamaged, match="the journal ends with record 1, and the anchor remembers 3"):
        asyncio.run(start())
    (config.parent / f"{ANCHOR}.new").rmdir()
    # Folders are named by the second.
    time.sleep(1.1)
    said = audit("set-aside", "--config", config, "--why", "a test")
    assert said.exit_code == 0, said.output
    assert "dbarchitect resume --note" in said.stdout
    assert last_mark(config.parent / ANCHOR).epoch == 1
    assert audit("verify", "--config", config).exit_code == 0
