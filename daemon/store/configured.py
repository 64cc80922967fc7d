"""Where a configuration says that the store is."""

from __future__ import annotations

from pathlib import Path

from collectors.postgresql.options import PostgresOptions
from daemon.config import Config
from daemon.store.options import ANCHOR, FILE, StoreOptions


def options_of(config: Config) -> StoreOptions:
    """Return what to open, without looking whether it is there."""
    folder = Path(config.daemon.state_dir)
    acting = config.acting
    anchor = Path(acting.anchor_file) if acting.anchor_file else folder / ANCHOR
    named = acting.store.postgresql
    if named is None:
        return StoreOptions(path=folder / FILE, anchor=anchor)
    server = PostgresOptions(
        host=named.host,
        port=named.port,
        user=named.user,
        password=named.password,
        dbname=named.dbname,
        tls=named.tls,
    )
    return StoreOptions(server=server, anchor=anchor)
