"""What an unfriendly server can say in pgBouncer's place."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from collectors.model import Target
from collectors.pgbouncer import ENGINE
from collectors.pgbouncer.read import read
from collectors.pgbouncer.scram import Scram, ScramFailed
from collectors.pgbouncer.tables import CLIENTS, LISTS, POOLS
from collectors.pgbouncer.wire import Table

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
AUTH_OK = b"R" + struct.pack("!ii", 8, 0)
READY = b"Z" + struct.pack("!i", 5) + b"I"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@pytest.fixture
async def unfriendly() -> AsyncIterator[Callable[[Talk], Awaitable[int]]]:
    servers = []

    async def listen(talk: Talk) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
                await asyncio.sleep(0.2)
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield listen
    for server in servers:
        server.close()
        await server.wait_closed()


async def cause(port: int, **options: object) -> tuple[str, str]:
    known = {
        "host": "127.0.0.1",
        "port": port,
        "tls": {"mode": "disable"},
        "password": {"text": "canary-c0ffee"},
    }
    target = Target(
        name="p",
        engine="pgbouncer",
        options=ENGINE.options.model_validate(known | options),
        deadline_seconds=2,
    )
    observer = ENGINE.observe(target, ())
    up = await observer.up()
    await observer.close()
    assert not up.up
    assert "canary-c0ffee" not in up.failure.message
    return up.failure.cause, up.failure.message


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"R\xff\xff\xff\xff",
        b"R\x7f\xff\xff\xff",
        message(b"R", b"\0"),
        message(b"R", struct.pack("!i", 7)),
        AUTH_OK + READY + message(b"T", b"\0\5short"),
        AUTH_OK + READY + message(b"D", b"\0\1\0\0\0\1x"),
        AUTH_OK + message(b"Q", b""),
    ],
)
async def test_what_is_not_the_protocol_is_named(unfriendly: Callable, said: bytes) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)

    assert (await cause(await unfriendly(talk)))[0] == "unsupported"


async def test_a_server_that_closes_at_once_is_unreachable(unfriendly: Callable) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert (await cause(await unfriendly(talk)))[0] == "unreachable"


async def test_a_scram_server_that_does_not_know_our_password_is_not_believed(unfriendly: Callable) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = struct.unpack("!i", await reader.readexactly(4))[0]
        await reader.readexactly(size - 4)
        writer.write(message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"))
        head = await reader.readexactly(5)
        first = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        nonce = first.rpartition(b"r=")[2].decode()
        salt = base64.b64encode(b"salt").decode()
        writer.write(message(b"R", struct.pack("!i", 11) + f"r={nonce}more,s={salt},i=4096".encode()))
        head = await reader.readexactly(5)
        await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        writer.write(message(b"R", struct.pack("!i", 12) + b"v=" + base64.b64encode(b"x" * 32)))
        writer.write(AUTH_OK + READY)

    kind, text = await cause(await unfriendly(talk))
    assert kind == "credentials"
    assert "could not prove" in text


def test_a_scram_server_cannot_ask_for_a_billion_rounds() -> None:
    scram = Scram("pw", nonce="abc")
    with pytest.raises(ScramFailed, match="iterations"):
        scram.answer(b"r=abcdef,s=c2FsdA==,i=1000000000")


def test_scram_gives_the_proof_of_the_standards_example() -> None:
    scram = Scram("pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    # RFC 7677 has a user name in its example; ours is empty, as PostgreSQL wants it.
    scram._bare = "n=user,r=rOprNGfwEbeRWgbNEkqO"
    said = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    proof = scram.answer(said.encode()).decode().rpartition("p=")[2]
    assert proof == "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="


def test_columns_are_found_by_their_names_whatever_their_order() -> None:
    table = Table(("sv_idle", "user", "cl_active", "database"), [("7", "u", "3", "d")])
    frame, missing = read(POOLS, table)
    assert {(sample.name, sample.value) for sample in frame.samples()} == {
        ("pgbouncer_pools_client_active_connections", 3),
        ("pgbouncer_pools_server_idle_connections", 7),
    }
    assert frame.keys == [("d", "u")]
    assert "pgbouncer_pools_client_waiting_connections" in {metric.name for metric in missing}


def test_waits_add_seconds_and_microseconds() -> None:
    table = Table(
        ("database", "user", "cl_active", "maxwait", "maxwait_us"), [("d", "u", "1", "2", "500000")]
    )
    frame, _ = read(POOLS, table)
    assert {sample.name: sample.value for sample in frame.samples()}[
        "pgbouncer_pools_client_maxwait_seconds"
    ] == 2.5


def test_null_and_nonsense_are_absent_and_never_zero() -> None:
    table = Table(("database", "user", "cl_active", "cl_waiting"), [("d", None, None, "many")])
    frame, _ = read(POOLS, table)
    assert len(frame) == 0
    assert frame.keys == [("d", "")]


def test_clients_are_counted_with_their_longest_wait() -> None:
    rows = [
        ("d", "u", "waiting", "1", "0"),
        ("d", "u", "waiting", "3", "250000"),
        ("d", "u", "active", "0", "0"),
    ]
    frame, _ = read(CLIENTS, Table(("database", "user", "state", "wait", "wait_us"), rows))
    assert {(dict(sample.labels)["state"], sample.name, sample.value) for sample in frame.samples()} == {
        ("waiting", "pgbouncer_clients_connections", 2),
        ("waiting", "pgbouncer_clients_wait_seconds_max", 3.25),
        ("active", "pgbouncer_clients_connections", 1),
        ("active", "pgbouncer_clients_wait_seconds_max", 0),
    }


def test_a_list_that_is_not_there_is_missing() -> None:
    frame, missing = read(LISTS, Table(("list", "items"), [("pools", "4"), ("something_new", "9")]))
    assert [(sample.name, sample.value) for sample in frame.samples()] == [("pgbouncer_pools", 4)]
    assert len(missing) == len(LISTS.values) - 1
