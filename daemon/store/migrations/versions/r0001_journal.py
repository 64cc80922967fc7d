"""The first tables: lease, head of the chain, executions, journal, approvals, stops."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LIVE = sa.text(
    "state IN ('claimed', 'compensating', 'needs_human', 'resolving', 'running', 'verifying')",
)
_CLAIMED = sa.text("claimed IS NOT NULL")
_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them."""
    _make_lease_and_head()
    _make_execution()
    _make_journal()
    op.create_table(
        "approval",
        sa.Column("execution", sa.String, sa.ForeignKey("execution.id"), primary_key=True),
        sa.Column("who", sa.String, primary_key=True),
        sa.Column("seq", _SEQ, nullable=False),
        sa.Column("plan_hash", sa.String, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "stop",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("action", sa.String, primary_key=True),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )


def _make_lease_and_head() -> None:
    op.create_table(
        "lease",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("ttl", sa.Double, nullable=False),
    )
    op.create_table(
        "head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.execute("INSERT INTO lease VALUES ('acting', '', '', '', 0, 0, 0)")
    op.execute("INSERT INTO head VALUES (1, 0, '')")


def _make_execution() -> None:
    texts = ("family", "target", "cluster", "part", "plan_hash", "incident_key", "policy", "mode")
    op.create_table(
        "execution",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("dedup_key", sa.String, nullable=False, unique=True),
        sa.Column("action", sa.String, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in texts),
        sa.Column("proposer", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("deadline", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("claimed", sa.Double, nullable=True),
        sa.Column("incident", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
    )
    op.create_index(
        "one_live_per_scope",
        "execution",
        ["cluster", "part"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_index("execution_by_age", "execution", ["created", "id"])
    op.create_index("execution_by_state", "execution", ["state", "created", "id"])
    op.create_index(
        "execution_by_end", "execution", ["since"], sqlite_where=_CLAIMED, postgresql_where=_CLAIMED
    )


def _make_journal() -> None:
    op.create_table(
        "journal",
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
    )
    op.create_index("journal_by_execution", "journal", ["execution", "seq"])
