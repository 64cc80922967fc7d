"""Runs the steps on the connection that `daemon.store.schema` brings, inside its transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
