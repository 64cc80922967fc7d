"""Parameters that may be changed: they take effect by a reload, lose no data, and have bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NUMBER = re.compile(r"(?P<number>-?[0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(?P<unit>[A-Za-z]{0,3})")
_WORD = re.compile(r"[a-z_]{1,30}")
_KB = {"B": 1 / 1024, "kB": 1.0, "MB": 1024.0, "GB": 1024.0**2, "TB": 1024.0**3}
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_CONTEXTS = ("sighup", "superuser", "user", "superuser-backend", "backend")
HIDING = ("database", "user", "database user")
_FLAT = ("on", "off", "true", "false", "yes", "no")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what a value must be; memory in kB, time in ms, all else as it is."""

    least: float | None = None
    most: float | None = None
    risk: str = ""


_MEMORY = "Every session may take it several times over."
ALLOWED: Mapping[str, Bounds] = {
    "autovacuum": Bounds(),
    "autovacuum_analyze_scale_factor": Bounds(0, 1),
    "autovacuum_analyze_threshold": Bounds(0, 1_000_000),
    "autovacuum_naptime": Bounds(1000, 3_600_000),
    "autovacuum_vacuum_cost_delay": Bounds(0, 100),
    "autovacuum_vacuum_cost_limit": Bounds(1, 10_000),
    "autovacuum_vacuum_insert_scale_factor": Bounds(0, 1),
    "autovacuum_vacuum_insert_threshold": Bounds(-1, 10_000_000),
    "autovacuum_vacuum_scale_factor": Bounds(0, 1),
    "autovacuum_vacuum_threshold": Bounds(0, 1_000_000),
    "bgwriter_delay": Bounds(10, 10_000),
    "bgwriter_lru_maxpages": Bounds(0, 10_000),
    "bgwriter_lru_multiplier": Bounds(0, 10),
    "checkpoint_completion_target": Bounds(0.5, 1),
    "checkpoint_timeout": Bounds(60_000, 3_600_000, "A longer one makes recovery after a crash longer."),
    "default_statistics_target": Bounds(10, 1000),
    "effective_cache_size": Bounds(8192, 64 * 1024.0**3),
    "effective_io_concurrency": Bounds(0, 1000),
    "hash_mem_multiplier": Bounds(1, 8, _MEMORY),
    "log_autovacuum_min_duration": Bounds(-1, 86_400_000),
    "log_checkpoints": Bounds(),
    "log_lock_waits": Bounds(),
    "log_min_duration_statement": Bounds(-1, 86_400_000, "A low one writes much log."),
    "log_temp_files": Bounds(-1, 1024.0**3),
    "maintenance_work_mem": Bounds(1024, 16 * 1024.0**2, _MEMORY),
    "max_parallel_maintenance_workers": Bounds(0, 64),
    "max_parallel_workers": Bounds(0, 256),
    "max_parallel_workers_per_gather": Bounds(0, 64),
    "max_slot_wal_keep_size": Bounds(
        1024.0**2, 64 * 1024.0**3, "Slots that need more are invalidated: their consumers must begin anew."
    ),
    "max_wal_size": Bounds(32 * 1024, 4 * 1024.0**3, "WAL may take that much of the disk."),
    "min_wal_size": Bounds(32 * 1024, 1024.0**3),
    "random_page_cost": Bounds(0.1, 100, "Plans of queries change."),
    "seq_page_cost": Bounds(0.1, 100, "Plans of queries change."),
    "track_functions": Bounds(),
    "track_io_timing": Bounds(),
    "wal_compression": Bounds(),
    "work_mem": Bounds(64, 4 * 1024.0**2, _MEMORY),
}
"""None of those that our own sessions set for themselves: what they see of them is not the server's."""


def unsuitable(row: Any, name: str, value: str) -> str:  # noqa: ANN401 - a row of pg_settings
    """Say why a value cannot be set; an empty string when it can."""
    if row["context"] not in _CONTEXTS:
        return f"{name} takes effect only with a restart ({row['context']}), and that is for people to do"
    if row["source"] == "command line":
        return f"{name} was given on the server's command line, which ALTER SYSTEM cannot override"
    if row["pending_restart"]:
        return f"{name} has already been changed in the files and waits for a restart"
    return _not_of_its_kind(row, name, value)


def has(row: Any, value: str) -> bool:  # noqa: ANN401 - a row of pg_settings
    """Tell whether our session has a value; true also where a setting of our own role hides the server's."""
    if row["source"] in HIDING:
        return True
    if row["vartype"] == "bool":
        return bool((row["setting"] == "on") == (value in ("on", "true", "yes")))
    number, unit = _in_base(value, row["unit"] or ""), _base_of(row["unit"] or "")[1]
    if row["vartype"] not in ("integer", "real") or number is None:
        return bool(row["setting"] == value)
    rounded = 0.5 if row["vartype"] == "integer" else 1e-6
    return abs(float(row["setting"]) - number / unit) <= rounded


def _not_of_its_kind(row: Any, name: str, value: str) -> str:  # noqa: ANN401 - a row of pg_settings
    kind = row["vartype"]
    if kind in ("integer", "real"):
        return _out_of_bounds(row, name, value)
    if kind == "bool":
        return "" if value in _FLAT else f"{name} should be on or off, not {value!r}"
    if kind == "enum" and value in (row["enumvals"] or ()) and _WORD.fullmatch(value):
        return ""
    return f"{name} should be one of {', '.join(row['enumvals'] or ())}, not {value!r}"


def _out_of_bounds(row: Any, name: str, value: str) -> str:  # noqa: ANN401 - a row of pg_settings
    number = _in_base(value, row["unit"] or "")
    if number is None:
        return f"{name} should be a number in {row['unit'] or 'no unit'}, not {value!r}"
    bounds = ALLOWED[name]
    in_unit = number / (_base_of(row["unit"] or "")[1])
    if not float(row["min_val"]) <= in_unit <= float(row["max_val"]):
        return f"{name} has to be between {row['min_val']} and {row['max_val']} {row['unit'] or ''}".strip()
    unset = number == -1 * _base_of(row["unit"] or "")[1] and bounds.least == -1
    if unset or (
        (bounds.least is None or number >= bounds.least) and (bounds.most is None or number <= bounds.most)
    ):
        return ""
    unit = {"memory": " kB", "time": " ms"}.get(_base_of(row["unit"] or "")[0], "")
    return f"{name} may be set between {bounds.least:g} and {bounds.most:g}{unit} from here, not to {value}"


def _base_of(unit: str) -> tuple[str, float]:
    """Return what is measured, and how many kB or ms the server's own unit has."""
    match = re.fullmatch(r"(?P<times>[0-9]*)(?P<unit>[A-Za-z]*)", unit)
    times = float(match["times"] or 1) if match else 1.0
    word = match["unit"] if match else ""
    if word in _KB:
        return "memory", times * _KB[word]
    if word in _MS:
        return "time", times * _MS[word]
    return "", 1.0


def _in_base(value: str, unit: str) -> float | None:
    match = _NUMBER.fullmatch(value)
    if match is None:
        return None
    what, base = _base_of(unit)
    number = float(match["number"])
    if not match["unit"]:
        return number * base
    known = {"memory": _KB, "time": _MS}.get(what, {})
    return number * known[match["unit"]] if match["unit"] in known else None
