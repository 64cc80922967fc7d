"""Targets that trust the same share what holds it, until a file changes."""

from __future__ import annotations

import gc
import ssl
from pathlib import Path

import pytest

from collectors.postgresql import tls
from collectors.postgresql.options import PostgresOptions
from tests.fixtures.certificates import Authority


def options(**how: object) -> PostgresOptions:
    return PostgresOptions.model_validate({"host": "db.example.com", "tls": how})


def test_targets_that_trust_the_same_share_a_context() -> None:
    first, second = tls.tls_context(options()), tls.tls_context(options())
    assert isinstance(first, ssl.SSLContext)
    assert first is second
    assert tls.tls_context(options(mode="require")) is not first
    assert first.verify_mode is ssl.CERT_REQUIRED
    assert first.check_hostname


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    one, two = Authority.make("one").certificate, Authority.make("two").certificate
    file.write_text(one + two)
    before = tls.tls_context(options(ca_file=str(file)))
    assert tls.tls_context(options(ca_file=str(file))) is before
    file.write_text(one)
    after = tls.tls_context(options(ca_file=str(file)))
    assert isinstance(before, ssl.SSLContext)
    assert isinstance(after, ssl.SSLContext)
    assert (len(before.get_ca_certs()), len(after.get_ca_certs())) == (2, 1)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="ca_file"):
        tls.tls_context(options(ca_file=str(tmp_path / "none.pem")))


def test_a_context_that_nobody_uses_is_not_kept() -> None:
    context = tls.tls_context(options(mode="verify-ca"))
    held = len(tls._shared)
    del context
    gc.collect()
    assert len(tls._shared) < held
