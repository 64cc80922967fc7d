"""Settings as gauges, `pg_settings_<name>` in base units, and which of them wait for a restart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from collectors.model import Cost, Frame, Kind, MetricDef, Number, ProbeInfo, Target
from collectors.postgresql.probe import CodeProbe, Result, Session

# What this session, its role or its database has set says nothing of the server: unknown, so absent.
_SQL = """
select s.name, s.setting, coalesce(s.unit, '') as unit, s.vartype, s.pending_restart,
  s.source in ('client', 'session', 'user', 'database', 'database user')
    or s.name in ('transaction_read_only', 'transaction_deferrable', 'is_superuser') as own
from pg_catalog.pg_settings s
where s.vartype in ('bool', 'integer', 'real') or s.pending_restart
"""

_SECONDS: dict[str, Number] = {"us": 1e-6, "ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_UNIT = re.compile(r"(\d*)([A-Za-z]+)")
# Some managed servers append the unit to the value.
_VALUE = re.compile(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*[A-Za-z]*")
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]")

PENDING = MetricDef(
    name="pg_setting_pending_restart",
    kind=Kind.GAUGE,
    help="1 for a setting that was changed in the configuration and waits for a restart.",
    labels=("name",),
)
PENDING_NUMBER = MetricDef(
    name="pg_settings_waiting_for_restart",
    kind=Kind.GAUGE,
    help="Settings that were changed in the configuration and wait for a restart.",
)


def in_base_unit(setting: str, unit: str, vartype: str) -> tuple[Number, str] | None:
    """Return a setting's value in seconds or bytes, and that unit; None when it is not a number.

    -1 stays -1: it means "none" or "by default" whatever the unit.
    """
    if vartype == "bool":
        return int(setting == "on"), ""
    found = _VALUE.fullmatch(setting)
    if found is None:
        return None
    try:
        value: Number = int(found[1]) if found[1].lstrip("+-").isdigit() else float(found[1])
    except ValueError:
        return None
    factor, base = _factor(unit)
    if unit and not base:
        return None
    return (value if value == -1 else value * factor), base


def _factor(unit: str) -> tuple[Number, str]:
    """Return what one `unit` (`ms`, `8kB`) is in its base unit, and that; 1 and "" when there is none."""
    found = _UNIT.fullmatch(unit)
    if found is None:
        return 1, ""
    times, name = int(found[1] or 1), found[2]
    if name in _SECONDS:
        return times * _SECONDS[name], "seconds"
    if name in _BYTES:
        return times * _BYTES[name], "bytes"
    return 1, ""


_known: dict[tuple[str, str], MetricDef] = {}
_sets: dict[tuple[tuple[str, str], ...], tuple[MetricDef, ...]] = {}
"""Definitions by setting and unit, and sets of them: hundreds of servers have the same settings."""
_SETS_MAX = 256


class SettingsRunner:
    """Reads all settings."""

    async def run(self, session: Session) -> Result:
        """Read the settings once."""
        return self.frames(await session.fetch(_SQL))

    def frames(self, rows: Sequence[Mapping[str, Any]]) -> Result:
        """Turn rows of pg_settings into frames."""
        found: dict[tuple[str, str], Number] = {}
        for row in rows:
            number = None if row["own"] else in_base_unit(row["setting"] or "", row["unit"], row["vartype"])
            if number is not None and row["vartype"] in ("bool", "integer", "real"):
                found.setdefault((_name(row["name"], number[1]), number[1]), number[0])
        pending = sorted(row["name"] for row in rows if row["pending_restart"])
        settings = Frame(_metrics(tuple(found), rows), [()], [[value] for value in found.values()])
        waiting = Frame((PENDING,), [(name,) for name in pending], [[1] * len(pending)])
        return Result((settings, Frame((PENDING_NUMBER,), [()], [[len(pending)]]), waiting))


def _name(setting: str, base: str) -> str:
    return f"pg_settings_{_NOT_A_NAME.sub('_', setting)}" + (f"_{base}" if base else "")


def _metrics(names: tuple[tuple[str, str], ...], rows: Sequence[Mapping[str, Any]]) -> tuple[MetricDef, ...]:
    metrics = _sets.get(names)
    if metrics is None:
        if len(_sets) >= _SETS_MAX:
            _sets.clear()
        settings = {_NOT_A_NAME.sub("_", row["name"]): row["name"] for row in reversed(rows)}
        metrics = _sets[names] = tuple(_metric(name, base, settings) for name, base in names)
    return metrics


def _metric(name: str, base: str, settings: Mapping[str, str]) -> MetricDef:
    metric = _known.get((name, base))
    if metric is None:
        plain = name.removeprefix("pg_settings_").removesuffix(f"_{base}" if base else "")
        converted = f" [Units converted to {base}.]" if base else ""
        text = f"Server Parameter: {settings.get(plain, plain)}{converted}"
        metric = _known[name, base] = MetricDef(name=name, kind=Kind.GAUGE, help=text, unit=base)
    return metric


def _make(_target: Target) -> SettingsRunner:
    return SettingsRunner()


PROBES = (
    CodeProbe(
        info=ProbeInfo(
            name="settings",
            every_seconds=300.0,
            within_seconds=5.0,
            cost=Cost.LIGHT,
            metrics=(PENDING, PENDING_NUMBER),
            rows_max=1000,
        ),
        help="Numeric and boolean settings, as pg_settings_<name> in seconds or bytes, and pending restarts.",
        make=_make,
    ),
)
