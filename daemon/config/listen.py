"""Where the daemon listens: an address and port, or a UNIX socket."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

UNIX = "unix:"
PORT_MAX = 65535
_SOCKET_PATH_MAX_BYTES = 107
"""What the kernel's sockaddr_un holds."""
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\.?")
_HOW = "write it as 127.0.0.1:8720, [::1]:8720 or unix:/run/dbarchitect/http.sock"


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen at; `path` is set for a UNIX socket, `host` and `port` otherwise."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        """Return the address as it is written in the configuration."""
        if self.path:
            return f"{UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local(self) -> bool:
        """Tell whether only this host can reach it."""
        if self.path or self.host == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)


def parse_listen(text: str) -> Listen:
    """Return the address that `text` means; raise ValueError."""
    if text.startswith(UNIX):
        return _socket(text.removeprefix(UNIX))
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        missing = "there is no port" if not colon else "there is no host (0.0.0.0 means every address)"
        raise ValueError(f"{missing}: {_HOW}")
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port[:6]) <= PORT_MAX:
        raise ValueError(f"the port is not a number from 1 to {PORT_MAX}: {_HOW}")
    return Listen(host=_host(host), port=int(port))


def is_host_name(text: str) -> bool:
    """Tell whether `text` can be a host's name or its IPv4 address."""
    return _HOST_NAME.fullmatch(text) is not None


def _socket(path: str) -> Listen:
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"a UNIX socket needs a whole path: {_HOW}")
    if len(path.encode()) > _SOCKET_PATH_MAX_BYTES:
        raise ValueError(f"the path of a UNIX socket can have {_SOCKET_PATH_MAX_BYTES} bytes at most")
    return Listen(path=path)


def _host(host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(f"what stands in brackets is not an IPv6 address: {_HOW}") from None
    if ":" in host:
        raise ValueError(f"an IPv6 address needs brackets: {_HOW}")
    if not is_host_name(host):
        raise ValueError(f"the host is neither a name nor an address: {_HOW}")
    return host
