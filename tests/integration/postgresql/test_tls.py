"""TLS to PostgreSQL: what is demanded and what is refused, each with a sentence of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres
from collectors.model import Up
from tests.fixtures.certificates import Authority, Signed
from tests.fixtures.observing import observing
from tests.fixtures.servers import SETTINGS, Servers
from tests.fixtures.waiting import until

AUTHORITY = Authority.make()
HBA = """local all all trust
hostssl all certified 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 scram-sha-256
"""


@pytest.fixture(scope="module")
async def server(servers: Servers, place: Place) -> AsyncIterator[ScratchPostgres]:
    """A server that takes TLS only, of a certificate that AUTHORITY signed for 127.0.0.1."""
    async with ScratchPostgres(
        servers.binaries(15), place=place, name="tls", settings=SETTINGS, deadline=30
    ) as made:
        await made.put("pg_hba.conf", HBA)
        await made.put("ca.pem", AUTHORITY.certificate)
        await present(made, AUTHORITY.sign("server"))
        await made.reload({"ssl": "on", "ssl_ca_file": "ca.pem"})
        await made.psql("create role certified login; grant pg_monitor to certified")
        yield made


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    path = tmp_path / "trusted.pem"
    path.write_text(AUTHORITY.certificate)
    return path


async def present(server: ScratchPostgres, signed: Signed) -> None:
    """Let the server show this certificate from its next reload on."""
    await server.put("server.crt", signed.certificate)
    await server.put("server.key", signed.key)


async def looked(server: ScratchPostgres, **options: object) -> Up:
    async with observing(server, **options) as observer:
        return await observer.up()


async def shown(server: ScratchPostgres, signed: Signed, wanted: str, **options: object) -> str:
    """Return what is said once the server shows a certificate: its processes take a moment to reload."""
    await present(server, signed)
    await server.reload()

    async def said() -> str:
        up = await looked(server, **options)
        message = "" if up.failure is None else f"{up.failure.cause}: {up.failure.message}"
        return message if wanted in message else ""

    try:
        return await until(said)
    finally:
        await present(server, AUTHORITY.sign("server"))
        await server.reload()
        await until(lambda: _verified(server))


async def _verified(server: ScratchPostgres) -> bool:
    folder = server.data / "ca.pem"
    return (await looked(server, tls={"mode": "verify-full", "ca_file": str(folder)})).up


async def test_verify_full_is_satisfied_and_seen_by_the_server(
    server: ScratchPostgres, trusted: Path
) -> None:
    async with observing(server, tls={"mode": "verify-full", "ca_file": str(trusted)}) as observer:
        up = await observer.up()
        findings = {one.feature: one for one in await observer.inspect()}

    assert up.up, up.failure
    assert findings["tls"].state == "ok"
    assert "mode verify-full" in findings["tls"].detail


async def test_without_tls_the_server_is_named_as_one_that_demands_it(server: ScratchPostgres) -> None:
    up = await looked(server, tls={"mode": "disable"})

    assert up.failure is not None
    assert up.failure.cause == "tls"
    assert "no encryption" in up.failure.message


async def test_prefer_takes_tls_where_it_is_demanded(server: ScratchPostgres) -> None:
    assert (await looked(server, tls={"mode": "prefer"})).up


@pytest.mark.parametrize(
    ("signed", "sentence"),
    [
        (AUTHORITY.sign("old", days=-1), "certificate has expired"),
        (AUTHORITY.sign("elsewhere", address="192.0.2.1"), "IP address mismatch"),
        (Authority.make("stranger").sign("server"), "unable to get local issuer certificate"),
    ],
    ids=["expired", "another host's", "of an unknown authority"],
)
async def test_a_certificate_that_does_not_hold_is_refused_and_says_why(
    server: ScratchPostgres, trusted: Path, signed: Signed, sentence: str
) -> None:
    tls = {"mode": "verify-full", "ca_file": str(trusted)}
    said = await shown(server, signed, sentence, tls=tls)

    assert said.startswith("tls: 127.0.0.1:")
    assert "the server's certificate is refused" in said
    assert "\n" not in said


async def test_another_hosts_certificate_is_enough_for_verify_ca(
    server: ScratchPostgres, trusted: Path
) -> None:
    await present(server, AUTHORITY.sign("elsewhere", address="192.0.2.1"))
    await server.reload()
    try:
        up = await looked(server, tls={"mode": "verify-ca", "ca_file": str(trusted)})
    finally:
        await present(server, AUTHORITY.sign("server"))
        await server.reload()
        await until(lambda: _verified(server))

    assert up.up, up.failure


async def test_a_server_without_tls_is_refused_when_we_demand_it(
    postgres15: ScratchPostgres, trusted: Path
) -> None:
    for mode in ("require", "verify-ca", "verify-full"):
        up = await looked(postgres15, tls={"mode": mode, "ca_file": str(trusted)})
        assert up.failure is not None
        assert up.failure.cause == "tls"
        assert "the server offers no TLS, and tls.mode asks for it" in up.failure.message


async def test_a_client_certificate_is_shown_and_its_absence_named(
    server: ScratchPostgres, trusted: Path, tmp_path: Path
) -> None:
    signed = AUTHORITY.sign("certified")
    tls = {"mode": "verify-full", "ca_file": str(trusted), **written(tmp_path, signed)}
    up = await looked(server, user="certified", tls=tls)
    without = await looked(server, user="certified", tls={"mode": "verify-full", "ca_file": str(trusted)})
    stranger = {**tls, **written(tmp_path / "x", Authority.make("stranger").sign("certified"))}
    wrong = await looked(server, user="certified", tls=stranger)

    assert up.up, up.failure
    assert without.failure is not None
    assert "valid client certificate" in without.failure.message
    assert wrong.failure is not None
    assert wrong.failure.cause in ("tls", "unreachable"), wrong.failure


async def test_files_that_cannot_be_used_are_named(
    server: ScratchPostgres, trusted: Path, tmp_path: Path
) -> None:
    full = {"mode": "verify-full", "ca_file": str(trusted)}
    good = written(tmp_path, AUTHORITY.sign("certified"))
    locked = written(tmp_path / "l", AUTHORITY.sign("certified", passphrase="c4n4ry"))
    other = {**good, "key_file": written(tmp_path / "o", AUTHORITY.sign("x"))["key_file"]}
    empty = tmp_path / "empty.pem"
    empty.touch()
    cases = {
        "none.pem: cannot be read: No such file": {**full, "ca_file": str(tmp_path / "none.pem")},
        "empty.pem: not usable": {**full, "ca_file": str(empty)},
        "none.crt: cannot be read": {**full, **good, "cert_file": str(tmp_path / "none.crt")},
        "the key must have no passphrase": {**full, **locked},
        "KEY_VALUES_MISMATCH": {**full, **other},
    }
    for sentence, tls in cases.items():
        up = await looked(server, user="certified", tls=tls)
        assert up.failure is not None
        assert up.failure.cause == "tls", up.failure
        assert sentence in up.failure.message
        assert "c4n4ry" not in up.failure.message


async def test_certificates_and_authorities_are_rotated_twice_without_a_restart(
    server: ScratchPostgres, trusted: Path
) -> None:
    options = {"tls": {"mode": "verify-full", "ca_file": str(trusted)}}
    async with observing(server, **options) as observer:
        assert (await observer.up()).up
        for number in range(2):
            authority = Authority.make(f"new{number}")
            await present(server, authority.sign("server"))
            await server.reload()
            trusted.write_text(authority.certificate + AUTHORITY.certificate)
            assert (await observer.up()).up
            await server.psql(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'database-architect'"
            )
            await until(lambda authority=authority: _shows(server, authority))
            assert (await observer.up()).up, number
            trusted.write_text(authority.certificate)
    await present(server, AUTHORITY.sign("server"))
    await server.reload()


async def _shows(server: ScratchPostgres, authority: Authority) -> bool:
    path = server.data / "seen.pem"
    path.write_text(authority.certificate)
    return (await looked(server, tls={"mode": "verify-full", "ca_file": str(path)})).up


def written(folder: Path, signed: Signed) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "client.crt", folder / "client.key"
    certificate.write_text(signed.certificate)
    key.write_text(signed.key)
    return {"cert_file": str(certificate), "key_file": str(key)}
