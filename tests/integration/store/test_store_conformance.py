"""What every store promises, on SQLite with threads and without, and on PostgreSQL."""

# mypy: disable-error-code="union-attr,type-arg,arg-type,type-var"
from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from actions.errors import StoreUnavailable
from actions.model import LIVE, Incident, RecordKind, Scope, State
from actions.ports import Approval, Move, Stop
from collectors.secret import Secret
from daemon.store.store import SqlStore
from tests.fixtures.acting import step
from tests.fixtures.stores import EPOCH, NewPlace, Somewhere, claim, execution, propose, record


async def test_what_was_proposed_is_read_as_it_was_written(store: SqlStore) -> None:
    wanted = execution("e1", reason="too large", step=2, attempt=1)
    kept, new = await store.propose(wanted, record(RecordKind.PROPOSED, who="anna"))
    assert new
    assert replace(kept, updated=0) == wanted
    assert kept.updated > 0
    assert await store.execution("e1") == kept
    assert await store.execution("e2") is None
    (written,) = await store.records("e1")
    assert (written.kind, written.who, written.execution, written.seq) == ("proposed", "anna", "e1", 1)
    assert written.at == kept.updated
    assert len(written.hash) == 64
    assert written.prev_hash == ""


async def test_a_known_dedup_key_gives_the_known_execution(store: SqlStore) -> None:
    first, _ = await store.propose(execution("e1"), record())
    second, new = await store.propose(execution("e2", dedup_key=first.dedup_key), record())
    assert (second, new) == (first, False)
    assert await store.execution("e2") is None
    assert len(await store.records("e2")) == 0
    assert (await store.verify()).records == 1


async def test_an_id_that_is_taken_is_refused_and_nothing_is_written(store: SqlStore) -> None:
    await propose(store, "e1")
    with pytest.raises(StoreUnavailable, match="contradicts"):
        await store.propose(execution("e1", dedup_key="other"), record())
    assert (await store.verify()).records == 1


async def test_a_move_changes_what_it_names_and_nothing_else(store: SqlStore) -> None:
    await propose(store, "e1")
    before = await store.execution("e1")
    assert before
    assert await store.move(claim(epoch=3))
    claimed = await store.execution("e1")
    assert claimed == replace(before, state=State.CLAIMED, epoch=3, updated=claimed.updated)
    assert await store.move(
        Move(
            execution="e1", expected={State.CLAIMED, State.RUNNING}, expected_epoch=3, to=State.RUNNING, step=1,
            attempt=2, reason="under way", deadline=EPOCH + 5, record=record(RecordKind.INTENT, epoch=3),
            also=(record(RecordKind.GUARDS), record(RecordKind.MEASURED)),
        )
    )  # fmt: skip
    running = await store.execution("e1")
    assert running == replace(
        claimed, state=State.RUNNING, step=1, attempt=2, reason="under way", deadline=EPOCH + 5,
        updated=running.updated,
    )  # fmt: skip
    kinds = [each.kind for each in await store.records("e1")]
    assert kinds == ["proposed", "claimed", "guards", "measured", "intent"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"expected": (State.PROPOSED, State.CLAIMED)},
        {"expected": ()},
        {"expected_epoch": 7},
        {"execution": "nobody"},
        {"lease_epoch": 1},
        {"lease_epoch": 0},
    ],
    ids=str,
)
async def test_a_move_whose_conditions_do_not_hold_writes_nothing(store: SqlStore, wrong: dict) -> None:
    await propose(store, "e1")
    assert not await store.move(replace(claim(), **wrong))
    found = await store.execution("e1")
    assert found.state is State.APPROVED
    assert (await store.verify()).records == 1


async def test_only_the_lease_s_own_epoch_moves_and_writes(store: SqlStore) -> None:
    await propose(store, "e1", "e2")
    grant = await store.grant("a", 30)
    assert await store.move(claim(epoch=grant.epoch, lease_epoch=grant.epoch))
    assert await store.write(record(), lease_epoch=grant.epoch)
    assert not await store.write(record(), lease_epoch=grant.epoch + 1)
    await store.release(grant)
    assert not await store.write(record(), lease_epoch=grant.epoch)
    assert not await store.move(claim("e2", lease_epoch=grant.epoch))


@pytest.mark.parametrize(
    ("held", "wanted", "free"),
    [
        (Scope(cluster="c1", part="t:1"), Scope(cluster="c1", part="t:1"), False),
        (Scope(cluster="c1", part="t:1"), Scope(cluster="c1", part="t:2"), True),
        (Scope(cluster="c1"), Scope(cluster="c1", part="t:2"), False),
        (Scope(cluster="c1", part="t:1"), Scope(cluster="c1"), False),
        (Scope(cluster="c1"), Scope(cluster="c1"), False),
        (Scope(cluster="c1"), Scope(cluster="c2"), True),
        (Scope(cluster="c1", part="t:1"), Scope(cluster="c2", part="t:1"), True),
    ],
    ids=str,
)
async def test_work_that_collides_is_not_claimed(
    store: SqlStore, held: Scope, wanted: Scope, free: bool
) -> None:
    await propose(store, "held", scope=held)
    await propose(store, "wanted", scope=wanted)
    assert held.collides(wanted) is not free
    assert await store.move(claim("held"))
    assert await store.move(claim("wanted")) is free


@pytest.mark.parametrize("state", sorted(State))
async def test_a_scope_is_held_by_what_is_live_and_by_nothing_else(store: SqlStore, state: State) -> None:
    await propose(store, "e1", state=state, scope=Scope(cluster="c1", part="t"))
    await propose(store, "e2", scope=Scope(cluster="c1", part="t"))
    assert await store.move(claim("e2")) is (state not in LIVE)


async def test_what_has_ended_comes_back_only_into_a_free_scope(store: SqlStore) -> None:
    await propose(store, "e1", state=State.SUCCEEDED, scope=Scope(cluster="c1", part="t"))
    await propose(store, "e2", scope=Scope(cluster="c1"))
    undo = replace(claim("e1"), expected={State.SUCCEEDED}, to=State.COMPENSATING)
    assert await store.move(claim("e2"))
    assert not await store.move(undo)
    assert await store.move(
        replace(claim("e2"), expected={State.CLAIMED}, expected_epoch=1, to=State.CANCELLED)
    )
    assert await store.move(undo)


async def test_a_record_of_another_s_execution_is_not_written(store: SqlStore) -> None:
    await propose(store, "e1")
    assert await store.move(claim(epoch=4))
    assert await store.write(record(execution="e1", epoch=4, step=1, attempt=2))
    assert not await store.write(record(execution="e1", epoch=3))
    assert not await store.write(record(execution="nobody", epoch=4))
    assert [each.step for each in await store.records("e1")] == [0, 0, 1]


async def test_what_belongs_to_no_execution_is_found_by_the_empty_id(store: SqlStore) -> None:
    await propose(store, "e1")
    assert await store.write(record(body={"n": 1}))
    assert await store.write(record(body={"n": 2}))
    assert [each.body["n"] for each in await store.records("")] == [1, 2]


async def test_executions_are_listed_newest_first(store: SqlStore) -> None:
    for number in range(5):
        await propose(store, f"e{number}", created=EPOCH + number, state=sorted(State)[number])
    assert [each.id for each in await store.executions()] == ["e4", "e3", "e2", "e1", "e0"]
    assert [each.id for each in await store.executions(limit=2)] == ["e4", "e3"]
    assert [each.id for each in await store.executions(before=EPOCH + 2)] == ["e1", "e0"]
    assert [each.id for each in await store.executions(sorted(State)[1:3])] == ["e2", "e1"]
    assert await store.executions([State.PROPOSED]) == []


async def test_a_person_approves_once(store: SqlStore) -> None:
    await propose(store, "e1")
    yes = Approval(execution="e1", plan_hash="h", who="anna", at=EPOCH, expires_at=EPOCH + 900, note="fine")
    assert await store.approve(yes, record(RecordKind.APPROVAL, who="anna"))
    assert not await store.approve(replace(yes, plan_hash="other"), record(RecordKind.APPROVAL))
    assert await store.approve(replace(yes, who="bert"), record(RecordKind.APPROVAL, who="bert"))
    assert not await store.approve(replace(yes, execution="nobody"), record(RecordKind.APPROVAL))
    assert await store.approvals("e1") == [yes, replace(yes, who="bert")]
    assert await store.approvals("e2") == []
    assert [each.who for each in await store.records("e1")] == ["dbarchitect", "anna", "bert"]


async def test_a_stop_stays_as_it_was_first_set(store: SqlStore) -> None:
    everything = Stop(by="anna", why="enough", at=EPOCH)
    target = Stop(target="pg1", by="bert", why="moving", at=EPOCH + 1)
    await store.stop(everything, record(RecordKind.STOP))
    await store.stop(replace(everything, by="bert"), record(RecordKind.STOP))
    await store.stop(target, record(RecordKind.STOP))
    assert await store.stops() == [everything, target]
    assert await store.resume(Stop(), record(RecordKind.RELEASE))
    assert not await store.resume(Stop(), record(RecordKind.RELEASE))
    assert not await store.resume(Stop(target="pg1", action="x"), record(RecordKind.RELEASE))
    assert await store.stops() == [target]
    assert [each.kind for each in await store.records("")] == ["stop", "stop", "stop", "release"]


async def test_the_past_has_what_was_claimed_and_is_live_or_has_ended_since(home: Somewhere) -> None:
    store = await home.open()
    await propose(store, "never", "old", "new", "live")
    assert await store.move(claim("old"))
    assert await store.move(_ended("old"))
    await home.pass_time(0.05)
    between = (await store.execution("old")).updated + 0.02
    for key in ("new", "live"):
        assert await store.move(claim(key))
    claimed = (await store.execution("new")).updated
    await home.pass_time(0.05)
    assert await store.move(_ended("new"))
    found = {each.id: each for each in await store.past(between)}
    assert found.keys() == {"new", "live"}
    assert (found["new"].started, found["new"].state) == (claimed, "succeeded")
    assert found["new"].ended > claimed
    assert found["live"].ended == found["live"].started
    assert found["live"].family == execution().plan.family
    assert found["live"].incident_key == execution().incident.key
    assert (found["live"].action, found["live"].target, found["live"].cluster) == ("fake.act", "pg1", "c1")
    assert {each.id for each in await store.past(0)} == {"old", "new", "live"}


def _ended(key: str) -> Move:
    return replace(claim(key), expected={State.CLAIMED}, expected_epoch=1, to=State.SUCCEEDED)


async def test_the_lease_is_one_s_until_it_runs_out(home: Somewhere) -> None:
    store = await home.open()
    other = await home.second()
    first = await store.grant("a", 1.0)
    assert (first.owner, first.epoch, first.fresh, first.previous) == ("a", 1, True, "")
    assert await other.grant("b", 1.0) is None
    again = await store.grant("a", 1.0)
    assert (again.epoch, again.fresh) == (1, False)
    assert again.expires_at >= first.expires_at
    await home.pass_time(1.1)
    taken = await other.grant("b", 30.0)
    assert (taken.owner, taken.epoch, taken.fresh, taken.previous) == ("b", 2, True, "a")
    assert await store.grant("a", 1.0) is None


async def test_who_pauses_for_too_long_gets_a_new_epoch(home: Somewhere) -> None:
    store = await home.open()
    await store.grant("a", 1.0)
    await home.pass_time(1.1)
    grant = await store.grant("a", 1.0)
    assert (grant.epoch, grant.fresh, grant.previous) == (2, True, "a")


async def test_a_lease_that_was_given_back_is_free_and_its_epoch_is_not_used_again(home: Somewhere) -> None:
    store = await home.open()
    other = await home.second()
    grant = await store.grant("a", 30.0)
    await other.release(grant)
    assert await other.grant("b", 30.0) is None
    await store.release(replace(grant, epoch=7))
    assert await other.grant("b", 30.0) is None
    await store.release(grant)
    taken = await other.grant("b", 30.0)
    assert (taken.epoch, taken.fresh, taken.previous) == (2, True, "")


async def test_f04_of_two_daemons_with_one_identity_one_gets_the_lease(home: Somewhere) -> None:
    store = await home.open()
    other = await home.second()
    grants = [await store.grant("twin", 30.0), await other.grant("twin", 30.0)]
    assert [grant is not None for grant in grants] == [True, False]
    assert (await store.grant("twin", 30.0)).epoch == 1


async def test_a_lease_from_before_the_clock_was_set_back_is_not_waited_for(somewhere: NewPlace) -> None:
    home = await somewhere("inline")
    store, other = await home.open(), await home.second()
    await store.grant("a", 30.0)
    home.clock.at -= 3600
    assert (await other.grant("b", 30.0)).epoch == 2


async def test_of_many_who_claim_one_scope_at_once_one_gets_it(home: Somewhere) -> None:
    stores = [await home.open(), await home.second()]
    keys = [f"e{number}" for number in range(8)]
    await propose(stores[0], *keys, scope=Scope(cluster="c1", part="t"))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stores[i % 2].move(claim(key))) for i, key in enumerate(keys)]
    assert sorted(task.result() for task in tasks) == [False] * 7 + [True]
    assert len(await stores[1].executions(LIVE)) == 1
    report = await stores[0].verify()
    assert (report.records, report.first_bad, report.problem) == (9, None, "")


async def test_of_many_who_want_the_lease_at_once_one_gets_it(home: Somewhere) -> None:
    stores = [await home.open(), await home.second()]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stores[i % 2].grant(f"owner{i}", 30.0)) for i in range(8)]
    granted = [task.result() for task in tasks if task.result()]
    assert [grant.epoch for grant in granted] == [1]


async def test_records_written_at_once_make_one_chain(home: Somewhere) -> None:
    stores = [await home.open(), await home.second()]
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(stores[number % 2].write(record(body={"n": number})))
    report = await stores[0].verify()
    assert (report.records, report.first_bad, report.problem) == (40, None, "")
    assert sorted(each.body["n"] for each in await stores[1].records("")) == list(range(40))
    last = (await stores[1].records(""))[-1]
    assert last.hash == report.head


async def test_everything_is_there_after_it_was_closed(home: Somewhere) -> None:
    store = await home.open()
    await propose(store, "e1")
    await store.move(claim())
    await store.stop(Stop(by="anna", at=EPOCH), record(RecordKind.STOP))
    await store.grant("a", 30.0)
    before = (await store.execution("e1"), await store.stops(), await store.records("e1"))
    await store.close()
    again = await home.open()
    assert before == (await again.execution("e1"), await again.stops(), await again.records("e1"))
    assert await again.grant("b", 30.0) is None
    assert (await again.verify()).records == 3


async def test_no_secret_gets_into_the_store(store: SqlStore) -> None:
    Secret("canary-4711")
    incident = Incident(source="rules", name="x", labels={"query": "login canary-4711"})
    plan = replace(execution().plan, reason="said canary-4711", evidence={"password": "hunter2"})
    wanted = replace(execution(), plan=plan, incident=incident, reason="canary-4711 was refused")
    await store.propose(
        wanted, record(body={"dsn": "postgresql://u:hunter2@h/", "deep": [{"token": "hunter2"}]})
    )
    await store.move(replace(claim(), reason="because of canary-4711"))
    await store.write(record(body={"canary-4711": {"n": "canary-4711"}}, who="canary-4711"))
    found = [await store.execution("e1"), await store.records("e1"), await store.records("")]
    assert "canary" not in repr(found)
    assert "hunter2" not in repr(found)
    assert repr(found).count("***") >= 9
    assert found[0].plan_hash == found[0].plan.plan_hash
    assert (await store.verify()).first_bad is None


async def test_a_plan_with_a_secret_in_what_is_carried_out_is_refused(store: SqlStore) -> None:
    Secret("canary-4711")
    plan = replace(execution().plan, steps=(step(text="ALTER ROLE x PASSWORD 'canary-4711'"),))
    with pytest.raises(StoreUnavailable, match="holds what looks like a secret") as caught:
        await store.propose(replace(execution(), plan=plan, plan_hash=plan.plan_hash), record())
    assert "canary" not in str(caught.value)
    assert await store.executions() == []


@pytest.mark.parametrize(
    "text",
    ["\0", "\ud800", "\u202e", "\U0001f418", 'a"\\\n\t\x07', "'; drop table journal; --", "x" * 100_000],
)
async def test_any_text_is_kept(store: SqlStore, text: str) -> None:
    assert await store.write(record(body={"text": text, text: [text]}, who=f"who {text}"))
    (written,) = await store.records("")
    kept = text.replace("\0", "\ufffd").replace("\ud800", "?")
    assert written.body == {"text": kept, kept: [kept]}
    assert (await store.verify()).first_bad is None


async def test_numbers_are_kept_to_the_last_digit(store: SqlStore) -> None:
    body = {"a": 0.1 + 0.2, "b": 2**63, "c": -0.0, "d": 1e308, "e": None, "f": True, "g": 5.0}
    assert await store.write(record(body=body))
    (written,) = await store.records("")
    assert repr(written.body) == repr(body)


@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_a_number_that_is_none_is_not_written(store: SqlStore, number: float) -> None:
    with pytest.raises(StoreUnavailable, match="not JSON"):
        await store.write(record(body={"n": number}))
    assert (await store.verify()).records == 0
