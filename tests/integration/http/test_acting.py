"""What people see of plans and stops through the API, and decide."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actions.model import State
from tests.integration.http.asking import ID, PLANS, STOP, Api, asking


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with asking(tmp_path) as made:
        yield made


async def test_a_plan_from_the_list_to_the_run(api: Api) -> None:
    made = await api.bureau.advised()
    (listed,) = (await api.get(PLANS))["plans"]
    assert listed["id"] == made.id
    assert (listed["class"], listed["state"], listed["policy"]) == ("C", "proposed", "shrink")
    whole = (await api.get(f"{PLANS}/{made.id[:6]}"))["plan"]
    assert whole["plan"]["steps"][0]["text"] == "make shrink"
    assert whole["plan"]["class"] == "C"
    assert whole["approvals_needed"] == 1
    assert whole["journal"][0]["body"]["guards"][0]["guard"] == "mode"
    status, said = await api.approve("bert", whole["plan_hash"], note="looks right")
    assert (status, said["plan"]["state"]) == (200, "approved")
    status, said = await api.post(f"{PLANS}/{made.id}/run", "bert")
    assert status == 200, said
    whole = (await api.get(f"{PLANS}/{made.id}"))["plan"]
    (yes,) = whole["approvals"]
    assert (yes["who"], yes["note"]) == ("bert", "looks right")
    assert 0 < yes["expires_at"] - yes["at"] <= 900
    assert [record["who"] for record in whole["journal"]] == ["dbarchitect", "bert", "bert", "bert"]


async def test_plans_of_a_state_or_target_only(api: Api) -> None:
    await api.bureau.advised("one1")
    await api.bureau.advised("two2", state=State.SUCCEEDED)

    async def ids(query: str) -> list[str]:
        return sorted(plan["id"] for plan in (await api.get(f"{PLANS}?{query}"))["plans"])

    assert await ids("state=succeeded") == ["two2"]
    assert await ids("state=succeeded,proposed") == ["one1", "two2"]
    assert await ids("state=succeeded&state=denied") == ["two2"]
    assert await ids("target=pg1") == ["one1", "two2"]
    assert await ids("target=pg2") == []
    assert len(await ids("limit=1")) == 1


async def test_a_yes_counts_for_what_was_seen_and_for_once(api: Api) -> None:
    """F39, F40: a changed plan, the same yes again, the same person twice, the proposer himself."""
    made = await api.bureau.advised(name="fake.drop")
    path = f"{PLANS}/{made.id}/approve"
    body = {"plan_hash": made.plan_hash, "confirm": "pg1"}
    status, error = await api.refused("POST", path, "bert", body | {"plan_hash": "0" * 64})
    assert (status, error.partition(":")[0]) == (409, f"{made.id} is not the plan that you have seen")
    status, error = await api.refused("POST", path, "bert", body | {"confirm": "pg2"})
    assert status == 400
    assert "type the name of its target" in error
    status, said = await api.ask("POST", path, "bert", body)
    assert (status, said["plan"]["state"]) == (200, "awaiting_approval")
    status, error = await api.refused("POST", path, "bert", body)
    assert (status, error) == (409, f"bert has approved {made.id} already")
    status, said = await api.ask("POST", path, "cleo", body)
    assert (status, said["plan"]["state"]) == (200, "approved")
    status, error = await api.refused("POST", path, "cleo", body)
    assert status == 409


async def test_nobody_approves_what_he_has_proposed(api: Api) -> None:
    status, said = await api.post(PLANS, "cleo", action="fake.act", target="pg1", parameters={"rows": 7})
    assert (status, said["plan"]["state"], said["plan"]["proposer"]) == (201, "awaiting_approval", "cleo")
    key, plan_hash = said["plan"]["id"], said["plan"]["plan_hash"]
    status, error = await api.refused("POST", f"{PLANS}/{key}/approve", "cleo", {"plan_hash": plan_hash})
    assert (status, error) == (403, f"cleo has proposed {key}: somebody else must approve it")
    status, said = await api.approve("bert", plan_hash, key)
    assert (status, said["plan"]["state"]) == (200, "approved")


async def test_what_has_expired_is_not_approved(api: Api) -> None:
    made = await api.bureau.advised(deadline=api.bureau.store.clock.now() - 1)
    status, error = await api.refused("POST", f"{PLANS}/{ID}/approve", "bert", {"plan_hash": made.plan_hash})
    assert (status, error) == (409, f"{ID} has expired")


async def test_what_changed_meanwhile_is_not_approved(api: Api) -> None:
    made = await api.bureau.advised()
    store = api.bureau.store
    other = replace(made.plan, parameters={"rows": 6})
    store.kept[ID] = replace(made, plan=other, plan_hash=other.plan_hash)
    status, error = await api.refused("POST", f"{PLANS}/{ID}/approve", "bert", {"plan_hash": made.plan_hash})
    assert status == 409
    assert other.plan_hash in error


async def test_whoever_may_only_propose_takes_back_his_own(api: Api) -> None:
    await api.bureau.advised()
    status, error = await api.refused("POST", f"{PLANS}/{ID}/deny", "anna", {"note": "no"})
    assert (status, error) == (403, f"{ID} was proposed by dbarchitect")
    _, said = await api.post(PLANS, "anna", action="fake.act", target="pg1")
    status, said = await api.post(f"{PLANS}/{said['plan']['id']}/deny", "anna", note="mistaken")
    assert (status, said["plan"]["state"], said["plan"]["reason"]) == (
        200,
        "denied",
        "denied by anna: mistaken",
    )
    status, said = await api.post(f"{PLANS}/{ID}/deny", "bert")
    assert (status, said["plan"]["state"]) == (200, "denied")
    assert (await api.refused("POST", f"{PLANS}/{ID}/deny", "bert", {}))[0] == 409


async def test_what_stands_elsewhere_is_neither_run_nor_undone_nor_settled(api: Api) -> None:
    await api.bureau.advised()
    assert (await api.refused("POST", f"{PLANS}/{ID}/run", "bert", {}))[0] == 409
    assert (await api.refused("POST", f"{PLANS}/{ID}/undo", "bert", {}))[0] == 409
    settle = {"how": "mark_done", "note": "seen"}
    assert (await api.refused("POST", f"{PLANS}/{ID}/settle", "root", settle))[0] == 409
    status, error = await api.refused("POST", f"{PLANS}/{ID}/settle", "root", {**settle, "how": "forget"})
    assert (status, error) == (400, "unknown way to settle 'forget'")


async def test_a_person_settles_what_needs_one(api: Api) -> None:
    await api.bureau.advised(state=State.NEEDS_HUMAN, epoch=1)
    status, said = await api.post(f"{PLANS}/{ID}/settle", "root", how="mark_done", note="looked at the table")
    assert status == 200, said
    assert said["plan"]["state"] == "closed_by_human"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"action": "fake.nothing", "target": "pg1"}, 404, "there is no action 'fake.nothing'"),
        ({"action": "fake.act", "target": "pg9"}, 409, "'pg9' is no target that is watched here"),
        ({"action": "fake.act", "target": "pg1", "parameters": {"row": 1}}, 400, "no parameter 'row'"),
        ({"action": "fake.act", "target": "pg1", "parameters": {"rows": "1; drop"}}, 400, "rows"),
        ({"action": "fake.act", "target": "pg1", "parameters": {"rows": 1001}}, 400, "rows"),
        ({"action": "fake.act", "target": "pg1", "parameters": {"rows": 1e308}}, 400, "rows"),
        ({"action": "fake.act", "target": "pg1", "parameters": {"rows": True}}, 400, "rows"),
    ],
)
async def test_a_wish_that_makes_no_plan(api: Api, body: dict[str, Any], status: int, error: str) -> None:
    code, said = await api.refused("POST", PLANS, "anna", body)
    assert (code, error in said) == (status, True), said


async def test_stop_and_resume(api: Api) -> None:
    assert (await api.get(STOP))["stops"] == []
    status, said = await api.post(STOP, "bert", why="something is odd\nsee ticket")
    assert (status, [each["by"] for each in said["stops"]]) == (200, ["bert"])
    await api.post(STOP, "root", why="replaced", target="pg1")
    assert {each["target"] for each in (await api.get(STOP))["stops"]} == {"", "pg1"}
    status, said = await api.ask("DELETE", STOP, "root", {"note": "all clear"})
    assert [each["target"] for each in said["stops"]] == ["pg1"]
    status, error = await api.refused("DELETE", STOP, "root", {"note": "again"})
    assert (status, error) == (409, "no stop flag is set for everything")
    api.bureau.stop_file.touch()
    status, error = await api.refused("DELETE", STOP, "root", {"note": "again"})
    assert (status, "is there" in error) == (409, True)


async def test_a_breaker_is_acknowledged_with_a_note(api: Api) -> None:
    path = "/api/v1/breakers/{}/acknowledge"
    status, error = await api.refused("POST", path.format("fake.nothing"), "root", {"note": "x"})
    assert (status, error) == (404, "there is no action 'fake.nothing'")
    status, said = await api.post(path.format("fake.act"), "root", note="the disk was replaced")
    assert (status, said["action"]) == (200, "fake.act")
    record = api.bureau.store.journal[-1]
    assert (record.who, record.body["note"]) == ("root", "the disk was replaced")


async def test_the_rest_that_is_read(api: Api) -> None:
    actions = (await api.get("/api/v1/actions"))["actions"]
    assert [(one["name"], one["class"]) for one in actions] == [("fake.act", "C"), ("fake.drop", "D")]
    await api.bureau.advised(state=State.OBSERVED)
    (seen,) = (await api.get("/api/v1/shadow"))["shadow"]
    assert (seen["id"], seen["cleared_at"]) == (ID, None)
    now = api.bureau.store.clock.now()
    assert (await api.get(f"/api/v1/shadow?since={now}"))["shadow"] == []
    audit = (await api.get("/api/v1/audit/verify"))["audit"]
    assert (audit["ok"], audit["records"]) == (True, len(api.bureau.store.journal))
