"""What the HTTP side is told by the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

READ = "read"


class Token(Protocol):
    """A bearer token; only its hash is known."""

    @property
    def name(self) -> str:
        """Whose it is, for people."""
        ...

    @property
    def scopes(self) -> Sequence[str]:
        """What it allows."""
        ...

    @property
    def sha256(self) -> str:
        """The token's SHA-256 in hexadecimal."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Where to listen, and who may ask."""

    listen: str = "127.0.0.1:8720"
    """HOST:PORT, [IPv6]:PORT or unix:/path."""
    tls: tuple[Path, Path] | None = None
    """Certificate with its chain, and key: PEM files, read anew when they change."""
    tokens: Sequence[Token] = ()
    """With none, only loopback and UNIX sockets are listened at."""
    allow_insecure: bool = False
    """Listen beyond this host although TLS or tokens are missing."""
    allowed_hosts: Sequence[str] = ()
    """Names that clients may call us by, besides the address itself."""
    aliases: bool = False
    """Show older names of the same metrics too."""
    header_seconds: float = 10.0
    """How long a client may take to send its first request."""
    stall_seconds: float = 30.0
    """How long a client may take to read nothing of its answer."""
    idle_seconds: float = 90.0
    """How long a connection is kept for the next request."""
    connections_max: int = 128
