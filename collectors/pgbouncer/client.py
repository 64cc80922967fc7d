"""The only module that speaks to pgBouncers: what goes wrong there becomes a CollectError here."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator

from collectors import errors
from collectors.pgbouncer.options import PgbouncerOptions
from collectors.pgbouncer.scram import ScramFailed
from collectors.pgbouncer.wire import (
    NoTls,
    NotTheProtocol,
    PasswordNeeded,
    Place,
    ServerSaid,
    Table,
    Wire,
)
from collectors.secret import redact
from collectors.secret_ref import SecretError

DATABASE = "pgbouncer"


class Console:
    """One session on the admin console, in use by one caller at a time. Raises only CollectErrors."""

    def __init__(self, wire: Wire, options: PgbouncerOptions) -> None:
        self._wire = wire
        self._options = options

    @classmethod
    async def open(cls, options: PgbouncerOptions) -> Console:
        """Log in; the caller sets the deadline."""
        with _translated(options):
            place = Place(
                host=options.host,
                port=options.port,
                user=options.user,
                database=DATABASE,
                # A secret may be in a file.
                password=await asyncio.to_thread(options.password.resolve) if options.password else None,
                context=await asyncio.to_thread(_tls_context, options),
                tls_required=options.tls_mode not in ("disable", "prefer"),
            )
            return cls(await Wire.connect(place), options)

    @property
    def closed(self) -> bool:
        """Tell whether the session is gone."""
        return self._wire.closed

    @property
    def encrypted(self) -> bool:
        """Tell whether the session is under TLS."""
        return self._wire.encrypted

    async def show(self, what: str) -> Table:
        """Return what `SHOW ...` gives; a caller that gives up ends the session."""
        with _translated(self._options):
            return await self._wire.query(f"SHOW {what}")

    async def close(self) -> None:
        """End the session; never raises."""
        await self._wire.close()

    def abort(self) -> None:
        """End the session at once."""
        self._wire.abort()


def _tls_context(options: PgbouncerOptions) -> ssl.SSLContext | None:
    mode, ca_file = options.tls_mode, options.tls.ca_file
    if mode == "disable":
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise errors.TlsFailed(f"{options.address}: tls.ca_file {ca_file} cannot be used: {reason}") from None
    if mode != "verify-full":
        context.check_hostname = False
    if mode in ("prefer", "require") and not ca_file:
        context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _translated(options: PgbouncerOptions) -> Iterator[None]:
    where = options.address
    try:
        yield
    except errors.CollectError:
        raise
    except (SecretError, ScramFailed, PasswordNeeded) as error:
        raise errors.BadCredentials(f"{where}: {error}") from None
    except NoTls as error:
        raise errors.TlsFailed(f"{where}: {error}") from None
    except NotTheProtocol as error:
        raise errors.NotSupported(f"{where}: {error}") from None
    except ServerSaid as error:
        raise _what_it_said(error, options) from None
    except ssl.SSLCertVerificationError as error:
        raise errors.TlsFailed(f"{where}: the certificate is refused: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise errors.TlsFailed(f"{where}: TLS failed: {error.reason or error}") from None
    except EOFError:
        raise errors.Unreachable(
            f"{where}: it closed the connection before its answer was complete"
        ) from None
    except OSError as error:
        raise errors.Unreachable(f"{where}: {error.strerror or str(error) or type(error).__name__}") from None


_SAYS: tuple[tuple[str, type[errors.CollectError], str], ...] = (
    ("not allowed", errors.NotAllowed, "add {user!r} to stats_users in pgbouncer.ini"),
    ("admin access needed", errors.NotAllowed, "this needs a user of admin_users"),
    ("no more connections", errors.Busy, "raise max_client_conn"),
    ("invalid command", errors.NotSupported, "this pgBouncer does not have it"),
    ("unrecognized configuration parameter", errors.NotSupported, "this is not pgBouncer's admin console"),
    ("ssl required", errors.TlsFailed, "set tls.mode to require or better"),
    ("tls required", errors.TlsFailed, "set tls.mode to require or better"),
    ("authentication failed", errors.BadCredentials, "look at user, password and auth_file"),
    ("auth failed", errors.BadCredentials, "look at user, password and auth_file"),
    ("no such user", errors.BadCredentials, "look at user, password and auth_file"),
    ("does not exist", errors.NotSupported, "this is not pgBouncer's admin console"),
    ("shutting down", errors.Unreachable, ""),
)
"""pgBouncer has one SQLSTATE for nearly everything, and one language."""


def _what_it_said(error: ServerSaid, options: PgbouncerOptions) -> errors.CollectError:
    text = redact(error.text)
    for words, kind, advice in _SAYS:
        if words in error.text.lower():
            hint = f": {advice.format(user=options.user)}" if advice else ""
            return kind(f"{options.address}: {text}{hint}")
    if error.state.startswith("28"):
        return errors.BadCredentials(f"{options.address}: {text}")
    return errors.CollectError(f"{options.address}: {text}")
