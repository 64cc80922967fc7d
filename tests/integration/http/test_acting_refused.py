"""What the API does not do about plans and stops: for whom, and whatever else is wrong with a request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.acting.office import Office, OfficeRefused
from daemon.http import acting_body
from tests.integration.http.asking import ID, PLANS, SCOPES, STOP, TOKENS, Api, asking
from tests.integration.http.serving import serving
from tests.unit.snapshot.making import snapshot_of

CHANGES = [
    ("POST", PLANS, {"anna", "cleo"}, {"action": "fake.act", "target": "pg1"}),
    ("POST", f"{PLANS}/{ID}/approve", {"bert", "cleo"}, {"plan_hash": "x"}),
    ("POST", f"{PLANS}/{ID}/deny", {"anna", "bert", "cleo"}, {}),
    ("POST", f"{PLANS}/{ID}/run", {"bert", "cleo"}, {}),
    ("POST", f"{PLANS}/{ID}/undo", {"bert", "cleo"}, {}),
    ("POST", f"{PLANS}/{ID}/settle", {"root"}, {"how": "mark_done", "note": "seen"}),
    ("POST", STOP, {"bert", "cleo", "root"}, {"why": "drill"}),
    ("DELETE", STOP, {"root"}, {"note": "over"}),
    ("POST", "/api/v1/breakers/fake.act/acknowledge", {"root"}, {"note": "mended"}),
]
READS = ["/api/v1/actions", PLANS, f"{PLANS}/{ID}", STOP, "/api/v1/shadow", "/api/v1/audit/verify"]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with asking(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path", "may", "body"), CHANGES, ids=lambda value: value[:40] if isinstance(value, str) else ""
)
async def test_each_change_wants_a_token_with_its_scope(
    api: Api, method: str, path: str, may: set[str], body: dict[str, Any]
) -> None:
    assert (await api.refused(method, path, "", body))[0] == 401
    assert (await api.refused(method, path, "stranger", body))[0] == 401
    for who in sorted(set(SCOPES) - may):
        status, error = await api.refused(method, path, who, body)
        assert status == 403, who
        assert f"the token '{who}' has no scope" in error
    for who in sorted(may):
        await api.bureau.advised(key=ID)
        status, said = await api.ask(method, path, who, body)
        assert status not in (401, 405, 500), said
        assert "no scope" not in said.get("error", "")


@pytest.mark.parametrize("path", READS)
async def test_reading_wants_the_scope_read(api: Api, path: str) -> None:
    await api.bureau.advised(key=ID)
    assert (await api.refused("GET", path))[0] == 401
    assert (await api.refused("GET", path, "hook"))[0] == 403
    await api.get(path)


async def test_where_reading_is_free_changing_is_not(api: Api) -> None:
    async with serving(snapshot_of(), office=lambda: api.bureau.clerk) as served:
        other = Api(api.session, served, api.bureau)
        await other.get(PLANS, "")
        for method, path, _, body in CHANGES:
            assert (await other.refused(method, path, "", body))[0] == 401, path


@pytest.mark.parametrize(
    ("method", "path", "may", "body"), CHANGES, ids=lambda value: value[:40] if isinstance(value, str) else ""
)
async def test_what_changes_something_is_json_from_here(
    api: Api, method: str, path: str, may: set[str], body: dict[str, Any]
) -> None:
    who = min(may)
    raw = json.dumps(body).encode()
    plain = {"Content-Type": "text/plain"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await api.refused(method, path, who, raw, **plain))[0] == 415
    assert (await api.refused(method, path, who, raw, **form))[0] == 415
    assert (await api.refused(method, path, who, raw, **{"Content-Encoding": "gzip"}))[0] == 415
    assert (await api.refused(method, path, who, b"[" * 20000))[0] == 400
    assert (await api.refused(method, path, who, b'{"note": NaN}'))[0] == 400
    assert (await api.refused(method, path, who, b"\xff"))[0] == 400
    assert (await api.refused(method, path, who, b"[1]"))[0] == 422
    large = b'{"note": "' + b"x" * acting_body.SIZE_MAX_BYTES + b'"}'
    assert (await api.refused(method, path, who, large))[0] == 413
    status, error = await api.refused(method, path, who, {"nonsense": 1})
    assert (status, error) == (400, "unknown key 'nonsense'")
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://["):
        status, error = await api.refused(method, path, who, raw, Origin=origin)
        assert (status, error) == (403, "a page of another site asks")


async def test_a_page_of_this_address_may_ask(api: Api) -> None:
    status, _ = await api.ask("POST", STOP, "bert", {"why": "drill"}, Origin=api.served.url)
    assert status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", f"{PLANS}/{ID}/approve", "POST"),
        ("GET", f"{PLANS}/{ID}/run", "POST"),
        ("PUT", STOP, "DELETE,GET,HEAD,POST"),
        ("DELETE", f"{PLANS}/{ID}", "GET,HEAD"),
        ("GET", "/api/v1/breakers/fake.act/acknowledge", "POST"),
    ],
)
async def test_another_method_is_told_which_are_taken(api: Api, method: str, path: str, allowed: str) -> None:
    headers = {"Authorization": "Bearer cleo-secret"}
    async with api.session.request(method, api.served.url + path, headers=headers) as answer:
        assert (answer.status, sorted(answer.headers["Allow"].split(","))) == (405, allowed.split(","))


@pytest.mark.parametrize(
    "key", ["nobody", "..%2F..%2Fetc", "a%00b", "x" * 65, "%F0%9F%92%A9", "'; drop", "*"]
)
@pytest.mark.parametrize(
    ("verb", "body"), [("approve", {"plan_hash": "x"}), ("deny", {}), ("run", {}), ("undo", {})]
)
async def test_a_plan_that_is_not_there(api: Api, key: str, verb: str, body: dict[str, str]) -> None:
    status, error = await api.refused("POST", f"{PLANS}/{key}/{verb}", "cleo", body)
    assert status == 404, error
    assert (await api.refused("GET", f"{PLANS}/{key}", "eyes"))[0] == 404


@pytest.mark.parametrize(
    ("path", "who", "body", "error"),
    [
        (PLANS, "anna", {"target": "pg1"}, "action is missing"),
        (PLANS, "anna", {"action": " ", "target": "pg1"}, "action is missing"),
        (PLANS, "anna", {"action": "fake.act"}, "target is missing"),
        (PLANS, "anna", {"action": 1, "target": "pg1"}, "action should be text"),
        (PLANS, "anna", {"action": "a\x1b[31m", "target": "pg1"}, "action should be at most 1000"),
        (PLANS, "anna", {"action": "a", "target": "pg1", "note": "\ud800"}, "note should be at most 1000"),
        (PLANS, "anna", {"action": "a", "target": "pg1", "note": "x\x00"}, "note should be at most 1000"),
        (PLANS, "anna", {"action": "a", "target": "pg1", "note": "x" * 1001}, "note should be at most 1000"),
        (
            PLANS,
            "anna",
            {"action": "a", "target": "pg1", "parameters": [1]},
            "parameters should be an object",
        ),
        (PLANS, "anna", {"action": "a", "target": "p", "parameters": {"x": None}}, "parameters.x should be"),
        (PLANS, "anna", {"action": "a", "target": "p", "parameters": {"x": "\ud800"}}, "parameters.x should"),
        (PLANS, "anna", {"action": "a", "target": "p", "parameters": {"\ud800": 1}}, "parameters.\\ud800"),
        (PLANS, "anna", b'{"action": "a", "target": "p", "parameters": {"x": 1e999}}', "parameters.x should"),
        (f"{PLANS}/{ID}/approve", "bert", {}, "plan_hash is missing"),
        (f"{PLANS}/{ID}/settle", "root", {"note": "x"}, "how is missing"),
        (f"{PLANS}/{ID}/settle", "root", {"how": "resume"}, "note is missing"),
        (STOP, "root", {}, "why is missing"),
        ("/api/v1/breakers/fake.act/acknowledge", "root", {"note": "  "}, "note is missing"),
    ],
)
async def test_a_body_that_says_the_wrong_thing(
    api: Api, path: str, who: str, body: dict[str, Any] | bytes, error: str
) -> None:
    status, said = await api.refused("POST", path, who, body)
    assert status == 422
    assert error in said


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (f"{PLANS}?state=runing", "unknown state 'runing'"),
        (f"{PLANS}?state=running,x", "unknown state 'x'"),
        (f"{PLANS}?limit=-1", "limit is not a number"),
        (f"{PLANS}?limit=9999", "limit is not a number"),
        (f"{PLANS}?limits=9", "unknown parameter 'limits'"),
        (f"{PLANS}?target=a&target=b", "target is given 2 times"),
        (f"{PLANS}/{ID}?x=1", "unknown parameter 'x'"),
        ("/api/v1/shadow?since=yesterday", "since 'yesterday' is no moment of the past"),
        ("/api/v1/shadow?since=nan", "since 'nan' is no moment"),
        ("/api/v1/shadow?since=-1", "since '-1' is no moment"),
        ("/api/v1/shadow?since=1e18", "since '1e18' is no moment"),
        ("/api/v1/audit/verify?since=1", "unknown parameter 'since'"),
        ("/api/v1/actions?x", "unknown parameter 'x'"),
        (f"{STOP}?x=1", "unknown parameter 'x'"),
    ],
)
async def test_a_question_that_is_none(api: Api, path: str, error: str) -> None:
    status, said = await api.refused("GET", path, "eyes")
    assert status == 400
    assert error in said


async def test_without_a_store_or_acting_it_says_so(api: Api) -> None:
    api.bureau.store.away = True
    for path in (PLANS, f"{PLANS}/{ID}", "/api/v1/shadow"):
        status, error = await api.refused("GET", path, "eyes")
        assert (status, "the journal is not available" in error) == (503, True), error
    status, error = await api.refused("POST", f"{PLANS}/{ID}/approve", "bert", {"plan_hash": "x"})
    assert status == 503

    def nobody() -> Office:
        raise OfficeRefused(503, "the journal is not open yet", "wait")

    for office, said in ((nobody, "the journal is not open yet"), (lambda: None, "acting is off")):
        async with serving(snapshot_of(), office=office, tokens=TOKENS) as served:
            other = Api(api.session, served, api.bureau)
            for path in READS:
                assert await other.refused("GET", path, "eyes") == (503, said)
            for method, path, may, body in CHANGES:
                assert await other.refused(method, path, min(may), body) == (503, said), path


async def test_a_slow_body_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting_body, "BODY_SECONDS", 0.2)
    head = (
        f"POST {STOP} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer bert-secret\r\n"
        'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"why": '
    )
    answer = await api.served.raw(head.encode())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert api.bureau.store.flags == {}
