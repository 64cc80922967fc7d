"""How a connection is secured: the driver's TLS argument, and a sentence for each way it can fail."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from collectors import errors
from collectors.postgresql.options import PostgresOptions

TlsArgument = ssl.SSLContext | Literal["prefer"] | bool


def tls_context(options: PostgresOptions) -> TlsArgument:
    """Return what the driver takes for `tls`; raise TlsFailed. Certificates that changed are read anew."""
    mode, tls = options.tls_mode, options.tls
    if mode == "disable":
        return False
    if mode == "prefer" and not tls.ca_file and not tls.cert_file:
        return "prefer"
    key = (mode, *map(_state, (tls.ca_file or _default_trust(), tls.cert_file, tls.key_file)))
    context = _shared.get(key)
    if context is None:
        context = _shared[key] = _made(options)
    return context


_shared: WeakValueDictionary[tuple[object, ...], ssl.SSLContext] = WeakValueDictionary()
"""Contexts in use. One that trusts all of the system's authorities takes 0.9 MB, and a session keeps its own
as long as it lives: hundreds of targets would hold hundreds of them."""


def _default_trust() -> str | None:
    return ssl.get_default_verify_paths().cafile


def _state(path: str | Path | None) -> tuple[object, ...]:
    """Return what changes when a file does; a missing one is found out by who reads it."""
    if not path:
        return ()
    try:
        found = Path(path).stat()
    except OSError:
        return (str(path), None)
    return (str(path), found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def _made(options: PostgresOptions) -> ssl.SSLContext:
    mode, tls = options.tls_mode, options.tls
    context = _trusting(options)
    if mode != "verify-full":
        context.check_hostname = False
    if mode in ("prefer", "require") and not tls.ca_file:
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file and tls.key_file:
        _show(context, options, Path(tls.cert_file), Path(tls.key_file))
    return context


def sentence(error: ssl.SSLError) -> str:
    """Return what went wrong with a secure connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is refused: {error.verify_message}"
    return f"TLS failed: {error.reason or error}"


def _trusting(options: PostgresOptions) -> ssl.SSLContext:
    path = options.tls.ca_file
    try:
        return ssl.create_default_context(cafile=str(path) if path else None)
    except OSError as error:
        raise errors.TlsFailed(f"{options.address}: tls.ca_file {path}: {_why(error)}") from None


def _show(context: ssl.SSLContext, options: PostgresOptions, certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise errors.TlsFailed(f"{options.address}: {path}: {_why(error)}") from None
    try:
        # Without an answer of ours OpenSSL would ask for the key's passphrase on the terminal, and wait.
        context.load_cert_chain(str(certificate), str(key), password=lambda: "")
    except (OSError, ValueError) as error:
        what = f"tls.cert_file {certificate} with tls.key_file {key}: {_why(error)}"
        hint = "both have to be PEM, belong together, and the key must have no passphrase"
        raise errors.TlsFailed(f"{options.address}: {what}; {hint}") from None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable ({error.reason or 'no PEM certificate in it'})"
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
