"""Which probes fit a server: chosen once for all servers that offer the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collectors import choose
from collectors.definition import ProbeDef
from collectors.model import Rejection
from collectors.postgresql.facts import Facts
from collectors.postgresql.probe import CodeProbe

_KEPT_MAX = 256


@dataclass(frozen=True, slots=True)
class Choice:
    """What can be asked in one database, and why other things cannot."""

    queries: dict[str, choose.Query]
    code: dict[str, CodeProbe]
    rejections: tuple[Rejection, ...]
    among: tuple[object, ...]
    """What was chosen among: kept, because the cache knows these by identity."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What has to be looked up besides what every session learns: named by probes of the user's own."""

    relations: tuple[str, ...] = ()
    """`schema.relation`"""
    settings: tuple[str, ...] = ()


def wants_of(declared: Sequence[ProbeDef]) -> Wants:
    """Return what the needs of these probes name outside of `pg_catalog`."""
    needs = {
        need.strip().removeprefix("!").strip()
        for probe in declared
        for needs in (probe.needs, *(value[2] for value in probe.values))
        for alternatives in needs
        for need in alternatives.split("|")
    }
    relations = {
        ".".join(need.split(".")[:2])
        for need in needs
        if ":" not in need and "." in need and not need.startswith("pg_catalog.")
    }
    settings = {
        need.removeprefix("setting:").partition("=")[0] for need in needs if need.startswith("setting:")
    }
    return Wants(tuple(sorted(relations)), tuple(sorted(settings)))


_shared: dict[tuple[object, ...], Choice] = {}
"""Hundreds of servers of one kind share one choice, and the text of its statements."""


def chosen(declared: Sequence[ProbeDef], code: Sequence[CodeProbe], facts: Facts) -> Choice:
    """Return the choice among the probes that a target wants, for what a session's server offers."""
    key = (facts.offer, tuple(map(id, declared)), tuple(map(id, code)))
    found = _shared.get(key)
    if found is None:
        if len(_shared) >= _KEPT_MAX:
            _shared.clear()
        found = _shared[key] = _choose(declared, code, facts)
    return found


def _choose(declared: Sequence[ProbeDef], code: Sequence[CodeProbe], facts: Facts) -> Choice:
    queries, rejections = choose.choose(declared, facts.has, role=facts.role, schema_of=facts.schema_of)
    fitting: dict[str, CodeProbe] = {}
    for one in code:
        if one.role not in ("any", facts.role):
            rejections.append(Rejection(one.info.name, "", f"only on a {one.role}", expected=True))
        elif need := choose.missing(one.needs, facts.has):
            rejections.append(choose.lack(one.info.name, "", need))
        else:
            fitting[one.info.name] = one
    return Choice(
        {query.probe.name: query for query in queries}, fitting, tuple(rejections), (*declared, *code)
    )
