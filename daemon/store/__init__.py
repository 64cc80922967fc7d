"""What must outlive the daemon: the journal with its hash chain, executions, approvals, stops, the lease.

One set of transactions over SQLAlchemy Core serves SQLite and PostgreSQL.
"""
