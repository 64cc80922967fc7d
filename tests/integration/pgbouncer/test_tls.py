"""TLS to pgBouncer's console: what is demanded, what is refused."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from actions.scratch.pgbouncer import ScratchPgbouncer
from actions.scratch.place import Place
from actions.scratch.postgres import ScratchPostgres
from collectors.model import Target, Up
from collectors.pgbouncer import ENGINE

Pool = Callable[..., Awaitable[ScratchPgbouncer]]


def certificate(address: str, days: int) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scratch")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=10))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), secret.decode()


@pytest.fixture
async def secured(
    pgbouncer: Pool, postgres15: ScratchPostgres, place: Place, tmp_path: Path
) -> Callable[..., Awaitable[tuple[ScratchPgbouncer, str]]]:
    """A pool with a certificate of its own, and the file that a client trusts it by."""

    async def make(address: str = "127.0.0.1", days: int = 10) -> tuple[ScratchPgbouncer, str]:
        public, private = certificate(address, days)
        room = place.room(f"tls{tmp_path.name}")
        place.write(room / "cert.pem", public)
        place.write(room / "key.pem", private)
        trusted = tmp_path / "ca.pem"
        trusted.write_text(public)
        settings = {
            "client_tls_sslmode": "require",
            "client_tls_cert_file": str(room / "cert.pem"),
            "client_tls_key_file": str(room / "key.pem"),
        }
        return await pgbouncer(postgres15, settings=settings), str(trusted)

    return make


async def up_with(pool: ScratchPgbouncer, **tls: Any) -> Up:
    options = {
        "host": pool.host,
        "port": pool.port,
        "user": pool.admin,
        "password": {"text": pool.password},
        "tls": tls,
    }
    target = Target(name="p", engine="pgbouncer", options=ENGINE.options.model_validate(options))
    observer = ENGINE.observe(target, ())
    try:
        return await observer.up()
    finally:
        await observer.close()


async def test_a_verified_certificate_is_accepted_and_shown(secured: Any) -> None:
    pool, trusted = await secured()
    up = await up_with(pool, mode="verify-full", ca_file=trusted)
    assert up.failure is None
    assert up.details["tls"] == "on"


async def test_loopback_takes_tls_when_it_is_offered(secured: Any) -> None:
    pool, _ = await secured()
    up = await up_with(pool)
    assert up.failure is None
    assert up.details["tls"] == "on"


async def test_an_unknown_authority_is_refused(secured: Any) -> None:
    pool, _ = await secured()
    up = await up_with(pool, mode="verify-full")
    assert up.failure.cause == "tls"
    assert "certificate" in up.failure.message


async def test_a_certificate_of_another_host_is_refused_by_verify_full_alone(secured: Any) -> None:
    pool, trusted = await secured(address="192.0.2.1")
    assert (await up_with(pool, mode="verify-full", ca_file=trusted)).failure.cause == "tls"
    assert (await up_with(pool, mode="verify-ca", ca_file=trusted)).failure is None


async def test_an_expired_certificate_is_refused(secured: Any) -> None:
    pool, trusted = await secured(days=-1)
    up = await up_with(pool, mode="verify-ca", ca_file=trusted)
    assert up.failure.cause == "tls"
    assert "expired" in up.failure.message


async def test_a_pool_that_demands_tls_says_so_to_who_comes_without(secured: Any) -> None:
    pool, _ = await secured()
    up = await up_with(pool, mode="disable")
    assert up.failure.cause == "tls"


async def test_a_pool_without_tls_is_refused_when_tls_is_asked_for(
    pgbouncer: Pool, postgres15: ScratchPostgres
) -> None:
    up = await up_with(await pgbouncer(postgres15), mode="require")
    assert up.failure.cause == "tls"
    assert "offers no TLS" in up.failure.message


async def test_a_missing_authority_file_is_a_failure_and_not_an_exception(
    pgbouncer: Pool, postgres15: ScratchPostgres
) -> None:
    up = await up_with(await pgbouncer(postgres15), mode="verify-full", ca_file="/nowhere/ca.pem")
    assert not up.up
    assert "/nowhere/ca.pem" in up.failure.message
