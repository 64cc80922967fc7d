"""What REINDEX CONCURRENTLY does to an index, how it is read back, and what it may leave behind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from actions.action import Evidence, ReadBack, Work
from actions.errors import NotDone, OutcomeUnknown
from actions.model import Json
from actions.postgresql import indexes
from actions.postgresql.client import PostgresActing
from actions.postgresql.indexes import Index

MARGIN_SECONDS = 30.0
_DROP_SECONDS = 120.0


def statement(index: Index) -> str:
    """Return what rebuilds an index without holding up reads and writes."""
    return f"REINDEX INDEX CONCURRENTLY {index.quoted}"


async def capture(work: Work) -> Evidence:
    """Remember what is there before, so that what is left behind is known as ours."""
    index = await _same(work)
    return {
        "oid": index.oid,
        "bytes": index.bytes,
        "definition": index.definition,
        "known": [one.oid for one in await indexes.of_table(work.session, index.table_oid)],
    }


async def perform(work: Work) -> Evidence:
    """Rebuild it. It works in several transactions, so an error leaves the outcome to be read back."""
    index, known = await _same(work), work.step.arguments
    within = work.step.deadline_seconds - MARGIN_SECONDS
    try:
        await work.session.run(statement(index), within=within, lock_timeout=float(known["wait"]))
    except NotDone as error:
        raise OutcomeUnknown(str(error)) from None
    found = await indexes.find(work.session, known["schema"], known["index"])
    return {**work.before, "bytes_after": found.bytes if found else None}


async def read_back(work: Work) -> ReadBack:
    """Tell by the oid: the new index has the old one's name."""
    known = work.step.arguments
    table = await indexes.of_table(work.session, known["table"])
    if any(one.builder is not None for one in table):
        return ReadBack(answer="under_way", evidence={"builder": table[0].builder})
    named = [one for one in table if (one.schema, one.name) == (known["schema"], known["index"])]
    evidence: dict[str, Json] = {**work.before, "oid_now": named[0].oid if named else None}
    if not named or not named[0].valid:
        return ReadBack(answer="ambiguous", evidence=evidence)
    return ReadBack(answer="not_done" if named[0].oid == known["oid"] else "done", evidence=evidence)


async def clean(work: Work) -> Evidence:
    """Drop what our failed attempts have left."""
    return await _without(work, work.before)


async def tidy(work: Work) -> Evidence:
    """Drop what attempts before the one that succeeded have left, or that one itself."""
    return await _without(work, work.results.get("reindex", {}))


def leftovers(found: Sequence[Index], index: str, known: Sequence[int]) -> list[Index]:
    """Return the debris of a rebuild of one index that was not there before."""
    return [
        one
        for one in found
        if one.oid not in known and not one.valid and one.builder is None and _stems_from(one.name, index)
    ]


def _stems_from(name: str, index: str) -> bool:
    """Tell whether the server gave this name while it rebuilt `index`: cut to fit where it was too long."""
    match = re.search(r"_cc(?:new|old)[0-9]*\Z", name)
    stem = name[: match.start()] if match else ""
    return bool(stem) and (stem == index or (index.startswith(stem) and len(name.encode()) >= 60))  # noqa: PLR2004


async def _without(work: Work, before: Evidence) -> Evidence:
    session: PostgresActing = work.session
    known = work.step.arguments
    found = leftovers(
        await indexes.of_table(session, known["table"]), known["index"], list(before.get("known") or ())
    )
    if not before:
        raise NotDone(f"what was there before {known['index']} was rebuilt is not known: nothing is dropped")
    for one in found:
        sql = f"DROP INDEX CONCURRENTLY {one.quoted}"
        await session.run(sql, within=_DROP_SECONDS, lock_timeout=float(known["wait"]))
    return {"dropped": [one.quoted for one in found]}


async def _same(work: Work) -> Index:
    known = work.step.arguments
    return await indexes.same(work.session, known["oid"], known["schema"], known["index"])
