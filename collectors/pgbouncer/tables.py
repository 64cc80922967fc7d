"""What each table of the admin console becomes: names as pgbouncer_exporter has them, ours beyond.

Columns are looked up in the header of each answer, so that older and newer pgBouncers give what they have.
"""

from __future__ import annotations

from dataclasses import dataclass

from collectors.model import Cost, Kind, MetricDef

MICROSECONDS = 1e-6
_POOL = ("database", "user")
_SESSION = ("database", "user", "state")
_DATABASE = ("name", "host", "port", "database", "force_user", "pool_mode")


@dataclass(frozen=True, slots=True)
class Value:
    """A metric, and the columns whose sum it is, each with its factor; the first one has to be there."""

    metric: MetricDef
    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """One command of the console, as a probe."""

    name: str
    command: str
    help: str
    labels: tuple[str, ...] = ()
    """Each is the column of its name, or of the name that `columns` gives it."""
    columns: tuple[tuple[str, str], ...] = ()
    values: tuple[Value, ...] = ()
    """Columns of a table with a row for each series; or, with `by_key`, keys of a two-column table."""
    by_key: bool = False
    count: MetricDef | None = None
    """Set where rows are counted for each set of labels; `values` are then the largest of each."""
    cost: Cost = Cost.LIGHT
    every_seconds: float = 0.0
    default: bool = True

    @property
    def metrics(self) -> tuple[MetricDef, ...]:
        """Return the metrics, the count first."""
        return ((self.count,) if self.count else ()) + tuple(value.metric for value in self.values)


def _gauge(name: str, text: str, labels: tuple[str, ...] = (), unit: str = "") -> MetricDef:
    return MetricDef(name=f"pgbouncer_{name}", kind=Kind.GAUGE, help=text, labels=labels, unit=unit)


def _of(column: str, metric: MetricDef, factor: float = 1.0) -> Value:
    return Value(metric, ((column, factor),))


def _pool(column: str, name: str, text: str) -> Value:
    return _of(column, _gauge(f"pools_{name}", text, _POOL))


def _total(column: str, name: str, text: str, unit: str = "", factor: float = 1.0) -> Value:
    metric = MetricDef(
        name=f"pgbouncer_stats_totals_{name}_total",
        kind=Kind.COUNTER,
        help=text,
        labels=("database",),
        unit=unit,
    )
    return _of(column, metric, factor)


def _average(column: str, name: str, text: str, unit: str = "", factor: float = 1.0) -> Value:
    return _of(column, _gauge(f"stats_averages_{name}", text, ("database",), unit), factor)


def _database(column: str, text: str) -> Value:
    return _of(column, _gauge(f"databases_{column}", text, _DATABASE))


def _list(key: str, text: str, name: str = "") -> Value:
    return _of(key, _gauge(name or key, text))


def _config(key: str, text: str, name: str = "", unit: str = "") -> Value:
    return _of(key, _gauge(f"config_{name or key}", text, unit=unit))


_WAIT = (("wait", 1.0), ("wait_us", MICROSECONDS))

UP = _gauge("up", "1 while the admin console answers, else 0.")
VERSION = _gauge("version_info", "1, with the version as label.", ("version",))
STATE = _gauge("state", "1 for the state that pgBouncer is in: active, paused or suspended.", ("state",))

POOLS = Show(
    name="pools",
    command="POOLS",
    help="Clients and server connections of each pool.",
    labels=_POOL,
    values=(
        _pool("cl_active", "client_active_connections", "Clients linked to a server connection, or idle."),
        _pool("cl_waiting", "client_waiting_connections", "Clients that wait for a server connection."),
        _pool(
            "cl_active_cancel_req",
            "client_active_cancel_connections",
            "Clients whose cancel request is with the server.",
        ),
        _pool(
            "cl_waiting_cancel_req",
            "client_waiting_cancel_connections",
            "Clients whose cancel request waits.",
        ),
        _pool("sv_active", "server_active_connections", "Server connections linked to a client."),
        _pool(
            "sv_active_cancel",
            "server_active_cancel_connections",
            "Server connections that forward a cancel request.",
        ),
        _pool(
            "sv_being_canceled",
            "server_being_canceled_connections",
            "Server connections kept until a cancel request is done.",
        ),
        _pool("sv_idle", "server_idle_connections", "Server connections ready for a client."),
        _pool(
            "sv_used",
            "server_used_connections",
            "Server connections idle so long that they are checked before use.",
        ),
        _pool(
            "sv_tested", "server_testing_connections", "Server connections that run a reset or check query."
        ),
        _pool("sv_login", "server_login_connections", "Server connections that are logging in."),
        Value(
            _gauge(
                "pools_client_maxwait_seconds",
                "How long the oldest waiting client has waited.",
                _POOL,
                "seconds",
            ),
            (("maxwait", 1.0), ("maxwait_us", MICROSECONDS)),
        ),
    ),
)

DATABASES = Show(
    name="databases",
    command="DATABASES",
    help="Limits and state of each configured database.",
    labels=_DATABASE,
    values=(
        _database("pool_size", "Server connections that a pool may have."),
        _database("min_pool_size", "Server connections that a pool keeps."),
        Value(
            _gauge("databases_reserve_pool", "Additional server connections for this database.", _DATABASE),
            (("reserve_pool", 1.0),),
        ),
        _database(
            "reserve_pool_size", "Additional server connections for this database (pgBouncer 1.23 on)."
        ),
        _database("max_connections", "Server connections that this database may have; 0 is unlimited."),
        _database("current_connections", "Server connections that this database has."),
        _database("max_client_connections", "Clients that this database may have; 0 is unlimited."),
        _database("current_client_connections", "Clients that this database has."),
        _database("paused", "1 while this database is paused, else 0."),
        _database("disabled", "1 while this database is disabled, else 0."),
    ),
)

STATS = Show(
    name="stats",
    command="STATS_TOTALS",
    help="What went through each database since pgBouncer started.",
    labels=("database",),
    values=(
        _total("xact_count", "sql_transactions_pooled", "Transactions.", "transactions"),
        _total("query_count", "queries_pooled", "Queries."),
        _total(
            "server_assignment_count",
            "server_assignments",
            "Times a server connection was given to a client.",
        ),
        _total("bytes_received", "received_bytes", "Network traffic received from clients.", "bytes"),
        _total("bytes_sent", "sent_bytes", "Network traffic sent to clients.", "bytes"),
        _total(
            "xact_time",
            "server_in_transaction_seconds",
            "Time spent in transactions, idle ones too.",
            "seconds",
            MICROSECONDS,
        ),
        _total(
            "query_time",
            "queries_duration_seconds",
            "Time in which servers executed queries.",
            "seconds",
            MICROSECONDS,
        ),
        _total(
            "wait_time",
            "client_wait_seconds",
            "Time that clients waited for a server.",
            "seconds",
            MICROSECONDS,
        ),
        _total("client_parse_count", "client_parses", "Parse messages from clients."),
        _total("server_parse_count", "server_parses", "Parse messages to servers."),
        _total("bind_count", "binds", "Bind messages that readied a prepared statement."),
    ),
)

AVERAGES = Show(
    name="averages",
    command="STATS_AVERAGES",
    help="pgBouncer's own averages over its last stats_period.",
    labels=("database",),
    values=(
        _average("xact_count", "transactions_per_second", "Transactions per second."),
        _average("query_count", "queries_per_second", "Queries per second."),
        _average("bytes_received", "received_bytes_per_second", "Received from clients per second."),
        _average("bytes_sent", "sent_bytes_per_second", "Sent to clients per second."),
        _average("xact_time", "transaction_seconds", "Duration of a transaction.", "seconds", MICROSECONDS),
        _average("query_time", "query_seconds", "Duration of a query.", "seconds", MICROSECONDS),
        _average("wait_time", "wait_seconds", "Clients' waiting per second.", "seconds", MICROSECONDS),
    ),
)

CLIENTS = Show(
    name="clients",
    command="CLIENTS",
    help="Client connections, counted.",
    labels=_SESSION,
    count=_gauge("clients_connections", "Client connections by state.", _SESSION),
    values=(
        Value(
            _gauge(
                "clients_wait_seconds_max",
                "Longest present wait for a server connection.",
                _SESSION,
                "seconds",
            ),
            _WAIT,
        ),
    ),
    cost=Cost.MEDIUM,
    every_seconds=30.0,
)

SERVERS = Show(
    name="servers",
    command="SERVERS",
    help="Server connections, counted.",
    labels=_SESSION,
    count=_gauge("servers_connections", "Server connections by state.", _SESSION),
    cost=Cost.MEDIUM,
    every_seconds=30.0,
)

LISTS = Show(
    name="lists",
    command="LISTS",
    help="How many of everything there are.",
    by_key=True,
    values=(
        _list("databases", "Databases."),
        _list("users", "Users."),
        _list("pools", "Pools."),
        _list("free_clients", "Client slots allocated and free."),
        _list("used_clients", "Clients."),
        _list("login_clients", "Clients that are logging in."),
        _list("free_servers", "Server slots allocated and free."),
        _list("used_servers", "Server connections."),
        _list("dns_names", "DNS names in the cache.", "cached_dns_names"),
        _list("dns_zones", "DNS zones in the cache.", "cached_dns_zones"),
        _list("dns_queries", "DNS queries in flight.", "in_flight_dns_queries"),
        _list("dns_pending", "DNS queries that wait to be sent.", "pending_dns_queries"),
    ),
)

CONFIG = Show(
    name="config",
    command="CONFIG",
    help="The limits in force.",
    by_key=True,
    every_seconds=60.0,
    values=(
        _config("max_client_conn", "Clients that may connect.", "max_client_connections"),
        _config("max_user_connections", "Server connections that a user may have; 0 is unlimited."),
        _config("max_db_connections", "Server connections that a database may have; 0 is unlimited."),
        _config("default_pool_size", "Server connections that a pool may have."),
        _config("min_pool_size", "Server connections that a pool keeps."),
        _config("reserve_pool_size", "Additional server connections of a pool."),
        _config(
            "reserve_pool_timeout",
            "Wait after which the reserve is used.",
            "reserve_pool_timeout_seconds",
            "seconds",
        ),
        _config(
            "query_wait_timeout",
            "Wait after which a client is disconnected.",
            "query_wait_timeout_seconds",
            "seconds",
        ),
        _config(
            "server_idle_timeout",
            "Idle time after which a server connection is closed.",
            "server_idle_timeout_seconds",
            "seconds",
        ),
        _config(
            "server_lifetime",
            "Age at which a server connection is closed.",
            "server_lifetime_seconds",
            "seconds",
        ),
    ),
)

MEMORY = Show(
    name="memory",
    command="MEM",
    help="pgBouncer's own caches.",
    labels=("name",),
    every_seconds=60.0,
    default=False,
    values=(
        _of("memtotal", _gauge("memory_total_bytes", "Memory of a cache.", ("name",), "bytes")),
        _of("used", _gauge("memory_used_items", "Items of a cache in use.", ("name",))),
        _of("free", _gauge("memory_free_items", "Items of a cache that are free.", ("name",))),
    ),
)

VERSION_SHOW = Show(
    name="version",
    command="VERSION",
    help="Which pgBouncer this is.",
    labels=("version",),
    count=VERSION,
)
STATE_SHOW = Show(
    name="state",
    command="STATE",
    help="Whether pgBouncer is active, paused or suspended; newer versions only.",
    labels=("state",),
    columns=(("state", "key"),),
    values=(Value(STATE, (("value", 1.0),)),),
)

SHOWS = (VERSION_SHOW, STATE_SHOW, POOLS, DATABASES, STATS, AVERAGES, LISTS, CONFIG, CLIENTS, SERVERS, MEMORY)
