"""Tells a person what works on a server, what does not, and the exact line that would make it work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.engine import Finding
from collectors.errors import CollectError
from collectors.model import Rejection
from collectors.postgresql.client import PostgresSession
from collectors.postgresql.facts import Facts, quote_ident
from collectors.postgresql.options import PostgresOptions

CLOCK_WARN_SECONDS = 2.0
_TLS = "select ssl, version, cipher from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class _Wish:
    """Something that makes more visible, with what is lost without it."""

    feature: str
    present: Callable[[Facts], bool]
    lost: str
    remedy: Callable[[Facts], str]


_WISHES = (
    _Wish(
        "role pg_monitor",
        lambda facts: facts.has("role:pg_monitor"),
        "sessions, statements and replication of other users, WAL directory and sizes stay hidden",
        lambda facts: f"GRANT pg_monitor TO {quote_ident(facts.user)};",
    ),
    _Wish(
        "pg_stat_statements",
        lambda facts: facts.has("extension:pg_stat_statements"),
        "nothing is known of single statements",
        lambda facts: (
            "CREATE EXTENSION pg_stat_statements;"
            if "pg_stat_statements" in facts.settings.get("shared_preload_libraries", "")
            else "shared_preload_libraries = 'pg_stat_statements', restart, then the same line again"
        ),
    ),
    _Wish(
        "track_io_timing",
        lambda facts: facts.settings.get("track_io_timing") == "on",
        "times of reads and writes are 0",
        lambda _: "ALTER SYSTEM SET track_io_timing = on; SELECT pg_reload_conf();",
    ),
    _Wish(
        "pgstattuple",
        lambda facts: facts.has("extension:pgstattuple"),
        "bloat is estimated from statistics only, and only of tables that the role may SELECT from",
        lambda facts: (
            f"CREATE EXTENSION pgstattuple; GRANT pg_stat_scan_tables TO {quote_ident(facts.user)};"
        ),
    ),
)


async def inspect(
    facts: Facts, session: PostgresSession, options: PostgresOptions, rejections: Sequence[Rejection]
) -> list[Finding]:
    """Return the findings about one server, the connection first."""
    findings = [
        Finding("version", "info", facts.version),
        Finding("role", "info", facts.role),
        Finding("extensions", "info", _extensions(facts)),
        await _tls(session, options),
        _clock(facts),
    ]
    if facts.superuser:
        user = quote_ident(facts.user)
        remedy = f"ALTER ROLE {user} NOSUPERUSER; GRANT pg_monitor TO {user};"
        findings.append(
            Finding("privileges", "missing", "a superuser watches: that is more than needed", remedy)
        )
    if facts.pooled:
        detail = "a pooler stands between: no session state is relied on"
        findings.append(Finding("pooler", "info", detail))
    for wish in _WISHES:
        if wish.present(facts):
            findings.append(Finding(wish.feature, "ok", ""))
        else:
            findings.append(Finding(wish.feature, "missing", wish.lost, wish.remedy(facts)))
    findings += _not_collected(rejections)
    return findings


def _not_collected(rejections: Sequence[Rejection]) -> list[Finding]:
    """Name every probe that is missing as a whole; single metrics of an otherwise good one are counted."""
    whole = [one for one in rejections if not one.what]
    findings = [
        Finding(f"probe {one.probe}", "info" if one.expected else "unknown", one.reason) for one in whole
    ]
    parts = [one for one in rejections if one.what]
    if parts:
        reasons = sorted({one.reason for one in parts})
        more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""  # noqa: PLR2004
        detail = f"{len(parts)} metrics are not collected: {'; '.join(reasons[:3])}{more}"
        findings.append(Finding("metrics", "info", detail))
    return findings


def _extensions(facts: Facts) -> str:
    return ", ".join(f"{name} {one.version}" for name, one in sorted(facts.extensions.items()))


async def _tls(session: PostgresSession, options: PostgresOptions) -> Finding:
    try:
        rows = await session.fetch(_TLS)
    except CollectError as error:
        return Finding("tls", "unknown", str(error))
    if rows and rows[0]["ssl"]:
        return Finding("tls", "ok", f"{rows[0]['version']} {rows[0]['cipher']}, mode {options.tls_mode}")
    if options.on_socket:
        return Finding("tls", "info", "UNIX socket")
    remedy = "" if options.on_loopback else "tls: {mode: verify-full}"
    return Finding("tls", "info", f"not encrypted, mode {options.tls_mode}", remedy)


def _clock(facts: Facts) -> Finding:
    offset = facts.clock_offset_seconds
    if abs(offset) < CLOCK_WARN_SECONDS:
        return Finding("clock", "ok", f"{offset:+.3f} s against ours")
    return Finding(
        "clock", "missing", f"the server's clock is {offset:+.1f} s off ours", "check NTP on both hosts"
    )
