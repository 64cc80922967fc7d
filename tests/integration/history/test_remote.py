"""A real Prometheus and a real VictoriaMetrics take our samples and give them back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from actions.scratch.errors import NotInstalled
from actions.scratch.place import Place
from actions.scratch.prometheus import ScratchPrometheus
from actions.scratch.victoria import ScratchVictoria
from collectors.secret_ref import SecretRef
from daemon.history.remote import RemoteFailed, RemoteOptions
from daemon.history.remote_read import RemoteReader
from daemon.history.remote_write import QueueOptions, RemoteWriter
from daemon.history.sheets import Sheet
from rules.promql.matchers import Matcher, MatchOp
from rules.promql.values import ABSENT, STALE
from tests.fixtures.histories import every_ten_seconds, expected, found, named, sheet_of, some_series
from tests.fixtures.missing import missing
from tests.fixtures.waiting import until

NOW_MS = int(time.time()) // 60 * 60_000
OURS = (Matcher("__name__", MatchOp.REGEX, "m[0-9]"), Matcher("target", MatchOp.EQUAL, "a"))
_numbers = itertools.count(1)


@contextlib.asynccontextmanager
async def victoria(place: Place) -> AsyncIterator[ScratchVictoria]:
    try:
        async with ScratchVictoria(place=place, name=f"victoria{next(_numbers)}") as server:
            yield server
    except NotInstalled:
        missing("victoria-metrics")


@contextlib.asynccontextmanager
async def prometheus(place: Place) -> AsyncIterator[ScratchPrometheus]:
    try:
        async with ScratchPrometheus((), place=place, name=f"far{next(_numbers)}", receives=True) as server:
            yield server
    except NotInstalled:
        missing("prometheus")


def at(url: str, **more: object) -> RemoteOptions:
    return RemoteOptions(url=url, **more)


def sample_sheet() -> Sheet:
    sheet = sheet_of(some_series(40), every_ten_seconds(30, NOW_MS - 400_000))
    values = sheet.values.copy()
    values[5, 3], values[7:9, 3] = ABSENT, ABSENT
    values[4, 5], values[5, 5], values[6, 5] = np.inf, -np.inf, 1e-300
    return sheet._replace(values=values)


async def sent(writer: RemoteWriter, sheet: Sheet) -> None:
    """Send a sheet row by row, and end the writer."""
    running = asyncio.get_running_loop().create_task(writer.run())
    for row in range(len(sheet.times)):
        writer.append(sheet.series, sheet.times[row : row + 1], sheet.values[row : row + 1])
    await until(lambda: writer.queued == 0)
    running.cancel()
    await asyncio.wait([running])
    await writer.close()


@pytest.mark.parametrize("kind", ["prometheus", "victoria"])
async def test_samples_that_are_sent_come_back_equal(place: Place, kind: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        start = {"prometheus": prometheus, "victoria": victoria}[kind]
        server = await stack.enter_async_context(start(place))
        sheet = sample_sheet()
        writer = RemoteWriter(
            at(f"{server.url}/api/v1/write"), QueueOptions(batch_samples=300, batch_seconds=0.1)
        )
        await sent(writer, sheet)
        wrote = expected([sheet])
        assert writer.sent == sum(map(len, wrote.values()))
        assert (writer.trouble, writer.lost.total()) == ("", 0)
        if isinstance(server, ScratchVictoria):
            await server.flush()
        reader = RemoteReader(at(server.url))
        try:
            first, last = int(sheet.times[0]), int(sheet.times[-1])
            back = await reader.read(OURS, first, last)
            if kind == "prometheus":
                assert found(back) == wrote
            else:
                # VictoriaMetrics keeps fifteen digits or so of the largest value near by.
                assert {one.labels: one.times.tolist() for one in back} == {
                    labels: list(samples) for labels, samples in wrote.items()
                }
                for one in back:
                    given = np.array(list(wrote[one.labels].values()), dtype=np.uint64).view(np.float64)
                    assert np.allclose(one.values, given, rtol=1e-12, atol=1e-12)
            assert await reader.series(OURS, first, last) == sorted(sheet.series)
            (one,) = await reader.query(f'm2{{place="{sheet.series[2].get("place")}"}}', last)
            assert (one.labels, one.times.tolist(), one.values.tolist()) == (sheet.series[2], [last], [42.0])
            steps = await reader.query_range("count(m0)", first, last, 60_000)
            assert steps[0].times.tolist() == list(range(first, last + 1, 60_000))
            assert set(steps[0].values) == {6.0}
            (number,) = await reader.query("scalar(vector(1)) + 1.5", last)
            assert number.values.tolist() == [2.5]
            with pytest.raises(RemoteFailed, match=r"query answers 4\d\d: .*pars"):
                await reader.query("sum(", last)
        finally:
            await reader.close()


async def test_a_staleness_marker_ends_a_series_at_the_far_side(place: Place) -> None:
    async with prometheus(place) as server:
        sheet = sheet_of(some_series(2), every_ten_seconds(5, NOW_MS - 120_000))
        values = sheet.values.copy()
        values[4, 0] = STALE
        await sent(
            RemoteWriter(at(f"{server.url}/api/v1/write"), QueueOptions(batch_seconds=0.1)),
            sheet._replace(values=values),
        )
        reader = RemoteReader(at(server.url))
        left = await reader.query('{target="a"}', int(sheet.times[-1]) + 1000)
        assert [one.labels for one in left] == [sheet.series[1]]
        await reader.close()


async def test_with_the_receiver_gone_the_queue_is_bounded_the_loss_counted_and_it_goes_on_when_it_is_back(
    place: Place,
) -> None:
    async with victoria(place) as server:
        writer = RemoteWriter(
            at(f"{server.url}/api/v1/write", timeout_seconds=2.0),
            QueueOptions(max_samples=1000, batch_samples=200, batch_seconds=0.05),
        )
        running = asyncio.get_running_loop().create_task(writer.run())
        sheet = sheet_of(some_series(10), every_ten_seconds(400, NOW_MS - 4_000_000))

        def row(number: int) -> None:
            writer.append(sheet.series, sheet.times[number : number + 1], sheet.values[number : number + 1])

        for number in range(20):
            row(number)
        await until(lambda: writer.sent == 200)
        await server.kill()
        for number in range(20, 380):
            row(number)
            await asyncio.sleep(0.002)
            assert writer.queued <= 1000 + 200
        await until(lambda: writer.retries > 1)
        assert "refused" in writer.trouble.lower()
        assert writer.lost["queue_full"] > 2000
        lost = writer.lost["queue_full"]
        await server.start()
        await until(lambda: writer.queued == 0, deadline=40)
        for number in range(380, 400):
            row(number)
        await until(lambda: writer.queued == 0)
        assert writer.trouble == ""
        assert writer.sent == 4000 - lost
        assert writer.lost.total() == lost
        running.cancel()
        await asyncio.wait([running])
        await writer.close()
        await server.flush()
        reader = RemoteReader(at(server.url))
        # The samples written before the kill may be gone with it: they were in the memory of the receiver.
        back = found(await reader.read(OURS, int(sheet.times[20]), int(sheet.times[-1])))
        assert sum(map(len, back.values())) == 4000 - lost - 200
        await reader.close()


class Receiver:
    """Answers as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], str]] = []
        self.requests: list[tuple[float, dict[str, str], bytes]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((time.monotonic(), dict(request.headers), await request.read()))
        status, headers, text = self.answers.pop(0) if self.answers else (204, {}, "")
        return web.Response(status=status, headers=headers, text=text)


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def few() -> Sheet:
    return sheet_of(some_series(3), every_ten_seconds(2))


async def test_a_receiver_that_is_busy_is_asked_again_no_sooner_than_it_says(
    receiver: tuple[Receiver, str],
) -> None:
    made, url = receiver
    made.answers = [(429, {"Retry-After": "1"}, "slow down"), (503, {}, ""), (500, {}, "")]
    writer = RemoteWriter(at(url), QueueOptions(batch_seconds=0.05))
    await sent(writer, few())
    times = [when for when, _, _ in made.requests]
    assert len(times) == 4
    assert times[1] - times[0] >= 1.0
    assert times[2] - times[1] >= 0.4
    assert times[3] - times[2] >= 0.8
    assert len({body for _, _, body in made.requests}) == 1
    assert (writer.sent, writer.retries, writer.lost.total()) == (6, 3, 0)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413])
async def test_what_a_receiver_refuses_is_lost_and_counted_and_the_next_goes_on(
    receiver: tuple[Receiver, str], status: int
) -> None:
    made, url = receiver
    made.answers = [(status, {"Location": "http://127.0.0.1:1/"}, "out of order sample")]
    writer = RemoteWriter(at(url), QueueOptions(batch_seconds=0.05, batch_samples=3))
    await sent(writer, few())
    assert (writer.sent, writer.lost["refused"], writer.retries) == (3, 3, 0)


async def test_why_samples_were_refused_is_told(receiver: tuple[Receiver, str]) -> None:
    made, url = receiver
    made.answers = [(400, {}, "out of order sample")] * 9
    writer = RemoteWriter(at(url), QueueOptions(batch_seconds=0.05))
    await sent(writer, few())
    assert "400: out of order sample" in writer.trouble


async def test_who_we_are_is_said_in_headers_and_nowhere_else(
    receiver: tuple[Receiver, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, url = receiver
    file = tmp_path / "token"
    file.write_text("very-secret-token\n")
    file.chmod(0o600)
    made.answers = [(400, {}, "I do not like very-secret-token")]
    writer = RemoteWriter(
        at(url, bearer_token=SecretRef(file=str(file)), tenant="blue"), QueueOptions(batch_seconds=0.05)
    )
    await sent(writer, few())
    headers = made.requests[0][1]
    assert headers["Authorization"] == "Bearer very-secret-token"
    assert headers["X-Scope-OrgID"] == "blue"
    assert headers["Content-Encoding"] == "snappy"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert "***" in writer.trouble
    assert "very-secret-token" not in writer.trouble + capsys.readouterr().out
    reader = RemoteReader(at(url, user="ann", password=SecretRef(text="pass-word-1")))
    with pytest.raises(RemoteFailed):
        await reader.query("up", 0)
    assert made.requests[-1][1]["Authorization"] == "Basic YW5uOnBhc3Mtd29yZC0x"
    await reader.close()


async def test_what_is_left_at_the_end_is_sent_within_the_deadline_or_counted(
    receiver: tuple[Receiver, str],
) -> None:
    made, url = receiver
    writer = RemoteWriter(at(url))
    sheet = few()
    writer.append(*sheet)
    await writer.close(5.0)
    assert (writer.sent, writer.lost.total()) == (6, 0)
    made.answers = [(503, {}, "")] * 1000
    writer = RemoteWriter(at(url))
    writer.append(*sheet)
    began = time.monotonic()
    await writer.close(0.7)
    assert time.monotonic() - began < 2.0
    assert (writer.sent, writer.lost["shutdown"], writer.queued) == (0, 6, 0)


async def test_a_secret_that_cannot_be_had_keeps_samples_waiting(
    receiver: tuple[Receiver, str], tmp_path: Path
) -> None:
    made, url = receiver
    file = tmp_path / "token"
    writer = RemoteWriter(at(url, bearer_token=SecretRef(file=str(file))), QueueOptions(batch_seconds=0.05))
    running = asyncio.get_running_loop().create_task(writer.run())
    writer.append(*few())
    await until(lambda: "cannot be read" in writer.trouble)
    assert (writer.queued, made.requests) == (6, [])
    file.write_text("token-token")
    file.chmod(0o600)
    await until(lambda: writer.sent == 6)
    running.cancel()
    await asyncio.wait([running])
    await writer.close()


async def test_an_answer_that_is_too_large_or_none_of_the_api_is_refused(
    receiver: tuple[Receiver, str],
) -> None:
    made, url = receiver
    reader = RemoteReader(at(url), max_bytes=10_000)
    for status, text, said in (
        (200, "x" * 20_000, "larger than 10000 bytes"),
        (200, "<html>hello</html>", "query answers 200: <html>hello"),
        (502, "bad gateway", "query answers 502: bad gateway"),
        (302, "", "query answers 302: nothing"),
        (200, '{"status":"error","errorType":"bad_data","error":"no such thing"}', "no such thing"),
        (
            200,
            '{"status":"success","data":{"resultType":"vector","result":[{}]}}',
            "not what its API promises",
        ),
        (
            200,
            '{"status":"success","data":{"resultType":"string","result":[0,"x"]}}',
            "a string, which is neither",
        ),
        (200, '{"status":"success","data":[]}', "promises"),
    ):
        made.answers = [(status, {}, text)]
        with pytest.raises(RemoteFailed, match=said):
            await reader.query("up", 0)
    await reader.close()


async def test_a_far_side_that_is_not_there_is_named(tmp_path: Path) -> None:
    reader = RemoteReader(at("http://127.0.0.1:1/prom?token=hidden"))
    with pytest.raises(RemoteFailed, match=r"http://127.0.0.1:1/prom: .*refused"):
        await reader.query("up", 0)
    await reader.close()
    reader = RemoteReader(at("https://127.0.0.1:1", ca_file=tmp_path / "no-such-ca.pem"))
    with pytest.raises(RemoteFailed, match=r"no-such-ca\.pem cannot be used"):
        await reader.query("up", 0)
    await reader.close()


async def test_names_and_values_of_any_script_arrive(place: Place) -> None:
    async with prometheus(place) as server:
        series = (named("m0", target="a", table='größe "x"\\\n', longest="ü" * 300),)
        sheet = sheet_of(series, every_ten_seconds(2, NOW_MS - 60_000))
        await sent(RemoteWriter(at(f"{server.url}/api/v1/write"), QueueOptions(batch_seconds=0.1)), sheet)
        reader = RemoteReader(at(server.url))
        assert found(await reader.read(OURS, 0, NOW_MS)) == expected([sheet])
        await reader.close()
