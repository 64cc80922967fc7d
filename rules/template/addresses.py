"""Hosts and ports in label values, taken apart as Go's net package does."""

from __future__ import annotations

import ipaddress


def strip_port(address: str) -> str:
    """Return the host of host:port; anything else stays as it is."""
    parts = _split(address)
    return address if parts is None else parts[0]


def strip_domain(address: str) -> str:
    """Return the host's first name, with the port if there is one; IP addresses stay."""
    host, port = _split(address) or (address, "")
    if _is_ip(host):
        return address
    name = host.split(".", maxsplit=1)[0]
    if not port:
        return name
    return f"[{name}]:{port}" if ":" in name or "%" in name else f"{name}:{port}"


def _split(address: str) -> tuple[str, str] | None:
    host, colon, port = address.rpartition(":")
    if not colon:
        return None
    if address.startswith("["):
        end = address.find("]")
        if end + 1 != len(host):
            return None
        host, before, after = address[1:end], address[1:], address[end + 1 :]
    else:
        if ":" in host:
            return None
        before = after = address
    if "[" in before or "]" in after:
        return None
    return host, port


def _is_ip(host: str) -> bool:
    if "%" in host or not host.isascii():
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
