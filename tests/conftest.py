"""What all tests share. The fixtures themselves live in `tests/fixtures/`, one module per kind:

- `servers`:   `place`, `installations`, `postgres14` .. `postgres18`, `any_postgres`, `new_postgres`,
               `postgres_pair`, `pgbouncer`, `prometheus`, `alertmanager`
- `databases`: `fresh_database`, `monitor_role`, `bare_role`
- `proxy`:     `proxy`
- `daemons`:   `daemon_process`

Types to annotate tests with stand beside them: `NewPostgres`, `Pair`, `NewDatabase`, `NewLogin`, `NewProxy`,
`NewDaemon`.
`pytest --fixtures` prints what each gives. Plain functions to import: `tests.fixtures.clients.connected`
(an asyncpg connection), `tests.fixtures.waiting.until` (wait for a condition),
`tests.fixtures.missing.missing` (skip here, fail where everything must be there).
"""

from __future__ import annotations

import signal

# What a script starts in the background ignores Ctrl-C, and hands that down: to programs that tests end with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.databases",
    "tests.fixtures.proxy",
    "tests.fixtures.daemons",
]
