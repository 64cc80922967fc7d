"""Addresses that are never asked, however a name leads there: a cloud's metadata, link-local, multicast."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

_METADATA = frozenset(
    ipaddress.ip_address(one) for one in ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)


class Refused(OSError):
    """A name leads to an address that is never asked."""


def refusal(address: str) -> str:
    """Return what is wrong with an address, or an empty string."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    if ip in _METADATA:
        return "a cloud's metadata service"
    if ip.is_link_local:
        return "link-local (a cloud's metadata service)"
    if ip.is_multicast:
        return "multicast"
    return "no host's address" if ip.is_unspecified else ""


class GuardedResolver(AbstractResolver):
    """Resolves names; raises Refused when any of the addresses is not to be asked."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses that the connection is then made to: they are not looked up again."""
        found = await self._inner.resolve(host, port, family)
        for one in found:
            if why := refusal(one["host"]):
                raise Refused(f"the name {host} leads to {one['host']}, which is {why}: not asked")
        return found

    async def close(self) -> None:
        """End the resolver."""
        await self._inner.close()
