"""Scrapes of endpoints that answer well, badly, or not at all."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from actions.scratch.ports import free_port
from collectors.exporter import ENGINE
from collectors.exporter.observer import ExporterObserver
from collectors.model import Kind, Target
from tests.fixtures.waiting import until

GOOD = '# TYPE x_total counter\nx_total{a="1"} 5\n# TYPE y gauge\ny 2\n'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    runners = []

    async def start(handler: Handler) -> str:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def watch() -> AsyncIterator[Callable[..., ExporterObserver]]:
    made = []

    def make(url: str, *, deadline: float = 2.0, series_max: int = 5000, **options: Any) -> ExporterObserver:
        target = Target(
            name="e",
            engine="exporter",
            options=ENGINE.options.model_validate({"url": url} | options),
            deadline_seconds=deadline,
            series_max=series_max,
        )
        made.append(ENGINE.observe(target, ()))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def text(body: str | bytes, **more: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(**{"body": data, "content_type": "text/plain", **more})

    return handler


async def values(observer: ExporterObserver) -> dict[str, float]:
    observation = await observer.run("scrape")
    assert observation.failure is None, observation.failure
    return {sample.name: sample.value for frame in observation.frames for sample in frame.samples()}


async def test_a_scrape_gives_the_exporters_metrics_and_our_own(serve: Any, watch: Any) -> None:
    observer = watch(await serve(text(GOOD)))
    assert observer.plan() == ()
    assert (await observer.up()).up
    found = await values(observer)
    assert found["x_total"] == 5
    assert found["exporter_scrape_series"] == 2
    assert found["exporter_scrape_body_bytes"] == len(GOOD)
    assert found["exporter_scrape_duration_seconds"] > 0


async def test_up_and_the_run_after_it_ask_the_exporter_once(serve: Any, watch: Any) -> None:
    asked = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(text=f"n {asked}\n")

    observer = watch(await serve(handler))
    for number in (1, 2, 3):
        await observer.up()
        assert (await values(observer))["n"] == number
    assert asked == 3
    assert (await values(observer))["n"] == 4, "old figures were given a second time"


async def test_metrics_are_the_same_objects_from_scrape_to_scrape(serve: Any, watch: Any) -> None:
    observer = watch(await serve(text(GOOD)))
    await observer.up()
    first = {m.name: m for frame in (await observer.run("scrape")).frames for m in frame.metrics}
    second = {m.name: m for frame in (await observer.run("scrape")).frames for m in frame.metrics}
    assert first.keys() == second.keys()
    assert all(first[name] is second[name] for name in first)


async def test_keep_and_drop_choose_by_name(serve: Any, watch: Any) -> None:
    body = "node_a 1\nnode_b 2\ngo_c 3\n"
    observer = watch(await serve(text(body)), keep=["node_*"], drop=["*_b"])
    await observer.up()
    found = await values(observer)
    assert [name for name in found if not name.startswith("exporter_")] == ["node_a"]


async def test_the_cap_keeps_the_same_series_and_counts_the_rest(serve: Any, watch: Any) -> None:
    first = 0

    async def handler(_: web.Request) -> web.Response:
        numbers = range(first, first + 50)
        return web.Response(text="".join(f'm{{n="{number:03}"}} 1\n' for number in reversed(numbers)))

    observer = watch(await serve(handler), series_max=20)

    async def members() -> set[str]:
        await observer.up()
        observation = await observer.run("scrape")
        assert observation.dropped == 35
        return {dict(s.labels)["n"] for f in observation.frames for s in f.samples() if s.name == "m"}

    first = 10
    before = await members()
    assert len(before) == 15
    first = 5
    # Five more that come before the others in any order: none of them pushes an old one out.
    assert await members() == before


async def test_gzip_is_unpacked_and_bounded(serve: Any, watch: Any) -> None:
    packed = gzip.compress(GOOD.encode())
    url = await serve(text(packed, headers={"Content-Encoding": "gzip"}))
    assert (await watch(url).up()).up
    bomb = gzip.compress(b"# " + b"x" * 50_000_000 + b"\n")
    assert len(bomb) < 100_000
    up = await watch(await serve(text(bomb, headers={"Content-Encoding": "gzip"})), max_bytes=1_000_000).up()
    assert up.failure.cause == "unsupported"
    assert "larger than 1000000 bytes" in up.failure.message


@pytest.mark.parametrize(
    ("handler", "cause", "words"),
    [
        (text("<html></html>", content_type="text/html"), "unsupported", "web page"),
        (text("hello world"), "unsupported", "line 1"),
        (text("", status=500), "unsupported", "500"),
        (text("", status=404), "unsupported", "404"),
        (text("", status=401), "credentials", "401"),
        (text("", status=403), "denied", "403"),
        (text("", status=503), "no_free_session", "503"),
        (text("", status=302, headers={"Location": "http://127.0.0.1/"}), "unsupported", "redirect"),
        (text("x" * 2000), "unsupported", "larger than 1000"),
        (text(b"\x1f\x8bbroken", headers={"Content-Encoding": "gzip"}), "unsupported", "damaged"),
        (text("a 1", headers={"Content-Encoding": "br"}), "unsupported", "offer"),
    ],
)
async def test_an_answer_that_is_no_good_has_a_cause(
    serve: Any, watch: Any, handler: Handler, cause: str, words: str
) -> None:
    observer = watch(await serve(handler), max_bytes=1000)
    up = await observer.up()
    assert not up.up
    assert up.failure.cause == cause
    assert words in up.failure.message
    assert observer.plan() == ()


async def test_an_endpoint_that_never_answers_is_given_up_in_time(serve: Any, watch: Any) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    begun = time.monotonic()
    up = await watch(await serve(handler), deadline=0.3).up()
    assert time.monotonic() - begun < 1.5
    assert up.failure.cause == "timed_out"


async def test_an_endpoint_that_drips_is_given_up_in_time(serve: Any, watch: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(100):
            await response.write(f"a{number} 1\n".encode())
            await asyncio.sleep(0.1)
        return response

    begun = time.monotonic()
    up = await watch(await serve(handler), timeout="400ms", deadline=60).up()
    assert time.monotonic() - begun < 2
    assert up.failure.cause == "timed_out"


async def test_an_endpoint_that_dies_in_mid_answer_gives_nothing(serve: Any, watch: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(GOOD.encode())
        request.transport.abort()
        return response

    observer = watch(await serve(handler))
    up = await observer.up()
    assert up.failure.cause == "unreachable"
    assert (await observer.run("scrape")).frames == ()


async def test_what_does_not_speak_http_has_a_cause(watch: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        up = await watch(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/").up()
    assert up.failure.cause == "unsupported"


async def test_tls_to_a_plain_port_is_a_tls_failure(serve: Any, watch: Any) -> None:
    url = (await serve(text(GOOD))).replace("http:", "https:")
    assert (await watch(url).up()).failure.cause == "tls"


async def test_nobody_there_is_unreachable_and_recovery_is_seen(watch: Any) -> None:
    port = free_port()
    observer = watch(f"http://127.0.0.1:{port}/metrics")
    assert (await observer.up()).failure.cause == "unreachable"
    application = web.Application()
    application.router.add_get("/metrics", text(GOOD))
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()

    async def back() -> bool:
        return (await observer.up()).up

    await until(back)
    await runner.cleanup()


@pytest.mark.parametrize("canary", ["canary-c0ffee"])
async def test_credentials_are_sent_and_never_shown(serve: Any, watch: Any, canary: str) -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=401, text=f"you said {seen[-1]}")

    url = await serve(handler)
    for options in ({"bearer_token": {"text": canary}}, {"user": "u", "password": {"text": canary}}):
        observer = watch(url, **options)
        up = await observer.up()
        assert up.failure.cause == "credentials"
        shown = f"{up} {await observer.inspect()} {observer._options!r} {ENGINE.address(observer._target)}"
        assert canary not in shown
    assert seen[0] == f"Bearer {canary}"
    assert seen[-1] == "Basic dTpjYW5hcnktYzBmZmVl"


async def test_a_secret_that_cannot_be_read_is_a_cause(serve: Any, watch: Any) -> None:
    observer = watch(await serve(text(GOOD)), bearer_token={"file": "/nowhere/token"})
    up = await observer.up()
    assert up.failure.cause == "credentials"
    assert "/nowhere/token" in up.failure.message


async def test_names_of_our_own_are_not_taken_from_others(serve: Any, watch: Any) -> None:
    observer = watch(await serve(text("exporter_up 0\nexporter_scrape_series 99\nz 1\n")))
    await observer.up()
    found = await values(observer)
    assert found["exporter_scrape_series"] == 1
    assert "exporter_up" not in found


async def test_a_real_prometheus_is_read_whole(prometheus: Any, watch: Any) -> None:
    server = await prometheus("http://127.0.0.1:1/metrics")
    url = f"http://127.0.0.1:{server.port}/metrics"
    observer = watch(url)
    up = await observer.up()
    assert up.failure is None
    observation = await observer.run("scrape")
    ours = {
        (sample.name, frozenset(sample.labels)) for frame in observation.frames for sample in frame.samples()
    }
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        families = list(text_string_to_metric_families(await response.text()))
    theirs = {(one.name, frozenset(one.labels.items())) for family in families for one in family.samples}
    assert len(theirs) > 200
    # Only our own first visit is new to it.
    assert {labels for _, labels in theirs - ours if ("handler", "/metrics") not in labels} == set()
    kinds = {metric.name: metric.kind for frame in observation.frames for metric in frame.metrics}
    assert kinds["prometheus_http_requests_total"] is Kind.COUNTER
    assert kinds["go_goroutines"] is Kind.GAUGE
    assert kinds["prometheus_http_request_duration_seconds_bucket"] is Kind.COUNTER
