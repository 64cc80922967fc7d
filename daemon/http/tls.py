"""TLS with a certificate and key that are read anew when their files change."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

from daemon.http.listening import CannotListen

log = structlog.get_logger()
_Stamp = tuple[tuple[int, int, int], ...]


class RenewingTls:
    """A server's TLS context; the first handshake after a renewal already shows the new certificate."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        self._files = (cert_file, key_file)
        self._stamp = self._look()
        try:
            self._current = self._load()
        except (OSError, ssl.SSLError) as error:
            raise CannotListen(
                f"cannot use the certificate {cert_file} with the key {key_file}: {_why(error)}; "
                "set http.tls.cert_file and http.tls.key_file to a PEM pair that this user may read"
            ) from error
        self.context = self._new()
        self.context.load_cert_chain(cert_file, key_file)
        self.context.sni_callback = self._renew

    def _renew(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
        stamp = self._look()
        if stamp != self._stamp:
            # Remembered even if it cannot be used: otherwise each handshake would read it again.
            self._stamp = stamp
            try:
                self._current = self._load()
                log.info("http.certificate_renewed", cert_file=str(self._files[0]))
            except (OSError, ssl.SSLError) as error:
                log.warning(
                    "http.certificate_refused",
                    cert_file=str(self._files[0]),
                    reason=_why(error),
                    kept="the certificate in force",
                )
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        context = self._new()
        context.load_cert_chain(*self._files)
        return context

    @staticmethod
    def _new() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _look(self) -> _Stamp:
        """Return what changes when a file is written or replaced."""
        stamps = []
        for file in self._files:
            try:
                seen = file.stat()
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((seen.st_mtime_ns, seen.st_ino, seen.st_size))
        return tuple(stamps)


def _why(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__
