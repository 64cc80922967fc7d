"""Starts what is compared: Debian's prometheus-postgres-exporter, and `dbarchitect run` as users run it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actions.scratch.errors import NotInstalled
from actions.scratch.ports import free_port
from actions.scratch.postgres import ScratchPostgres
from tests.bench.collect_process import Scraped

ROOT = Path(__file__).resolve().parents[2]
_COLLECTING_ONLY = {"rules": {"builtin": False, "files": []}, "history": {"enabled": False}}
"""What is compared collects; judging and keeping have measurements of their own."""
EXPORTER = "prometheus-postgres-exporter"

SAME = (
    "activity", "database", "conflicts", "database_limits", "database_sizes", "locks", "checkpointer", "bgwriter",
    "replication", "replication_lag", "slots", "slot_status", "server", "settings", "static", "roles",
)  # fmt: skip
"""The probes that give what postgres_exporter gives by default, and no others."""

STATEMENT_COLUMNS = (
    "calls", "total_exec_time", "min_exec_time", "max_exec_time", "mean_exec_time", "stddev_exec_time", "rows",
    "shared_blks_hit", "shared_blks_read", "shared_blks_dirtied", "shared_blks_written", "local_blks_hit",
    "local_blks_read", "local_blks_dirtied", "local_blks_written", "temp_blks_read", "temp_blks_written",
    "blk_read_time", "blk_write_time", "wal_records", "wal_fpi",
)  # fmt: skip
TABLE_COLUMNS = (
    "seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "n_tup_ins", "n_tup_upd", "n_tup_del", "n_tup_hot_upd",
    "n_live_tup", "n_dead_tup", "n_mod_since_analyze", "n_ins_since_vacuum", "vacuum_count", "autovacuum_count",
    "analyze_count", "autoanalyze_count",
)  # fmt: skip
IO_COLUMNS = (
    "heap_blks_read", "heap_blks_hit", "idx_blks_read", "idx_blks_hit", "toast_blks_read", "toast_blks_hit",
    "tidx_blks_read", "tidx_blks_hit",
)  # fmt: skip
EVERYTHING = {
    "every_statement": (
        ("userid", "dbid", "queryid"), STATEMENT_COLUMNS, "{schema}.pg_stat_statements(false)",
    ),
    "every_table": (
        ("schemaname", "relname"), TABLE_COLUMNS, "pg_catalog.pg_stat_user_tables",
    ),
    "every_table_io": (
        ("schemaname", "relname"), IO_COLUMNS, "pg_catalog.pg_statio_user_tables",
    ),
}  # fmt: skip
"""Name -> labels, columns, source: the same SQL for both."""


def exporter_path() -> str:
    found = shutil.which(EXPORTER)
    if found is None:
        raise NotInstalled(f"{EXPORTER} is not on this machine: sudo apt-get install {EXPORTER}")
    return found


def start_exporter(
    server: ScratchPostgres, room: Path, name: str, login: tuple[str, str], *options: str
) -> Scraped:
    port = free_port()
    dsn = server.dsn("app", *login) + "?sslmode=disable"
    env = {"PATH": os.environ["PATH"], "DATA_SOURCE_NAME": dsn, "GOMAXPROCS": "2"}
    argv = [exporter_path(), f"--web.listen-address=127.0.0.1:{port}", *options]
    return Scraped.start(name, port, argv, room / f"{name}.log", env=env)


def start_ours(
    room: Path, name: str, targets: Sequence[Mapping[str, Any]], *, cpu: int | None = None, **config: Any
) -> Scraped:
    """Start `dbarchitect run`; `config` are further keys of the configuration, `uvloop` among those of `daemon`."""
    port = free_port()
    daemon = {
        "listen": f"127.0.0.1:{port}",
        "state_dir": str(room / f"{name}.state"),
        "uvloop": config.pop("uvloop", True),
        "log": {"format": "json"},
    }
    file = room / f"{name}.yaml"
    file.write_text(
        json.dumps(
            {
                "daemon": daemon,
                "allow_inline_secrets": True,
                "targets": list(targets),
                **_COLLECTING_ONLY,
                **config,
            }
        )
    )
    file.chmod(0o600)
    argv = [sys.executable, "-m", "daemon", "run", str(file)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return Scraped.start(name, port, argv, room / f"{name}.log", env=env, cpu=cpu)


def target(server: ScratchPostgres, name: str, login: tuple[str, str], **keys: Any) -> dict[str, Any]:
    return {
        "name": name, "engine": "postgresql", "host": server.host, "port": server.port, "user": login[0],
        "password": {"text": login[1]}, "dbname": keys.pop("dbname", "app"), **keys,
    }  # fmt: skip


def only(*probes: str) -> dict[str, bool]:
    """Return a `collect:` that leaves everything else out."""
    return {"*": False, **dict.fromkeys(probes, True)}


def exporter_queries() -> str:
    """Return a `queries.yaml` with everything per table and statement."""
    document = {}
    for name, (labels, columns, source) in EVERYTHING.items():
        sql = f"select {_labels(labels)}, {', '.join(columns)} from {source.format(schema='public')}"
        usage = [{label: {"usage": "LABEL", "description": label}} for label in labels]
        usage += [{column: {"usage": "GAUGE", "description": column}} for column in columns]
        document[name] = {"query": sql, "master": True, "metrics": usage}
    return json.dumps(document)


def our_queries(names: Sequence[str] = tuple(EVERYTHING)) -> str:
    """Return the same as a metrics file of ours."""
    document = {}
    for name in names:
        labels, columns, source = EVERYTHING[name]
        document[name] = {
            "help": "Everything.", "within": "30s", "rows_max": 1_000_000,
            "sql": f"select {_labels(labels)}, {', '.join(columns)} "
            f"from {source.format(schema='{extension:pg_stat_statements}')}",
            "labels": dict.fromkeys(labels),
            "values": {
                column: {"metric": f"{name}_{column}", "kind": "gauge", "help": column} for column in columns
            },
        }  # fmt: skip
    return json.dumps(document)


def _labels(names: Sequence[str]) -> str:
    return ", ".join(f"{name}::text" for name in names)
