from __future__ import annotations

import asyncio
import gzip
import time

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from collectors.model import Failure, Kind, Rejection, Target
from daemon.snapshot import Snapshot
from tests.integration.http.serving import serving
from tests.unit.snapshot.making import answers, frame, give, metric, probe, snapshot_of

ROWS_METRICS = [metric(f"pg_m{i}_total", "relname", kind=Kind.COUNTER) for i in range(20)]


@pytest.fixture
def snapshot() -> Snapshot:
    made = snapshot_of(
        Target(name="db1", engine="postgresql", cluster="shop", labels=(("env", "prod"),), series_max=10**6),
        Target(name="db2", engine="postgresql"),
    )
    for name in ("db1", "db2"):
        answers(made, name, at=time.time())
    give(
        made,
        frame([metric("pg_size_bytes", "datname")], {("app",): [7], ('o"dd\n',): [8]}),
        info=probe("size"),
    )
    give(made, frame([metric("pg_locks", "mode")], {("x",): [1]}), info=probe("locks"), target="db2")
    return made


def grow(snapshot: Snapshot, rows: int = 5000, plus: float = 0.0) -> None:
    cells = {(f"table_{i:05d}",): [i + plus] * 20 for i in range(rows)}
    give(snapshot, frame(ROWS_METRICS, cells), info=probe("tables"))


async def get(url: str, **headers: str) -> tuple[int, str, aiohttp.typedefs.LooseHeaders]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.text(), response.headers


async def test_text_is_the_default_and_openmetrics_is_given_when_asked(snapshot: Snapshot) -> None:
    async with serving(snapshot) as served:
        status, text, headers = await get(f"{served.url}/metrics")
        assert status == 200
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        samples = {(s.name, s.labels.get("datname")): s for f in parse_text(text) for s in f.samples}
        size = samples["pg_size_bytes", 'o"dd\n']
        assert (size.value, size.labels["target"], size.labels["cluster"], size.labels["env"]) == (
            8, "db1", "shop", "prod",
        )  # fmt: skip
        _, text, headers = await get(
            f"{served.url}/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        )
        assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        names = {s.name for f in parse_openmetrics(text) for s in f.samples}
        assert {"pg_up", "pg_size_bytes", "dbarchitect_build_info", "process_cpu_seconds_total"} <= names
        _, _, headers = await get(
            f"{served.url}/metrics", Accept="text/plain,application/openmetrics-text;version=1.0.0;q=0.5"
        )
        assert headers["Content-Type"].startswith("text/plain")


async def test_targets_and_probes_can_be_chosen(snapshot: Snapshot) -> None:
    async with serving(snapshot) as served:

        async def names(query: str) -> set[tuple[str, str]]:
            status, text, _ = await get(f"{served.url}/metrics{query}")
            assert status == 200, text
            return {
                (s.name, s.labels["target"])
                for f in parse_text(text)
                for s in f.samples
                if not s.name.startswith("dbarchitect_")
            }

        assert await names("?target=db2") == {("pg_up", "db2"), ("pg_locks", "db2")}
        assert await names("?target=db2&target=db1&collect[]=size") == {
            ("pg_up", "db1"), ("pg_up", "db2"), ("pg_size_bytes", "db1"),
        }  # fmt: skip
        assert await names("?collect=locks&collect=size") == {
            ("pg_up", "db1"), ("pg_up", "db2"), ("pg_size_bytes", "db1"), ("pg_locks", "db2"),
        }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "error", "hint"),
    [
        ("?target=db3", "unknown target 'db3'", "did you mean 'db2'?; known are: db1, db2"),
        ("?collect=lokcs", "unknown probe 'lokcs'", "did you mean 'locks'?; known are: locks, size"),
        ("?target=db2&collect=size", "unknown probe 'size'", "known are: locks"),
        ("?name=db1", "unknown parameter 'name'", "known are: collect, collect[], target"),
    ],
)
async def test_what_is_not_known_is_refused_with_what_is(
    snapshot: Snapshot, query: str, error: str, hint: str
) -> None:
    async with serving(snapshot) as served, aiohttp.ClientSession() as session:
        async with session.get(f"{served.url}/metrics{query}") as response:
            assert response.status == 400
            assert await response.json() == {"status": "error", "error": error, "hint": hint}


async def test_a_large_page_comes_in_pieces_and_zipped_when_wanted(snapshot: Snapshot) -> None:
    grow(snapshot)
    async with serving(snapshot) as served:
        _, plain, headers = await get(f"{served.url}/metrics", **{"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in headers
        assert plain.count("\n") > 100_000
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(f"{served.url}/metrics", headers={"Accept-Encoding": "gzip"}) as response,
        ):
            assert response.headers["Content-Encoding"] == "gzip"
            body = await response.read()
        assert len(body) < len(plain) / 4
        mine = [line for line in gzip.decompress(body).decode().split("\n") if line.startswith("pg_")]
        assert mine == [line for line in plain.split("\n") if line.startswith("pg_")]
        old = await served.raw(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        assert old.startswith(b"HTTP/1.0 200")
        found = old.partition(b"\r\n\r\n")[2].decode().split("\n")
        assert [line for line in found if line.startswith("pg_")] == mine
        head = await served.raw(b"HEAD /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert head.endswith(b"\r\n\r\n")


async def test_scrapes_at_once_while_records_come_in_are_each_of_one_moment(snapshot: Snapshot) -> None:
    grow(snapshot, rows=1500)
    async with serving(snapshot) as served:
        stop = asyncio.Event()

        async def record() -> None:
            plus = 0.0
            while not stop.is_set():
                plus += 0.5
                grow(snapshot, rows=1500, plus=plus)
                await asyncio.sleep(0.002)

        async def scrape() -> None:
            for _ in range(4):
                _, text, _ = await get(f"{served.url}/metrics?target=db1")
                values: dict[str, set[float]] = {}
                for family in parse_text(text):
                    for sample in family.samples:
                        if sample.name.startswith("pg_m"):
                            values.setdefault(sample.labels["relname"], set()).add(sample.value)
                assert len(values) == 1500
                assert all(len(found) == 1 for found in values.values())

        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(record())
            async with asyncio.TaskGroup() as scrapes:
                for _ in range(2):
                    scrapes.create_task(scrape())
            stop.set()
            await recording


async def test_the_api_tells_how_every_target_and_probe_fares(snapshot: Snapshot) -> None:
    give(snapshot, info=probe("size", every=60), failure=Failure("timed_out", "the deadline of 2 s passed"))
    snapshot.skip("db1", "size", "budget")
    snapshot.due("db1", "size", 77.0)
    snapshot.reject("db1", [Rejection("statements", "", "extension pg_stat_statements is not installed")])
    answers(snapshot, "db2", up=False, at=99.0)
    async with serving(snapshot) as served, aiohttp.ClientSession() as session:
        async with session.get(f"{served.url}/api/v1/targets") as response:
            body = await response.json()
        one, two = body["targets"]
        assert body["status"] == "ok"
        assert (one["name"], one["engine"], one["cluster"], one["labels"]) == (
            "db1", "postgresql", "shop", {"env": "prod"},
        )  # fmt: skip
        assert (one["address"], one["up"], one["role"], one["version"]) == (
            "db1.example:5432", True, "primary", "15.1",
        )  # fmt: skip
        assert one["rejections"] == [
            {
                "probe": "statements",
                "what": "",
                "reason": "extension pg_stat_statements is not installed",
                "expected": False,
            }
        ]
        (size,) = one["probes"]
        assert (size["every_seconds"], size["next_run"], size["skipped"]) == (60, 77.0, {"budget": 1})
        assert (size["runs"], size["series"]) == ({"ok": 1, "timed_out": 1}, 2)
        assert size["failures"] == [
            {"database": "", "cause": "timed_out", "message": "the deadline of 2 s passed"}
        ]
        assert (two["up"], two["cause"], two["message"], two["since"]) == (
            False, "unreachable", "connection refused", 99.0,
        )  # fmt: skip
        async with session.get(f"{served.url}/api/v1/targets?target=db2") as response:
            assert [each["name"] for each in (await response.json())["targets"]] == ["db2"]


async def test_series_come_page_by_page_and_every_one_comes(snapshot: Snapshot) -> None:
    give(
        snapshot, frame([metric("pg_x", "i"), metric("pg_y", "i")], {(str(i),): [i, None] for i in range(25)})
    )
    give(snapshot, frame([metric("pg_nan")], {(): [float("nan")]}), info=probe("nan"))
    async with serving(snapshot) as served, aiohttp.ClientSession() as session:

        async def page(query: str) -> dict:
            async with session.get(f"{served.url}/api/v1/series?{query}") as response:
                assert response.status == 200
                body: dict = await response.json()
                return body

        whole = await page("target=db1&match=pg_*&limit=1000")
        assert whole["next_offset"] is None
        found: list = []
        offset: int | None = 0
        while offset is not None:
            part = await page(f"target=db1&match=pg_*&limit=7&offset={offset}")
            found += part["series"]
            offset = part["next_offset"]
        assert found == whole["series"]
        assert len(found) == 1 + 2 + 25 + 1
        (odd,) = (await page("match=pg_nan"))["series"]
        assert odd == {"name": "pg_nan", "labels": odd["labels"], "value": "NaN", "at": 5.0}
        for wrong in ("limit=1001", "limit=-1", "limit=x", "limit=1&limit=2", "offset=1e3"):
            async with session.get(f"{served.url}/api/v1/series?{wrong}") as response:
                assert response.status == 400


async def test_the_catalogue_lists_the_daemons_own_metrics_too(snapshot: Snapshot) -> None:
    async with serving(snapshot) as served, aiohttp.ClientSession() as session:
        async with session.get(f"{served.url}/api/v1/metrics") as response:
            names = {each["name"]: each for each in (await response.json())["metrics"]}
    assert names["pg_up"]["engine"] == "postgresql"
    assert names["dbarchitect_probe_runs_total"]["labels"] == ["probe", "outcome"]


async def test_ready_only_when_every_target_was_asked_and_nothing_is_stale() -> None:
    snapshot = snapshot_of(*(Target(name=name, engine="postgresql") for name in ("a", "b")))
    stale: list[str] = []
    async with serving(snapshot, stale=lambda: stale) as served, aiohttp.ClientSession() as session:

        async def ready() -> tuple[int, list[str]]:
            async with session.get(f"{served.url}/readyz") as response:
                return response.status, (await response.json()).get("reasons", [])

        assert await ready() == (503, ["target a: not asked yet", "target b: not asked yet"])
        answers(snapshot, "a")
        assert await ready() == (503, ["target b: not asked yet"])
        answers(snapshot, "b", up=False)
        assert await ready() == (200, [])
        stale.append("target a: no data for 40 s")
        assert await ready() == (503, ["target a: no data for 40 s"])
        async with session.get(f"{served.url}/livez") as response:
            assert response.status == 200


async def test_the_first_page_needs_nothing_from_elsewhere_and_escapes_names() -> None:
    snapshot = snapshot_of(Target(name="<script>x", engine="postgresql"))
    async with serving(snapshot) as served:
        status, text, headers = await get(f"{served.url}/")
    assert status == 200
    assert "&lt;script&gt;x" in text
    assert "<script" not in text
    assert "http" not in text.replace("<!doctype html>", "")
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
