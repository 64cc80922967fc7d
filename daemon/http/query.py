"""Reads a request's parameters; what is not known is refused by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from aiohttp import web

from collectors.strict_yaml import did_you_mean
from daemon.http.gate import Refused

_LISTED_MAX = 50


class Query:
    """The parameters of one request."""

    def __init__(self, request: web.Request, allowed: Sequence[str]) -> None:
        refuse_unknown("parameter", list(dict.fromkeys(request.query)), allowed)
        self._query = request.query

    def all(self, name: str) -> list[str]:
        """Return every value given, once each."""
        return list(dict.fromkeys(self._query.getall(name, [])))

    def text(self, name: str) -> str:
        """Return the one value, or an empty string."""
        values = self._query.getall(name, [])
        if len(values) > 1:
            raise Refused(400, f"{name} is given {len(values)} times", "give it once")
        return values[0] if values else ""

    def whole(self, name: str, default: int, most: int) -> int:
        """Return a whole number from 0 to `most`."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
            raise Refused(400, f"{name} is not a number from 0 to {most}", f"for example {name}={default}")
        return int(text)


def refuse_unknown(what: str, names: Sequence[str], known: Collection[str]) -> None:
    """Refuse names that are not there, with a list of those that are."""
    unknown = [name for name in names if name not in known]
    if not unknown:
        return
    listed = sorted(known)
    more = f" and {len(listed) - _LISTED_MAX} more" if len(listed) > _LISTED_MAX else ""
    there = f"known are: {', '.join(listed[:_LISTED_MAX])}{more}" if listed else f"there is no {what} yet"
    meant = did_you_mean(unknown[0], listed)
    plural = "s" if len(unknown) > 1 else ""
    quoted = ", ".join(repr(name[:100]) for name in unknown[:10])
    raise Refused(400, f"unknown {what}{plural} {quoted}", f"{meant}; {there}" if meant else there)
