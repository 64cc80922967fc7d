"""The store's tables, as the newest migration leaves them."""

from __future__ import annotations

import sqlalchemy as sa

LEASE_NAME = "acting"
HEAD_ID = 1

_LIVE = sa.text("state IN ('claimed', 'compensating', 'needs_human', 'resolving', 'running', 'verifying')")
_CLAIMED = sa.text("claimed IS NOT NULL")
_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData()

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("owner", sa.String, nullable=False),
    # The one store object that may renew it: two daemons with one name are two.
    sa.Column("holder", sa.String, nullable=False),
    sa.Column("previous", sa.String, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("ttl", sa.Double, nullable=False),
)

# The end of the chain. Whoever appends locks it, so all that is written has one order.
head = sa.Table(
    "head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

execution = sa.Table(
    "execution",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("dedup_key", sa.String, nullable=False, unique=True),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("family", sa.String, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("cluster", sa.String, nullable=False),
    sa.Column("part", sa.String, nullable=False),
    sa.Column("plan_hash", sa.String, nullable=False),
    sa.Column("incident_key", sa.String, nullable=False),
    sa.Column("policy", sa.String, nullable=False),
    sa.Column("mode", sa.String, nullable=False),
    sa.Column("proposer", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("deadline", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
    # When it came to its state, and when it was first claimed.
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("claimed", sa.Double, nullable=True),
    sa.Column("incident", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Index(
        "one_live_per_scope", "cluster", "part", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE
    ),
    sa.Index("execution_by_age", "created", "id"),
    sa.Index("execution_by_state", "state", "created", "id"),
    sa.Index("execution_by_end", "since", sqlite_where=_CLAIMED, postgresql_where=_CLAIMED),
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", _SEQ, primary_key=True, autoincrement=False),
    sa.Column("execution", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("who", sa.String, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("prev_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("journal_by_execution", "execution", "seq"),
)

approval = sa.Table(
    "approval",
    metadata,
    sa.Column("execution", sa.String, sa.ForeignKey("execution.id"), primary_key=True),
    sa.Column("who", sa.String, primary_key=True),
    sa.Column("seq", _SEQ, nullable=False),
    sa.Column("plan_hash", sa.String, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)

stop = sa.Table(
    "stop",
    metadata,
    sa.Column("target", sa.String, primary_key=True),
    sa.Column("action", sa.String, primary_key=True),
    sa.Column("by", sa.String, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)
