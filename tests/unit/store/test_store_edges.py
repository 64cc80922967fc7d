"""What seldom happens to a store: rows that are no rows, anchors that cannot be read, drivers that fail."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from actions.errors import ActError, StoreDamaged, StoreUnavailable
from collectors.postgresql.options import PostgresOptions
from daemon.config.loading import load
from daemon.store import opening
from daemon.store.anchor import Anchor, Mark, last_mark
from daemon.store.book import Book, Head
from daemon.store.checking import Walk
from daemon.store.configured import options_of
from daemon.store.opening import open_store
from daemon.store.options import ANCHOR, FILE, Part, StoreOptions
from daemon.store.runner import _give_up
from daemon.store.store import SqlStore
from tests.fixtures.stores import HandClock, claim, propose, record


@pytest.fixture
def options(tmp_path: Path) -> StoreOptions:
    return StoreOptions(path=tmp_path / FILE, anchor=tmp_path / ANCHOR)


@pytest.fixture
async def store(options: StoreOptions) -> AsyncIterator[SqlStore]:
    """A store with an execution that was claimed, and with three records."""
    async with AsyncExitStack() as stack:
        made = await open_store(options, HandClock(), inline=True)
        stack.push_async_callback(made.close)
        await propose(made, "e1")
        assert await made.move(claim())
        assert await made.write(record())
        yield made


def sql(options: StoreOptions, statement: str) -> None:
    assert options.path
    with closing(sqlite3.connect(options.path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("body = x'ff'", "record 2 is not as it was written"),
        ("who = x'00'", "record 2 is not as it was written"),
        ("at = 9e999", "record 2 is not as it was written"),
        ("step = 'one'", "record 2 is not as it was written"),
        ("who = CAST(x'ff' AS TEXT)", "record 2 cannot be read: "),
        ("body = CAST(x'ff' AS TEXT)", "record 2 cannot be read: "),
    ],
)
async def test_what_no_program_of_ours_writes_is_named(
    store: SqlStore, options: StoreOptions, change: str, words: str
) -> None:
    sql(options, f"UPDATE journal SET {change} WHERE seq = 2")
    seen: list[tuple[int, int]] = []
    report = await store.verify(progress=lambda at, of: seen.append((at, of)))
    assert report.first_bad == 2
    assert words in report.problem
    assert [each for each in seen if each[0] > 1] == []


async def test_progress_is_told(store: SqlStore) -> None:
    seen: list[tuple[int, int]] = []
    await store.verify(progress=lambda at, of: seen.append((at, of)))
    assert seen == [(3, 3)]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE execution SET state = 'asleep'", "the execution e1 cannot be read: 'asleep'"),
        ("UPDATE execution SET plan = '{'", "the execution e1 cannot be read"),
        ("UPDATE execution SET incident = '[]'", "the execution e1 cannot be read"),
        ("UPDATE journal SET kind = 'tale' WHERE seq = 2", "record 2 of the journal cannot be read: 'tale'"),
        ("UPDATE journal SET body = '{' WHERE seq = 2", "record 2 of the journal cannot be read"),
    ],
)
async def test_a_row_that_is_none_is_damage(
    store: SqlStore, options: StoreOptions, statement: str, words: str
) -> None:
    sql(options, statement)
    read = store.execution("e1") if "UPDATE execution" in statement else store.records("e1")
    with pytest.raises(StoreDamaged, match=words):
        await read


async def test_the_past_of_a_row_that_is_none_is_refused(store: SqlStore, options: StoreOptions) -> None:
    sql(options, "UPDATE execution SET state = 'asleep'")
    with pytest.raises(ActError, match="asleep"):
        await store.past(0)


def test_a_record_that_comes_twice_is_named() -> None:
    walk = Walk(Head(5, "h"))
    assert not walk.go(cast("Any", [SimpleNamespace(seq=5)]))
    assert walk.report().problem == "record 5 is there twice"


async def test_an_anchor_that_cannot_be_read_is_not_passed_over(options: StoreOptions) -> None:
    assert options.anchor
    options.anchor.mkdir()
    with pytest.raises(StoreUnavailable, match="the anchor of the journal cannot be read: Is a directory"):
        await open_store(options, HandClock(), inline=True)
    assert options.path
    reader = await open_store(options, HandClock(), Part.READER, inline=True)
    with pytest.raises(StoreUnavailable, match="the anchor cannot be read: Is a directory"):
        await reader.verify()
    await reader.close()


def test_a_line_that_is_written_in_part_is_not_taken_for_one(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / ANCHOR, HandClock())
    first, second = Mark(Head(1, "a" * 64)), Mark(Head(2, "b" * 64))
    anchor.write(first)
    size = (tmp_path / ANCHOR).stat().st_size
    with no_larger_than(size + 10):
        anchor.write(second)
    assert (tmp_path / ANCHOR).stat().st_size == size + 10
    assert "No space left" in anchor.trouble
    assert last_mark(tmp_path / ANCHOR) == first
    anchor.write(second)
    assert anchor.trouble == ""
    assert last_mark(tmp_path / ANCHOR) == second


@contextmanager
def no_larger_than(size: int) -> Iterator[None]:
    """Let no file grow further: what is written is written in part."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_after_a_disk_error_nothing_is_written_until_it_is_opened_again(store: SqlStore) -> None:
    """F17, for every way in which SQLite says so; the real one is made where servers are."""

    def failing(_book: Book) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
        raise error

    with pytest.raises(StoreUnavailable, match="the disk failed"):
        await store._runner.write(failing)
    with pytest.raises(StoreUnavailable, match="the disk failed"):
        await store.write(record())
    assert len(await store.journal()) == 3


async def test_a_renewal_whose_answer_was_lost_is_asked_for_again(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = iter([True])
    commit = sa.RootTransaction.commit

    def losing(transaction: sa.RootTransaction) -> None:
        commit(transaction)
        if next(lost, False):
            raise ConnectionResetError("the wire was cut")

    monkeypatch.setattr(sa.RootTransaction, "commit", losing)
    grant = await store.grant("a", 30.0)
    assert grant
    assert (grant.epoch, grant.fresh) == (1, True), "its owner has not heard of it before"


def test_a_connection_that_does_not_take_back_is_thrown_away() -> None:
    thrown: list[str] = []
    connection = cast("Any", SimpleNamespace(invalidate=lambda: thrown.append("away")))

    def rollback() -> None:
        raise OSError("gone")

    _give_up(connection, cast("Any", SimpleNamespace(rollback=rollback)), ValueError("first"))
    assert thrown == ["away"]
    # One that did not answer would not answer this either.
    _give_up(connection, cast("Any", SimpleNamespace(rollback=rollback)), TimeoutError())
    assert thrown == ["away", "away"]


async def test_a_way_in_that_cannot_be_made_leaves_no_lock(
    options: StoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise StoreUnavailable("no way in")

    for inline in (False, True):
        with monkeypatch.context() as context:
            context.setattr(opening, "open_file", refused)
            with pytest.raises(StoreUnavailable, match="no way in"):
                await open_store(options, HandClock(), inline=inline)
    await (await open_store(options, HandClock())).close()


@pytest.mark.parametrize("inline", [False, True])
async def test_a_folder_at_the_file_s_place_leaves_no_lock(options: StoreOptions, inline: bool) -> None:
    assert options.path
    options.path.mkdir()
    with pytest.raises(StoreUnavailable, match="Is a directory"):
        await open_store(options, HandClock(), inline=inline)
    options.path.rmdir()
    await (await open_store(options, HandClock())).close()


def test_a_store_is_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not both"):
        StoreOptions(path=tmp_path, server=PostgresOptions())


def test_a_configuration_names_the_file_and_the_anchor(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"daemon: {{state_dir: {tmp_path}}}\ntargets: [{{name: pg1, engine: postgresql, host: h}}]\n"
    )
    found = options_of(load(file))
    assert (found.path, found.server, found.anchor) == (tmp_path / FILE, None, tmp_path / ANCHOR)
    file.write_text(
        f"daemon: {{state_dir: {tmp_path}}}\ntargets: [{{name: pg1, engine: postgresql, host: h}}]\n"
        f"acting: {{anchor_file: {tmp_path}/far, store: {{postgresql: {{host: db, user: u, dbname: d}}}}}}\n"
    )
    found = options_of(load(file))
    assert found.path is None
    assert found.server
    assert (found.server.host, found.server.user, found.server.dbname) == ("db", "u", "d")
    assert found.anchor == tmp_path / "far"
