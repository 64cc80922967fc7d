from __future__ import annotations

import asyncio
import hashlib
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from collectors.model import Target
from daemon.http.server import CannotListen, HttpOptions, HttpServer
from daemon.selfmetrics import SelfMetrics
from tests.integration.http.serving import free_port, serving
from tests.unit.snapshot.making import answers, frame, give, metric, snapshot_of

CLOSE = "Connection: close\r\n"


@dataclass
class Token:
    name: str
    scopes: tuple[str, ...]
    sha256: str


def token(text: str, *scopes: str) -> Token:
    return Token(text, scopes, hashlib.sha256(text.encode()).hexdigest())


def ask(path: str, host: str = "127.0.0.1", more: str = "", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{CLOSE}{more}\r\n".encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_a_token_with_the_scope_is_needed_for_all_but_livez() -> None:
    tokens = [token("reader-secret", "read"), token("writer-secret", "approve")]
    async with serving(snapshot_of(), tokens=tokens) as served, aiohttp.ClientSession() as session:

        async def code(path: str, authorization: str | None = None) -> int:
            headers = {} if authorization is None else {"Authorization": authorization}
            async with session.get(served.url + path, headers=headers) as response:
                if response.status == 401:
                    assert response.headers["WWW-Authenticate"].startswith("Bearer")
                if response.status >= 400:
                    body = await response.json()
                    assert body["status"] == "error"
                    assert body["hint"]
                return response.status

        assert await code("/livez") == 200
        for path in ("/metrics", "/readyz", "/", "/api/v1/targets", "/api/v1/series", "/nope"):
            assert await code(path) == 401
            assert await code(path, "Bearer wrong") == 401
            assert await code(path, "Basic cmVhZGVyLXNlY3JldA==") == 401
            assert await code(path, "Bearer writer-secret") == 403
        assert await code("/metrics", "Bearer reader-secret") == 200
        assert await code("/metrics", "bearer  reader-secret") == 200
        assert await code("/livez/../metrics") == 401
        doubled = "Authorization: Bearer wrong\r\nAuthorization: Bearer reader-secret\r\n"
        assert status(await served.raw(ask("/metrics", more=doubled))) == 401


async def test_only_hosts_that_are_ours_are_answered() -> None:
    async with serving(snapshot_of(), allowed_hosts=("monitor.example",)) as served:
        ours = (
            "127.0.0.1",
            f"127.0.0.1:{served.port}",
            "localhost",
            "LOCALHOST.",
            "[::1]:1",
            "Monitor.example:80",
        )
        for host in ours:
            assert status(await served.raw(ask("/livez", host))) == 200, host
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "monitor.example.evil",
            "a@127.0.0.1",
        ):
            answer = await served.raw(ask("/livez", host))
            assert status(answer) == 421, host
            assert b"http.allowed_hosts" in answer
        nameless = await served.raw(f"GET /livez HTTP/1.1\r\n{CLOSE}\r\n".encode())
        assert status(nameless) in (400, 421)


async def test_strange_paths_lead_nowhere() -> None:
    async with serving(snapshot_of()) as served:
        for path in (
            "//metrics", "/../etc/passwd", "/%2e%2e/etc/passwd", "/metrics/", "/metrics%00", "/api/v1/../../metrics/x",
            "/static/../../etc/passwd", "/\\..\\", "/%2f%2fmetrics", "/METRICS",
        ):  # fmt: skip
            answer = await served.raw(ask(path))
            assert status(answer) in (400, 404), path
            assert b"root:" not in answer


async def test_only_reading_is_possible_and_bodies_are_refused() -> None:
    async with serving(snapshot_of()) as served:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            answer = await served.raw(ask("/metrics", method=method))
            assert status(answer) == 405, method
            assert b"Allow: GET,HEAD" in answer
        assert status(await served.raw(ask("/metrics", more="Content-Length: 5\r\n") + b"hello")) == 413
        chunked = ask("/metrics", more="Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n\r\n"
        assert status(await served.raw(chunked)) == 413


async def test_answers_carry_what_browsers_must_know() -> None:
    async with serving(snapshot_of()) as served:
        for path in ("/", "/metrics", "/livez", "/api/v1/targets", "/nope"):
            head = (
                (await served.raw(ask(path, more="Origin: http://evil.example\r\n")))
                .split(b"\r\n\r\n")[0]
                .lower()
            )
            assert b"x-content-type-options: nosniff" in head
            assert b"content-security-policy: default-src 'self'" in head
            assert b"cache-control: no-store" in head
            assert b"access-control-allow" not in head
            assert b"aiohttp" not in head


async def test_huge_headers_are_refused_and_the_server_goes_on() -> None:
    async with serving(snapshot_of()) as served:
        for more in (f"X-Long: {'a' * 9000}\r\n", "".join(f"X-{i}: 1\r\n" for i in range(200))):
            assert status(await served.raw(ask("/livez", more=more))) in (400, 431)
        assert status(await served.raw(ask("/livez?" + "a" * 9000))) in (400, 414)
        assert status(await served.raw(b"nonsense\r\n\r\n")) == 400
        assert status(await served.raw(ask("/livez"))) == 200


async def test_a_client_that_is_too_slow_to_ask_is_dropped() -> None:
    async with serving(snapshot_of(), header_seconds=0.5) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /livez HTTP/1.1\r\n")
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 5 and not reader.at_eof() and reader.exception() is None:
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.1)
        assert 0.4 < loop.time() - began < 3
        writer.close()
        assert status(await served.raw(ask("/livez"))) == 200


async def test_a_client_that_stops_reading_is_dropped() -> None:
    snapshot = snapshot_of(Target(name="db1", engine="postgresql", series_max=10**6))
    metrics = [metric(f"m{i}", "x") for i in range(100)]
    give(snapshot, frame(metrics, {(f"{'y' * 200}{i}",): [i] * 100 for i in range(1000)}))
    async with serving(snapshot, stall_seconds=0.5) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
        writer.write(ask("/metrics"))
        await writer.drain()
        door = served.server._gate.door
        assert door is not None
        await asyncio.sleep(0.2)
        assert len(door.inside) == 1
        async with asyncio.timeout(10):
            while door.inside:
                await asyncio.sleep(0.05)
        writer.close()
        assert reader is not None


async def test_too_many_connections_are_turned_away() -> None:
    async with serving(snapshot_of(), connections_max=3) as served:
        kept = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(3)]
        with pytest.raises((ConnectionError, IndexError)):
            status(await served.raw(ask("/livez")))
        for _, writer in kept:
            writer.close()
        await asyncio.sleep(0.1)
        assert status(await served.raw(ask("/livez"))) == 200


async def test_a_taken_port_is_said_in_one_sentence_with_what_to_do() -> None:
    async with serving(snapshot_of()) as served:
        other = HttpServer(HttpOptions(listen=f"127.0.0.1:{served.port}"), snapshot_of(), SelfMetrics("1"))
        with pytest.raises(CannotListen) as caught:
            await other.start()
    assert str(caught.value) == (
        f"cannot listen at 127.0.0.1:{served.port}: the port is taken by another process; stop it "
        f"(`ss -ltnp 'sport = :{served.port}'` names it), or set daemon.listen to another port"
    )
    await other.start()
    await other.stop()


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("192.0.2.1:{port}", "this host has no such address"),
        ("no-such-host.invalid:{port}", "the name no-such-host.invalid has no address"),
    ],
)
async def test_an_address_that_is_not_ours_is_said(listen: str, why: str) -> None:
    options = HttpOptions(listen=listen.format(port=free_port()), allow_insecure=True)
    with pytest.raises(CannotListen, match=why):
        await HttpServer(options, snapshot_of(), SelfMetrics("1")).start()


async def test_others_are_let_in_only_with_tls_and_tokens_or_when_it_is_wanted() -> None:
    port = free_port()
    listen = f"0.0.0.0:{port}"
    with pytest.raises(CannotListen, match=r"no http\.tls and no http\.tokens"):
        await HttpServer(HttpOptions(listen=listen), snapshot_of(), SelfMetrics("1")).start()
    options = HttpOptions(listen=listen, tokens=[token("a", "read")])
    with pytest.raises(CannotListen, match=r"there is no http\.tls;"):
        await HttpServer(options, snapshot_of(), SelfMetrics("1")).start()
    async with serving(snapshot_of(), listen=listen, allow_insecure=True) as served:
        served.port = port
        assert status(await served.raw(ask("/livez", "198.51.100.7"))) == 200
        assert status(await served.raw(ask("/livez", "evil.example"))) == 421


async def test_a_unix_socket_serves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    options = {"listen": f"unix:{path}"}
    async with serving(snapshot_of(), **options) as served:
        assert served.server.addresses == (f"unix:{path}",)
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
        connector = aiohttp.UnixConnector(path=str(path))
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get("http://any.name/livez") as response:
                assert response.status == 200
        with pytest.raises(CannotListen, match="another process listens there"):
            await HttpServer(HttpOptions(**options), snapshot_of(), SelfMetrics("1")).start()
    assert not path.exists()


async def test_a_dead_socket_is_replaced_and_another_file_is_not(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(snapshot_of(), listen=f"unix:{path}"):
        pass
    path.write_text("precious")
    with pytest.raises(CannotListen, match="a file that is no socket is in the way"):
        await HttpServer(HttpOptions(listen=f"unix:{path}"), snapshot_of(), SelfMetrics("1")).start()
    assert path.read_text() == "precious"
    missing = HttpServer(HttpOptions(listen=f"unix:{tmp_path}/no/x.sock"), snapshot_of(), SelfMetrics("1"))
    with pytest.raises(CannotListen, match="No such file or directory"):
        await missing.start()


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 with `name` in it."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


async def shown_name(port: int, server_hostname: str | None = None) -> str:
    """Return the name in the certificate that the server shows."""
    from cryptography import x509

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=server_hostname or ""
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    name = x509.load_der_x509_certificate(shown).subject.rfc4514_string()
    return name.removeprefix("CN=")


async def test_a_renewed_certificate_is_shown_from_the_next_connection_on(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path / "live", "first")
    async with serving(snapshot_of(), tls=tls) as served:
        assert served.url.startswith("https://")
        assert await shown_name(served.port) == "first"
        for made, live in zip(make_certificate(tmp_path / "new", "second"), tls, strict=True):
            made.replace(live)
        assert await shown_name(served.port) == "second"
        assert await shown_name(served.port, "some.name") == "second"
        tls[0].write_text("half a certificate")
        assert await shown_name(served.port) == "second"
        make_certificate(tmp_path / "live", "third")
        assert await shown_name(served.port) == "third"
        context = ssl.create_default_context(cafile=str(tls[0]))
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{served.url}/livez", ssl=context) as response,
        ):
            assert response.status == 200


async def test_a_certificate_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    cert, _ = make_certificate(tmp_path / "one", "one")
    _, key = make_certificate(tmp_path / "two", "two")
    for pair in ((cert, key), (tmp_path / "none.pem", key)):
        options = HttpOptions(listen=f"127.0.0.1:{free_port()}", tls=pair)
        with pytest.raises(CannotListen, match="cannot use the certificate"):
            await HttpServer(options, snapshot_of(), SelfMetrics("1")).start()


async def test_a_mistake_of_ours_is_an_error_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = snapshot_of()
    answers(snapshot)
    async with serving(snapshot) as served:
        monkeypatch.setattr(snapshot, "states", lambda: {}["secret-detail"])
        answer = await served.raw(ask("/metrics"))
    assert status(answer) == 500
    assert b"secret-detail" not in answer


async def test_a_change_where_no_token_is_configured_says_that_one_has_to_be() -> None:
    async with serving(snapshot_of()) as served, aiohttp.ClientSession() as session:
        async with session.post(f"{served.url}/api/v1/stop", json={"why": "a drill"}) as answer:
            assert answer.status == 401
            assert (await answer.json())["hint"].startswith("http.tokens lists none yet: add one")
