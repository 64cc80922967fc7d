"""Settings that were changed, wait for a restart, and passwords that run out."""

from __future__ import annotations

from actions.scratch.postgres import ScratchPostgres
from tests.fixtures.courts import Court
from tests.fixtures.proofs import caused
from tests.fixtures.waiting import until


@caused("PostgresqlSettingChanged", "PostgresqlRestartPending")
async def test_a_changed_setting_is_named_and_one_that_waits_for_a_restart_too(
    court: Court, spare: ScratchPostgres
) -> None:
    watched = court.watch(spare)
    await watched.look()
    court.hold(20)
    assert court.names() == set()
    await spare.reload({"work_mem": "8MB", "max_connections": "30"})
    await until(lambda: spare.psql("select 1 from pg_settings where pending_restart"))
    await watched.look()
    court.hold(6)
    changed = watched.labels(severity="info", setting="work_mem_bytes")
    assert court.told("PostgresqlSettingChanged") == [changed]
    assert "work_mem_bytes of pg1 is 8388608 now" in court.words("PostgresqlSettingChanged")[0]
    court.hold(10)
    pending = watched.labels(severity="info", name="max_connections")
    assert court.told("PostgresqlRestartPending") == [pending]
    court.hold(10)
    assert court.names() == {"PostgresqlRestartPending"}


@caused("PostgresqlRolePasswordExpires")
async def test_a_password_that_runs_out_within_a_week_is_told(court: Court, spare: ScratchPostgres) -> None:
    for role, days in (("later", 8), ("soon", 3), ("past", -1)):
        await spare.psql(f"create role {role} login password 'x'")
        await spare.psql(
            f"do $$ begin execute format('alter role {role} valid until %L', now() + interval '{days} days'); end $$"
        )
    watched = court.watch(spare)
    await watched.look()
    court.hold(6)
    expected = watched.labels(severity="warning", rolname="soon")
    assert court.told("PostgresqlRolePasswordExpires") == [expected]
    assert court.names() == {"PostgresqlRolePasswordExpires"}
    await spare.psql("drop role later, soon, past")
