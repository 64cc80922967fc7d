"""Which metric tells what on the screen of a PostgreSQL target: the one place that knows their names."""

from __future__ import annotations

COMMITS = "pg_stat_database_xact_commit"
ROLLBACKS = "pg_stat_database_xact_rollback"
BLOCKS_HIT = "pg_stat_database_blks_hit"
BLOCKS_READ = "pg_stat_database_blks_read"
TEMP_BYTES = "pg_stat_database_temp_bytes"
DEADLOCKS = "pg_stat_database_deadlocks"
BACKENDS = "pg_stat_database_numbackends"
DATABASE_SIZE = "pg_database_size_bytes"
XID_AGE = "pg_database_wraparound_age_datfrozenxid_seconds"
"""In transactions, whatever its name says."""

STARTED = "pg_postmaster_start_time_seconds"
USED = "pg_connections_used"
USABLE = "pg_connections_usable"
ACTIVE = "pg_active_connections"
IDLE_IN_TRANSACTION = "pg_idle_in_transaction_connections"
WAITING = "pg_lock_waiting_connections"
OLDEST_TRANSACTION = "pg_long_running_transactions_oldest_timestamp_seconds"
LONGEST_QUERY = "pg_longest_query_seconds"
WAL_BYTES = "pg_stat_wal_bytes_total"
WAL_POSITION = "pg_xlog_location_bytes"
ARCHIVE_FAILING = "pg_stat_archiver_failing"

HORIZON_AGE = "pg_xmin_horizon_holder_age_transactions"
HORIZON_SECONDS = "pg_xmin_horizon_holder_seconds"

SESSIONS = "pg_stat_activity_count"
SESSION_TRANSACTION = "pg_stat_activity_max_tx_duration"

BLOCKED = "pg_blocked_sessions"
BLOCKING_DEPTH = "pg_blocking_depth"
HEAD_BLOCKED = "pg_blocking_head_blocked_sessions"
HEAD_WAIT = "pg_blocking_head_longest_wait_seconds"
HEAD_TRANSACTION = "pg_blocking_head_transaction_seconds"

REPLICATION_LAG = "pg_replication_lag_seconds"
REPLICATION_STATE = "pg_replication_state"
SENT_TO_BYTES = "pg_stat_replication_replay_lag_bytes"
SENT_TO_SECONDS = "pg_stat_replication_replay_lag_seconds"
SENT_TO_FLUSH_BYTES = "pg_stat_replication_flush_lag_bytes"
SENT_TO_SYNC = "pg_stat_replication_is_sync"
SLOT_ACTIVE = "pg_replication_slots_active"
SLOT_BYTES = "pg_replication_slots_pg_wal_lsn_diff"

STATEMENT_SECONDS = "pg_stat_statements_seconds_total"
STATEMENT_CALLS = "pg_stat_statements_calls_total"
STATEMENT_ROWS = "pg_stat_statements_rows_total"
STATEMENT_READ = "pg_stat_statements_shared_blocks_read_total"
STATEMENT_TEMP = "pg_stat_statements_temp_bytes_total"
STATEMENT_WAL = "pg_stat_statements_wal_bytes_total"

TABLE_SEQ_SCANS = "pg_stat_user_tables_seq_scan"
TABLE_SEQ_ROWS = "pg_stat_user_tables_seq_tup_read"
TABLE_INDEX_SCANS = "pg_stat_user_tables_idx_scan"
TABLE_INSERTED = "pg_stat_user_tables_n_tup_ins"
TABLE_UPDATED = "pg_stat_user_tables_n_tup_upd"
TABLE_DELETED = "pg_stat_user_tables_n_tup_del"
TABLE_LIVE = "pg_stat_user_tables_n_live_tup"
TABLE_DEAD = "pg_stat_user_tables_n_dead_tup"
TABLE_VACUUMED = "pg_stat_user_tables_last_vacuum"
TABLE_AUTOVACUUMED = "pg_stat_user_tables_last_autovacuum"
TABLE_SIZE = "pg_stat_user_tables_table_size_bytes"

COUNTERS = frozenset(
    {
        COMMITS, ROLLBACKS, BLOCKS_HIT, BLOCKS_READ, TEMP_BYTES, WAL_BYTES, WAL_POSITION,
        STATEMENT_SECONDS, STATEMENT_CALLS, STATEMENT_ROWS, STATEMENT_READ, STATEMENT_TEMP, STATEMENT_WAL,
        TABLE_SEQ_SCANS, TABLE_SEQ_ROWS, TABLE_INDEX_SCANS, TABLE_INSERTED, TABLE_UPDATED, TABLE_DELETED,
    }
)  # fmt: skip
"""Those whose rates are shown. The WAL position only grows, so that it has a rate, too."""
NAMES = frozenset(
    value for name, value in list(globals().items()) if name.isupper() and isinstance(value, str)
)
"""All of them: what is read from a page of many thousands of lines."""
