"""F18, F49, F07: a journal that is not as it was written is found out, and the first bad record is named."""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from actions.errors import ActError, StoreDamaged
from actions.model import Record
from actions.ports import ChainReport
from daemon.store.chain import chained
from daemon.store.options import ANCHOR, FILE, Part
from daemon.store.tables import journal
from tests.fixtures.stores import NewPlace, Somewhere, claim, propose, record

RECORDS = 10
HASH_OF = "(SELECT hash FROM journal WHERE seq = {})"


def cut_after(seq: int) -> tuple[str, ...]:
    """Take the end away, and the head with it: inside, the journal contradicts itself nowhere."""
    return (
        f"DELETE FROM journal WHERE seq > {seq}",
        f"UPDATE head SET seq = {seq}, hash = coalesce({HASH_OF.format(seq)}, '')",
    )


def moved(by: int, since: int) -> tuple[str, ...]:
    """Number records anew, without two of one number in between."""
    return (
        f"UPDATE journal SET seq = -seq - {by} WHERE seq >= {since}",
        "UPDATE journal SET seq = -seq WHERE seq < 0",
    )


COLUMNS = ("seq", "execution", "kind", "step", "attempt", "epoch", "who", "at", "body", "prev_hash", "hash")
COPY = f"INSERT INTO journal SELECT {{}}, {', '.join(COLUMNS[1:])} FROM journal WHERE seq = 5"
CASES = {
    "kind edited": (("UPDATE journal SET kind = 'outcome' WHERE seq = 5",), 5, "not as it was written"),
    "execution edited": (("UPDATE journal SET execution = 'e2' WHERE seq = 5",), 5, "not as it was written"),
    "step edited": (("UPDATE journal SET step = 1 WHERE seq = 5",), 5, "not as it was written"),
    "attempt edited": (("UPDATE journal SET attempt = 1 WHERE seq = 5",), 5, "not as it was written"),
    "epoch edited": (("UPDATE journal SET epoch = 1 WHERE seq = 5",), 5, "not as it was written"),
    "who edited": (("UPDATE journal SET who = 'bert' WHERE seq = 5",), 5, "not as it was written"),
    "time edited": (("UPDATE journal SET at = at + 1 WHERE seq = 5",), 5, "not as it was written"),
    "body edited": (("UPDATE journal SET body = '{\"n\":5}' WHERE seq = 5",), 5, "not as it was written"),
    "blank added": (("UPDATE journal SET body = body || ' ' WHERE seq = 5",), 5, "not as it was written"),
    "hash edited": ((f"UPDATE journal SET hash = {HASH_OF.format(4)} WHERE seq = 5",), 5, "not as it"),
    "link edited": ((f"UPDATE journal SET prev_hash = {HASH_OF.format(3)} WHERE seq = 5",), 5, "not as it"),
    "last edited": (("UPDATE journal SET who = 'bert' WHERE seq = 10",), 10, "not as it was written"),
    "first removed": (("DELETE FROM journal WHERE seq = 1",), 1, "record 1 is gone"),
    "one removed": (("DELETE FROM journal WHERE seq = 5",), 5, "record 5 is gone"),
    "three removed": (("DELETE FROM journal WHERE seq IN (5, 6, 7)",), 5, "records 5 to 7 are gone"),
    "removed and closed up": (
        ("DELETE FROM journal WHERE seq = 5", *moved(-1, 6), "UPDATE head SET seq = 9"),
        5,
        "not as it was written",
    ),
    "last removed": (("DELETE FROM journal WHERE seq > 7",), 8, "records 8 to 10 are gone"),
    "reordered": (
        tuple(f"UPDATE journal SET seq = {b} WHERE seq = {a}" for a, b in ((5, -5), (6, 5), (-5, 6))),
        5,
        "not as it was written",
    ),
    "duplicated": ((*moved(1, 6), COPY.format(6), "UPDATE head SET seq = 11"), 6, "not as it was written"),
    "repeated at the end": ((COPY.format(11),), 11, "by another way than the daemon's"),
    "head edited": ((f"UPDATE head SET hash = {HASH_OF.format(9)}",), 10, "says it ends with"),
    "tail cut": (cut_after(7), 8, "the anchor remembers 10"),
    "all cut": (cut_after(0), 1, "the anchor remembers 10"),
}
SERVER_CASES = ("body edited", "one removed", "reordered", "duplicated", "tail cut")


async def written(home: Somewhere, count: int = RECORDS) -> list[Record]:
    """Fill a journal, close it, and return what it holds."""
    store = await home.open()
    for number in range(count):
        assert await store.write(record(body={"n": number, "text": f"body of record {number + 1}"}))
    found = await store.records("")
    await store.close()
    return list(found)


async def verified(home: Somewhere) -> ChainReport:
    reader = await home.open(Part.READER)
    report = await reader.verify()
    await reader.close()
    return report


@pytest.mark.parametrize(
    ("kind", "case"),
    [*(("inline", case) for case in CASES), *(("postgresql", case) for case in SERVER_CASES)],
)
async def test_f18_f49_what_was_tampered_with_is_named(somewhere: NewPlace, kind: str, case: str) -> None:
    statements, first_bad, words = CASES[case]
    home = await somewhere(kind)
    await written(home)
    await home.sql(*statements)
    report = await verified(home)
    assert (report.first_bad, words in report.problem) == (first_bad, True), report
    with pytest.raises(StoreDamaged, match="nothing is done until a person has looked") as caught:
        await home.open()
    assert report.problem in str(caught.value)


async def test_f49_only_the_anchor_knows_of_a_tail_that_was_cut(somewhere: NewPlace, tmp_path: Path) -> None:
    home = await somewhere("sqlite")
    await written(home)
    await home.sql(*cut_after(7))
    assert (await verified(home)).first_bad == 8
    (tmp_path / ANCHOR).unlink()
    assert (await verified(home)).first_bad is None


async def test_f18_a_record_far_from_the_end_is_found_by_verify(somewhere: NewPlace) -> None:
    home = await somewhere("inline")
    await written(home, 150)
    await home.sql("UPDATE journal SET who = 'bert' WHERE seq = 17")
    store = await home.open()
    report = await store.verify()
    assert (report.first_bad, report.records) == (17, 16)
    assert (await store.verify(since_seq=16)).first_bad == 17
    behind = await store.verify(since_seq=17)
    assert (behind.first_bad, behind.records) == (None, 133)


async def test_f49_a_chain_that_was_computed_anew_is_not_the_anchor_s(somewhere: NewPlace) -> None:
    home = await somewhere("inline")
    await written(home)
    await home.sql(*rewritten(home, "bert"))
    report = await verified(home)
    assert (report.first_bad, "written anew" in report.problem) == (10, True), report
    with pytest.raises(StoreDamaged, match="not the one that the anchor remembers"):
        await home.open()


def rewritten(home: Somewhere, who: str) -> list[str]:
    """Say that another did record 5, and make every hash from there on fit."""
    engine = sa.create_engine(f"sqlite:///{home.options.path}")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(journal).order_by(journal.c.seq)).mappings().all()
    engine.dispose()
    prev, statements = rows[3]["hash"], []
    for row in rows[4:]:
        line = SimpleNamespace(**{**row, "who": who if row["seq"] == 5 else row["who"]})
        digest = chained(prev, line)
        statements.append(
            f"UPDATE journal SET who = '{line.who}', prev_hash = '{prev}', hash = '{digest}' "
            f"WHERE seq = {row['seq']}"
        )
        prev = digest
    return [*statements, f"UPDATE head SET hash = '{prev}'"]


async def test_f18_a_byte_flipped_in_the_file_is_named(somewhere: NewPlace, tmp_path: Path) -> None:
    home = await somewhere("sqlite")
    await written(home)
    flipped(tmp_path / FILE, (tmp_path / FILE).read_bytes().index(b"body of record 5"))
    assert (await verified(home)).first_bad == 5
    with pytest.raises(StoreDamaged, match="record 5 is not as it was written"):
        await home.open()


async def test_f18_no_flipped_byte_changes_what_is_read_unnoticed(
    somewhere: NewPlace, tmp_path: Path
) -> None:
    home = await somewhere("inline")
    before = await written(home)
    whole = (tmp_path / FILE).read_bytes()
    chance = random.Random(18)
    noticed = 0
    for _ in range(150):
        (tmp_path / FILE).write_bytes(whole)
        flipped(tmp_path / FILE, chance.randrange(len(whole)), 1 << chance.randrange(8))
        noticed += not await unchanged(home, before)
    assert noticed >= 5, "some of the bytes are a record's"


async def unchanged(home: Somewhere, before: list[Record]) -> bool:
    """Tell whether all is as it was; fail when it is not and nobody says so."""
    try:
        async with contextlib.AsyncExitStack() as stack:
            reader = await home.open(Part.READER)
            stack.push_async_callback(reader.close)
            report = await reader.verify()
            found = await reader.journal()
    except ActError:
        return False
    assert report.first_bad is not None or list(found) == before
    return report.first_bad is None


def flipped(path: Path, offset: int, bit: int = 1) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= bit
    path.write_bytes(data)


@pytest.mark.parametrize("size", [0, 100, 4096, 9000], ids=str)
async def test_f18_a_file_that_was_cut_is_refused(somewhere: NewPlace, tmp_path: Path, size: int) -> None:
    home = await somewhere("sqlite")
    await written(home)
    with (tmp_path / FILE).open("r+b") as file:
        file.truncate(size)
    with pytest.raises(StoreDamaged):
        await home.open()


async def test_f07_an_older_copy_put_in_its_place_is_found_by_the_anchor(
    somewhere: NewPlace, tmp_path: Path
) -> None:
    home = await somewhere("sqlite")
    await written(home)
    shutil.copy(tmp_path / FILE, tmp_path / "copy")
    await written(home, 5)
    shutil.copy(tmp_path / "copy", tmp_path / FILE)
    with pytest.raises(StoreDamaged, match="ends with record 10, and the anchor remembers 15") as caught:
        await home.open()
    assert "an older copy was put in its place" in str(caught.value)
    assert (await verified(home)).first_bad == 11


async def test_f07_an_epoch_is_not_granted_again_by_an_older_copy(
    somewhere: NewPlace, tmp_path: Path
) -> None:
    home = await somewhere("sqlite")
    store = await home.open()
    assert await store.grant("a", 30.0)
    await store.close()
    shutil.copy(tmp_path / FILE, tmp_path / "copy")
    store = await home.open(holder="b")
    await home.pass_time(31)
    granted = await store.grant("b", 30.0)
    assert granted
    assert granted.epoch == 2
    # As kill -9 leaves it: the anchor had its line before the grant was told to anybody.
    anchor = (tmp_path / ANCHOR).read_bytes()
    await store.close()
    (tmp_path / ANCHOR).write_bytes(anchor)
    shutil.copy(tmp_path / "copy", tmp_path / FILE)
    again = await (await home.open()).grant("c", 30.0)
    assert again
    assert again.epoch == 3


async def test_f07_a_journal_that_goes_back_under_a_running_daemon_takes_no_more(
    home: Somewhere,
) -> None:
    store = await home.open()
    await propose(store, "e1", "e2", "e3")
    await home.sql(*cut_after(2), "DELETE FROM execution WHERE id = 'e3'")
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="record 3 was written and is not there any more"):
            await store.move(claim("e1"))
    assert (await store.journal())[-1].seq == 2, "people can still read it"
    # Others have gone on from where it went back to.
    other = await home.second()
    assert await other.write(record(body={"n": 1}))
    assert await other.write(record(body={"n": 2}))
    with pytest.raises(StoreDamaged, match="the journal ends with 4"):
        await store.write(record())


@pytest.mark.parametrize("line", ["", "{}", "garbage", '{"seq":"x","hash":1,"epoch":0}', "\ufffd"])
async def test_an_anchor_s_line_that_cannot_be_read_is_told(
    somewhere: NewPlace, tmp_path: Path, line: str
) -> None:
    home = await somewhere("inline")
    await written(home)
    lines = (tmp_path / ANCHOR).read_text().splitlines()
    (tmp_path / ANCHOR).write_text("\n".join([line, *lines]) + "\n")
    report = await verified(home)
    assert (report.first_bad, report.problem) == (None, "line 1 of the anchor cannot be read")


async def test_a_torn_line_of_the_anchor_is_nobody_s_loss(somewhere: NewPlace, tmp_path: Path) -> None:
    home = await somewhere("inline")
    await written(home)
    with (tmp_path / ANCHOR).open("a") as file:
        file.write('{"at":1,"epo')
    assert (await verified(home)).problem == ""
    await written(home, 3)
    assert (await verified(home)).records == RECORDS + 3
    await home.sql(*cut_after(11))
    assert (await verified(home)).first_bad == 12
