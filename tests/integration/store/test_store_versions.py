"""F55: stores of older programs are brought up to date with what they hold, newer ones are refused."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from actions.errors import StoreUnavailable
from daemon.store import schema
from daemon.store.options import Part
from daemon.store.tables import metadata
from tests.fixtures.stores import NewPlace, Somewhere, claim, propose, record

NEWER = '''
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    """Add a column, and a table."""
    op.add_column("stop", sa.Column("until", sa.Double, nullable=True))
    op.create_table("extra", sa.Column("id", sa.Integer, primary_key=True))
'''
BROKEN = NEWER + '    op.execute("INSERT INTO absent VALUES (1)")\n'


@pytest.fixture
def next_program(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """Let this be the program that comes after, with one step more; undo it to go back."""
    _newer(tmp_path_factory.mktemp("newer") / "migrations", monkeypatch, NEWER)
    return monkeypatch


def _newer(steps: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    shutil.copytree(schema._STEPS, steps, ignore=shutil.ignore_patterns("__pycache__"))
    (steps / "versions" / "r0002_more.py").write_text(step)
    monkeypatch.setattr(schema, "_STEPS", steps)
    monkeypatch.setattr(schema, "VERSION", "0002")


async def old_store(home: Somewhere) -> None:
    """Leave a store with work under way, as this program's version writes it."""
    store = await home.open()
    await propose(store, "e1", "e2")
    assert await store.move(claim("e1"))
    await store.close()


async def test_f55_an_older_store_is_brought_up_to_date_with_work_in_flight(
    home: Somewhere, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await old_store(home)
    before = await (reader := await home.open(Part.READER)).executions()
    await reader.close()
    _newer(tmp_path_factory.mktemp("newer") / "migrations", monkeypatch, NEWER)
    for part in (Part.READER, Part.CLERK):
        with pytest.raises(StoreUnavailable, match=r"version 0001, this program works with 0002: the daemon"):
            await home.open(part)
    store = await home.open()
    assert await store.executions() == before
    report = await store.verify()
    assert (report.records, report.first_bad) == (3, None)
    assert await store.move(claim("e2"))
    await home.sql("INSERT INTO extra VALUES (1)", "UPDATE stop SET until = 1")
    await store.close()
    assert len(await (await home.open()).executions()) == 2, "a second start finds it done"


async def test_f55_a_newer_store_is_refused_and_left_as_it_is(
    home: Somewhere, next_program: pytest.MonkeyPatch
) -> None:
    await old_store(home)
    next_program.undo()
    for part in Part:
        with pytest.raises(StoreUnavailable, match=r"0002.* up to 0001: start the newer program"):
            await home.open(part)
    await home.sql("INSERT INTO extra VALUES (1)")


async def test_f55_a_step_that_fails_leaves_the_older_store_whole(
    home: Somewhere, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await old_store(home)
    with monkeypatch.context() as broken:
        _newer(tmp_path_factory.mktemp("broken") / "migrations", broken, BROKEN)
        with pytest.raises(StoreUnavailable, match="absent"):
            await home.open()
    store = await home.open()
    assert (await store.verify()).records == 3
    assert await store.write(record())


async def test_of_two_daemons_that_start_at_once_one_makes_the_tables(somewhere: NewPlace) -> None:
    home = await somewhere("postgresql")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(home.open(anchor=None)) for _ in range(4)]
    for task in tasks:
        assert await task.result().write(record())
    assert (await tasks[0].result().verify()).records == 4


def test_the_version_is_the_newest_step_s() -> None:
    names = sorted((schema._STEPS / "versions").glob("r*.py"))
    spec = importlib.util.spec_from_file_location("newest", names[-1])
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.revision == schema.VERSION
    assert names[-1].name.startswith(f"r{schema.VERSION}_")


async def test_the_steps_make_the_tables_that_the_program_knows(home: Somewhere) -> None:
    """Differences between `tables.py` and the migrations, as Alembic's own comparison finds them."""
    store = await home.open()
    found = await store._runner.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection), metadata)
    )
    assert found == []
